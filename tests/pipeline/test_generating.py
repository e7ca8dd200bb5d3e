"""Files of prompts: every row answered once and in order; killed anywhere, the same bytes in the end; bad rows first."""

from __future__ import annotations

import json
import math
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest
from filelock import FileLock

from forked import Nursery, nursery
from heedful.errors import EngineError, InputError, ProjectError
from heedful.generate.engine import Event, Request, Sampling
from heedful.generate.fake import FakeEngine
from heedful.pipeline import answer_journal, generating
from heedful.pipeline.answer_journal import BATCHES_PER_GROUP
from heedful.pipeline.asking import Asked, sampling_from
from heedful.pipeline.generating import generate_file
from heedful.project import Silent, Watcher
from heedful.records import FinishReason, Generation, RequirementSpec, Usage
from heedful.requirements import check_all

SHORT = RequirementSpec("words", {"maximum": 3})


def echo(request: Request) -> str:
    return f"{request.messages[-1].content} indeed"


class Particular(FakeEngine):
    """Refuses long prompts, as models do; remembers what it was asked to answer."""

    def __init__(
        self,
        answer: Callable[[Request], str] = echo,
        *,
        identity: str = "particular",
        independent: bool = True,
    ) -> None:
        super().__init__(answer, identity=identity, preferred_batch=3)
        self.is_independent = independent
        self.asked: list[str] = []

    def check(self, request: Request) -> None:
        if len(request.messages[-1].content) > 60:
            raise InputError(f"request {request.id!r}: the prompt has 61 tokens, the limit is 60")
        if request.sampling.num_beams > 1:
            raise InputError(f"request {request.id!r}: the engine cannot honour num_beams")

    def submit(self, request: Request) -> Any:
        self.asked.append(request.id)
        return super().submit(request)


class Swayed:
    """Its answers depend on what is under way together, as those of a real batch may in their last bits."""

    identity, preferred_batch = "swayed", 2

    def __init__(self) -> None:
        self._together: list[str] = []
        self._answered = 0

    def check(self, request: Request) -> None:
        pass

    def submit(self, request: Request) -> SwayedHandle:
        if self._answered == len(self._together):
            self._together, self._answered = [], 0
        self._together.append(request.id)
        return SwayedHandle(self, request)

    def answer(self, request: Request) -> Generation:
        self._answered += 1
        return Generation(request.id, " ".join(self._together), usage=Usage(1, len(self._together)))

    def close(self) -> None:
        pass


class SwayedHandle:
    def __init__(self, engine: Swayed, request: Request) -> None:
        self._engine, self._request = engine, request

    def __iter__(self) -> Iterator[Event]:
        raise NotImplementedError

    def result(self) -> tuple[Generation, ...]:
        return (self._engine.answer(self._request),)

    def cancel(self) -> None:
        pass


class Stop(Exception):  # noqa: N818
    """In place of a kill, where nothing but the moment matters."""


class Stopping(Silent):
    """Ends the run at one milestone; remembers what is said."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.said, self.num_rows = after, [], 0

    def milestone(self, name: str) -> None:
        if name == "journal.appended" and self.after is not None:
            self.after -= 1
            if self.after == 0:
                raise Stop

    def say(self, text: str) -> None:
        self.said.append(text)

    def begin(self, task: str, total: int | None, unit: str) -> None:
        assert (task, unit) == ("generate", "rows")
        self.num_rows = total or 0


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The engines that were opened, newest last; each test may choose how they are made."""
    opened: list[Any] = []

    def new_engine(name: str, watcher: Watcher, *, needs: Sequence[str] = (), precision: str = "") -> Any:
        kinds: dict[str, Callable[[], Any]] = {
            "swayed": Swayed,
            "grouped": lambda: Particular(independent=False),
            "other": lambda: Particular(identity="other"),
        }
        opened.append(kinds.get(name, Particular)())
        return opened[-1]

    monkeypatch.setattr(generating, "new_engine", new_engine)
    return opened


