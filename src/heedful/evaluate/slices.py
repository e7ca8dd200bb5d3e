"""Parts of the test set, worked out from the data: what training never saw, who wrote a row, in which language.

Also what must not be: test rows that share a document, template, seed or prompt with training (leakage). And which rows
belong together, so that intervals are not narrower than the data deserve.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heedful.records import Example, digest

FEWEST_CLUSTERS = 10
"""Below this, resampling whole groups says more about the few groups than about the difference."""
_HELD_OUT = {
    "template": ("held-out templates", "built from templates that no training row used"),
    "document": ("held-out documents", "built from documents that no training row used"),
}


@dataclass(frozen=True, slots=True)
class Slice:
    """A named part of the test set; `rows` are positions in it. Slices may overlap."""

    name: str
    about: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which rows are resampled together; `labels` is None when every row stands for itself."""

    by: str
    num: int
    labels: tuple[str, ...] | None
    text: str


def slices(test: Sequence[Example], train: Sequence[Example]) -> list[Slice]:
    """Held-out templates and documents, hand-written tasks, languages, methods; only those that the data has.

    When rows have templates but training saw all of them, the slice is there with no rows: that is worth knowing.
    Without training rows nobody can say what is held out, and no such slice is claimed.
    """
    parts = []
    for kind, (name, about) in _HELD_OUT.items():
        grouped = [index for index, example in enumerate(test) if _values(example, kind)]
        seen = {value for example in train for value in _values(example, kind)}
        if grouped and train:
            rows = tuple(index for index in grouped if not seen & _values(test[index], kind))
            parts.append(Slice(name, about, rows))
    written = tuple(index for index, example in enumerate(test) if example.method == "import")
    if written:
        parts.append(Slice("hand-written tasks", "imported as people wrote them", written))
    parts += _by_value("language", "in this language", [example.language or "unknown" for example in test])
    parts += _by_value("method", "made by this method", [example.method for example in test])
    # Imported rows are the hand-written tasks: once is enough.
    return [part for part in parts if part.name != "method: import"]


def leakage(test: Sequence[Example], train: Sequence[Example]) -> dict[str, Any]:
    """How many test rows share a document, template, seed or whole prompt with training, and which. Must be none."""
    seen = defaultdict(set)
    for example in train:
        for kind, value in _origins(example):
            seen[kind].add(value)
    by = dict.fromkeys(sorted({"document", "template", "seed", "prompt", *seen}), 0)
    ids = []
    for example in test:
        shared = {kind for kind, value in _origins(example) if value in seen[kind]}
        for kind in shared:
            by[kind] += 1
        if shared:
            ids.append(example.id)
    return {
        "checked": bool(train),
        "rows": len(ids),
        "by": by,
        "ids": ids,
        "text": _leakage_text(len(test), len(ids), by, train),
    }


def _leakage_text(num_test: int, num_leaked: int, by: Mapping[str, int], train: Sequence[Example]) -> str:
    if not train:
        return "Training rows were not given, so nobody checked whether training saw the test rows."
    if not num_leaked:
        return "No test row shares a document, template, seed or prompt with training."
    kinds = ", ".join(f"{kind} ({count})" for kind, count in by.items() if count)
    return (
        f"{num_leaked} of {num_test} test rows share something with training: {kinds}. "
        "Their answers may be remembered rather than learned."
    )


def clusters(test: Sequence[Example]) -> Clusters:
    """The widest way to tell dependent rows apart that leaves at least `FEWEST_CLUSTERS` groups."""
    connected = _connected(test)
    num_connected = len(set(connected))
    if num_connected == len(test):
        return Clusters(
            "rows", num_connected, None, "Rows share no document, template or seed; each is resampled alone."
        )
    if num_connected >= FEWEST_CLUSTERS:
        text = f"Intervals come from resampling {num_connected} groups of rows that share a document, template or seed."
        return Clusters("connected rows", num_connected, connected, text)
    few = f"Rows that share a document, template or seed form too few groups to resample ({num_connected}); "
    by_document = tuple(_first_origin(example) for example in test)
    num_documents = len(set(by_document))
    if num_documents >= FEWEST_CLUSTERS:
        text = f"{few}intervals come from resampling {num_documents} documents and seeds, and do not cover the choice of templates."
        return Clusters("documents and seeds", num_documents, by_document, text)
    return Clusters("rows", len(test), None, f"{few}intervals come from resampling single rows and may be too narrow.")


def _by_value(kind: str, about: str, values: Sequence[str]) -> Iterable[Slice]:
    for value in sorted(set(values)):
        yield Slice(f"{kind}: {value}", about, tuple(index for index, item in enumerate(values) if item == value))


def _values(example: Example, kind: str) -> set[str]:
    value = example.groups.get(kind)
    return set() if not value else {value} if isinstance(value, str) else set(map(str, value))


def _origins(example: Example) -> Iterable[tuple[str, str]]:
    """(kind, value) of everything that must not be on both sides of a split."""
    for kind in example.groups:
        for value in _values(example, kind):
            yield kind, value
    yield "prompt", digest([[message.role, message.content] for message in example.prompt])


def _first_origin(example: Example) -> str:
    for kind in ("document", "seed"):
        if values := _values(example, kind):
            return f"{kind} {min(values)}"
    return f"row {example.id}"


def _connected(test: Sequence[Example]) -> tuple[str, ...]:
    """A label for each row; rows that share an origin, directly or through others, have the same one."""
    leader = list(range(len(test)))

    def find(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    first: dict[tuple[str, str], int] = {}
    for row, example in enumerate(test):
        for origin in _origins(example):
            # The earlier row leads, so that labels depend on the order of rows alone.
            low, high = sorted((find(first.setdefault(origin, row)), find(row)))
            leader[high] = low
    return tuple(test[find(row)].id for row in range(len(test)))
