"""The chat: what is said is stored, answers stream and stop, commands do what they say, nothing steers the terminal."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pexpect
import pytest

from heedful.cli import main
from heedful.cli.chat.answering import Answering
from heedful.cli.chat.conversation import Chat, Voice
from heedful.cli.chat.dialogue import Dialogue
from heedful.cli.chat.orders import ORDERS, carry_out, parse_order
from heedful.cli.chat.reading import LineReader, sound
from heedful.cli.chat.screen import Screen
from heedful.errors import EngineError, InputError, RequirementError
from heedful.feedback.store import Store, StoredMessage
from heedful.generate.engine import Event, Request, Sampling
from heedful.generate.fake import FakeEngine
from heedful.records import RequirementSpec
from heedful.requirements import satisfied
from heedful.text import visible
from small_project import Project
from talker import STEERING, Hearing, OneVoice

ROOT = Path(__file__).resolve().parent.parent
ENTER, ALT_ENTER, CTRL_C, CTRL_D, UP = "\r", "\x1b\r", "\x03", "\x04", "\x1b[A"
# What every prompt begins with: from now on a paste is marked as one. The prompt's letters are drawn piece by piece.
PROMPT, PROMPT_ENDS = "\x1b[?2004h", "\x1b[?2004l"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'feedback.sqlite'}")
    yield opened
    opened.close()


class Recording(FakeEngine):
    """Remembers what it was asked."""

    def __init__(self, answer: Any = "fine") -> None:
        super().__init__(answer)
        self.asked: list[Request] = []

    def submit(self, request: Request) -> Any:
        self.asked.append(request)
        return super().submit(request)


def chat_with(store: Store, engine: FakeEngine | None = None, **options: Any) -> Chat:
    return Chat(store, Voice("model", engine or FakeEngine("fine")), sampling=Sampling(max_tokens=64), **options)


def said(chat: Chat, text: str) -> StoredMessage:
    """Ask, read the answer to its end, keep it."""
    return kept(chat, chat.ask(text))


def kept(chat: Chat, answering: Answering) -> StoredMessage:
    shown = "".join(answering)
    message = chat.keep(answering)
    assert message is not None
    assert shown == message.content
    return message


# -- the conversation, without a terminal ------------------------------------------------------------------------


def test_what_is_said_is_stored_and_sent_with_all_before_it(store: Store) -> None:
    engine = Recording(lambda request: f"answer {len(request.messages)}")
    chat = chat_with(store, engine, system="Be brief.")
    said(chat, "你好\nsecond line")
    last = said(chat, "two")
    roles = [(message.role, message.content) for message in engine.asked[-1].messages]
    assert roles == [("system", "Be brief."), ("user", "你好\nsecond line"), ("assistant", "answer 2"), ("user", "two")]
    (conversation,) = store.conversations()
    assert (conversation.title, conversation.system) == ("你好", "Be brief.")
    assert [message.content for message in store.path(last.id)] == ["你好\nsecond line", "answer 2", "two", "answer 4"]
    assert (last.model, last.finish_reason, last.system) == ("model", "stop", "Be brief.")
    assert last.sampling == {"temperature": 0.0, "max_tokens": 64, "seed": 0}


def test_a_retry_is_a_version_with_another_seed_and_the_last_version_goes_on(store: Store) -> None:
    engine = Recording(lambda request: f"seed {request.sampling.seed}")
    chat = chat_with(store, engine)
    first = said(chat, "one")
    second = kept(chat, chat.retry())
    third = kept(chat, chat.retry())
    assert first.parent == second.parent == third.parent
    assert [request.sampling.seed for request in engine.asked] == [0, 1, 2]
    assert [request.sampling.temperature for request in engine.asked] == [0.0, 0.7, 0.7]
    assert third.sampling == {"temperature": 0.7, "max_tokens": 64, "seed": 2}
    said(chat, "two")
    assert [message.content for message in engine.asked[-1].messages] == ["one", "seed 2", "two"]
    assert engine.asked[-1].sampling.temperature == 0.0


def test_a_temperature_that_was_set_is_kept_by_retry(store: Store) -> None:
    engine = Recording()
    chat = chat_with(store, engine)
    chat.set("temperature", "1.2")
    said(chat, "one")
    kept(chat, chat.retry())
    assert engine.asked[-1].sampling.temperature == 1.2


def test_a_correction_keeps_the_rating_and_a_rating_the_correction(store: Store) -> None:
    chat = chat_with(store)
    answer = said(chat, "one")
    chat.rate(-1, "too short")
    chat.correct("  a better one\n")
    given = store.feedback_of(answer.conversation)[answer.id]
    assert (given.rating, given.reason, given.correction) == (-1, "too short", "a better one")
    chat.rate(1)
    given = store.feedback_of(answer.conversation)[answer.id]
    assert (given.rating, given.reason, given.correction) == (1, "", "a better one")
    assert len(store.feedback_of(answer.conversation)) == 1


def test_a_correction_must_say_something_new(store: Store) -> None:
    chat = chat_with(store)
    said(chat, "one")
    for text in ("  \n", " fine "):
        with pytest.raises(InputError, match="nothing was changed"):
            chat.correct(text)
    assert list(store.export_rows()) == []


def test_before_the_first_answer_there_is_nothing_to_judge(store: Store, tmp_path: Path) -> None:
    chat = chat_with(store)
    for action in (lambda: chat.rate(1), lambda: chat.correct("x"), chat.retry, lambda: chat.save(tmp_path / "x")):
        with pytest.raises(InputError, match="ask something first"):
            action()
    assert not (tmp_path / "x").exists()
    assert store.conversations() == [], "a conversation in which nothing was said is not worth keeping"


def test_a_stopped_answer_is_kept_as_far_as_it_came(store: Store) -> None:
    chat = chat_with(store, Hearing())
    answering = chat.ask("long")
    shown = ""
    for piece in answering:
        shown += piece
        if "word2" in shown:
            answering.stop()
    message = chat.keep(answering)
    assert message is not None
    assert (message.content, message.finish_reason) == (shown, "cancelled")
    assert 3 <= len(shown.split()) < 50


def test_an_answer_stopped_before_its_first_word_leaves_nothing(store: Store) -> None:
    chat = chat_with(store, Hearing())
    answering = chat.ask("long")
    answering.stop()
    list(answering)
    assert chat.keep(answering) is None or answering.generation.text
    said(chat, "again")
    roles = [message.role for message in store.path(chat.answer.id)]
    assert roles in (["user", "assistant"], ["user", "assistant", "user", "assistant"])


class Deaf(FakeEngine):
    """Never answers, and does not notice that nobody waits."""

    def submit(self, request: Request) -> Any:
        def events() -> Iterator[Event]:
            yield Event(0, "so ")
            time.sleep(60)

        return _Handle(events())


class _Handle:
    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def cancel(self) -> None:
        time.sleep(60)


def test_stopping_does_not_wait_for_an_engine_that_does_not_listen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heedful.cli.chat.answering._PATIENCE", 0.2)
    chat = chat_with(store, Deaf())
    answering = chat.ask("hello")
    began = time.monotonic()
    for _ in answering:
        answering.stop()
    assert time.monotonic() - began < 5
    message = chat.keep(answering)
    assert message is not None
    assert (message.content, message.finish_reason) == ("so ", "cancelled")


class Failing(FakeEngine):
    """Breaks in the middle of its first answer."""

    def submit(self, request: Request) -> Any:
        if self.num_answered:
            return super().submit(request)
        self.num_answered += 1

        def events() -> Iterator[Event]:
            yield Event(0, "half ")
            raise RuntimeError("no memory")

        return _Handle(events())


def test_what_was_shown_before_an_engine_failed_is_kept_and_can_be_asked_again(store: Store) -> None:
    chat = chat_with(store, Failing("whole"))
    answering = chat.ask("one")
    with pytest.raises(EngineError, match="no memory"):
        list(answering)
    partial = chat.keep(answering)
    assert partial is not None
    assert partial.content == "half "
    again = kept(chat, chat.retry())
    assert (again.content, again.parent) == ("whole", partial.parent)


def test_a_question_that_cannot_be_asked_is_not_stored(store: Store) -> None:
    chat = chat_with(store)
    chat.voice.engine.close()
    with pytest.raises(EngineError):
        chat.ask("one")
    assert store.conversations() == []


def test_a_system_prompt_holds_from_the_next_answer_on(store: Store) -> None:
    engine = Recording()
    chat = chat_with(store, engine, system="first")
    before = said(chat, "one")
    chat.set_system("second")
    after = said(chat, "two")
    assert (before.system, after.system) == ("first", "second")
    assert engine.asked[-1].messages[0].content == "second"
    assert store.conversation(after.conversation).system == "second"
    chat.set_system("")
    said(chat, "three")
    assert engine.asked[-1].messages[0].role == "user"


def test_what_is_required_is_said_and_asked_but_not_stored(store: Store) -> None:
    engine = Recording("far too many words")
    chat = chat_with(store, engine)
    chat.require(RequirementSpec("words", {"maximum": 2}))
    answer = said(chat, "Praise tea.")
    request = engine.asked[-1]
    assert request.requirements == chat.requirements
    assert request.messages[-1].content.startswith("Praise tea. ")
    assert "2 words" in request.messages[-1].content
    assert [message.content for message in store.path(answer.id)] == ["Praise tea.", "far too many words"]
    assert answer.sampling["requirements"] == [{"kind": "words", "maximum": 2}]
    kept(chat, chat.retry())
    assert engine.asked[-1].requirements == chat.requirements
    chat.requirements = ()
    said(chat, "And now?")
    assert engine.asked[-1].requirements == ()
    assert engine.asked[-1].messages[-1].content == "And now?"
    assert "requirements" not in chat.answer.sampling


def test_contradictions_are_refused_and_change_nothing(store: Store) -> None:
    chat = chat_with(store)
    chat.require(RequirementSpec("words", {"maximum": 2}))
    with pytest.raises(RequirementError, match="/require off"):
        chat.require(RequirementSpec("words", {"minimum": 9}))
    assert len(chat.requirements) == 1


def test_what_a_message_states_is_required_of_its_answer_alone(store: Store) -> None:
    engine = Recording()
    chat = chat_with(store, engine, auto_require=True)
    said(chat, "Describe tea in at most 2 words.")
    assert [(spec.kind, spec.enforce) for spec in engine.asked[-1].requirements] == [("words", True)]
    assert engine.asked[-1].messages[-1].content == "Describe tea in at most 2 words."
    said(chat, "And coffee?")
    assert engine.asked[-1].requirements == ()


def test_new_begins_afresh(store: Store) -> None:
    engine = Recording()
    chat = chat_with(store, engine, system="kept")
    said(chat, "one")
    chat.new()
    said(chat, "two")
    assert [message.content for message in engine.asked[-1].messages] == ["kept", "two"]
    assert [conversation.title for conversation in store.conversations()] == ["two", "one"]


def test_a_null_byte_from_a_model_costs_no_answer(store: Store) -> None:
    chat = chat_with(store, FakeEngine("a\0b"))
    answering = chat.ask("one")
    assert "".join(answering) == "a\0b"
    message = chat.keep(answering)
    assert message is not None
    assert message.content == "a␀b"


def test_a_saved_conversation_is_imported_as_a_row(store: Store, tmp_path: Path) -> None:
    from heedful.sources import read_records

    chat = chat_with(store, FakeEngine("好的。"), system="说中文。")
    said(chat, "你好")
    file = tmp_path / "talk.jsonl"
    assert chat.save(file) == 3
    (line,) = file.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["messages"][-1] == {"role": "assistant", "content": "好的。"}
    (example,) = read_records([str(file)]).examples
    assert [message.content for message in example.messages] == ["说中文。", "你好", "好的。"]


def test_save_never_overwrites(store: Store, tmp_path: Path) -> None:
    chat = chat_with(store)
    said(chat, "one")
    file = tmp_path / "talk.jsonl"
    file.write_text("mine")
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "nothing")
    for path in (file, link):
        with pytest.raises(InputError, match="exists and is not overwritten"):
            chat.save(path)
    assert file.read_text() == "mine"
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(InputError, match="cannot be written"):
        chat.save(tmp_path / "no" / "folder.jsonl")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "-1"),
        ("temperature", "nan"),
        ("temperature", "inf"),
        ("temperature", "warm"),
        ("max_tokens", "0"),
        ("max_tokens", "1.5"),
        ("max_tokens", "٣"),
    ],
)
def test_impossible_settings_are_refused(store: Store, name: str, value: str) -> None:
    chat = chat_with(store)
    before = chat.sampling
    with pytest.raises(InputError, match=f"{name} is '{value}'"):
        chat.set(name, value)
    assert chat.sampling == before


def test_an_unknown_setting_names_the_nearest(store: Store) -> None:
    with pytest.raises(InputError, match="did you mean 'temperature'"):
        chat_with(store).set("temprature", "1")


# -- commands and lines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/rate up  because", ("rate", "up  because")),
        ("  /Quit ", ("quit", "")),
        ("/system two\nlines", ("system", "two\nlines")),
        ("/", None),
        ("/etc/hosts is what?", None),
        ("/* a comment */", None),
        ("/ rate", None),
        ("what is /help?", None),
    ],
)
def test_what_is_a_command(text: str, expected: tuple[str, str] | None) -> None:
    assert parse_order(text) == expected


def test_an_unknown_command_names_the_nearest(store: Store) -> None:
    with pytest.raises(InputError, match=r"'/retyr'; did you mean 'retry'"):
        carry_out(SimpleNamespace(), "retyr", "")  # type: ignore[arg-type]


def piped(store: Store, text: bytes, engine: FakeEngine | None = None) -> None:
    """A chat whose lines are `text`."""
    voice = Voice("model", engine or Recording(lambda request: f"heard {request.messages[-1].content}"))
    chat = Chat(store, voice, sampling=Sampling(max_tokens=64))
    Dialogue(chat, OneVoice(voice), LineReader(io.BytesIO(text)), Screen(interactive=False)).run()  # type: ignore[arg-type]


def test_lines_of_a_pipe_are_answered_one_by_one(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    piped(store, "\ufeffone\r\n\n  \nfirst \\\nsecond\n/rate up 很好\n你好".encode())
    captured = capsys.readouterr()
    assert captured.out == "heard one\nheard first \nsecond\nheard 你好\n"
    assert captured.err == "kept: up (很好)\n"


def test_orders_that_require(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Recording("far too many words")
    lines = ["/require", "/require words=:2", "/require check language=zh", "Praise tea.", "/require off", "Again."]
    piped(store, "\n".join(lines).encode(), engine)
    assert [[spec.enforce for spec in request.requirements] for request in engine.asked] == [[True, False], []]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "nothing is required; /require words=30:50 changes that",
        "required: Use at most 2 words.",
        "required: Use at most 2 words.",
        "required: Answer in Chinese. (only checked)",
        "(not satisfied: 4 words, at most 2 expected)",
        said[5],
        "nothing is required; /require words=30:50 changes that",
    ]
    assert said[5].startswith("(not satisfied: ")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("/require wrods=3", "did you mean 'words'?"),
        ("/require check", "name=value"),
        ("/require words=few", "expected a number or a range"),
    ],
)
def test_orders_that_require_nothing_sensible(store: Store, order: str, expected: str) -> None:
    with pytest.raises(RequirementError, match=re.escape(expected)):
        piped(store, order.encode())


def test_what_was_read_is_shown_before_the_answer(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    voice = Voice("model", Recording("fine"))
    chat = Chat(store, voice, sampling=Sampling(max_tokens=64), auto_require=True)
    reader = LineReader(io.BytesIO(b"Describe tea in at most 2 words.\nThanks.\n"))
    Dialogue(chat, OneVoice(voice), reader, Screen(interactive=False)).run()  # type: ignore[arg-type]
    assert capsys.readouterr().err == '(required: words (maximum=2), from "at most 2 words", enforced)\n'


def test_a_mistake_in_a_pipe_ends_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="did you mean 'rate'"):
        piped(store, b"one\n/rat up\ntwo\n")
    assert capsys.readouterr().out == "heard one\n"


def test_a_line_that_is_not_utf8_is_named(store: Store) -> None:
    with pytest.raises(InputError, match="line 2: not UTF-8 at byte 3"):
        piped(store, b"one\ncaf\xe9\n")


def test_quit_in_a_pipe_leaves_the_rest_unsaid(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    piped(store, b"/quit\none\n")
    assert capsys.readouterr().out == ""


def test_what_a_model_says_never_steers_the_terminal(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    piped(
        store,
        b"steer\n/system \x1b]0;owned\x07\n/save \x1b[2J/x\n/quit\n".replace(b"/save \x1b[2J/x\n", b""),
        Hearing(),
    )
    captured = capsys.readouterr()
    for stream in (captured.out, captured.err):
        assert not any(ord(character) < 32 and character != "\n" for character in stream)
        assert not set(stream) & set("\x7f\x9b\u202e")
    assert "␛]0;owned␇␛[2Jsafe " in captured.out
    assert "␛]0;owned␇" in captured.err
    (conversation,) = store.conversations()
    assert store.messages(conversation.id)[-1].content == STEERING, "what is kept is what was said"


def test_halves_of_characters_become_whole_ones() -> None:
    assert sound("caf\udce9 你好") == "caf\ufffd 你好"
    # A terminal may deliver a character's bytes as halves that together are one.
    assert sound("\udce4\udcbd\udca0") == "你"


def test_help_lists_every_command(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    piped(store, b"/help\n")
    listed = capsys.readouterr().err
    assert all(f"/{name}" in listed for name in ORDERS)
    assert set(ORDERS) == {
        "help",
        "system",
        "retry",
        "rate",
        "correct",
        "save",
        "model",
        "new",
        "require",
        "set",
        "quit",
    }


# -- at a terminal ------------------------------------------------------------------------------------------------

Spawn = Callable[..., pexpect.spawn]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Processes at a terminal of their own, ended after the test."""
    running: list[pexpect.spawn] = []

    def start(*arguments: str, seconds: float = 15) -> pexpect.spawn:
        environment = os.environ | {
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT / "support"),
        }
        child = pexpect.spawn(
            sys.executable, list(arguments), env=environment, encoding="utf-8", timeout=seconds, dimensions=(40, 120)
        )
        running.append(child)
        return child

    yield start
    for child in running:
        child.close(force=True)


