"""Is a difference more than chance: bootstrap intervals, paired tests, corrections.

Everything rests on additive statistics. Each item gives a row of numbers (a score and a one; a log-likelihood and a
token count; the ten counts of BLEU), rows of a sample are added up, and a function of the sums is the corpus value.
So a mean, a perplexity and a corpus BLEU are resampled by the same lines, and honestly: the corpus value is
recomputed on every resample.

The interval is the bootstrap percentile interval with expanded levels (Hesterberg, "What teachers should know about
the bootstrap", The American Statistician 69, 2015): the plain percentile interval is too narrow for small samples, by
sqrt((n-1)/n) and by using normal instead of t quantiles, and the expansion undoes both. Why not BCa: simulated at a
nominal 95 % with 6 / 10 / 20 normal differences, this one covered 91 / 95 / 95 %, the plain percentile 84 / 92 / 94,
BCa 83 / 91 / 93; for skewed, heavy-tailed and binary differences it was never more than half a point behind BCa and
mostly ahead. The p-value inverts the same interval. With fewer than two independent clusters nothing can be said, and
the interval is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Sums of rows (..., K) -> corpus values (...)."""

_NORMAL = NormalDist()
# Resampled indices held at once: 32 MiB.
_ROUNDING = 1e-12
_CHUNK = 1 << 22
# Beyond this many degrees of freedom t and normal quantiles differ by less than 0.1 %.
_MAX_DEGREES = 1_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the interval that covers the true one with probability `confidence`."""

    value: float
    low: float
    high: float
    num_items: int
    num_clusters: int
    """Independent units: items, unless items were grouped."""
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, where an infinite bound is None."""
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True)
class PairedResult:
    """Tuned minus base on the same items."""

    base: float
    tuned: float
    difference: float
    low: float
    high: float
    p_value: float
    """Two-sided, for the hypothesis that there is no difference; it inverts the interval."""
    num_items: int
    num_clusters: int
    confidence: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference is beyond chance at this confidence."""
        return self.low > 0 or self.high < 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, where an infinite bound is None."""
        return _plain(asdict(self))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in values.items()}


# -- bootstrap -------------------------------------------------------------------------------------------------


def paired_bootstrap(
    base: Sequence[float],
    tuned: Sequence[float],
    *,
    seed: int,
    num_resamples: int = 2_000,
    confidence: float = 0.95,
    clusters: Sequence[str] | None = None,
) -> PairedResult:
    """The mean difference of paired scores. `clusters` names each item's group; whole groups are resampled."""
    return paired_bootstrap_statistic(
        mean_rows(base),
        mean_rows(tuned),
        ratio,
        seed=seed,
        num_resamples=num_resamples,
        confidence=confidence,
        clusters=clusters,
    )


def paired_bootstrap_statistic(
    base_rows: ArrayLike,
    tuned_rows: ArrayLike,
    statistic: Statistic,
    *,
    seed: int,
    num_resamples: int = 2_000,
    confidence: float = 0.95,
    clusters: Sequence[str] | None = None,
) -> PairedResult:
    """The difference of a corpus statistic; rows are (N, K), row i of both belongs to item i (see `Statistic`)."""
    base, tuned = _rows(base_rows), _rows(tuned_rows)
    if base.shape != tuned.shape:
        raise ValueError(f"paired samples need the same items: base has shape {base.shape}, tuned {tuned.shape}")
    num_columns = base.shape[1]

    def difference(sums: Array) -> Array:
        return np.asarray(statistic(sums[..., num_columns:]) - statistic(sums[..., :num_columns]))

    sample = _by_cluster(np.hstack([base, tuned]), clusters)
    total = sample.sum(axis=0)
    resampled = _resample(sample, difference, seed, num_resamples)
    before, after = float(statistic(total[:num_columns])), float(statistic(total[num_columns:]))
    found = float(difference(total))
    low, high = _bounds(resampled, len(sample), confidence)
    size = max(abs(before), abs(after))
    return PairedResult(
        base=before,
        tuned=after,
        difference=found,
        low=_but_for_rounding(low, found, size),
        high=_but_for_rounding(high, found, size),
        p_value=_p_value(resampled, len(sample)),
        num_items=len(base),
        num_clusters=len(sample),
        confidence=confidence,
    )


def mean_interval(
    values: Sequence[float],
    *,
    seed: int,
    num_resamples: int = 2_000,
    confidence: float = 0.95,
    clusters: Sequence[str] | None = None,
) -> Interval:
    """The mean of a sample with its bootstrap interval."""
    return statistic_interval(
        mean_rows(values), ratio, seed=seed, num_resamples=num_resamples, confidence=confidence, clusters=clusters
    )


def statistic_interval(
    rows: ArrayLike,
    statistic: Statistic,
    *,
    seed: int,
    num_resamples: int = 2_000,
    confidence: float = 0.95,
    clusters: Sequence[str] | None = None,
) -> Interval:
    """A corpus statistic of rows (N, K) with its bootstrap interval (see `Statistic`)."""
    checked = _rows(rows)
    sample = _by_cluster(checked, clusters)
    found = float(statistic(sample.sum(axis=0)))
    bounds = _bounds(_resample(sample, statistic, seed, num_resamples), len(sample), confidence)
    low, high = (_but_for_rounding(bound, found, abs(found)) for bound in bounds)
    return Interval(found, low, high, len(checked), len(sample), confidence)


def mean_rows(values: Sequence[float]) -> Array:
    """The rows (N, 2) whose `ratio` is the mean: each value beside a one."""
    return np.column_stack([np.asarray(values, dtype=np.float64), np.ones(len(values))])


