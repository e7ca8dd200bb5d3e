"""Writes a view of rows as one HTML file that loads nothing and runs nothing, in English or Chinese."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from heedful.errors import InputError
from heedful.project.lineage import Ancestor
from heedful.report.page import render, write_page
from heedful.report.rows import DataRow, DataView
from heedful.text import is_unspaced

LANGUAGES = ("en", "zh")
_LONG = 700
"""Width of a text in letters beyond which it is folded up."""
_SHORT = 300
"""Width of the beginning that is shown of a folded text, lines permitting."""
_LINES = 5
_MARKS = {"train": "train", "validation": "validation", "test": "test", "no split": "open", "dropped": "dropped"}
"""Style class of each share of the rows: names from data never become class names."""


@dataclass(frozen=True, slots=True)
class _Text:
    """What somebody said; `preview` is the beginning of a long text, or empty."""

    role: str
    label: str
    text: str
    preview: str


def write_rows_page(path: Path, view: DataView, *, language: str = "") -> None:
    """Write the page; raises InputError for a language without words, or a file that is no page."""
    write_page(path, render_rows_page(view, language=language))


def render_rows_page(view: DataView, *, language: str = "") -> str:
    """The page as text; without a language, in that of most of its rows."""
    if language and language not in LANGUAGES:
        raise InputError(f"language of the page is {language!r}; expected {' or '.join(LANGUAGES)}")
    words = _words(language or _spoken(view))
    return render("rows", _values(view, words))


def _values(view: DataView, words: Mapping[str, str]) -> dict[str, Any]:
    shown_from, shown_to = view.offset + 1, view.offset + len(view.rows)
    return {
        "words": words,
        "view": view,
        "said": words["matching"].format(matching=f"{view.matching:,}", total=f"{view.total:,}"),
        "paging": words["paging"].format(first=f"{shown_from:,}", last=f"{shown_to:,}", matching=f"{view.matching:,}"),
        "is_part": len(view.rows) < view.matching,
        "besides": [words[f"besides_{kind}"].format(number=f"{count:,}") for kind, count in view.not_rows.items()],
        "shares": _shares(view.counts["split"], words),
        "counts": {name: view.counts[name] for name in ("method", "language", "reason") if view.counts[name]},
        "kinds": _kinds(view, words),
        "rows": [_row(row, view, number, words) for number, row in enumerate(view.rows, start=shown_from)],
    }


def _row(row: DataRow, view: DataView, number: int, words: Mapping[str, str]) -> dict[str, Any]:
    return {
        "number": number,
        "row": row,
        "mark": _MARKS[_kind(row)],
        "kind": words[_MARKS[_kind(row)]],
        "facts": [fact for fact in dict.fromkeys((row.method, row.task, row.language, *_origin(row))) if fact],
        "texts": [_text(role, text, words) for role, text in row.turns],
        "trail": [_step(ancestor, row) for ancestor in view.trails.get(row.id, ())],
    }


def _origin(row: DataRow) -> tuple[str, str]:
    return ", ".join(filter(None, (row.source, row.place))), row.record.license


def _text(role: str, text: str, words: Mapping[str, str]) -> _Text:
    # A Chinese character is as wide as two letters, and tells about as much.
    size = len(text) + sum(is_unspaced(character) for character in text)
    folded = size > _LONG or text.count("\n") > 3 * _LINES
    return _Text(role, words.get(f"role_{role}", role), text, _beginning(text, size) if folded else "")


def _beginning(text: str, size: int) -> str:
    """Of a text that is `size` letters wide."""
    start = text[: _SHORT * len(text) // size]
    lines = start.split("\n")
    if len(lines) > _LINES:
        return "\n".join(lines[:_LINES])
    head, space, tail = start.rpartition(" ")
    # Not in the middle of a word, if the word is one.
    return head if space and len(tail) < 20 else start


def _step(ancestor: Ancestor, row: DataRow) -> dict[str, Any]:
    node = ancestor.node
    return {"id": "" if node.id == row.id else node.id[:12], "stage": node.stage, "what": node.what}


def _kind(row: DataRow) -> str:
    return "dropped" if row.reason else row.split or "no split"


def _kinds(view: DataView, words: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the rows on the page can be narrowed to; nothing when they are all of one kind."""
    counts = Counter(_kind(row) for row in view.rows)
    kinds = [
        {"mark": mark, "label": words[mark], "number": counts[kind]} for kind, mark in _MARKS.items() if counts[kind]
    ]
    return kinds if len(kinds) > 1 else []


def _shares(counts: Mapping[str, int], words: Mapping[str, str]) -> list[dict[str, Any]]:
    """Parts of a bar of width 100, one for each split."""
    whole = sum(counts.values())
    shares, start = [], 0.0
    for kind, number in counts.items():
        width = 100 * number / whole
        mark = _MARKS[kind]
        shares.append({"mark": mark, "label": words[mark], "number": number, "start": start, "width": width})
        start += width
    return shares


def _spoken(view: DataView) -> str:
    num_chinese = sum(row.language == "zh" for row in view.rows)
    return "zh" if 2 * num_chinese > len(view.rows) else "en"


@cache
def _words(language: str) -> dict[str, str]:
    text = (resources.files("heedful.report") / "templates" / "rows_words.toml").read_text(encoding="utf-8")
    words: dict[str, str] = tomllib.loads(text)[language]
    return words