@pytest.fixture
def talk(spawn: Spawn, tmp_path: Path) -> Callable[[], pexpect.spawn]:
    """A chat with the model that says what it heard, at its prompt."""

    def start() -> pexpect.spawn:
        child = spawn(str(ROOT / "support" / "talker.py"), str(tmp_path))
        child.expect_exact(PROMPT)
        return child

    return start


def left(child: pexpect.spawn) -> int | None:
    child.expect(pexpect.EOF)
    child.wait()
    return child.exitstatus


def say(child: pexpect.spawn, keys: str, expected: str) -> None:
    """Type at the prompt; wait for what must be shown, and for the next prompt."""
    child.send(keys)
    child.expect_exact(expected)
    child.expect_exact(PROMPT)


def test_keys_at_a_terminal(talk: Callable[[], pexpect.spawn], store: Store) -> None:
    child = talk()
    say(child, "你好，世界" + ENTER, "heard '你好，世界' after 1")
    say(child, "one" + ALT_ENTER + "two\\" + ENTER + "three" + ENTER, r"heard 'one\ntwo\nthree' after 3")
    child.send("\x1b[200~pasted \\\r\nblock\n\n/quit\x1b[201~")
    say(child, ENTER, r"heard 'pasted \\\nblock\n\n/quit' after 5")
    say(child, UP + ENTER, r"heard 'pasted \\\nblock\n\n/quit' after 7")
    say(child, "/rate down 太短" + ENTER, "kept: down (太短)")
    say(child, "/corect" + ENTER, "did you mean 'correct'?")
    child.send("/correct" + ENTER)
    child.expect_exact("better>")
    child.send(CTRL_C)
    child.expect_exact("nothing was changed")
    child.expect_exact(PROMPT)
    child.send("/correct" + ENTER)
    child.expect_exact("better>")
    say(child, " 更好" + ENTER, "kept: your better answer")
    child.send(CTRL_D)
    assert left(child) == 0
    (row,) = store.export_rows()
    assert (row["rating"], row["reason"]) == (-1, "太短")
    assert row["correction"] == row["answer"] + " 更好", "the last answer is there to be edited"


