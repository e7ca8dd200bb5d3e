"""Tuned against base on some rows: the difference, its interval, and a verdict in words that claims no more than that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heedful.evaluate.measures import METRICS, Measure
from heedful.evaluate.settings import EvaluateSettings
from heedful.evaluate.slices import Clusters
from heedful.evaluate.wording import difference_in_words
from heedful.project import stream_seed
from heedful.statistics import PairedResult, holm, paired_bootstrap_statistic

FEWEST_ROWS = 10
"""Below this a slice gets numbers but no verdict."""


def compare(
    measure: Measure, rows: Sequence[int], clusters: Clusters, settings: EvaluateSettings, *, seed: int
) -> dict[str, Any]:
    """One metric on the test rows at positions `rows`; `clusters` has one label for each of them.

    The keys are those of a comparison in `results.py`. All metrics of one set of rows resample the same way.
    """
    wanted = {row: place for place, row in enumerate(rows)}
    chosen = [place for place, row in enumerate(measure.rows) if row in wanted]
    if not chosen:
        return (
            {"n": 0}
            | dict.fromkeys(("base", "tuned", "difference", "low", "high", "p", "better"))
            | {"verdict": "no rows have it"}
        )
    labels = [clusters.labels[wanted[measure.rows[place]]] for place in chosen] if clusters.labels else None
    base, tuned = measure.results["base"], measure.results["tuned"]
    result = paired_bootstrap_statistic(
        base.statistics[chosen],
        tuned.statistics[chosen],
        base.combine,
        seed=stream_seed(seed, "evaluate", "bootstrap"),
        num_resamples=settings.resamples,
        confidence=settings.confidence,
        clusters=labels,
    )
    plain = result.as_dict()
    better = _better(result, measure.metric.direction)
    return {
        "n": result.num_items,
        **{key: plain[key] for key in ("base", "tuned", "difference", "low", "high")},
        "p": result.p_value,
        "better": better,
        "verdict": _verdict(result, better, measure.metric.direction, measure.metric.unit),
    }


def correct_for_many(overall: dict[str, dict[str, Any]], confidence: float) -> str:
    """Add `p_holm` to every comparison that has a direction, and say how many of the differences still stand."""
    tested = {name: item for name, item in overall.items() if METRICS[name].direction and item["p"] is not None}
    for item in overall.values():
        item["p_holm"] = None
    for item, corrected in zip(tested.values(), holm([item["p"] for item in tested.values()]), strict=True):
        item["p_holm"] = corrected
    shown = [item for item in tested.values() if item["better"] is not None]
    standing = sum(item["p_holm"] <= 1 - confidence for item in shown)
    return (
        f"Testing {len(tested)} metrics finds differences by chance more often than testing one. After Holm's correction "
        f"for that, {standing} of the {len(shown)} differences shown still stand."
    )


def _better(result: PairedResult, direction: int) -> bool | None:
    if result.num_items < FEWEST_ROWS or not result.excludes_zero or not direction:
        return None
    return result.difference * direction > 0


def _verdict(result: PairedResult, better: bool | None, direction: int, unit: str) -> str:
    plain = result.as_dict()
    if result.num_items < FEWEST_ROWS:
        word = f"too few rows to say (n={result.num_items})"
    elif better is not None:
        word = "better" if better else "worse"
    elif result.excludes_zero and not direction:
        word = "higher" if result.difference > 0 else "lower"
    else:
        word = "no difference shown"
    return f"{word}: {difference_in_words(result.difference, plain['low'], plain['high'], unit)}"


def worse_somewhere(slices: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Labels of the metrics that got worse, by slice; only slices where any did."""
    found = {
        name: [METRICS[metric].label for metric, item in part["metrics"].items() if item["better"] is False]
        for name, part in slices.items()
    }
    return {name: labels for name, labels in found.items() if labels}