def ratio(sums: Array) -> Array:
    """First sum over second: a mean when the second counts the items."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def _rows(rows: ArrayLike) -> Array:
    array = np.asarray(rows, dtype=np.float64)
    if array.ndim != 2 or not len(array):
        raise ValueError(f"expected at least one row of statistics, shape (N, K); got shape {array.shape}")
    wrong = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(wrong):
        raise ValueError(f"row {wrong[0]} is not finite: {array[wrong[0]].tolist()}")
    return array


def _by_cluster(rows: Array, clusters: Sequence[str] | None) -> Array:
    """Rows added up by cluster (G, K), clusters in order of their names."""
    if clusters is None:
        return rows
    if len(clusters) != len(rows):
        raise ValueError(f"one cluster name per item: {len(rows)} items, {len(clusters)} names")
    names, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, member, rows)
    return sums


def _resample(sample: Array, statistic: Statistic, seed: int, num_resamples: int) -> Array:
    """The statistic on `num_resamples` draws of G rows with replacement, sorted (R,)."""
    if num_resamples < 100:
        raise ValueError(f"at least 100 resamples are needed for an interval, got {num_resamples}")
    random = np.random.default_rng(seed)
    num_rows = len(sample)
    step = max(1, _CHUNK // num_rows)
    parts = []
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        drawn = random.integers(0, num_rows, size=(size, num_rows)) + num_rows * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * num_rows).reshape(size, num_rows)  # (R, G)
        parts.append(statistic(counts.astype(np.float64) @ sample))
    resampled = np.sort(np.concatenate(parts))
    if not np.isfinite(resampled).all():
        raise ValueError("the statistic is not finite on some resample of these rows (a division by zero?)")
    return resampled


def _bounds(resampled: Array, num_clusters: int, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, got {confidence}")
    if num_clusters < 2:
        return -math.inf, math.inf
    quantile = t_quantile((1 + confidence) / 2, num_clusters - 1)
    level = _NORMAL.cdf(-quantile * math.sqrt(num_clusters / (num_clusters - 1)))
    low, high = np.quantile(resampled, [level, 1 - level])
    return float(low), float(high)


def _but_for_rounding(bound: float, found: float, size: float) -> float:
    """`bound`, or what was found, where only rounding sets them apart: sums over resamples add in another order. `size`: of the
    numbers that were added or subtracted."""
    return found if abs(bound - found) <= _ROUNDING * size else bound


def _p_value(resampled: Array, num_clusters: int) -> float:
    """The smallest 1 - confidence at which the interval excludes zero; never 0, as resamples are finite."""
    if num_clusters < 2:
        return 1.0
    num_opposed = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    tail = (num_opposed + 1) / (len(resampled) + 1)
    if tail >= 0.5:
        return 1.0
    quantile = -_NORMAL.inv_cdf(tail) * math.sqrt((num_clusters - 1) / num_clusters)
    return 1 - _t_within(quantile, num_clusters - 1)


# -- Student's t -------------------------------------------------------------------------------------------------


def _t_within(t: float, degrees: int) -> float:
    """P(|T| < t): the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4; normal for many degrees."""
    if degrees > _MAX_DEGREES:
        return 2 * _NORMAL.cdf(t) - 1
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for k in range(2 + odd, degrees - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


@lru_cache(maxsize=256)
def t_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t distribution for `probability` > 1/2, by bisection."""
    if not 0.5 < probability < 1 or degrees < 1:
        raise ValueError(f"need 1/2 < probability < 1 and degrees >= 1, got {probability} and {degrees}")
    if degrees > _MAX_DEGREES:
        return _NORMAL.inv_cdf(probability)
    within = 2 * probability - 1
    low, high = 0.0, 1.0
    while _t_within(high, degrees) < within:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _t_within(middle, degrees) < within else (low, middle)
    return high


# -- proportions and several tests -----------------------------------------------------------------------------------


def wilson_interval(num_successes: int, num_trials: int, *, confidence: float = 0.95) -> Interval:
    """A proportion with Wilson's score interval (JASA 22, 1927): right also near 0 and 1 and for few trials."""
    if not 0 <= num_successes <= num_trials or num_trials == 0:
        raise ValueError(f"need 0 <= successes <= trials and trials > 0, got {num_successes} of {num_trials}")
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    share = num_successes / num_trials
    scale = 1 + z * z / num_trials
    middle = (share + z * z / (2 * num_trials)) / scale
    half = z * math.sqrt(share * (1 - share) / num_trials + z * z / (4 * num_trials**2)) / scale
    # At the ends the bound is exactly 0 or 1; rounding must not move it past the share itself.
    low, high = min(max(0.0, middle - half), share), max(min(1.0, middle + half), share)
    return Interval(share, low, high, num_trials, num_trials, confidence)


def mcnemar_exact(num_only_base: int, num_only_tuned: int) -> float:
    """Two-sided exact p-value that both are right equally often, from the items that only one got right."""
    if min(num_only_base, num_only_tuned) < 0:
        raise ValueError(f"counts are not negative, got {num_only_base} and {num_only_tuned}")
    num_discordant = num_only_base + num_only_tuned
    # Integers throughout: the binomial coefficients overflow a float beyond 1,029 items.
    tail = coefficient = 1
    for k in range(min(num_only_base, num_only_tuned)):
        coefficient = coefficient * (num_discordant - k) // (k + 1)
        tail += coefficient
    return min(1.0, 2 * tail / (1 << num_discordant))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being several (Holm 1979), in the given order: compare each with the one threshold."""
    corrected = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = running
    return corrected