def test_history_is_kept_from_one_chat_to_the_next(talk: Callable[[], pexpect.spawn], tmp_path: Path) -> None:
    child = talk()
    say(child, "remember 我" + ENTER, "heard 'remember 我'")
    child.send("/quit" + ENTER)
    assert left(child) == 0
    assert (tmp_path / "chat_history").stat().st_mode & 0o077 == 0, "what one types is one's own"
    child = talk()
    say(child, UP + UP + ENTER, "heard 'remember 我' after 1")
    child.send(CTRL_D)
    assert left(child) == 0


def test_ctrl_c_stops_an_answer_and_twice_at_the_prompt_leaves(talk: Callable[[], pexpect.spawn], store: Store) -> None:
    child = talk()
    child.send("long" + ENTER)
    child.expect_exact("word5 ")
    say(child, CTRL_C, "(stopped)")
    say(child, CTRL_C, "Ctrl-C again leaves")
    # A message between them: the two are not in a row.
    say(child, "still here" + ENTER, "heard 'still here' after 3")
    say(child, CTRL_C, "Ctrl-C again leaves")
    child.send(CTRL_C)
    assert left(child) == 0
    (conversation,) = store.conversations()
    stopped = store.messages(conversation.id)[1]
    assert stopped.finish_reason == "cancelled"
    assert stopped.content.startswith("word0 word1 word2 word3 word4 word5")
    assert "word1999" not in stopped.content