def prompts(path: Path, number: int = 40, **more: Any) -> str:
    rows = ({"prompt": f"question {place} {'茶' * (place % 5)}", "id": f"q{place}", **more} for place in range(number))
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def run(files: str | list[str], out: Path, asked: Asked | None = None, **options: Any) -> dict[str, Any]:
    settings = {"model": "particular", "watcher": Silent(), **options}
    return generate_file([files] if isinstance(files, str) else files, out, asked or Asked(), **settings)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


# -- what is written -------------------------------------------------------------------------------------------------------


def test_every_row_is_answered_once_and_in_order(tmp_path: Path, engines: list[Any]) -> None:
    files = [prompts(tmp_path / "b.jsonl", 20), prompts(tmp_path / "a.jsonl", 5)]
    result = run(files, tmp_path / "out" / "answers.jsonl", Asked(Sampling(n=2)))
    rows = lines(tmp_path / "out" / "answers.jsonl")
    assert [row["id"] for row in rows] == [f"q{number}" for number in [*range(20), *range(5)]]
    assert rows[3] == {
        "id": "q3",
        "messages": [{"role": "user", "content": "question 3 茶茶茶"}],
        "answers": 2 * [
            {"text": "question 3 茶茶茶 indeed", "finish_reason": "stop", "prompt_tokens": 3, "completion_tokens": 4, "complaints": []}
        ],
        "model": "particular",
    }  # fmt: skip
    assert engines[0].asked == [row["id"] for row in rows]
    expected = {"rows": 25, "answered": 25, "skipped": 0, "resumed": 0, "answers": 50, "breaking_requirements": 0}
    assert {key: result[key] for key in expected} == expected
    assert result["finish_reasons"] == {"stop": 50}
    assert left_over(tmp_path / "out") == []


def test_requirements_are_checked_and_broken_ones_counted(tmp_path: Path, engines: list[Any]) -> None:
    path = prompts(tmp_path / "a.jsonl", 2, requirements=[SHORT.as_dict()])
    result = run(path, tmp_path / "out.jsonl", Asked(Sampling(max_tokens=2)))
    first = lines(tmp_path / "out.jsonl")[0]
    (verdict,) = check_all([SHORT], first["answers"][0]["text"])
    assert verdict.satisfied
    assert first["answers"][0]["complaints"] == [
        "cut off after 2 tokens; raise max_tokens (--max-tokens) to allow more"
    ]
    assert (result["breaking_requirements"], result["finish_reasons"]) == (0, {"length": 2})
    assert "2 answers cut off" in result["text"]
    result = run(path, tmp_path / "out.jsonl")
    assert lines(tmp_path / "out.jsonl")[0]["answers"][0]["complaints"][0].startswith("not satisfied")
    assert result["breaking_requirements"] == 2
    assert "2 of 2 answers did not keep" in result["text"]


def test_logprobs_are_told_when_asked(tmp_path: Path, tiny_model: Path) -> None:
    path = prompts(tmp_path / "a.jsonl", 2)
    run(path, tmp_path / "out.jsonl", Asked(Sampling(max_tokens=3), top_logprobs=2), model=str(tiny_model))
    for row in lines(tmp_path / "out.jsonl"):
        (answer,) = row["answers"]
        assert len(answer["token_ids"]) == len(answer["logprobs"]) == len(answer["top_logprobs"]) == 3
        for token, logprob, top in zip(answer["token_ids"], answer["logprobs"], answer["top_logprobs"], strict=True):
            assert top[0] == [token, pytest.approx(logprob)], "greedy: the likeliest is the chosen one"
            assert len(top) == 2
    run(path, tmp_path / "out.jsonl", Asked(Sampling(max_tokens=3)), model=str(tiny_model))
    assert "logprobs" not in lines(tmp_path / "out.jsonl")[0]["answers"][0]


