"""What became of the rows, step by step: as data for the report, as a table for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from heedful.records import SPLITS, Example


def step_counts(name: str, num_received: int, reasons: Mapping[str, int]) -> dict[str, Any]:
    """One step of the funnel; `reasons` counts the rows that it dropped, most frequent first."""
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return {"name": name, "received": num_received, "dropped": sum(ordered.values()), "reasons": ordered}


def funnel_of(steps: Sequence[Mapping[str, Any]], kept: Sequence[Example], groups: Mapping[str, Any]) -> dict[str, Any]:
    """The whole funnel; raises AssertionError when a row was lost between two steps."""
    num_left = [step["received"] - step["dropped"] for step in steps]
    following = [step["received"] for step in steps[1:]] + [len(kept)]
    assert num_left == following, f"rows lost between steps: {num_left} left, {following} received"
    return {
        "steps": list(steps),
        "received": steps[0]["received"],
        "kept": len(kept),
        "dropped": steps[0]["received"] - len(kept),
        "splits": {name: sum(example.split == name for example in kept) for name in SPLITS},
        "methods": {name: dict(sorted(Counter(e.method for e in kept if e.split == name).items())) for name in SPLITS},
        "groups": dict(groups),
    }


def describe_funnel(funnel: Mapping[str, Any]) -> str:
    """Two tables: steps with their reasons, then splits by method."""
    rows = [("step", "received", "dropped", "left")]
    for step in funnel["steps"]:
        left = step["received"] - step["dropped"]
        rows.append((step["name"], str(step["received"]), str(step["dropped"]), str(left)))
        rows += [(f"  {reason}", "", str(count), "") for reason, count in step["reasons"].items()]
    return f"{_table(rows)}\n\n{_table(_split_rows(funnel))}"


def _split_rows(funnel: Mapping[str, Any]) -> list[tuple[str, ...]]:
    methods = sorted({method for counts in funnel["methods"].values() for method in counts})
    rows = [("split", "rows", "share", *methods)]
    for name in SPLITS:
        num_rows = funnel["splits"][name]
        share = f"{num_rows / max(funnel['kept'], 1):.0%}"
        rows.append((name, str(num_rows), share, *(str(funnel["methods"][name].get(method, 0)) for method in methods)))
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, the others, numbers all, to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines)
