"""How many are in flight: the control by itself, and counted at a server that refuses and recovers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint import Answer, Asked, Endpoint, Reply, Status
from heedful.generate.engine import Request
from heedful.generate.remote import RemoteEngine
from heedful.generate.remote.pace import Pace
from heedful.generate.remote.trouble import retry_after
from heedful.records import Message


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def round_trip(pace: Pace, *, capacity: int = 10**9) -> int:
    """Fill the limit, answer what the server can bear and refuse the rest; returns how many were answered."""
    tickets = [pace.begin() for _ in range(pace.limit)]
    for ticket in tickets[:capacity]:
        pace.answered(ticket)
    for ticket in tickets[capacity:]:
        pace.objected(ticket)
    return min(capacity, len(tickets))


def test_it_doubles_until_the_first_objection_then_halves_then_adds() -> None:
    pace = Pace(64)
    limits = []
    for _ in range(4):
        limits.append(pace.limit)
        round_trip(pace)
    assert limits == [8, 16, 32, 64]
    ticket = pace.begin()
    pace.objected(ticket)
    assert pace.limit == 32
    # A sixteenth of the ceiling each round trip: 4.
    limits = []
    for _ in range(9):
        limits.append(pace.limit)
        round_trip(pace)
    assert all(2 <= after - before <= 5 for before, after in pairwise(limits))
    assert limits[-1] >= 60
    for _ in range(3):
        round_trip(pace)
    assert pace.limit == 64, "back at full speed, and never beyond"


def test_a_limit_that_nobody_reaches_is_not_raised() -> None:
    pace = Pace(64)
    for _ in range(100):
        pace.answered(pace.begin())
    assert pace.limit == 8


def test_one_round_of_objections_halves_once() -> None:
    pace = Pace(64, now=Clock())
    for _ in range(4):
        round_trip(pace)
    tickets = [pace.begin() for _ in range(64)]
    for ticket in tickets:
        pace.objected(ticket)
    assert (pace.limit, pace.in_flight, pace.pause) == (32, 0, 0)


def test_it_settles_near_what_the_server_can_bear() -> None:
    pace = Pace(64, now=Clock())
    answered = [round_trip(pace, capacity=20) for _ in range(200)]
    assert sum(answered[-100:]) / 100 > 0.7 * 20


def test_without_any_answer_everybody_pauses_twice_as_long_each_time() -> None:
    clock = Clock()
    pace = Pace(4, now=clock)
    pauses = []
    for _ in range(12):
        pace.objected(pace.begin())
        pauses.append(pace.pause)
        clock.now += pace.pause
    assert pauses == [0, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert pace.limit == 1
    pace.answered(pace.begin())
    pace.objected(pace.begin())
    assert pace.pause == 0, "an answer ends that"


def test_retry_after_pauses_and_the_longest_counts() -> None:
    clock = Clock()
    pace = Pace(4, now=clock)
    tickets = [pace.begin() for _ in range(3)]
    pace.objected(tickets[0], 7.0)
    pace.objected(tickets[1], 3.0)
    assert pace.pause == 7
    clock.now += 6.5
    assert pace.pause == 0.5
    clock.now += 1
    assert pace.pause == 0
    pace.ended(tickets[2])
    assert pace.in_flight == 0


@given(st.integers(1, 100), st.lists(st.sampled_from(["answer", "object", "end"]), max_size=300))
def test_the_limit_stays_between_one_and_the_ceiling(ceiling: int, what: list[str]) -> None:
    pace, tickets = Pace(ceiling, now=Clock()), list[int]()
    for one in what:
        while pace.in_flight < pace.limit:
            tickets.append(pace.begin())
        ticket = tickets.pop(0)
        {"answer": pace.answered, "object": pace.objected, "end": pace.ended}[one](ticket)
        assert 1 <= pace.limit <= ceiling
        assert pace.in_flight == len(tickets)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thursday, 01-Jan-70 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, now=100.0) == seconds


# -- counted at the server -------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


def ask(number: int) -> Request:
    return Request(str(number), (Message("user", f"question {number}"),))


def peak(endpoint: Endpoint, since: float, until: float) -> int:
    return max((count for moment, count in endpoint.peaks if since <= moment < until), default=0)


def answered(endpoint: Endpoint, engine: RemoteEngine, numbers: range) -> tuple[float, float]:
    """When these began and ended."""
    began = time.monotonic()
    for handle in [engine.submit(ask(number)) for number in numbers]:
        handle.result()
    return began, time.monotonic()


def crowded(most: int) -> Callable[[Asked], Reply]:
    return lambda asked: Status(429) if asked.in_flight > most else Answer()


def test_down_when_refused_and_up_again_afterwards(endpoint: Endpoint) -> None:
    with RemoteEngine(endpoint.url, "m", max_in_flight=64, first_wait=0.01) as engine:
        endpoint.latency = 0.1
        answered(endpoint, engine, range(250))
        assert (engine.concurrency, peak(endpoint, 0, time.monotonic())) == (64, 64)

        endpoint.behave, endpoint.latency = crowded(10), 0.02
        answered(endpoint, engine, range(250, 400))
        low = answered(endpoint, engine, range(400, 500))
        assert peak(endpoint, *low) <= 24, "hovers about the ten that are allowed"
        assert engine.concurrency <= 24

        endpoint.behave, endpoint.latency = (lambda asked: Answer()), 0.1
        answered(endpoint, engine, range(500, 1150))
        high = answered(endpoint, engine, range(1150, 1350))
        assert (engine.concurrency, peak(endpoint, *high)) == (64, 64), "full speed again"
    assert endpoint.num_served == 1350
    assert max(endpoint.served.values()) == 1


def test_a_server_that_refuses_everybody_for_a_while_loses_nobody(endpoint: Endpoint) -> None:
    # Sustained refusals, without Retry-After: other tools' control stalls on them, or gives up.
    began = time.monotonic()
    endpoint.behave = lambda asked: Status(429) if time.monotonic() - began < 1.0 else Answer()
    with RemoteEngine(endpoint.url, "m", max_in_flight=64, first_wait=0.02) as engine:
        answered(endpoint, engine, range(300))
    assert endpoint.num_served == 300
    refused = len(endpoint.asked) - 300
    assert refused < 150, "it did not hammer: a handful of requests a pause, pauses twice as long each time"
