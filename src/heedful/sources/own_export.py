"""Our own Examples, as JSON Lines or Parquet, -> the same Examples: ids, parents and splits are kept as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from heedful.records import EXAMPLE_SCHEMA, ROLES, SPLITS, Example, canonical_json, example_from_row, example_to_row
from heedful.sources.rows import Row, shown

_TEXTS = ("id", "method", "source", "task", "language", "license", "split")
_OURS = {"messages", "method", "source", "parents"}
"""Columns that no other shape has together."""


def shape(columns: Sequence[str]) -> str:
    """The shape's name for a file with these columns; empty when it is none of ours."""
    return "heedful" if set(columns) >= _OURS else ""


def to_jsonl(examples: Iterable[Example]) -> str:
    """JSON Lines that `read` turns back into equal examples."""
    return "".join(f"{canonical_json(example_to_row(example))}\n" for example in examples)


def read(row: Row) -> list[Example]:
    """The row's Example; every column is checked, for files are edited by hand."""
    values = dict(row.values)
    for column in EXAMPLE_SCHEMA.names:
        if column == "content_hash":
            continue
        if values.get(column) is None:
            raise row.error(column, "is missing", "export the file again")
        row.taken[column] = column
    row.taken["content_hash"] = "content_hash"
    for column in _TEXTS:
        row.as_text(values[column], column)
    if values["split"] not in ("", *SPLITS):
        raise row.error("split", f"is {values['split']!r}", f"write one of {', '.join(SPLITS)}, or leave it empty")
    if isinstance(values["weight"], bool) or not isinstance(values["weight"], int | float):
        raise row.error("weight", f"is {shown(values['weight'])}, expected a number", "write 1.0")
    values["weight"] = float(values["weight"])
    values["messages"] = [_message(row, item, index) for index, item in enumerate(row.structured("messages", list))]
    if not isinstance(values["parents"], list):
        raise row.error(
            "parents", f"is {shown(values['parents'])}, expected a list of ids", "write [] when there are none"
        )
    values["parents"] = [row.as_text(parent, "parents") for parent in values["parents"]]
    # Both are JSON text in our files; a hand-written list or object is as good.
    values["requirements"] = canonical_json([spec.as_dict() for spec in row.requirements()])
    values["meta"] = canonical_json(_meta(row, values["meta"]))
    return [example_from_row(values)]


def _message(row: Row, item: Any, index: int) -> dict[str, str]:
    name = f"messages[{index}]"
    if not isinstance(item, Mapping) or item.get("role") not in ROLES:
        raise row.error(name, f"is {shown(item)}", f"write an object with a role ({', '.join(ROLES)}) and a content")
    return {"role": str(item["role"]), "content": row.as_text(item.get("content"), f"{name}.content")}


def _meta(row: Row, value: Any) -> dict[str, Any]:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise row.error("meta", f"is {shown(value)}, expected an object", "write {} when there is nothing to say")
    return parsed
