"""What is spent, and caps that hold to the request, counted at the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from endpoint import Answer, Cut, Endpoint, Raw, Reply, Silence, Status, expected, response
from heedful.errors import EngineError, SettingsError, UserError
from heedful.generate.cached import CachedEngine
from heedful.generate.engine import Request, Sampling
from heedful.generate.remote import CapReachedError, Caps, Prices, RemoteEngine, Spent
from heedful.generate.remote.budget import Bound, Budget, worst_case
from heedful.records import Message, Usage


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


def engine_for(endpoint: Endpoint, **settings: Any) -> RemoteEngine:
    settings = {"first_wait": 0.002, "timeout": 5} | settings
    return RemoteEngine(endpoint.url, "m", **settings)


def ask(text: str = "hello", **sampling: Any) -> Request:
    return Request(text, (Message("user", text),), sampling=Sampling(**({"max_tokens": 10} | sampling)))


# A prompt of five bytes, one message: 5 + 16 + 256 = 277, and 10 for the answer.
WORST = 287
# What the endpoint says of it: one word in, four words out ("answer 0 to hello").
REAL = 5


# -- the worst case ------------------------------------------------------------------------------------------------------------


def test_the_worst_case_by_hand() -> None:
    assert worst_case(ask()) == Bound(277, 10)
    assert worst_case(ask(n=3)) == Bound(277, 30)
    two = Request("r", (Message("system", "你好"), Message("user", "é")), sampling=Sampling(max_tokens=1))
    # Six bytes and two; two messages.
    assert worst_case(two) == Bound(6 + 2 + 2 * 16 + 256, 1)
    # One character of three bytes that NFKC turns into 18 characters of 33 bytes.
    assert worst_case(ask("\ufdfa")).prompt_tokens == 33 + 16 + 256
    assert worst_case(ask("\ud800")).prompt_tokens == 3 + 16 + 256


@given(st.text(max_size=200))
def test_a_real_tokenizer_stays_below_it(text: str) -> None:
    tokens = TOKENIZER.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=True)
    assert len(tokens.ids) <= worst_case(ask(text)).prompt_tokens


@pytest.fixture(autouse=True, scope="module")
def tokenizer(tiny_model: Path) -> None:
    global TOKENIZER
    TOKENIZER = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))


TOKENIZER: Tokenizer


def test_a_prompt_that_is_longer_than_its_bound_raises_later_bounds() -> None:
    budget = Budget()
    first = budget.reserve(ask())
    assert first == Bound(277, 10)
    budget.answered(first, Usage(1_000, 3))
    assert budget.reserve(ask()) == Bound(1_000, 10)


# -- accounts ------------------------------------------------------------------------------------------------------------------


def test_what_is_spent(endpoint: Endpoint) -> None:
    with engine_for(endpoint, prices=Prices(prompt=0.15, completion=0.6)) as engine:
        for number in range(10):
            engine.submit(ask(str(number))).result()
        assert engine.spent == Spent(
            requests=10,
            answers=10,
            prompt_tokens=10,
            completion_tokens=40,
            # Ten at 0.15 and forty at 0.60 for a million: exactly.
            cost=Decimal("0.0000255"),
            uncertain_cost=Decimal(0),
        )


@pytest.mark.parametrize(
    ("reply", "sent", "uncertain"),
    [
        (Status(500), 3, 0),
        (Status(429), 3, 0),
        (Status(400), 1, 0),
        (Status(504), 3, 3),
        (Cut(), 3, 3),
        (Silence(), 3, 3),
        (Raw(response(b"{}"), close=False), 3, 3),
    ],
    ids=repr,
)
def test_what_may_have_been_charged_without_an_answer(
    endpoint: Endpoint, reply: Reply, sent: int, uncertain: int
) -> None:
    endpoint.behave = lambda asked: reply
    with engine_for(endpoint, max_attempts=3, timeout=0.1) as engine:
        with pytest.raises(EngineError):
            engine.submit(ask()).result()
        spent = engine.spent
        assert (spent.requests, spent.uncertain_requests, spent.uncertain_tokens) == (
            sent,
            uncertain,
            uncertain * WORST,
        )
        assert (spent.answers, spent.tokens) == (0, 0)
    assert len(endpoint.asked) == sent


def test_a_cancelled_request_may_have_been_charged(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Silence()
    with engine_for(endpoint) as engine:
        handle = engine.submit(ask())
        while not endpoint.asked:
            time.sleep(0.001)
        handle.cancel()
        handle.result()
        assert engine.spent.uncertain_tokens == WORST


def test_where_no_usage_is_told_the_worst_case_counts(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Answer(usage=False)
    with engine_for(endpoint) as engine:
        assert engine.submit(ask()).result()[0].usage == Usage()
        assert engine.spent.tokens == WORST


# -- caps ------------------------------------------------------------------------------------------------------------------------


def run_into(engine: RemoteEngine, num_requests: int) -> int:
    """How many were answered; all others must fail with the cap."""
    handles = [engine.submit(ask(f"{number:05}")) for number in range(num_requests)]
    num_answered = 0
    for number, handle in enumerate(handles):
        try:
            assert handle.result()[0].text == expected(f"{number:05}")
            num_answered += 1
        except CapReachedError:
            pass
    return num_answered


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("cap", [0, 1, 7, 40, 41])
def test_a_cap_on_requests(endpoint: Endpoint, cap: int, whole: bool) -> None:
    with engine_for(endpoint, caps=Caps(requests=cap)) as engine:
        handles = [
            engine.submit_whole(ask(str(number))) if whole else engine.submit(ask(str(number))) for number in range(41)
        ]
        # Sent in the order in which they were asked: the first are answered, the others are not.
        for handle in handles[:cap]:
            handle.result()
        for handle in handles[cap:]:
            with pytest.raises(CapReachedError, match=rf"the cap of {cap} requests is reached"):
                handle.result()
    assert (len(endpoint.asked), endpoint.num_served) == (cap, cap)


def test_the_cap_on_requests_counts_those_that_are_sent_again(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Status(500) if asked.times < 2 else Answer()
    with engine_for(endpoint, caps=Caps(requests=20)) as engine:
        assert run_into(engine, 20) <= 20 // 3
    assert len(endpoint.asked) == 20


def fitting(cap: int, worst: int, real: int) -> int:
    """How many requests one after the other fit: each is sent when its worst case fits beside what the earlier ones took."""
    return max(0, (cap - worst) // real + 1) if cap >= worst else 0


@pytest.mark.parametrize("cap", [0, WORST - 1, WORST, WORST + REAL - 1, WORST + REAL, 600, 1000])
@pytest.mark.parametrize("latency", [0.0, 0.02])
def test_a_cap_on_tokens_holds_exactly_whatever_is_in_flight(endpoint: Endpoint, cap: int, latency: float) -> None:
    endpoint.latency = latency
    with engine_for(endpoint, caps=Caps(tokens=cap)) as engine:
        num_answered = run_into(engine, 200)
        assert num_answered == min(200, fitting(cap, WORST, REAL)), "as many as one after the other"
        assert engine.spent.tokens == num_answered * REAL <= cap
    assert endpoint.num_served == len(endpoint.asked) == num_answered


def test_a_cap_on_cost_holds_exactly(endpoint: Endpoint) -> None:
    # A request costs at most 277 x 1 + 10 x 3 = 307 millionths, in fact 1 x 1 + 4 x 3 = 13.
    with engine_for(endpoint, prices=Prices(prompt=1, completion=3), caps=Caps(cost=0.0006)) as engine:
        num_answered = run_into(engine, 100)
        assert num_answered == fitting(600, 307, 13) == 23
        assert engine.spent.cost == Decimal("0.000299")
    assert endpoint.num_served == 23


@pytest.mark.parametrize("kind", ["cut", "malformed", "late"])
def test_a_cap_counts_attempts_that_may_have_been_charged(endpoint: Endpoint, kind: str) -> None:
    replies: dict[str, Reply] = {"cut": Cut(), "malformed": Raw(response(b"?"), close=False), "late": Status(504)}
    endpoint.behave = lambda asked: replies[kind] if asked.times < 1 else Answer()
    cap = 5 * WORST
    with engine_for(endpoint, caps=Caps(tokens=cap)) as engine:
        run_into(engine, 20)
        spent = engine.spent
        assert spent.tokens + spent.uncertain_tokens <= cap
    # Even if the server charges the worst case for each: never more than five.
    assert len(endpoint.asked) - endpoint.num_served <= 5


def test_the_message_names_cap_spent_and_asked(endpoint: Endpoint) -> None:
    with engine_for(endpoint, caps=Caps(tokens=300)) as engine:
        for _ in range(3):
            engine.submit(ask()).result()
        with pytest.raises(
            CapReachedError,
            match=r"request 'hello' was not sent: the cap of 300 tokens leaves 285 \(15 are spent\), and this one can take 287 "
            r"\(277 for the prompt, 10 for the answer\); answers that are in the cache are kept: raise the cap",
        ) as caught:
            engine.submit(ask()).result()
        assert isinstance(caught.value, UserError)
        assert caught.value.exit_code == 2
        assert engine.submit(ask("", max_tokens=1)).result()[0].finish_reason == "stop", "a smaller one still fits"


def test_what_is_in_the_cache_costs_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    def answers(cap: int) -> int:
        with CachedEngine(engine_for(endpoint, caps=Caps(requests=cap)), tmp_path / "cache.sqlite") as engine:
            handles = [engine.submit(ask(str(number))) for number in range(20)]
            num_answered = 0
            for handle in handles:
                with suppress(CapReachedError):
                    num_answered += handle.result()[0].finish_reason == "stop"
            return num_answered

    assert [answers(8), answers(0), answers(8), answers(8)] == [8, 8, 16, 20]
    assert set(endpoint.served.values()) == {1}
    assert endpoint.num_served == 20


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"caps": Caps(cost=1.0)}, "needs prices"),
        ({"max_in_flight": 0}, "max_in_flight 0"),
        ({"timeout": 0}, "timeout 0"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        RemoteEngine("http://localhost/v1", "m", **settings)


def test_impossible_numbers() -> None:
    for make in (lambda: Caps(tokens=-1), lambda: Caps(cost=float("nan")), lambda: Prices(-0.1, 0)):
        with pytest.raises(SettingsError, match="expected 0 or more"):
            make()
