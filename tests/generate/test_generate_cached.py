"""The cache: equal answers, nothing computed twice, whole batches after a kill, keys that last; several users of one file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, fields, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.errors import EngineError, InputError, StorageError
from heedful.generate.cached import CachedEngine, store
from heedful.generate.cached.keys import request_key
from heedful.generate.cached.singly import Outcome
from heedful.generate.cached.store import Store
from heedful.generate.engine import Engine, Request, Sampling, ScoreRequest, generate
from heedful.generate.fake import FakeEngine
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.project import Silent
from heedful.records import Generation, Message, RequirementSpec, Usage, digest


class Milestones(Silent):
    def __init__(self) -> None:
        self.names: list[str] = []

    def milestone(self, name: str) -> None:
        self.names.append(name)


def echo(request: Request) -> str:
    return f"{request.messages[-1].content} {request.sampling.seed}"


def ask(text: str, **sampling: object) -> Request:
    return Request(f"id of {text}", (Message("user", text),), sampling=Sampling(**sampling))  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "answers.sqlite"


def test_cached_equals_uncached(tiny_model: Path, path: Path) -> None:
    requests = [replace(ask(text, max_tokens=12, n=2, temperature=0.7), logprobs=True) for text in ("a", "你好", "the")]
    items = [ScoreRequest(text, (Message("user", text),), "ok 好") for text in ("a", "b")]
    plain = LocalEngine(load(tiny_model))
    generations, scores = list(generate(plain, requests)), list(plain.score(items))
    for _ in range(2):
        with CachedEngine(LocalEngine(load(tiny_model)), path) as engine:
            assert list(generate(engine, requests)) == generations
            assert list(engine.score(items)) == scores


def test_nothing_is_computed_twice(path: Path) -> None:
    requests = [ask(f"question {number}") for number in range(10)]
    items = [ScoreRequest(str(number), (Message("user", "q"),), f"a{number}") for number in range(10)]
    for _ in range(2):
        fake = FakeEngine(echo, preferred_batch=4)
        watcher = Milestones()
        with CachedEngine(fake, path, watcher) as engine:
            first = list(generate(engine, requests))
            scores = list(engine.score(items))
        assert [g.text for g in first] == [f"question {number} 0" for number in range(10)]
        assert [score.id for score in scores] == [item.id for item in items]
        if _ == 0:
            # Batches of 4, 4, 2; scores up to 16 at once.
            assert (fake.num_answered, fake.num_scored) == (10, 10)
            assert watcher.names == ["cache.stored"] * 4
        else:
            assert (fake.num_answered, fake.num_scored, watcher.names) == (0, 0, [])


def test_the_key_is_what_determines_the_answer(path: Path) -> None:
    base = ask("hello")
    others = [
        ask("hallo"),
        ask("hello", seed=1),
        ask("hello", n=2),
        ask("hello", max_tokens=5),
        replace(base, messages=(Message("system", "s"), *base.messages)),
    ]
    fake = FakeEngine(echo)
    engine = CachedEngine(fake, path)
    engine.submit(base).result()
    assert engine.submit(replace(base, id="other")).result()[0].request_id == "other"
    assert fake.num_answered == 1, "the id does not change the answer"
    for number, request in enumerate(others):
        engine.submit(request).result()
        assert fake.num_answered == 2 + number
    engine.close()
    other = FakeEngine("else", identity="other weights")
    assert CachedEngine(other, path).submit(base).result()[0].text == "else"


def test_equal_requests_in_one_batch_are_computed_once(path: Path) -> None:
    fake = FakeEngine(echo)
    engine = CachedEngine(fake, path)
    handles = [engine.submit(replace(ask("hello"), id=str(number))) for number in range(3)]
    assert [handle.result()[0].request_id for handle in handles] == ["0", "1", "2"]
    assert fake.num_answered == 1


def test_a_stored_answer_streams_as_one_event(path: Path) -> None:
    engine = CachedEngine(FakeEngine("one two"), path)
    for _ in range(2):
        (event,) = engine.submit(ask("hello"))
        assert event.text == "one two"
        assert event.generation is not None


def test_refusals_come_at_once(path: Path) -> None:
    with pytest.raises(InputError):
        CachedEngine(FakeEngine(), path).submit(ask("hello", n=0))


def test_cancelled_answers_are_not_kept(path: Path) -> None:
    fake = FakeEngine("one two")
    engine = CachedEngine(fake, path)
    handle = engine.submit(ask("hello"))
    handle.cancel()
    assert handle.result()[0].finish_reason == "cancelled"
    assert engine.submit(ask("hello")).result()[0].text == "one two"
    assert fake.num_answered == 2


class Breaking:
    """A handle whose answer never comes."""

    def __iter__(self) -> Iterator[object]:
        return iter(())

    def result(self) -> tuple[Generation, ...]:
        raise EngineError("the server is gone")

    def cancel(self) -> None:
        pass


class Flaky(FakeEngine):
    def submit(self, request: Request):  # type: ignore[no-untyped-def]
        return Breaking() if request.messages[-1].content == "bad" else super().submit(request)


def test_one_failure_does_not_lose_the_others(path: Path) -> None:
    engine: Engine = CachedEngine(Flaky(echo), path)
    handles = [engine.submit(ask(text)) for text in ("a", "bad", "c")]
    with pytest.raises(EngineError, match="gone"):
        handles[1].result()
    assert handles[2].result()[0].text == "c 0"
    fresh = FakeEngine(echo)
    again = CachedEngine(fresh, path)
    assert [again.submit(ask(text)).result()[0].text for text in ("a", "bad", "c")] == ["a 0", "bad 0", "c 0"]
    assert fresh.num_answered == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from heedful.generate.cached import CachedEngine
from heedful.generate.engine import Request, generate
from heedful.generate.fake import FakeEngine
from heedful.project import Silent
from heedful.records import Message

class Killer(Silent):
    stored = 0
    def milestone(self, name):
        self.stored += name == "cache.stored"
        if self.stored == 2:
            os.kill(os.getpid(), signal.SIGKILL)

engine = CachedEngine(FakeEngine("x", preferred_batch=3), Path(sys.argv[1]), Killer())
list(generate(engine, [Request(str(n), (Message("user", f"question {n}"),)) for n in range(10)]))
"""


