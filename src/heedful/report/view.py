"""From the stages' data to what the page shows: rows of tables, charts, words. No HTML here; the templates have it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from heedful.evaluate.wording import difference_in_words, value_in_words
from heedful.report.data import ReportData
from heedful.report.plots import Bar, Interval, forest, funnel, small_forest, step_curve, training_curve

CARD_METRICS = ("perplexity", "rougeL", "requirements", "cut")
SLICE_METRICS = ("perplexity", "rougeL", "requirements")
_RULES = {
    "gain": ("Among the largest gains", "better"),
    "loss": ("Among the largest losses", "worse"),
    "random": ("Drawn at random", "unsure"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of the whole test set or of a slice, in words."""

    metric: str
    label: str
    direction: int
    num_rows: int
    base: str
    tuned: str
    difference: str
    interval: str
    verdict: str
    tone: str
    """`better`, `worse` or `unsure`: a style class, never the only sign of it."""


def view(data: ReportData) -> dict[str, Any]:
    """The variables of `report.html`."""
    results = data.results
    return {
        "title": data.title,
        "results": results,
        "meta": results["meta"],
        "lines": _lines(results, results["overall"]),
        "cards": [line for line in _lines(results, results["overall"]) if line.metric in CARD_METRICS],
        "facts": _facts(data),
        "forests": _forests(results),
        "slices": _slices(results),
        "slice_metrics": [results["meta"]["metrics"][name]["label"] for name in SLICE_METRICS],
        "slice_forests": _slice_forests(results),
        "samples": [_sample(sample, results) for sample in results["samples"]],
        # Shown as part of a command: an id from data must not bring a second one along.
        "lineage_id": shlex.quote(results["samples"][0]["id"]) if results["samples"] else "ID",
        "statement": data.construct,
        "funnel": data.funnel,
        "split_methods": sorted({method for counts in data.funnel.get("methods", {}).values() for method in counts}),
        "funnel_chart": _funnel_chart(data.funnel),
        "ledger": _ledger(data.ledger),
        "history": data.history,
        "best": _best(data),
        "curve": _curve(data),
        "by_step": _by_step(data),
        "sweep": _sweep(data.sweep),
        "settings": {section: list(_flat(values)) for section, values in data.settings.items()},
        "versions": data.versions,
        "seconds": data.seconds,
    }


# -- results ----------------------------------------------------------------------------------------------------------------


def _lines(results: Mapping[str, Any], comparisons: Mapping[str, Any]) -> list[Line]:
    return [_line(name, results["meta"]["metrics"][name], item) for name, item in comparisons.items()]


def _line(name: str, metric: Mapping[str, Any], item: Mapping[str, Any]) -> Line:
    difference, interval = _difference(item, metric)
    return Line(
        metric=name,
        label=metric["label"],
        direction=metric["direction"],
        num_rows=item["n"],
        base=value_in_words(item["base"], metric["unit"]),
        tuned=value_in_words(item["tuned"], metric["unit"]),
        difference=difference,
        interval=interval,
        verdict=item["verdict"].partition(":")[0],
        tone=_tone(item),
    )


def _difference(item: Mapping[str, Any], metric: Mapping[str, Any]) -> tuple[str, str]:
    """The difference and its interval."""
    if item["difference"] is None:
        return "–", ""
    said = typographic(difference_in_words(item["difference"], item["low"], item["high"], metric["unit"]))
    difference, bracket, interval = said.partition(" [")
    return difference, bracket.strip() + interval


def _tone(item: Mapping[str, Any]) -> str:
    return {True: "better", False: "worse", None: "unsure"}[item["better"]]


def _interval(label: str, item: Mapping[str, Any], metric: Mapping[str, Any]) -> Interval:
    """Turned so that more is better, and in points of 100 where the metric has a greatest value."""
    factor = metric["direction"] * (100 / metric["maximum"] if metric["maximum"] else 1)
    gain = factor * item["difference"]
    # A single row has no interval: the line shrinks to its point.
    low, high = sorted(gain if bound is None else factor * bound for bound in (item["low"], item["high"]))
    difference, interval = _difference(item, metric)
    return Interval(label, difference, interval, gain, low, high, _tone(item))


