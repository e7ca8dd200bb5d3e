"""The forecast: by hand, against simulation, and through the engine."""

from __future__ import annotations

import math
import random
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint import Answer, Endpoint
from heedful.generate.engine import Request, Sampling
from heedful.generate.remote import Prices, RemoteEngine
from heedful.generate.remote.forecast import Forecast, Forecaster
from heedful.records import Message, Usage
from heedful.statistics import t_quantile

LENGTHS = [10, 12, 9, 11, 30, 8, 10, 14, 9, 12]


def forecaster(lengths: list[int], prices: Prices | None = None) -> Forecaster:
    made = Forecaster(prices)
    for place, length in enumerate(lengths):
        made.took(place, Usage(100, length), length / 10)
    return made


def known(forecast: Forecast | None) -> Forecast:
    assert forecast is not None
    return forecast


def test_by_hand() -> None:
    forecast = known(forecaster(LENGTHS, Prices(prompt=1, completion=10)).forecast(110, 4))
    # Ten are done (125 tokens), a hundred are left, of 12.5 tokens each.
    half = 2.2621571628 * stdev(LENGTHS) * math.sqrt(100 + 100**2 / 10)
    assert t_quantile(0.975, 9) == pytest.approx(2.2621571628)
    tokens = forecast.completion_tokens
    assert (tokens.value, tokens.low, tokens.high) == pytest.approx((1375, 1375 - half, 1375 + half))
    assert (forecast.prompt_tokens.low, forecast.prompt_tokens.high) == pytest.approx((11_000, 11_000)), "all alike"
    cost = forecast.cost
    assert cost is not None
    assert (cost.value, cost.high) == pytest.approx((0.011 + 0.01375, 0.011 + (1375 + half) * 1e-5))
    # A hundred of 1.25 s each, four at a time.
    seconds = forecast.seconds_left
    assert (seconds.value, seconds.high) == pytest.approx((100 * 1.25 / 4, (125 + half / 10) / 4))
    assert "95%, from the first 10 of 110 requests" in str(forecast)


def test_too_few_to_tell() -> None:
    assert forecaster(LENGTHS[:9]).forecast(100, 4) is None


def test_nothing_left() -> None:
    forecast = known(forecaster(LENGTHS).forecast(10, 4))
    assert (forecast.completion_tokens.low, forecast.completion_tokens.high) == (125, 125)
    assert forecast.seconds_left.high == 0
    assert forecast.cost is None


@given(st.permutations(range(20)), st.integers(0, 20))
def test_the_order_of_arrival_does_not_matter(order: list[int], num_arrived: int) -> None:
    lengths = list(range(5, 25))
    made = Forecaster()
    for place in order[:num_arrived]:
        made.took(place, Usage(1, lengths[place]), 1.0)
    arrived = set(order[:num_arrived])
    num_known = next((place for place in range(20) if place not in arrived), 20)
    assert made.num_sampled == num_known
    forecast = made.forecast(1000, 8)
    assert (forecast is None) == (num_known < 10)
    if forecast is not None:
        assert forecast.completion_tokens.value == pytest.approx(1000 * mean(lengths[:num_known]))


def test_a_request_that_failed_is_no_gap() -> None:
    made = forecaster(LENGTHS[:5])
    made.skip(5)
    for place in range(6, 11):
        made.took(place, Usage(100, 10), 1.0)
    assert made.num_sampled == 10


@pytest.mark.parametrize(("size", "least"), [(10, 0.89), (20, 0.91), (30, 0.915)])
def test_intervals_cover(size: int, least: float) -> None:
    # Exponential lengths cut at four times their mean; the figures in the module's first lines come from 2,000 runs like these.
    generator, num_covered = random.Random(7), 0
    for _ in range(500):
        lengths = [min(1024, 1 + int(generator.expovariate(1 / 256))) for _ in range(300)]
        tokens = known(forecaster(lengths[:size]).forecast(300, 8)).completion_tokens
        num_covered += tokens.low <= sum(lengths) <= tokens.high
    assert num_covered / 500 >= least - 0.02


def test_through_the_engine() -> None:
    generator = random.Random(3)
    texts = {f"question {number}": "word " * generator.randint(5, 50) for number in range(200)}
    requests = [Request(text, (Message("user", text),), sampling=Sampling(max_tokens=64)) for text in texts]
    prices = Prices(prompt=1, completion=2)
    with Endpoint() as endpoint, RemoteEngine(endpoint.url, "m", prices=prices) as engine:
        endpoint.behave = lambda asked: Answer(texts[asked.prompt].strip())
        for request in requests[:30]:
            engine.submit(request).result()
        forecast = known(engine.forecast(200))
        assert forecast.num_sampled == 30
        for handle in [engine.submit(request) for request in requests[30:]]:
            handle.result()
        spent = engine.spent
        after = known(engine.forecast(200))
    tokens, cost = forecast.completion_tokens, forecast.cost
    assert cost is not None
    assert spent.cost is not None
    assert tokens.low <= spent.completion_tokens <= tokens.high
    assert cost.low <= float(spent.cost) <= cost.high
    assert tokens.high - tokens.low < 0.5 * tokens.value, "narrow enough to be of use"
    assert after.completion_tokens.low == pytest.approx(spent.completion_tokens)