def test_a_killed_run_continues_where_it_was(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    fake = FakeEngine("x", preferred_batch=3)
    engine = CachedEngine(fake, path)
    requests = [ask(f"question {number}") for number in range(10)]
    assert [g.text for g in generate(engine, requests)] == ["x"] * 10
    assert (engine.num_found, fake.num_answered) == (6, 4), "two batches of three were stored before the kill"


def test_a_damaged_file_is_a_clear_error(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="delete the file"):
        CachedEngine(FakeEngine(), path)


def test_a_file_of_another_version_is_a_clear_error(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StorageError, match="another version"):
        CachedEngine(FakeEngine(), path)


def test_text_of_all_kinds_survives(path: Path) -> None:
    text = "引号\"' \\ \x00 🙂 '; DROP TABLE answers; --"
    engine = CachedEngine(FakeEngine(lambda request: text), path)
    request = ask(text)
    assert engine.submit(request).result() == engine.submit(request).result()
    assert engine.submit(request).result()[0].text == text


# -- keys --------------------------------------------------------------------------------------------------------------------


def first_key(identity: str, request: Request) -> str:
    """As the first version made it: every field that requests had then, whatever its value."""
    sampling = {
        name: getattr(request.sampling, name)
        for name in ["temperature", "top_p", "top_k", "seed", "max_tokens", "stop", "n"]
    }
    names = ["messages", "prompt_ids", "requirements", "adapter", "control", "logprobs"]
    content = {name: value for name, value in asdict(request).items() if name in names}
    return digest(["answer", 1, identity, {**content, "sampling": sampling}])


@given(
    st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), st.text()), min_size=1, max_size=3),
    st.builds(
        Sampling,
        temperature=st.floats(0, 2),
        top_p=st.floats(0.1, 1),
        top_k=st.integers(0, 50),
        seed=st.integers(0, 9),
        max_tokens=st.integers(1, 9),
        stop=st.lists(st.text(min_size=1), max_size=2).map(tuple),
        n=st.integers(1, 3),
    ),
    st.booleans(),
)
def test_answers_that_were_paid_for_before_new_fields_came_are_found(
    messages: list[Message], sampling: Sampling, logprobs: bool
) -> None:
    specs = (RequirementSpec("words", {"maximum": 5}),) if logprobs else ()
    request = Request("id", tuple(messages), sampling=sampling, logprobs=logprobs, requirements=specs, control={"a": 1})
    assert request_key("engine", request) == first_key("engine", request)


