"""What every metric returns, and how hypotheses and references are paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heedful.errors import InputError
from heedful.statistics import Array, Statistic, mean_rows, ratio

References = Sequence[str | Sequence[str]]
"""For each hypothesis one reference, or several of which the best counts."""

_VERSION = 1
"""Raised by hand when one of our own metrics changes its meaning; part of their signatures."""


@dataclass(frozen=True, eq=False)
class MetricResult:
    """A metric's value on a corpus and on each of its items.

    `statistics` (N, K) are additive: `combine(statistics.sum(axis=0)) == value`, and a bootstrap adds up resampled
    rows the same way (`statistics.paired_bootstrap_statistic(base.statistics, tuned.statistics, base.combine)`).
    For means that is the mean; for BLEU, chrF and perplexity it is the true corpus value of the resample.
    """

    name: str
    value: float
    per_item: tuple[float, ...]
    signature: str
    """Metric, tokeniser, settings and version; only values with equal signatures can be compared."""
    statistics: Array
    combine: Statistic
    higher_is_better: bool = True


def signature(name: str, **settings: str | int) -> str:
    """In sacrebleu's manner: `name|key:value|...|version:heedful-1`."""
    return "|".join([name, *(f"{key}:{value}" for key, value in settings.items()), f"version:heedful-{_VERSION}"])


def mean_result(name: str, per_item: Sequence[float], signature: str) -> MetricResult:
    """A metric whose corpus value is the mean of its items."""
    rows = mean_rows(per_item)
    value = float(ratio(rows.sum(axis=0)))
    return MetricResult(name, value, tuple(map(float, per_item)), signature, rows, ratio)


def combined_result(
    name: str,
    rows: Array,
    combine: Statistic,
    signature: str,
    *,
    higher_is_better: bool = True,
) -> MetricResult:
    """A metric whose corpus value and whose item values are both `combine` of additive statistics."""
    value = float(combine(rows.sum(axis=0)))
    per_item = tuple(float(item) for item in np.atleast_1d(combine(rows)))
    return MetricResult(name, value, per_item, signature, rows, combine, higher_is_better)


def pair(hypotheses: Sequence[str], references: References) -> list[tuple[str, tuple[str, ...]]]:
    """Each hypothesis with its references; raises InputError when they do not match."""
    if len(hypotheses) != len(references):
        raise InputError(f"one reference per hypothesis: {len(hypotheses)} hypotheses, {len(references)} references")
    if not hypotheses:
        raise InputError("no items to score; give at least one hypothesis with its reference")
    pairs = [
        (hypothesis, (reference,) if isinstance(reference, str) else tuple(reference))
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    for index, (_, found) in enumerate(pairs):
        if not found:
            raise InputError(f"item {index} has no reference; give at least one")
    return pairs
