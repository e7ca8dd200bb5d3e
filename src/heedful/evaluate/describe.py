"""Results in words: the verdict in a few sentences, and the summary for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heedful.evaluate.compare import worse_somewhere
from heedful.evaluate.wording import listed, value_in_words

_FIRST = ("perplexity", "rougeL")
"""The metrics whose values the verdict quotes; the others it only names."""


def verdict(meta: Mapping[str, Any], overall: Mapping[str, Any], slices: Mapping[str, Any]) -> str:
    """What improved, what did not, what got worse, and where; no more than the intervals show."""
    where = f"On {meta['n']} test rows"
    if meta["leakage"]["checked"] and not meta["leakage"]["rows"]:
        where += " that share no document, template, seed or prompt with training"
    by_outcome: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for name, item in overall.items():
        if meta["metrics"][name]["direction"] and item["n"] >= meta["fewest_rows"]:
            by_outcome[item["better"]].append(_named(name, item, meta["metrics"][name]))
    if not any(by_outcome.values()):
        return f"{where}: too few to say whether the tuned model is better than the base."
    better, worse, unsure = by_outcome[True], by_outcome[False], by_outcome[None]
    first = (
        f"is better than the base in {listed(better)}"
        if better
        else "is not shown to be better than the base in anything"
    )
    sentences = [f"{where}, the tuned model {first}."]
    sentences.append(f"It is worse in {listed(worse)}." if worse else "Nothing got worse beyond chance.")
    if unsure and better:
        sentences.append(f"No difference is shown in {listed(unsure)}.")
    sentences += [
        f"Within “{name}” it is worse in {listed(labels)}."
        for name, labels in worse_somewhere(slices).items()
        if not worse
    ]
    return " ".join(sentences)


def _named(name: str, item: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    label = metric["label"] if metric["label"].isupper() or name in ("rougeL", "chrf") else metric["label"].lower()
    if name not in _FIRST or item["better"] is None:
        return str(label)
    return f"{label} ({value_in_words(item['base'], metric['unit'])} → {value_in_words(item['tuned'], metric['unit'])})"


def describe_results(results: Mapping[str, Any]) -> str:
    """For the terminal: the verdict, every metric with its interval, and the slices one by one."""
    meta = results["meta"]
    leakage = meta["leakage"]
    # What casts doubt on everything stands first; that all is well can wait until the end.
    lines = [results["verdict"], *([f"Leakage: {leakage['text']}"] if leakage["rows"] else []), ""]
    lines += _table(results["overall"], meta["metrics"])
    for name, part in results["slices"].items():
        lines += ["", f"{name} ({part['n']} rows; {part['about']})"]
        lines += [
            f"  {meta['metrics'][metric]['label']:<26}{part['metrics'][metric]['verdict']}"
            for metric in (*_FIRST, "requirements")
            if part["metrics"][metric]["n"]
        ]
    lines += [
        "",
        f"Brackets hold {100 * meta['confidence']:g}% intervals. {meta['resampled']['text']}",
        meta["holm"]["text"],
        *([] if leakage["rows"] else [leakage["text"]]),
    ]
    if failed := sum(meta["errors"].values()):
        lines.append(f"{failed} answers could not be generated and count as they are: {meta['errors']}")
    return "\n".join(lines)


def _table(comparisons: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    lines = [f"  {'':<26}{'base':>10}{'tuned':>10}   tuned against base"]
    for name, item in comparisons.items():
        metric = metrics[name]
        arrow = " (lower is better)" if metric["direction"] < 0 else ""
        base, tuned = (value_in_words(item[system], metric["unit"]) for system in ("base", "tuned"))
        lines.append(f"  {metric['label']:<26}{base:>10}{tuned:>10}   {item['verdict']}{arrow}")
    return lines