def test_a_key_by_hand() -> None:
    # Whoever changes this orphans every answer that was ever paid for.
    assert request_key("remote:http://localhost/v1|m", ask("hello")) == "67eda4520d6c8ef8154e934f845b20d5"


OTHER_VALUES: dict[str, Any] = {
    "min_p": 0.1,
    "min_tokens": 1,
    "repetition_penalty": 1.5,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "logit_bias": ((1, 2.0),),
    "num_beams": 2,
    "length_penalty": 2.0,
}


def test_every_field_that_is_not_at_its_default_is_in_the_key() -> None:
    first = {"temperature": 0.5, "top_p": 0.5, "top_k": 5, "seed": 5, "max_tokens": 5, "stop": ("x",), "n": 5}
    values = first | OTHER_VALUES
    assert values.keys() >= {field.name for field in fields(Sampling)}, "give the new field a value here"
    keys = {request_key("e", ask("hello", **{name: value})) for name, value in values.items()}
    keys |= {request_key("e", replace(ask("hello"), logprobs=True, top_logprobs=count)) for count in (0, 1, 2)}
    keys.add(request_key("e", ask("hello")))
    assert len(keys) == len(values) + 4


def test_the_order_of_biases_does_not_matter() -> None:
    one, other = ask("a", logit_bias=((1, 2.0), (3, 4.0))), ask("a", logit_bias=((3, 4.0), (1, 2.0)))
    assert request_key("e", one) == request_key("e", other)


# -- engines whose answers come one by one -----------------------------------------------------------------------------------


