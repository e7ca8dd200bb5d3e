"""Rows as people look at them: one shape for kept and dropped examples and for preferences, and a view of some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from heedful.errors import RequirementError
from heedful.project.lineage import Trail
from heedful.records import Example, Preference, RequirementSpec, canonical_json

Row = Example | Preference


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row. Its text is as it came: whoever shows it makes it safe for the terminal or the page."""

    record: Row
    reason: str = ""
    """Why it was dropped; empty for a row that is in use."""
    detail: str = ""

    @classmethod
    def of(cls, record: Row) -> DataRow:
        """The row, dropped when its `meta` says so, as `curate` writes it."""
        if isinstance(record, Preference):
            return cls(record)
        note = record.meta_value("dropped")
        note = note if isinstance(note, Mapping) else {}
        reason = record.meta_value("dropped_because") or note.get("reason") or ""
        return cls(record, str(reason), str(note.get("detail") or ""))

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def split(self) -> str:
        """Empty for a dropped row, and for one that no split was drawn for yet."""
        return "" if self.reason or isinstance(self.record, Preference) else self.record.split

    @property
    def task(self) -> str:
        return "" if isinstance(self.record, Preference) else self.record.task

    @property
    def method(self) -> str:
        return self.record.method

    @property
    def language(self) -> str:
        return self.record.language

    @property
    def source(self) -> str:
        return self.record.source

    @property
    def place(self) -> str:
        """Where in the source it stood; empty when nobody wrote that down."""
        return "" if isinstance(self.record, Preference) else str(self.record.meta_value("place") or "")

    @property
    def turns(self) -> list[tuple[str, str]]:
        """(who, what was said) in order; a preference ends with `chosen` and `rejected`."""
        if isinstance(self.record, Preference):
            asked = [(message.role, message.content) for message in self.record.prompt]
            return [*asked, ("chosen", self.record.chosen), ("rejected", self.record.rejected)]
        return [(message.role, message.content) for message in self.record.messages]

    @property
    def requirements(self) -> list[str]:
        """Each as a sentence in the row's language; one that cannot be understood stands as it is."""
        specs = () if isinstance(self.record, Preference) else self.record.requirements
        return [_said(spec, self.language) for spec in specs]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: everything, nothing shortened."""
        return {
            "id": self.id,
            "split": self.split,
            "dropped_because": self.reason,
            "detail": self.detail,
            "method": self.method,
            "task": self.task,
            "language": self.language,
            "source": self.source,
            "place": self.place,
            "license": self.record.license,
            "parents": list(self.record.parents),
            "turns": [{"role": role, "content": content} for role, content in self.turns],
            "requirements": self.requirements,
        }


@dataclass(frozen=True, slots=True)
class DataView:
    """Some rows of many, and what the many are. The terminal and the page show the same view."""

    title: str
    total: int
    """All rows that there are."""
    matching: int
    """Rows that the filters let through; the view shows some of them."""
    offset: int
    rows: tuple[DataRow, ...]
    counts: Mapping[str, Mapping[str, int]]
    """Of the matching rows, by `split`, `method`, `language` and `reason`, most frequent first."""
    filters: tuple[str, ...] = ()
    """As typed: `--split train`."""
    missing: tuple[str, ...] = ()
    """Stages that are not built for these settings."""
    not_rows: Mapping[str, int] = field(default_factory=dict)
    """What else was read and is not shown here, by kind: {"tasks": 2}."""
    hints: tuple[str, ...] = ()
    """Why nothing matches."""
    trails: Mapping[str, Trail] = field(default_factory=dict)
    """The way back of each shown row, when it was asked for."""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        rows = [
            row.as_dict()
            | ({"lineage": [ancestor.as_dict() for ancestor in self.trails[row.id]]} if row.id in self.trails else {})
            for row in self.rows
        ]
        return {
            "title": self.title,
            "total": self.total,
            "matching": self.matching,
            "offset": self.offset,
            "shown": len(rows),
            "filters": list(self.filters),
            "counts": {name: dict(values) for name, values in self.counts.items()},
            "missing_stages": list(self.missing),
            "not_rows": dict(self.not_rows),
            "hints": list(self.hints),
            "rows": rows,
        }


def _said(spec: RequirementSpec, language: str) -> str:
    from heedful.requirements import parse

    try:
        return parse(spec).say("zh" if language == "zh" else "en")
    except RequirementError:
        return canonical_json(spec.as_dict())
