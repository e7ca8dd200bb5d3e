"""Examples in the formats that other tools train on; what a format cannot hold is refused with a reason, never bent.

parquet and jsonl hold everything and come back through `heedful import` as they were. alpaca and sharegpt hold the words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from heedful.pipeline.standalone import save
from heedful.records import EXAMPLE_SCHEMA, Example

Row = dict[str, Any]

_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}
_BAD_EXAMPLE = "weight 0: kept as a bad example, which training in this format would learn"


@dataclass(frozen=True, slots=True)
class DataFormat:
    """How rows are written, and which are not."""

    suffix: str
    features: Sequence[Mapping[str, Any]]
    """Columns with their types as the hub writes them: what is empty in one file has a type all the same."""
    write: Callable[[Path, Sequence[Example]], None]
    refuse: Callable[[Example], str] = lambda example: ""
    """Why this row cannot be held; empty when it can."""
    left_out: str = ""
    """Which columns the format has no place for, in words."""


def _hub_feature(name: str, kind: pa.DataType) -> Row:
    """An Arrow column as it stands under `dataset_info` in a dataset card."""
    if not pa.types.is_list(kind):
        return {"name": name, "dtype": "float64" if pa.types.is_floating(kind) else "string"}
    if not pa.types.is_struct(kind.value_type):
        return {"name": name, "sequence": "string"}
    return {"name": name, "list": [_hub_feature(field.name, field.type) for field in kind.value_type]}


# -- alpaca ----------------------------------------------------------------------------------------------------


def _refuse_alpaca(example: Example) -> str:
    roles = [message.role for message in example.messages]
    if roles[:1] == ["system"]:
        return "a system message"
    if roles != ["user", "assistant"]:
        return "several turns" if roles.count("assistant") > 1 else f"turns of {', '.join(roles) or 'nobody'}"
    return "" if example.weight else _BAD_EXAMPLE


def _alpaca(example: Example) -> Row:
    """Instruction and input apart where the row still knows them, and the message was not edited since."""
    asked = example.messages[0].content
    instruction, given = example.meta_value("instruction"), example.meta_value("input")
    if not (isinstance(given, str) and given and asked == f"{instruction}\n\n{given}"):
        instruction, given = asked, ""
    return {"instruction": instruction, "input": given, "output": example.answer}


# -- sharegpt --------------------------------------------------------------------------------------------------


def _refuse_sharegpt(example: Example) -> str:
    return "" if example.weight else _BAD_EXAMPLE


def _sharegpt(example: Example) -> Row:
    turns = [{"from": _SPEAKERS[message.role], "value": message.content} for message in example.messages]
    return {"id": example.id, "conversations": turns}


# -- all -------------------------------------------------------------------------------------------------------


def _lines_of(row_of: Callable[[Example], Row]) -> Callable[[Path, Sequence[Example]], None]:
    def write(path: Path, examples: Iterable[Example]) -> None:
        write_lines(path, map(row_of, examples))

    return write


def write_lines(path: Path, rows: Iterable[Row]) -> None:
    """JSON Lines, characters as they are."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


_OURS = [_hub_feature(field.name, field.type) for field in EXAMPLE_SCHEMA]
_PROVENANCE = "sources, licences, methods, languages, requirements and weights other than 0 and 1"

FORMATS: Mapping[str, DataFormat] = {
    "parquet": DataFormat(".parquet", _OURS, save),
    "jsonl": DataFormat(".jsonl", _OURS, save),
    "alpaca": DataFormat(
        ".jsonl",
        [{"name": name, "dtype": "string"} for name in ("instruction", "input", "output")],
        _lines_of(_alpaca),
        _refuse_alpaca,
        f"ids, {_PROVENANCE}",
    ),
    "sharegpt": DataFormat(
        ".jsonl",
        [
            {"name": "id", "dtype": "string"},
            {
                "name": "conversations",
                "list": [{"name": "from", "dtype": "string"}, {"name": "value", "dtype": "string"}],
            },
        ],
        _lines_of(_sharegpt),
        _refuse_sharegpt,
        _PROVENANCE,
    ),
}
