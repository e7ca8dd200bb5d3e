"""The cache: equal answers, nothing computed twice, whole batches after a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from heedful.errors import EngineError, InputError, StorageError
from heedful.generate.cached import CachedEngine
from heedful.generate.engine import Engine, Request, Sampling, ScoreRequest, generate
from heedful.generate.fake import FakeEngine
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.project import Silent
from heedful.records import Generation, Message


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
