"""Nothing is lost and nothing is paid for twice: through random trouble, kill -9 at random moments, and several processes at once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from endpoint import Answer, Asked, Cut, Endpoint, Raw, Reply, Status, expected, response
from endpoint_client import question
from heedful.generate.cached import CachedEngine
from heedful.generate.cached.keys import request_key
from heedful.generate.cached.store import Store
from heedful.generate.engine import generate
from heedful.generate.remote import RemoteEngine

CLIENT = Path(__file__).resolve().parent.parent / "support" / "endpoint_client.py"
IN_FLIGHT = 16


def moody(asked: Asked) -> Reply:
    """Half of the time trouble of some kind; the same for the same request at the same attempt."""
    generator = random.Random(f"{asked.prompt} {asked.times}")
    kinds: list[tuple[float, Reply]] = [
        (0.40, Answer(latency=0.005)),
        (0.10, Answer(latency=generator.uniform(0.01, 0.1))),
        (0.10, Status(429)),
        (0.05, Status(429, {"Retry-After": "0.02"})),
        (0.05, Status(503)),
        (0.10, Status(500, body="out of memory")),
        (0.10, Cut()),
        (0.05, Raw(b"")),
        (0.05, Raw(response(b'{"choices": [{"ind'), close=False)),
    ]
    return generator.choices([reply for _, reply in kinds], [weight for weight, _ in kinds])[0]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        endpoint.behave = moody
        yield endpoint


def client(endpoint: Endpoint, cache: Path, last: int, *, first: int = 0) -> subprocess.Popen[str]:
    arguments = [endpoint.url, str(cache), str(first), str(last), str(IN_FLIGHT)]
    return subprocess.Popen(
        [sys.executable, str(CLIENT), *arguments], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def answers(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def stored(endpoint: Endpoint, cache: Path, num_questions: int) -> set[str]:
    """Prompts whose answer is in the file."""
    identity = f"remote:{endpoint.url}|m"
    prompts = {request_key(identity, question(number)): f"question {number}" for number in range(num_questions)}
    store = Store(cache)
    try:
        return {prompts[key] for key in store.get_many(prompts)}
    finally:
        store.close()


def killed_at_a_random_moment(
    endpoint: Endpoint, cache: Path, num_questions: int, generator: random.Random, share: int
) -> None:
    """Once a random number of answers has been served to this process, and a random moment later."""
    process = client(endpoint, cache, num_questions)
    goal = endpoint.num_served + generator.randint(0, share)
    while endpoint.num_served < goal and process.poll() is None:
        time.sleep(0.0005)
    time.sleep(generator.uniform(0, 0.03))
    process.kill()
    process.communicate()


def survives(endpoint: Endpoint, cache: Path, num_kills: int, num_questions: int) -> int:
    """How many answers were served twice; those can only have been in flight at a kill."""
    generator = random.Random(num_kills)
    asked_when_stored: dict[str, int] = {}
    for _ in range(num_kills):
        killed_at_a_random_moment(endpoint, cache, num_questions, generator, num_questions // (num_kills + 2) * 2)
        # Those that the dead process still has connections for are not counted as served any more.
        times = Counter(one.prompt for one in endpoint.asked)
        for prompt in stored(endpoint, cache, num_questions):
            asked_when_stored.setdefault(prompt, times[prompt])
    assert answers(client(endpoint, cache, num_questions)) == [
        expected(f"question {number}") for number in range(num_questions)
    ]
    times = Counter(one.prompt for one in endpoint.asked)
    again = [prompt for prompt, count in asked_when_stored.items() if times[prompt] != count]
    assert again == [], "what is stored is never asked again"
    assert endpoint.asked_after_taken == [], "what the client has taken from its connection is never asked again"
    assert len(endpoint.served) == num_questions, "nothing is lost"
    num_twice = endpoint.num_served - num_questions
    assert num_twice <= num_kills * IN_FLIGHT
    return num_twice


def test_three_kills(endpoint: Endpoint, tmp_path: Path) -> None:
    survives(endpoint, tmp_path / "cache.sqlite", num_kills=3, num_questions=150)


@pytest.mark.long
def test_twenty_kills(endpoint: Endpoint, tmp_path: Path) -> None:
    num_twice = survives(endpoint, tmp_path / "cache.sqlite", num_kills=20, num_questions=1000)
    print(f"\n{num_twice} of 1,000 answers were in flight at one of 20 kills and served twice")


def test_trouble_of_all_kinds_loses_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    requests = [question(number) for number in range(400)]
    remote = RemoteEngine(endpoint.url, "m", max_in_flight=IN_FLIGHT, first_wait=0.005, timeout=5)
    with CachedEngine(remote, tmp_path / "cache.sqlite") as engine:
        texts = [generation.text for generation in generate(engine, requests)]
        spent = remote.spent
    assert texts == [expected(f"question {number}") for number in range(400)]
    assert set(endpoint.served.values()) == {1}, "nothing is paid for twice"
    assert (spent.answers, spent.requests) == (400, len(endpoint.asked))
    kinds = Counter(type(moody(one)).__name__ for one in endpoint.asked)
    assert len(kinds) == 4, "all kinds of trouble came"


def test_processes_at_the_same_time_pay_once(endpoint: Endpoint, tmp_path: Path) -> None:
    cache = tmp_path / "cache.sqlite"
    # Overlapping: each question is wanted by two of the three.
    ranges = [(0, 200), (100, 300), (200, 300), (0, 100)]
    processes = [client(endpoint, cache, last, first=first) for first, last in ranges]
    for process, (first, last) in zip(processes, ranges, strict=True):
        assert answers(process) == [expected(f"question {number}") for number in range(first, last)]
    assert len(endpoint.served) == 300
    assert set(endpoint.served.values()) == {1}


def test_whoever_is_left_takes_over_from_a_killed_process(endpoint: Endpoint, tmp_path: Path) -> None:
    cache = tmp_path / "cache.sqlite"
    endpoint.behave = lambda asked: Answer(latency=0.1)
    first = client(endpoint, cache, 200)
    assert first.stdout is not None
    assert first.stdout.readline() == "asking\n"
    # All are claimed by the first; the second waits for them.
    second = client(endpoint, cache, 200)
    assert second.stdout is not None
    assert second.stdout.readline() == "asking\n"
    first.kill()
    first.communicate()
    killed_at = time.monotonic()
    assert answers(second) == [expected(f"question {number}") for number in range(200)]
    assert time.monotonic() - killed_at < 25, "it did not wait for the claims to run out"
    assert len(endpoint.served) == 200
    assert endpoint.num_served - 200 <= IN_FLIGHT
    assert endpoint.asked_after_taken == []


# -- an end that is no kill ------------------------------------------------------------------------------------------------


def asked_until(error: BaseException, endpoint: Endpoint, cache: Path) -> float:
    """Ask forty, eight at a time; meet `error` while eight are at the server. Returns the seconds that the end took."""
    remote = RemoteEngine(endpoint.url, "m", max_in_flight=8)
    with pytest.raises(type(error)), CachedEngine(remote, cache) as engine:
        for number in range(40):
            engine.submit(question(number))
        while endpoint.in_flight < 8 or endpoint.num_served < 8:
            time.sleep(0.001)
        began = time.monotonic()
        raise error
    return time.monotonic() - began


def test_after_an_error_what_is_in_flight_is_kept(endpoint: Endpoint, tmp_path: Path) -> None:
    cache = tmp_path / "cache.sqlite"
    endpoint.behave = lambda asked: Answer(latency=0.2)
    asked_until(ValueError("something else"), endpoint, cache)
    assert endpoint.left == [], "nobody hung up"
    assert set(endpoint.served) == stored(endpoint, cache, 40)
    assert endpoint.num_served < 40, "what was not sent yet was not sent any more"
    with CachedEngine(RemoteEngine(endpoint.url, "m"), cache) as engine:
        list(generate(engine, [question(number) for number in range(40)]))
    assert set(endpoint.served.values()) == {1}
    assert endpoint.num_served == 40


def test_whoever_interrupts_does_not_wait(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.behave = lambda asked: Answer(latency=0.01 if asked.number < 8 else 60)
    assert asked_until(KeyboardInterrupt(), endpoint, tmp_path / "cache.sqlite") < 5