# -- killed and continued --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["grouped", "swayed"])
def test_interrupted_at_any_group_it_ends_with_the_same_bytes(tmp_path: Path, engines: list[Any], model: str) -> None:
    path = prompts(tmp_path / "a.jsonl", 29)
    run(path, tmp_path / "whole.jsonl", model=model)
    expected = (tmp_path / "whole.jsonl").read_bytes()
    size = BATCHES_PER_GROUP * engines[0].preferred_batch
    assert 29 % size, "the last group is not a whole one"
    for after in range(1, 29 // size + 1):
        out = tmp_path / f"{after}.jsonl"
        with pytest.raises(Stop):
            run(path, out, model=model, watcher=Stopping(after))
        assert not out.exists(), "half a file is never seen"
        watcher = Stopping()
        result = run(path, out, model=model, watcher=watcher)
        assert out.read_bytes() == expected
        assert result["resumed"] == after * size
        assert watcher.num_rows == 29 - after * size, "the estimate is about what is left"
        assert any(f"{after * size} of 29 rows had been answered" in line for line in watcher.said)
        if model == "grouped":
            assert engines[-1].asked == [f"q{number}" for number in range(after * size, 29)]
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("after", [1, 2, 5, 20])
def test_independent_answers_are_kept_as_they_come(
    tmp_path: Path, engines: list[Any], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    # As on a disk that takes no time.
    monkeypatch.setattr(answer_journal, "_WRITING_SHARE", math.inf)
    path = prompts(tmp_path / "a.jsonl", 29)
    run(path, tmp_path / "whole.jsonl")
    out = tmp_path / "out.jsonl"
    with pytest.raises(Stop):
        run(path, out, watcher=Stopping(after))
    result = run(path, out)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert result["resumed"] == after, "each was durable before the next one was taken"
    assert engines[-1].asked == [f"q{number}" for number in range(after, 29)]


def test_what_came_before_a_failure_is_kept_though_the_disk_was_slow(
    tmp_path: Path, engines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(entry: dict[str, Any]) -> None:
        time.sleep(0.05)
        entries.append(entry["lines"])

    entries: list[list[str]] = []

    def lines_and_then_nothing() -> Iterator[str]:
        yield from map(str, range(20))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for group in answer_journal._together(lines_and_then_nothing(), None):
            written({"lines": group})
    assert [line for group in entries for line in group] == [str(number) for number in range(20)]
    assert len(entries) == 2, "the disk was not asked again at once"


def test_interrupted_twice_and_after_the_last_group(tmp_path: Path, engines: list[Any]) -> None:
    path = prompts(tmp_path / "a.jsonl", 24)
    out = tmp_path / "out.jsonl"
    for _ in range(2):
        with pytest.raises(Stop):
            run(path, out, model="grouped", watcher=Stopping(1))
    # All is answered, and nothing written yet: only the writing is left.
    assert run(path, out, model="grouped")["resumed"] == 24
    assert engines[-1].asked == []
    assert len(lines(out)) == 24


@pytest.mark.parametrize("change", ["input", "sampling", "requirements", "model", "logprobs"])
def test_another_question_begins_anew_and_says_so(tmp_path: Path, engines: list[Any], change: str) -> None:
    path, out = prompts(tmp_path / "a.jsonl", 24), tmp_path / "out.jsonl"
    with pytest.raises(Stop):
        run(path, out, model="grouped", watcher=Stopping(1))
    options: dict[str, Any] = {"model": "grouped"}
    if change == "input":
        prompts(tmp_path / "a.jsonl", 25)
    elif change == "model":
        options["model"] = "other"
    else:
        changed = {
            "sampling": Asked(Sampling(seed=1)),
            "requirements": Asked(requirements=(SHORT,)),
            "logprobs": Asked(top_logprobs=None, sampling=Sampling(max_tokens=9)),
        }
        options["asked"] = changed[change]
    watcher = Stopping(1)
    with pytest.raises(Stop):
        run(path, out, watcher=watcher, **options)
    assert any("begins anew" in line for line in watcher.said)
    assert next(id for id in engines[-1].asked if id != "settings") == "q0"
    # Both are kept until one of them is complete: who comes back to the first question finds its answers.
    if change != "input":
        again = Stopping()
        assert run(path, out, model="grouped", watcher=again)["resumed"] == 12
        assert not any("begins anew" in line for line in again.said)
        assert left_over(tmp_path) == []


def test_a_file_that_a_kill_tore_at_its_end_is_read_up_to_there(tmp_path: Path, engines: list[Any]) -> None:
    path, out = prompts(tmp_path / "a.jsonl", 24), tmp_path / "out.jsonl"
    with pytest.raises(Stop):
        run(path, out, model="grouped", watcher=Stopping(1))
    (journal,) = tmp_path.glob(".out.jsonl.*.journal")
    journal.write_bytes(journal.read_bytes() + b'00000000 {"lines": ["{')
    (tmp_path / ".out.jsonl.abc.partial").write_text("left by a kill while the file was written")
    assert run(path, out, model="grouped")["resumed"] == 12
    assert left_over(tmp_path) == []


def test_one_process_at_a_time(tmp_path: Path, engines: list[Any]) -> None:
    path, out = prompts(tmp_path / "a.jsonl", 3), tmp_path / "out.jsonl"
    with FileLock(tmp_path / ".out.jsonl.lock"), pytest.raises(ProjectError, match="another process is writing"):
        run(path, out)
    assert run(path, out)["answered"] == 3


# -- bad rows --------------------------------------------------------------------------------------------------------------


def with_bad_rows(path: Path) -> str:
    rows = [json.dumps({"prompt": f"question {number}", "id": f"q{number}"}) for number in range(30)]
    rows[4] = '{"prompt": "cut o'
    rows[9] = json.dumps({"text": "no prompt\x1b[2J"})
    rows[14] = json.dumps({"prompt": "long " * 20, "id": "long"})
    rows[19] = json.dumps({"prompt": "odd", "requirements": [{"kind": "words", "most": 3}]})
    path.write_text("\n".join(rows), encoding="utf-8")
    return str(path)


def test_bad_rows_stop_everything_before_anything_is_generated(tmp_path: Path, engines: list[Any]) -> None:
    path, out = with_bad_rows(tmp_path / "rows.jsonl"), tmp_path / "out.jsonl"
    with pytest.raises(InputError) as caught:
        run(path, out)
    said = str(caught.value).splitlines()
    assert said[0] == "3 of 30 rows cannot be answered:"
    assert [line.split(":")[0] for line in said[1:4]] == [f"  rows.jsonl, line {number}" for number in (5, 10, 20)]
    assert "requirement 'words': unknown parameter 'most'" in said[3]
    assert said[4] == "correct them, or leave them out with --skip-bad-rows; nothing was generated"
    assert engines == [], "not even the model was loaded"
    assert left_over(tmp_path) == []
    # Only the model knows what is too long for it.
    good = tmp_path / "good.jsonl"
    good.write_text(
        "".join(
            line + "\n" for number, line in enumerate(Path(path).read_text().split("\n")) if number not in (4, 9, 19)
        )
    )
    with pytest.raises(
        InputError, match=r"1 of 27 rows cannot be answered:\n  good\.jsonl, line 13: the prompt has 61 tokens"
    ):
        run(str(good), out)
    assert engines[0].asked == []
    assert not out.exists()


def test_bad_rows_are_skipped_only_by_request_and_kept_with_reasons(tmp_path: Path, engines: list[Any]) -> None:
    path, out = with_bad_rows(tmp_path / "rows.jsonl"), tmp_path / "out.jsonl"
    result = run(path, out, skip_bad_rows=True)
    good = [number for number in range(30) if number not in (4, 9, 14, 19)]
    assert [row["id"] for row in lines(out)] == [f"q{number}" for number in good]
    assert (result["rows"], result["answered"], result["skipped"]) == (30, 26, 4)
    skipped = lines(tmp_path / "out.skipped.jsonl")
    assert [row["reason"].split(":")[0] for row in skipped] == [
        f"rows.jsonl, line {number}" for number in (5, 10, 15, 20)
    ]
    assert [row["row"] and sorted(row["row"]) for row in skipped] == [
        None,
        ["text"],
        ["id", "prompt"],
        ["prompt", "requirements"],
    ]
    assert result["skipped_rows"] == str(tmp_path / "out.skipped.jsonl")
    assert "4 rows left out" in result["text"]
    assert "\x1b" not in result["text"]
    # A run without bad rows leaves no list of another run's beside its answers.
    run(prompts(tmp_path / "rows.jsonl", 3), out)
    assert lines(tmp_path / "out.skipped.jsonl") == []


def test_ten_are_listed_and_all_counted(tmp_path: Path, engines: list[Any]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"text": {number}}}\n' for number in range(1234)) + '{"prompt": "a"}\n')
    with pytest.raises(InputError) as caught:
        run(str(path), tmp_path / "out.jsonl")
    said = str(caught.value).splitlines()
    assert said[0] == "1,234 of 1,235 rows cannot be answered:"
    assert len(said) == 13
    assert said[11] == "  and 1,224 more"
    result = run(str(path), tmp_path / "out.jsonl", skip_bad_rows=True)
    assert len(result["bad_rows"]) == 10
    assert "and 1,224 more" in result["text"]
    # With nothing left to answer there is nothing to skip to.
    path.write_text('{"text": 1}\n')
    with pytest.raises(InputError, match="1 of 1 row cannot be answered"):
        run(str(path), tmp_path / "out.jsonl", skip_bad_rows=True)


def test_settings_that_the_engine_refuses_are_not_the_rows_fault(tmp_path: Path, engines: list[Any]) -> None:
    path = prompts(tmp_path / "a.jsonl", 3)
    with pytest.raises(InputError, match=r"^the engine cannot honour num_beams$"):
        run(path, tmp_path / "out.jsonl", Asked(Sampling(num_beams=4)), skip_bad_rows=True)


def test_a_place_that_cannot_be_written_to_is_told_before_the_work(tmp_path: Path, engines: list[Any]) -> None:
    path = prompts(tmp_path / "a.jsonl", 3)
    with pytest.raises(InputError, match=r"ends in \.jsonl"):
        run(path, tmp_path / "out.csv")
    with pytest.raises(InputError, match="would be read and written"):
        run(path, tmp_path / "a.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        run(path, tmp_path / "folder.jsonl")
    assert engines == []


def test_a_failing_engine_names_the_row_and_keeps_what_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Particular):
        broken = True

        def submit(self, request: Request) -> Any:
            handle = super().submit(request)
            if request.id == "q14" and Failing.broken:

                def fail() -> tuple[Generation, ...]:
                    raise EngineError("no memory")

                handle.result = fail
            return handle

    monkeypatch.setattr(generating, "new_engine", lambda *_, **__: Failing(independent=False))
    path, out = prompts(tmp_path / "a.jsonl", 29), tmp_path / "out.jsonl"
    with pytest.raises(EngineError, match=r"a\.jsonl, line 15: no memory; .* the same command goes on"):
        run(path, out)
    Failing.broken = False
    assert run(path, out)["resumed"] == 12


# -- sampling as users write it --------------------------------------------------------------------------------------------


def test_sampling_options() -> None:
    given: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9}
    more = ["min_tokens=3", "repetition-penalty = 1.2", "logit_bias=42:-100,7:2.5", "num_beams=1", "length_penalty=0.8"]
    assert sampling_from(given, more) == Sampling(
        temperature=0.5, top_p=0.9, min_tokens=3, repetition_penalty=1.2, logit_bias=((42, -100.0), (7, 2.5)),
        length_penalty=0.8,
    )  # fmt: skip
    assert sampling_from({}) == Sampling()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("repitition_penalty=2", "did you mean 'repetition_penalty'?"),
        ("top_p=1", "top_p has an option of its own, --top-p"),
        ("min_tokens", "expected name=value"),
        ("min_tokens=", "expected name=value"),
        ("min_tokens=2.5", "min_tokens=2.5: expected a whole number"),
        ("presence_penalty=much", "expected a number"),
        ("presence_penalty=nan", "expected a number"),
        ("logit_bias=42", "such as 42:-100,7:2.5"),
        ("logit_bias=42:inf", "such as 42:-100,7:2.5"),
    ],
)
def test_sampling_options_that_cannot_be(text: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        sampling_from({"top_p": 0.5}, [text])
    assert expected in str(caught.value)


# -- an endpoint -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[str], set[str]]]:
    """A base URL, what was asked there, and prompts that it refuses."""
    asked: list[str] = []
    refused: set[str] = set()
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
            with lock:
                asked.append(prompt)
            reason: FinishReason = "stop"
            choice = {"index": 0, "message": {"role": "assistant", "content": prompt.upper()}, "finish_reason": reason}
            body = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 3}}
            data = json.dumps(body).encode()
            self.send_response(400 if prompt in refused else 200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1#writer", asked, refused
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_an_endpoint_has_answered_is_never_asked_again(
    tmp_path: Path, endpoint: tuple[str, list[str], set[str]]
) -> None:
    url, asked, refused = endpoint
    path, out = prompts(tmp_path / "a.jsonl", 200), tmp_path / "out.jsonl"
    refused.add("question 150")
    with pytest.raises(EngineError, match=r"a\.jsonl, line 151: .*400"):
        run(path, out, model=url)
    refused.clear()
    run(path, out, model=url)
    found = lines(out)
    assert [row["answers"][0]["text"] for row in found] == [row["messages"][0]["content"].upper() for row in found]
    counts = Counter(asked)
    assert set(counts) == {row["messages"][0]["content"] for row in found}
    # The one that was refused, and of the others only what was at the server when the command ended.
    again = {prompt for prompt, count in counts.items() if count > 1}
    assert "question 150" in again
    assert len(again) <= 1 + 32
    assert max(counts.values()) == 2
    before = len(asked)
    out.unlink()
    run(path, out, model=url)
    assert (len(asked), lines(out)) == (before, found), "the request cache holds them all"


# -- killed ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forking() -> Iterator[Nursery]:
    with nursery() as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("num_kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    tmp_path: Path, tiny_model: Path, forking: Nursery, num_kills: int
) -> None:
    # A beginning that all share, and log-probabilities to the last bit: whatever a resumed run computed otherwise would show.
    path = prompts(tmp_path / "rows.jsonl", 600, system="Answer in one word, and never twice the same. " * 6)
    log = tmp_path / "log"
    flags = ["--model", str(tiny_model), "--max-tokens", "16", "--temperature", "0.8", "--logprobs", "1", "--json"]

    def generate(out: Path, **kill: Any) -> int:
        return forking.run(["generate", path, "--out", str(out), *flags], output=log, **kill)

    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    seconds = []
    for _ in range(min(num_kills, 2)):
        started = time.monotonic()
        assert generate(whole) == 0, log.read_text()
        seconds.append(time.monotonic() - started)
    assert [row["id"] for row in lines(whole)] == [f"q{number}" for number in range(600)]
    chance = random.Random(11)
    killed, said = 0, ""
    for number in range(num_kills):
        # Once right after a group was made durable, else whenever it comes.
        moment: dict[str, Any] = {"kill_after": chance.uniform(0, 0.8 * min(seconds))}
        code = generate(out, **({"kill_at": ("journal.appended", 1)} if number == 0 else moment))
        assert code in (-signal.SIGKILL, 0), log.read_text()
        killed += code != 0
        said += log.read_text()
        if code == 0:
            assert out.read_bytes() == whole.read_bytes()
            out.unlink()
    print(f"killed {killed} times; a whole run takes {min(seconds):.1f} s")
    assert killed >= num_kills // 2, "the moments were too late to matter"
    assert generate(out) == 0, log.read_text()
    assert "had been answered" in said + log.read_text(), "nothing was found that a killed run had left"
    assert out.read_bytes() == whole.read_bytes()
    assert left_over(tmp_path) == []