def test_nothing_steers_a_real_terminal(talk: Callable[[], pexpect.spawn]) -> None:
    child = talk()
    child.logfile_read = log = io.StringIO()
    say(child, "steer" + ENTER, "␛]0;owned␇␛[2Jsafe ")
    child.send(CTRL_D)
    assert left(child) == 0
    shown = log.getvalue()
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown
    assert not set(shown) & set("\x9b\u202e")


# -- the whole command, with a project ----------------------------------------------------------------------------


@pytest.fixture
def project(tiny_project: Project, tmp_path: Path) -> Project:
    shutil.copytree(tiny_project.folder, tmp_path / "mine")
    return Project(tmp_path / "mine")


@pytest.mark.slow
def test_chat_on_a_project(project: Project, spawn: Spawn) -> None:
    child = spawn("-m", "heedful", *project.arguments("chat", "--max-tokens", "1500"), seconds=120)
    child.expect_exact("tiny (tuned) answers, with the local engine (int8, ")
    child.expect_exact(PROMPT)
    child.send("Hello" + ENTER)
    # The model writes nonsense, but it writes, and does not come to an end in a moment.
    child.expect_exact(PROMPT_ENDS)
    child.expect(r"[^\x1b\r\n]{8}", timeout=60)
    say(child, CTRL_C, "(stopped)")
    say(child, "/rate down nonsense" + ENTER, "kept: down (nonsense)")
    say(child, "/set max_tokens 8" + ENTER, "max_tokens = 8")
    say(child, "/retry" + ENTER, "cut off after 8 tokens")
    say(child, "/model base" + ENTER, "(base)")
    say(child, "你好" + ENTER, "cut off after 8 tokens")
    say(child, CTRL_C, "Ctrl-C again leaves")
    child.send(CTRL_C)
    assert left(child) == 0
    store = Store(f"sqlite:///{project.folder / '.heedful' / 'feedback.sqlite'}")
    (conversation,) = store.conversations()
    question, stopped, version, second, last = store.messages(conversation.id)
    assert (stopped.finish_reason, version.finish_reason) == ("cancelled", "length")
    assert stopped.parent == version.parent == question.id
    assert (stopped.model, last.model) == ("tiny", last.model)
    assert last.model.endswith(Path(last.model).name)
    assert last.model != "tiny"
    assert second.content == "你好"
    (row,) = store.export_rows()
    assert (row["answer"], row["rating"], row["reason"]) == (stopped.content, -1, "nonsense")
    store.close()


