"""Intervals and tests against hand calculations, closed forms, and coverage on simulated samples."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful import statistics


def test_paired_difference_by_hand() -> None:
    result = statistics.paired_bootstrap([1, 2, 3, 4], [2, 2, 5, 4], seed=1)
    assert (result.base, result.tuned, result.difference) == (2.5, 3.25, 0.75)
    assert result.low <= 0.75 <= result.high
    assert (result.num_items, result.num_clusters, result.confidence) == (4, 4, 0.95)
    assert not result.excludes_zero


def test_large_samples_agree_with_the_normal_interval() -> None:
    random = np.random.default_rng(3)
    base = random.normal(size=2_000)
    tuned = base + random.normal(0.1, 1, size=2_000)
    result = statistics.paired_bootstrap(base, tuned, seed=0, num_resamples=4_000)
    differences = tuned - base
    half = 1.96 * differences.std() / math.sqrt(2_000)
    assert result.low == pytest.approx(differences.mean() - half, abs=0.004)
    assert result.high == pytest.approx(differences.mean() + half, abs=0.004)
    assert result.excludes_zero
    assert result.p_value < 0.01


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    base, tuned = [0.1, 0.5, 0.9, 0.3, 0.2], [0.3, 0.4, 1.0, 0.8, 0.1]
    first = statistics.paired_bootstrap(base, tuned, seed=7)
    assert first == statistics.paired_bootstrap(base, tuned, seed=7)
    assert first != statistics.paired_bootstrap(base, tuned, seed=8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=2, max_size=20), st.integers(0, 2**32))
def test_swapping_the_sides_mirrors_the_result(pairs: list[tuple[float, float]], seed: int) -> None:
    base, tuned = zip(*pairs, strict=True)
    there = statistics.paired_bootstrap(base, tuned, seed=seed, num_resamples=200)
    back = statistics.paired_bootstrap(tuned, base, seed=seed, num_resamples=200)
    assert back.difference == pytest.approx(-there.difference, abs=1e-9)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-9)
    assert back.p_value == pytest.approx(there.p_value, abs=0.02)
    assert 0 < there.p_value <= 1
    # With so few resamples the level of the interval can fall outside them, as it should not with the default number.
    assert there.low <= there.high


def test_the_interval_excludes_zero_where_the_p_value_says_so() -> None:
    random = np.random.default_rng(5)
    for trial in range(200):
        size = int(random.integers(5, 40))
        shift = float(random.uniform(0, 1.2))
        result = statistics.paired_bootstrap(
            np.zeros(size), random.normal(shift, 1, size), seed=trial, num_resamples=1_000
        )
        if abs(result.p_value - 0.05) > 0.01:  # at the edge, the two interpolate differently
            assert result.excludes_zero == (result.p_value < 0.05)


@pytest.mark.parametrize("towards", [-1.0, 1.0])
def test_rounding_does_not_part_an_interval_from_what_was_found(towards: float) -> None:
    def rounded(sums: statistics.Array) -> statistics.Array:
        # Products of matrices add in other orders than a sum does.
        found = statistics.ratio(sums)
        return np.nextafter(found, towards) if found.ndim else found

    base, tuned = statistics.mean_rows([0.25] * 30), statistics.mean_rows([0.7] * 30)
    result = statistics.paired_bootstrap_statistic(base, tuned, rounded, seed=1)
    assert result.low == result.difference == result.high
    one = statistics.statistic_interval(base, rounded, seed=1)
    assert one.low == 0.25 == one.high


def test_no_difference_is_no_difference() -> None:
    result = statistics.paired_bootstrap([0.5] * 9, [0.5] * 9, seed=0)
    assert (result.difference, result.low, result.high, result.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize(("num_items", "least"), [(8, 0.91), (20, 0.925), (60, 0.93)])
def test_coverage_is_near_what_is_claimed(num_items: int, least: float) -> None:
    random = np.random.default_rng(11)
    num_trials, covered = 600, 0
    for trial in range(num_trials):
        differences = random.normal(0.3, 1, num_items)
        result = statistics.mean_interval(differences, seed=trial, num_resamples=500)
        covered += result.low <= 0.3 <= result.high
    assert least <= covered / num_trials <= 0.985


def test_clusters_are_resampled_whole() -> None:
    # Ten documents of 30 rows each, all rows of a document alike: there are ten observations, not three hundred.
    random = np.random.default_rng(2)
    by_document = random.normal(0, 1, 10)
    values = np.repeat(by_document, 30)
    clusters = [f"document-{index}" for index in np.repeat(np.arange(10), 30)]
    naive = statistics.mean_interval(values, seed=0)
    honest = statistics.mean_interval(values, seed=0, clusters=clusters)
    ten = statistics.mean_interval(by_document, seed=0)
    assert honest.num_clusters == 10
    assert honest.num_items == 300
    assert (honest.low, honest.high) == pytest.approx((ten.low, ten.high))  # the very same draws
    assert honest.high - honest.low > 4 * (naive.high - naive.low)


def test_the_order_of_rows_does_not_matter_with_clusters() -> None:
    values, clusters = [1.0, 2.0, 4.0, 8.0, 16.0], ["b", "a", "b", "c", "a"]
    order = [3, 1, 4, 0, 2]
    shuffled = statistics.mean_interval([values[i] for i in order], seed=4, clusters=[clusters[i] for i in order])
    assert shuffled == statistics.mean_interval(values, seed=4, clusters=clusters)


def test_one_cluster_says_nothing() -> None:
    result = statistics.paired_bootstrap([1, 2, 3], [4, 5, 6], seed=0, clusters=["x", "x", "x"])
    assert (result.low, result.high, result.p_value) == (-math.inf, math.inf, 1.0)
    assert not result.excludes_zero
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["low"] is None


def test_a_corpus_statistic_is_recomputed_on_each_resample() -> None:
    # Perplexity: exp(sum of losses / sum of tokens). The difference of sums is not the mean of differences.
    base = np.array([[20.0, 10], [3.0, 1], [40.0, 20]])
    tuned = np.array([[10.0, 10], [3.0, 1], [30.0, 20]])
    result = statistics.paired_bootstrap_statistic(base, tuned, lambda sums: np.exp(statistics.ratio(sums)), seed=0)
    assert result.base == pytest.approx(math.exp(63 / 31))
    assert result.tuned == pytest.approx(math.exp(43 / 31))
    assert result.difference == pytest.approx(math.exp(43 / 31) - math.exp(63 / 31))
    # Three rows have 27 resamples; the interval at so small a size reaches from the least to the greatest of them.
    every = [
        math.exp(tuned[draw, 0].sum() / tuned[draw, 1].sum()) - math.exp(base[draw, 0].sum() / base[draw, 1].sum())
        for draw in map(list, itertools.product(range(3), repeat=3))
    ]
    assert (result.low, result.high) == pytest.approx((min(every), max(every)))


def test_chunks_of_resamples_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(np.random.default_rng(0).normal(size=50))
    whole = statistics.mean_interval(values, seed=9)
    monkeypatch.setattr(statistics, "_CHUNK", 1_000)
    assert statistics.mean_interval(values, seed=9) == whole


@pytest.mark.parametrize(
    ("base", "tuned", "options", "message"),
    [
        ([], [], {}, "at least one row"),
        ([1.0], [1.0, 2.0], {}, "same items"),
        ([1.0, math.nan], [1.0, 2.0], {}, "row 1 is not finite"),
        ([1.0, 2.0], [1.0, 2.0], {"clusters": ["a"]}, "one cluster name per item"),
        ([1.0, 2.0], [1.0, 2.0], {"confidence": 1.0}, "between 0 and 1"),
        ([1.0, 2.0], [1.0, 2.0], {"num_resamples": 10}, "at least 100"),
    ],
)
def test_what_cannot_be_computed_is_refused(base, tuned, options, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        statistics.paired_bootstrap(base, tuned, seed=0, **options)


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (9, 2.26216), (30, 2.04227), (120, 1.97993), (1_000, 1.96234)],
)
def test_t_quantiles_are_those_of_the_tables(degrees: int, expected: float) -> None:
    assert statistics.t_quantile(0.975, degrees) == pytest.approx(expected, rel=1e-5)


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 1.96: centre (0.8 + 0.19207) / 1.38415, half width 1.96 sqrt(0.016 + 0.009604) / 1.38415
    result = statistics.wilson_interval(8, 10)
    assert (result.low, result.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert statistics.wilson_interval(0, 10).low == 0
    assert statistics.wilson_interval(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    assert statistics.wilson_interval(10, 10).high == 1
    with pytest.raises(ValueError, match="successes"):
        statistics.wilson_interval(3, 2)


def test_mcnemar_by_hand() -> None:
    assert statistics.mcnemar_exact(0, 0) == 1
    assert statistics.mcnemar_exact(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert statistics.mcnemar_exact(3, 3) == 1
    assert statistics.mcnemar_exact(5_000, 5_000) == 1  # beyond the range of a float
    assert statistics.mcnemar_exact(10, 0) == statistics.mcnemar_exact(0, 10) == pytest.approx(2 / 1024)


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, then never below what came before.
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([]) == []
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