class SingleHandle:
    def __init__(self, single: Single) -> None:
        self._single, self._outcome = single, Future[tuple[Generation, ...]]()

    def end(self, outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            self._outcome.set_exception(outcome)
        else:
            self._outcome.set_result(outcome)

    def result(self) -> tuple[Generation, ...]:
        return self._outcome.result(timeout=10)

    def cancel(self) -> None:
        self._single.cancel()


class Single:
    """An engine like a remote one: answers come when the test says so, in another thread."""

    identity, preferred_batch, num_in_flight = "single", 4, 0

    def __init__(self) -> None:
        self.asked: dict[str, Callable[[Outcome], None]] = {}
        """What to call with the outcome of each."""
        self.num_asked = 0

    def submit(self, request: Request) -> Any:
        raise AssertionError("the cache asks for whole answers")

    def submit_whole(self, request: Request, keep: Callable[[Outcome], Outcome]) -> SingleHandle:
        if request.messages[0].content == "refused":
            raise InputError("refused")
        self.num_asked += 1
        handle = SingleHandle(self)
        self.asked[request.messages[0].content] = lambda outcome: handle.end(keep(outcome))
        return handle

    def finish(self, text: str, answer: str | Exception, reason: str = "stop") -> None:
        """The answer to `text` arrives."""
        outcome: Any = answer
        if isinstance(answer, str):
            outcome = (Generation("other id", answer, finish_reason=reason, usage=Usage(1, 2)),)  # type: ignore[arg-type]
        thread = Thread(target=self.asked.pop(text), args=(outcome,))
        thread.start()
        thread.join()

    def cancel(self) -> None:
        for text in list(self.asked):
            self.finish(text, "", "cancelled")

    def wind_down(self, seconds: float) -> None:
        self.cancel()

    def score(self, items: object) -> Any:
        raise EngineError("no scores")

    def close(self) -> None:
        self.cancel()


@pytest.fixture
def pair(path: Path) -> Iterator[list[tuple[Single, CachedEngine]]]:
    """Two engines, as in two processes, with one file."""
    singles = Single(), Single()
    engines = [(single, CachedEngine(single, path)) for single in singles]
    yield engines
    for _, engine in engines:
        engine.close()


def test_an_answer_is_stored_before_anybody_waits_for_it(path: Path) -> None:
    single = Single()
    watcher = Milestones()
    with CachedEngine(single, path, watcher) as engine:
        handles = [engine.submit(ask(text)) for text in ("a", "b")]
        single.finish("b", "answer b")
        assert (Store(path).get(request_key("single", ask("b"))) or [{}])[0]["text"] == "answer b"
        assert watcher.names == ["cache.stored"]
        single.finish("a", "answer a")
        assert [handle.result()[0].text for handle in handles] == ["answer a", "answer b"]
        assert [handle.result()[0].request_id for handle in handles] == ["id of a", "id of b"]
        assert (engine.num_computed, engine.num_found) == (2, 0)


def test_two_ask_the_same_and_one_pays(pair: list[tuple[Single, CachedEngine]]) -> None:
    (first, one), (second, other) = pair
    handle, waiting, also = one.submit(ask("a")), other.submit(ask("a")), other.submit(ask("a"))
    assert (first.num_asked, second.num_asked) == (1, 0)
    first.finish("a", "answer a")
    assert handle.result()[0].text == waiting.result()[0].text == also.result()[0].text == "answer a"
    assert (second.num_asked, other.num_found, other.num_computed) == (0, 1, 0)


@pytest.mark.parametrize("ending", ["failed", "cancelled", "closed"])
def test_the_one_who_waits_takes_over(pair: list[tuple[Single, CachedEngine]], ending: str) -> None:
    (first, one), (second, other) = pair
    handle, waiting = one.submit(ask("a")), other.submit(ask("a"))
    if ending == "failed":
        first.finish("a", EngineError("the server is gone"))
        with pytest.raises(EngineError, match="gone"):
            handle.result()
    elif ending == "cancelled":
        handle.cancel()
    else:
        one.close()
    if ending != "failed":
        assert handle.result()[0].finish_reason == "cancelled"
    deadline = time.monotonic() + 10
    while not second.asked and time.monotonic() < deadline:
        time.sleep(0.005)
    second.finish("a", "answer a")
    assert waiting.result()[0].text == "answer a"


def test_a_claim_that_is_not_renewed_runs_out(
    pair: list[tuple[Single, CachedEngine]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, one), (second, other) = pair
    monkeypatch.setattr(store, "CLAIM_SECONDS", 0.3)
    late, waiting = one.submit(ask("a")), other.submit(ask("a"))
    deadline = time.monotonic() + 10
    while not second.asked and time.monotonic() < deadline:
        time.sleep(0.005)
    second.finish("a", "the second's")
    # The first was only slow: it pays, too, and everybody agrees on the answer that was stored first.
    first.finish("a", "the first's")
    assert late.result()[0].text == waiting.result()[0].text == "the second's"


def test_a_claim_of_a_process_that_is_gone_binds_nobody(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLAIMING, str(path), request_key("single", ask("a"))], check=True, env=dict(os.environ)
    )
    assert done.returncode == 0
    single = Single()
    with CachedEngine(single, path) as engine:
        engine.submit(ask("a"))
        assert single.num_asked == 1, "claimed at once, not after 30 seconds"


CLAIMING = """
import sys
from pathlib import Path
from heedful.generate.cached.store import Store
assert Store(Path(sys.argv[1])).claim(sys.argv[2])
"""


def test_a_claim_from_another_machine_is_believed(path: Path) -> None:
    key = request_key("single", ask("a"))
    own, foreign = Store(path), Store(path)
    foreign.owner = f"another machine|pid:[1]|{2**22 + 1}|x"
    assert foreign.claim(key)
    assert not own.claim(key)
    assert own.free([key]) == []
    foreign.let_go(key)
    assert own.free([key]) == [key]
    assert own.claim(key)


def test_refusals_failures_and_unfinished_answers_of_single_engines_are_not_kept(path: Path) -> None:
    single = Single()
    with CachedEngine(single, path) as engine:
        with pytest.raises(InputError, match="refused"):
            engine.submit(ask("refused"))
        failing, cancelled = engine.submit(ask("a")), engine.submit(ask("b"))
        single.finish("a", EngineError("broken"))
        with pytest.raises(EngineError, match="broken"):
            failing.result()
        cancelled.cancel()
        assert cancelled.result()[0].finish_reason == "cancelled"
        assert [engine.submit(ask(text)) and single.num_asked for text in ("a", "b")] == [3, 4], "asked again"
        filtered = engine.submit(ask("c"))
        single.finish("c", "", "error")
        assert filtered.result()[0].finish_reason == "error"
        assert engine.submit(ask("c")).result()[0].finish_reason == "error"
        assert single.num_asked == 5, "what a filter of the server's cut off is paid for, and an answer"
    with pytest.raises(EngineError, match="closed"):
        engine.submit(ask("d"))


def test_somebody_who_waits_for_others_can_stop(pair: list[tuple[Single, CachedEngine]]) -> None:
    (first, one), (second, other) = pair
    handle, waiting, left = one.submit(ask("a")), other.submit(ask("a")), other.submit(ask("a", n=1))
    waiting.cancel()
    assert waiting.result()[0].finish_reason == left.result()[0].finish_reason == "cancelled"
    first.finish("a", "answer a")
    assert handle.result()[0].text == "answer a"
    one.submit(ask("b"))
    waiting = other.submit(ask("b"))
    other.close()
    assert waiting.result()[0].finish_reason == "cancelled"
    assert second.num_asked == 0


def test_an_answer_that_cannot_be_stored_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    single = Single()
    with CachedEngine(single, path) as engine:
        handle = engine.submit(ask("a"))
        connection = sqlite3.connect(path)
        connection.execute("DROP TABLE answers")
        connection.close()
        single.finish("a", "answer a")
        with pytest.raises(StorageError, match="cannot be used"):
            handle.result()


def test_all_kinds_of_answers_survive(path: Path) -> None:
    answer = Generation(
        "r",
        "引号\"' 🙂 \ud800",
        token_ids=(1, 2),
        logprobs=(-0.5, -1.5),
        top_logprobs=(((1, -0.5), (7, -2.0)), ((2, -1.5), (8, -3.0))),
        finish_reason="length",
        usage=Usage(3, 4),
        constraint_report={"forced": 3},
    )
    single = Single()
    with CachedEngine(single, path) as engine:
        for _ in range(2):
            handle = engine.submit(ask("a"))
            if single.asked:
                single.asked.pop("a")((answer,))
            assert handle.result() == (replace(answer, request_id="id of a"),)
    assert single.num_asked == 1


OPENING = """
import sys, time
from pathlib import Path
from heedful.generate.cached.store import Store
path, number = Path(sys.argv[1]), sys.argv[2]
while time.time() < float(sys.argv[3]):
    pass
store = Store(path, durable=number in "01")
for count in range(50):
    store.claim(f"{number} {count}")
    store.keep(f"{number} {count}", [number, count])
    store.put({f"all {count}": count})
store.checkpoint()
store.let_go()
store.close()
"""


def test_several_processes_make_and_fill_one_file(path: Path) -> None:
    start = str(time.time() + 1.5)
    processes = [
        subprocess.Popen([sys.executable, "-c", OPENING, str(path), str(number), start], env=dict(os.environ))
        for number in range(5)
    ]
    assert [process.wait(60) for process in processes] == [0] * 5
    found = Store(path).get_many(
        [f"{number} {count}" for number in range(5) for count in range(50)] + [f"all {count}" for count in range(50)]
    )
    assert len(found) == 300
    assert found["3 49"] == ["3", 49]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM claims").fetchone() == (0,)
    connection.close()
