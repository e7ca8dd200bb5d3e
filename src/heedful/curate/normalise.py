"""Step: the same text in the same form everywhere (Unicode NFC, line ends, control characters, trailing space).

Ids stay, since an id says where the row came from; the content hash is computed afresh. Drops nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from daft import col

from heedful import text
from heedful.curate._frame import NORMALISED, Frame, per_example
from heedful.records import Example


def normalised(example: Example) -> Example:
    """The example with every message normalised."""
    return replace(example, messages=tuple(replace(m, content=text.normalize(m.content)) for m in example.messages))


def normalise(frame: Frame) -> Frame:
    """Normalise every message."""

    def columns(example: Example) -> dict[str, Any]:
        example = normalised(example)
        messages = [{"role": message.role, "content": message.content} for message in example.messages]
        return {"messages": messages, "content_hash": example.content_hash}

    frame = frame.with_column("normalised", per_example(columns, NORMALISED))
    parts = {name: col("normalised").get(name) for name in ("messages", "content_hash")}
    return frame.with_columns(parts).exclude("normalised")


def num_changed(before: Frame, after: Frame) -> int:
    """How many rows a step has changed the content of."""
    old = before.select("position", col("content_hash").alias("old_hash"))
    changed: int = after.join(old, on="position").where(col("content_hash") != col("old_hash")).count_rows()
    return changed