def _forests(results: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Charts of all differences, each with the sentence that stands for it where it cannot be seen."""
    metrics = results["meta"]["metrics"]
    bounded: list[Interval] = []
    others: list[Interval] = []
    for name, item in results["overall"].items():
        metric = metrics[name]
        if metric["direction"] and item["difference"] is not None:
            arrow = " ↓" if metric["direction"] < 0 else ""
            (bounded if metric["maximum"] else others).append(_interval(metric["label"] + arrow, item, metric))
    charts = []
    if bounded:
        axis = "improvement in points of 100 (right of zero is better)"
        charts.append((_said(bounded), forest(bounded, name="forest-scores", axis=axis)))
    if others:
        axis = "improvement in perplexity (right of zero is better)"
        charts.append((_said(others), forest(others, name="forest-perplexity", axis=axis)))
    return charts


def _said(intervals: Iterable[Interval]) -> str:
    return "; ".join(
        f"{item.label.removesuffix(' ↓')}: {item.difference} {item.interval}, {_spoken(item.verdict)}"
        for item in intervals
    )


def _spoken(tone: str) -> str:
    return "no difference shown" if tone == "unsure" else tone


def _slices(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "n": part["n"], "about": part["about"], "lines": lines}
        | {"first": [line for line in lines if line.metric in SLICE_METRICS]}
        for name, part in results["slices"].items()
        for lines in [_lines(results, part["metrics"])]
    ]


def _slice_forests(results: Mapping[str, Any]) -> list[tuple[str, str, Markup]]:
    """(metric's label, sentence, chart) for the metrics that a slice is judged by first."""
    charts = []
    for name in SLICE_METRICS:
        metric = results["meta"]["metrics"][name]
        intervals = [
            _interval(f"{label} ({part['metrics'][name]['n']})", part["metrics"][name], metric)
            for label, part in results["slices"].items()
            if part["metrics"][name]["difference"] is not None
        ]
        if intervals:
            axis = "improvement in points of 100" if metric["maximum"] else "improvement in perplexity"
            charts.append(
                (metric["label"], _said(intervals), small_forest(intervals, name=f"slices-{name}-", axis=axis))
            )
    return charts


def _sample(sample: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    rule, tone = _RULES[sample["chosen"]]
    answers = [
        {
            "name": name,
            "system": system,
            "text": sample[system]["text"],
            "score": value_in_words(sample[system]["rougeL"], "score"),
            "notes": list(_notes(sample[system], results["meta"]["max_tokens"])),
        }
        for system, name in (("base", "Base"), ("tuned", "Tuned"))
    ]
    answers.append({"name": "Reference", "system": "reference", "text": sample["reference"], "score": "", "notes": []})
    gain = typographic(f"{sample['tuned']['rougeL'] - sample['base']['rougeL']:+.2f}")
    return {**sample, "rule": rule, "tone": tone, "gain": gain, "answers": answers}


def _notes(answer: Mapping[str, Any], max_tokens: int) -> Iterable[tuple[str, str]]:
    """(tone, remark) below an answer."""
    reason, requirements = answer["finish_reason"], answer["requirements"]
    if reason == "length":
        yield "muted", f"Cut at {max_tokens} tokens."
    elif reason != "stop":
        yield "worse", f"Generation failed ({reason})."
    if requirements:
        satisfied = requirements["satisfied"]
        yield (
            ("better", "✓ All requirements satisfied.")
            if satisfied
            else ("worse", "✗ " + "; ".join(requirements["reasons"]))
        )


# -- how it came about -------------------------------------------------------------------------------------------------------


def _facts(data: ReportData) -> list[tuple[str, str]]:
    """Small figures below the cards; only those that the run has."""
    meta = data.results["meta"]
    facts = [("test rows", thousands(meta["n"])), ("training rows", thousands(meta["train_rows"]))]
    trained = data.ledger.get("train", {}).get("trained")
    if trained is not None:
        facts.append(("trained tokens", thousands(trained)))
    if data.seconds:
        facts.append(("run time", duration(sum(data.seconds.values()))))
    return facts


def _funnel_chart(values: Mapping[str, Any]) -> tuple[str, Markup] | None:
    steps = values.get("steps", [])
    if not steps:
        return None
    bars = [
        Bar(step["name"], f"{thousands(step['received'] - step['dropped'])} kept, {thousands(step['dropped'])} dropped",
            step["received"], step["received"] - step["dropped"])
        for step in steps
    ]  # fmt: skip
    return "; ".join(f"{bar.label}: {bar.number}" for bar in bars), funnel(bars, name="funnel")


def _ledger(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each split, with the share of its tokens that counts in the loss."""
    return [
        {"split": split, **row, "share": f"{row['trained'] / row['tokens']:.0%}" if row.get("tokens") else "–"}
        for split, row in values.items()
        if isinstance(row, Mapping)
    ]


def _best(data: ReportData) -> Mapping[str, Any] | None:
    """The entry whose weights were kept; else that with the lowest validation loss, the first of equals."""
    measured = [row for row in data.history if row.get("validation_loss") is not None]
    kept = [row for row in measured if row["step"] == data.best_step]
    lowest = min(measured, key=lambda row: (row["validation_loss"], row["step"]), default=None)
    return kept[0] if kept else lowest


def _curve(data: ReportData) -> tuple[str, Markup] | None:
    history = data.history
    if not history:
        return None
    best = _best(data)
    losses = [row["loss"] for row in history if row.get("loss") is not None]
    said = f"training loss from {losses[0]:.2f} to {losses[-1]:.2f}" if losses else "no training loss logged"
    if best:
        said += f"; {_kept_for(best, data)} {best['validation_loss']:.3f} at step {best['step']}"
    return said, training_curve(history, best["step"] if best else None, name="curve")


def _flat(values: Any, path: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as dotted names with their values as text."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, ", ".join(map(str, values)) if isinstance(values, (list, tuple)) else str(values)


# -- words ---------------------------------------------------------------------------------------------------------------------

_MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def typographic(text: str) -> str:
    """Hyphens before digits become minus signs, which are as wide as the plus."""
    return _MINUS.sub("−", text)


def thousands(value: float) -> str:
    """`12,403`; numbers that are not whole keep two digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def duration(seconds: float) -> str:
    """`0.4 s`, `38 s`, `7 min 5 s`, `2 h 3 min`."""
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _kept_for(best: Mapping[str, Any], data: ReportData) -> str:
    losses = [row["validation_loss"] for row in data.history if row.get("validation_loss") is not None]
    return "lowest validation loss" if best["validation_loss"] == min(losses) else "kept with validation loss"


_BY_STEP = {
    "learning_rate": "learning rate",
    "gradient_norm": "norm of the gradient",
    "validation_rouge_l": "ROUGE-L of answers",
    "validation_exact_match": "exact matches",
    "validation_requirements": "requirements met",
    "tokens_per_second": "tokens per second",
    "memory_bytes": "memory (bytes)",
}


def _by_step(data: ReportData) -> list[tuple[str, Markup]]:
    """(in words, chart) of each number that was written down for two steps or more."""
    charts = []
    for field, axis in _BY_STEP.items():
        rows = [row for row in [*data.history, *data.metrics] if row.get(field) is not None]
        # Metrics repeat what the history holds.
        rows = list({row["step"]: row for row in rows}.values())
        if len(rows) > 1:
            said = f"{axis}: from {rows[0][field]:.4g} to {rows[-1][field]:.4g}"
            charts.append((said, step_curve(rows, field, name=f"step-{field}", axis=axis)))
    return charts


def _sweep(tried: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each combination of settings."""
    return [
        {
            **one,
            "said": ", ".join(f"{name} {value}" for name, value in one["values"].items()),
            "fate": f"stopped in round {one['stopped_in_round']}" if one["stopped_in_round"] else "went on to the end",
        }
        for one in tried
    ]
