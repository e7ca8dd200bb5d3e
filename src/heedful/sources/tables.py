"""A file's bytes -> rows. What the file is shows in its content; its extension only breaks ties.

JSON Lines, JSON (an array, an object that holds one under `data`, or a single object), CSV, TSV, Parquet, and text
blocks (`text_blocks.py`). A row that cannot be parsed comes as a BadRow where the rows after it still can be.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from heedful.errors import InputError
from heedful.sources import text_blocks
from heedful.sources.encodings import decode
from heedful.sources.rows import Row, known_fields

WRAPPERS = ("data", "rows", "examples")
"""Keys of an object under which the array of rows may lie."""

_FOREIGN = {
    b"%PDF": "a PDF file: documents go to the documents folder",
    b"PK\x03\x04": "a zip or Office file: unpack it, or put documents into the documents folder",
    b"\xd0\xcf\x11\xe0": "an old Office file: save it as CSV",
    b"SQLite format 3\0": "an SQLite database: export the table as CSV",
    b"ARROW1": "an Arrow file: save it as Parquet",
    b"BZh": "a bzip2 file: unpack it first",
    b"\xfd7zXZ": "an xz file: unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstd file: unpack it first",
}
_KNOWN = "JSON Lines, JSON, CSV, TSV, Parquet, or text blocks such as 'Instruction: ...' / 'Output: ...'"
_SPACE = re.compile(r"[ \t\r\n]*")
_CELL_CHARACTERS = 1 << 30
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be parsed."""

    place: str
    error: InputError


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one file, and how it was read."""

    format: str
    encoding: str
    rows: Iterator[Row | BadRow]


def read_table(data: bytes, name: str, suffix: str = "") -> Table:
    """Rows of the file `name`; `suffix` (`.csv`) is asked only when the content fits several formats."""
    if data.startswith(b"PAR1"):
        return Table("parquet", "", _parquet(data, name))
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise InputError(f"{name}: this is {what}; expected {_KNOWN}")
    decoded = decode(data, name)
    text = decoded.text
    if not text.strip():
        raise InputError(f"{name}: the file is empty; expected {_KNOWN}")
    if text.lstrip()[0] in "[{":
        format, rows = _json(text, name, suffix)
        return Table(format, decoded.encoding, rows)
    delimiter = "" if text_blocks.begins(text) and suffix not in (".csv", ".tsv") else _delimiter(text, suffix)
    if not delimiter and text_blocks.occurs(text):
        return Table("text", decoded.encoding, _blocks(text, name))
    if delimiter:
        return Table("tsv" if delimiter == "\t" else "csv", decoded.encoding, _delimited(text, name, delimiter))
    if suffix in (".jsonl", ".json", ".ndjson"):
        first = text.lstrip().splitlines()[0]
        raise InputError(
            f"{name}, line {_line(text, first)}: expected '{{' or '[', got {first[:_SHOWN]!r}; write one JSON object a line"
        )
    raise InputError(f"{name}: cannot tell what this is; expected {_KNOWN}; the text begins {text.strip()[:_SHOWN]!r}")


# -- JSON -----------------------------------------------------------------------------------------------------


def _json(text: str, name: str, suffix: str) -> tuple[str, Iterator[Row | BadRow]]:
    start = _skip_space(text, 0)
    if text[start] == "[":
        return "json", _array(text, name, start)
    first, _, rest = text[start:].partition("\n")
    if rest.strip() and (_is_object(first) or (suffix in (".jsonl", ".ndjson") and rest.lstrip().startswith("{"))):
        return "jsonl", _lines(text, name)
    if suffix in (".jsonl", ".ndjson") and not rest.strip():
        return "jsonl", _lines(text, name)
    return "json", _object(text, name, start)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _lines(text: str, name: str) -> Iterator[Row | BadRow]:
    number = 0
    # Only a line feed ends a line of JSON Lines: U+2028 may stand inside a string.
    for line_number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        number += 1
        try:
            yield _row_of(_parse(line), name, number, line_number)
        except ValueError as error:
            place = f"line {line_number}"
            yield BadRow(place, InputError(f"{name}, {place}: {_broken(error, line)}; {_REPAIR}"))


_REPAIR = "repair or remove the line (is the file cut off?), or leave bad rows out with on_error='skip'"


def _array(text: str, name: str, start: int) -> Iterator[Row | BadRow]:
    """Elements one by one, so that an error names the line where its element begins."""
    position = _skip_space(text, start + 1)
    number, line, counted = 0, 1, 0
    closed = text[position : position + 1] == "]"
    while not closed:
        number += 1
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, position = _parse_at(text, position)
        except ValueError as error:
            _stop(name, line, error, text[position : position + _SHOWN])
        yield _row_of(value, name, number, line)
        position = _skip_space(text, position)
        mark = text[position : position + 1]
        if mark not in (",", "]"):
            at = line + text.count("\n", counted, position)
            got = repr(mark) if mark else "the end of the file"
            raise InputError(
                f"{name}, line {at}: expected ',' or ']' after element {number}, got {got}; repair it (is the file cut off?)"
            )
        closed = mark == "]"
        position = _skip_space(text, position + 1)
    if number == 0:
        position = _skip_space(text, position + 1)
    if position < len(text):
        at = text.count("\n", 0, position) + 1
        raise InputError(
            f"{name}, line {at}: text after the closing ']' ({text[position : position + _SHOWN]!r}); remove it"
        )


def _row_of(value: Any, name: str, number: int, line: int | None) -> Row | BadRow:
    row = Row(name, number, line, {})
    try:
        row.values = _as_object(value, name, row.place)
    except InputError as error:
        return BadRow(row.place, error)
    return row


def _object(text: str, name: str, start: int) -> Iterator[Row | BadRow]:
    """A single object: one that wraps an array of rows, or one row (a task file)."""
    line = text.count("\n", 0, start) + 1
    try:
        value = _parse(text)
    except json.JSONDecodeError as error:
        broken = text.splitlines()[error.lineno - 1] if error.pos < len(text) else ""
        _stop(name, error.lineno, error, broken or "the end of the file")
    except ValueError as error:
        _stop(name, line, error, text[start : start + _SHOWN])
    wrapper = next((key for key in WRAPPERS if isinstance(value.get(key), list)), None)
    if wrapper is None:
        yield Row(name, 1, line, value)
        return
    for number, item in enumerate(value[wrapper], start=1):
        yield _row_of(item, name, number, None)


def _parse(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _parse_at(text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _as_object(value: Any, name: str, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(
            f"{name}, {place}: expected an object with named fields, got {str(value)[:_SHOWN]!r}; write {{...}}"
        )
    return value


def _broken(error: ValueError, text: str) -> str:
    reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
    return f"not valid JSON ({reason}): {text.strip()[:_SHOWN]!r}"


def _stop(name: str, line: int, error: ValueError, text: str) -> NoReturn:
    raise InputError(f"{name}, line {line}: {_broken(error, text)}; repair it (is the file cut off?)") from None


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _line(text: str, part: str) -> int:
    return text.count("\n", 0, text.find(part)) + 1


# -- text blocks, CSV, TSV, Parquet ----------------------------------------------------------------------------------------


def _blocks(text: str, name: str) -> Iterator[Row | BadRow]:
    for number, block in enumerate(text_blocks.split(text, name), start=1):
        row = Row(name, number, block.line, block.fields)
        yield BadRow(row.place, InputError(f"{name}, {row.place}: {block.problem}")) if block.problem else row


def _delimiter(text: str, suffix: str) -> str:
    """The delimiter whose header names the most known fields; that of the extension when none does."""
    header = text.lstrip("\n\r").splitlines()[0]
    counts = {mark: len(known_fields([cell.strip().strip('"') for cell in header.split(mark)])) for mark in ",\t;"}
    best = max(counts, key=lambda mark: counts[mark])
    if counts[best] >= 2 or (counts[best] and suffix in (".csv", ".tsv")):
        return best
    return {".csv": ",", ".tsv": "\t"}.get(suffix, "")


def _delimited(text: str, name: str, delimiter: str) -> Iterator[Row | BadRow]:
    # `newline=""` semantics: line breaks inside quoted cells must reach the parser as they are.
    lines = iter(re.findall(r"[^\n]*\n|[^\n]+$", text))
    previous = csv.field_size_limit(_CELL_CHARACTERS)
    try:
        records = list(_records(csv.reader(lines, delimiter=delimiter, strict=True), name))
    finally:
        csv.field_size_limit(previous)
    # Tables that pandas wrote have a first column without a name.
    header = [cell.strip() or f"column {index}" for index, cell in enumerate(records[0][1], start=1)]
    if len(set(header)) < len(header):
        raise InputError(
            f"{name}, line 1: the header repeats a column: {', '.join(header)}; give each a name of its own"
        )
    for number, (line, cells) in enumerate(records[1:], start=1):
        if len(cells) != len(header):
            yield BadRow(
                f"line {line}",
                InputError(
                    f"{name}, line {line}: {len(cells)} cells, expected {len(header)} ({', '.join(header)}); put cells that "
                    f"hold a {delimiter!r} or a line break in quotes"
                ),
            )
        else:
            yield Row(name, number, line, dict(_filled(header, cells)))


def _filled(header: list[str], cells: list[str]) -> Iterator[tuple[str, str]]:
    """An empty cell means that the field is absent, except for an answer, which may be empty."""
    answer = known_fields(header).get("output")
    return ((column, cell) for column, cell in zip(header, cells, strict=True) if cell or column == answer)


def _records(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """(line where the record begins, cells); blank lines are left out."""
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{name}, line {line}: not valid CSV ({error}); close the quotes of the cell that begins there"
        ) from None


def _parquet(data: bytes, name: str) -> Iterator[Row | BadRow]:
    try:
        table = pq.read_table(pa.BufferReader(data))
        values = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"{name}: damaged Parquet file ({reason}); copy or write it again") from None
    for number, value in enumerate(values, start=1):
        yield Row(name, number, None, value)