@pytest.mark.slow
def test_chat_from_a_pipe(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "heedful", *project.arguments("chat", "--max-tokens", "12")]
    process = subprocess.run(
        command, input=b"Hi\n/save talk.jsonl\n", capture_output=True, cwd=project.folder, check=False
    )
    assert process.returncode == 0, process.stderr
    assert b"\x1b" not in process.stdout + process.stderr
    (line,) = (project.folder / "talk.jsonl").read_text(encoding="utf-8").splitlines()
    answer = json.loads(line)["messages"][1]["content"]
    assert process.stdout.decode() == visible(answer) + "\n"
    capsys.readouterr()
    assert main(project.arguments("generate", "Hi", "--max-tokens", "12", "--precision", "fastest", "--json")) == 0
    alone = json.loads(capsys.readouterr().out)["text"]
    assert alone.replace("\0", "␀") == answer, "greedy chat and generate must agree"


def test_a_chat_whose_answers_keep_what_is_required(project: Project) -> None:
    command = [sys.executable, "-m", "heedful", *project.arguments("chat", "--auto-require")]
    lines = "/require choice=yes|no\nIs tea good?\n/require off\nDescribe tea in at most 4 words.\n"
    lines += "/require regex=(a|b)\\1\nNow?\n"
    process = subprocess.run(command, input=lines.encode(), capture_output=True, cwd=project.folder, check=False)
    assert process.returncode == 2, process.stderr
    said = process.stderr.decode()
    assert "(required: words (maximum=4)" in said
    assert "/require off and then /require check NAME=VALUE to have it only checked" in said
    assert "not satisfied" not in said
    first, _, rest = process.stdout.decode().partition("\n")
    assert first in ("yes", "no")
    assert satisfied([RequirementSpec("words", {"maximum": 4})], rest)


def test_a_chat_that_cannot_begin_says_why(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (project.folder.parent / "tiny").mkdir()
    for arguments, expected in (
        (["--model", "tunde"], "did you mean 'tuned'?"),
        # A folder called like the project: what it says must not pass for what the tuned model says.
        (["--model", str(project.folder.parent / "tiny")], "rename it"),
        (["--set", "tune.epochs=2"], "heedful run"),
        (["--max-tokens", "0"], "--max-tokens"),
    ):
        capsys.readouterr()
        assert main(project.arguments("chat", *arguments)) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert expected in captured.err
    assert not (project.folder / ".heedful" / "chat_history").exists()
