"""Exported feedback (`heedful export --what feedback`) -> Example and Preference of each row with a correction.

The corrected answer is an Example, and it is preferred to the answer that the model gave. Ids follow from the
feedback's own id, so a row gives the same records from every export. A row without a correction says whether an answer
was liked: it gives no record, and the report counts it. A correction that repeats the answer gives no Preference.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from heedful.records import Example, Message, Preference, canonical_json, origin_id
from heedful.sources.conversations import as_messages
from heedful.sources.rows import Row, shown

SHAPE = "feedback"
_ORIGIN = "feedback"
"""The records' method and source: not the file, so that two exports of one row agree."""
_FIELDS = {"feedback": "id", "prompt": "messages", "answer": "rejected", "correction": "chosen"}
"""Columns that must be there, and what becomes of them."""
_TEXTS = ("conversation", "message", "model", "reason", "who", "when")
_ABOUT = (*_TEXTS, "rating", "sampling")
"""Columns that are kept together under `meta.feedback`."""


def shape(columns: Sequence[str]) -> str:
    """The shape's name for a file with these columns; empty when it is none of ours."""
    return SHAPE if set(columns) >= _FIELDS.keys() else ""


def read(row: Row) -> list[Example | Preference]:
    """The row's records, none when it only rates; every column is checked, for files are edited by hand."""
    row.taken.update(_FIELDS)
    row.taken.update({column: f"meta.feedback.{column}" for column in _ABOUT if column in row.values})
    id, answer, correction = (row.as_text(row.values[name], name) for name in ("feedback", "answer", "correction"))
    if not id:
        raise row.error("feedback", "is empty, expected the feedback's id", "export the file again")
    prompt = _prompt(row)
    about = _about(row)
    if not correction.strip():
        return []
    wrong = [{"output": answer, "reason": about.get("reason", "")}] if answer != correction else []
    example = row.example(
        (*prompt, Message("assistant", correction)),
        group=origin_id(_ORIGIN, f"conversation/{about.get('conversation') or id}"),
        more={"wrong": wrong, "feedback": about},
    )
    example = replace(example, id=origin_id(_ORIGIN, id), method=_ORIGIN, source=_ORIGIN)
    return [example, _preference(row, id, prompt, correction, answer, about)] if wrong else [example]


def _preference(
    row: Row, id: str, prompt: Sequence[Message], chosen: str, rejected: str, about: dict[str, object]
) -> Preference:
    preference = row.preference(prompt, chosen, rejected)
    return replace(
        preference,
        id=origin_id(_ORIGIN, f"{id}/preference"),
        decided_by="human",
        method=_ORIGIN,
        source=_ORIGIN,
        meta=canonical_json({**json.loads(preference.meta), "feedback": about}),
    )


def _prompt(row: Row) -> list[Message]:
    value = row.values["prompt"]
    if not isinstance(value, list):
        raise row.error("prompt", f"is {shown(value)}, expected a list of messages", "export the file again")
    return as_messages(row, value, "prompt")


def _about(row: Row) -> dict[str, object]:
    """What is known about the feedback, without what is empty."""
    about = {name: row.values[name] for name in _ABOUT if row.values.get(name) not in (None, "", {})}
    for name in _TEXTS:
        row.as_text(about.get(name, ""), name)
    rating = about.get("rating", 0)
    if isinstance(rating, bool) or rating not in (-1, 0, 1):
        raise row.error("rating", f"is {shown(rating)}", "write 1, -1, or 0 for none")
    if not isinstance(about.get("sampling", {}), dict):
        raise row.error("sampling", f"is {shown(about['sampling'])}, expected an object", "write {}")
    return about
