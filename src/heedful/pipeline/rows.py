"""Project or files -> the rows that a person asks to see: kept and dropped, filtered, counted, with their way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from heedful.errors import InputError, ProjectError
from heedful.pipeline.graph import Graph
from heedful.pipeline.origins import built_folders, lineage
from heedful.project.lineage import Lineage, Node
from heedful.project.settings import nearest
from heedful.records import SPLITS, Example, Preference, read_examples
from heedful.report.rows import DataRow, DataView
from heedful.text import normalize

COUNTED = ("split", "method", "language", "reason")
"""What a view counts its rows by."""
NO_SPLIT, DROPPED = "no split", "dropped"
"""Stand beside the names of splits in the counts."""


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows to show; what is empty lets every row through. Names may be patterns: `python-docs:*`."""

    split: str = ""
    dropped: bool | None = None
    """True: only dropped rows; False: only others."""
    reason: str = ""
    method: str = ""
    language: str = ""
    task: str = ""
    source: str = ""
    search: str = ""
    """Text that occurs in a message, whatever its case."""
    id: str = ""
    """The first characters of the id."""

    def __post_init__(self) -> None:
        if self.split == DROPPED:
            raise InputError(
                "split 'dropped': dropped rows are in no split; ask for them with --dropped (dropped=True)"
            )
        if self.split and self.split not in SPLITS:
            raise InputError(
                f"split {self.split!r}: expected one of {', '.join(SPLITS)}; {nearest(self.split, list(SPLITS))}"
            )

    def tests(self) -> dict[str, Callable[[DataRow], bool]]:
        """One test for each filter that is set, by its name."""
        found: dict[str, Callable[[DataRow], bool]] = {
            name: _named(name, pattern)
            for name in ("split", "reason", "method", "language", "task", "source")
            if (pattern := getattr(self, name))
        }
        if self.dropped is not None:
            found["dropped"] = lambda row: bool(row.reason) == self.dropped
        if self.search:
            wanted = _folded(self.search)
            found["search"] = lambda row: any(wanted in _folded(content) for _, content in row.turns)
        if self.id:
            found["id"] = lambda row: row.id.startswith(self.id)
        return found

    def as_typed(self) -> tuple[str, ...]:
        """The filters that are set, as options of the command."""
        typed = []
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool):
                typed.append("--dropped" if value else "--kept")
            elif value:
                typed.append(f"--{item.name} {value}")
        return tuple(typed)


@dataclass(frozen=True)
class Rows:
    """All rows of a project or of some files, before any filter."""

    title: str
    rows: Sequence[DataRow]
    origins: Callable[[], Lineage]
    """Reads what is known about where rows came from; only called when somebody asks."""
    missing: tuple[str, ...] = ()
    not_rows: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def _lineage(self) -> Lineage:
        return self.origins()

    def matching(self, wanted: RowFilter) -> list[DataRow]:
        """The rows that every filter lets through, in their order."""
        tests = wanted.tests().values()
        return [row for row in self.rows if all(test(row) for test in tests)]

    def view(self, wanted: RowFilter, *, offset: int = 0, limit: int = 10, with_lineage: bool = False) -> DataView:
        """The page of matching rows that begins at `offset`, and counts of all that match."""
        matching = self.matching(wanted)
        shown = tuple(matching[offset : offset + limit])
        return DataView(
            title=self.title,
            total=len(self.rows),
            matching=len(matching),
            offset=offset,
            rows=shown,
            counts=_counts(matching),
            filters=wanted.as_typed(),
            missing=self.missing,
            not_rows=self.not_rows,
            hints=() if matching else tuple(self._hints(wanted)),
            trails={row.id: self._lineage.trace(row.id) for row in shown} if with_lineage else {},
        )

    def _hints(self, wanted: RowFilter) -> Iterable[str]:
        """What could have been asked for instead, for every filter that no row passes."""
        for name, test in wanted.tests().items():
            if any(test(row) for row in self.rows):
                continue
            there = (
                sorted({getattr(row, name) for row in self.rows} - {""})
                if name not in ("dropped", "search", "id")
                else []
            )
            more = f", and {len(there) - 8} more" if len(there) > 8 else ""
            yield f"no row passes --{name}" + (f"; there are: {', '.join(there[:8])}{more}" if there else "")


def project_rows(graph: Graph, title: str) -> Rows:
    """The rows that are built for the current settings: curated ones, or else what waits for curation."""
    folders = built_folders(graph, until="curate")
    missing = tuple(stage for stage in ("import", "construct", "curate") if stage not in folders)
    if "curate" in folders:
        paths = [folders["curate"] / name for name in ("data.parquet", "dropped.parquet")]
    else:
        paths = [folders[stage] / "examples.parquet" for stage in ("import", "construct") if stage in folders]
    rows = [DataRow.of(example) for path in paths for example in read_examples(path)]
    return Rows(title, rows, lambda: lineage(graph), missing)


def curated_rows(graph: Graph, title: str) -> Rows:
    """The same, but raises ProjectError when curation is not built."""
    rows = project_rows(graph, title)
    if rows.missing:
        raise ProjectError(f"{title}: stage 'curate' is not built for these settings; `heedful curate` builds it")
    return rows


def file_rows(files: Sequence[str | Path]) -> Rows:
    """The rows of files in any known format."""
    from heedful import sources

    read = sources.read_records(files)
    records: list[Example | Preference] = [*read.examples, *read.preferences]
    rows = [DataRow.of(record) for record in records]
    nodes = [
        Node(row.id, "file", f"read from {row.source}{f', {row.place}' if row.place else ''}", row.record.parents)
        for row in rows
    ]
    title = ", ".join(str(file) for file in files)
    not_rows = {"tasks": len(read.tasks)} if read.tasks else {}
    return Rows(title, rows, lambda: Lineage(nodes, elsewhere="not in these files"), not_rows=not_rows)


def _named(name: str, pattern: str) -> Callable[[DataRow], bool]:
    return lambda row: fnmatchcase(getattr(row, name), pattern)


def _folded(text: str) -> str:
    return normalize(text).casefold()


def _counts(rows: Sequence[DataRow]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for name in COUNTED:
        values = (_split_of(row) if name == "split" else getattr(row, name) for row in rows)
        counts[name] = dict(Counter(value for value in values if value).most_common())
    order = (*SPLITS, NO_SPLIT, DROPPED)
    counts["split"] = {name: counts["split"][name] for name in order if name in counts["split"]}
    return counts


def _split_of(row: DataRow) -> str:
    return DROPPED if row.reason else row.split or NO_SPLIT
