"""Files in any known shape -> Examples, Preferences and Tasks, with a report of what was detected.

The shape of a file is that of its first good row. Reading stops at the first row that cannot be read, unless
`on_error="skip"` says to go on; then every skipped row is reported with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from heedful.errors import InputError
from heedful.project.progress import Silent, Watcher, steps
from heedful.records import Example, Preference, Task
from heedful.sources import (
    conversations,
    feedback_rows,
    natural_instructions,
    own_export,
    preferences,
    self_instruct,
    triples,
)
from heedful.sources.files import Located, load, locate
from heedful.sources.natural_instructions import TaskEncoding
from heedful.sources.reports import FileReport, ReadResult, Skipped, counted
from heedful.sources.rows import Row
from heedful.sources.tables import BadRow, read_table

Record = Example | Preference | Task
OnError = Literal["stop", "skip"]
SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt"})
"""What is read from a folder or a glob; a file that is named directly may have any extension."""

# The more fields a shape asks for, the earlier it is tried: a preference row may also hold messages.
_SHAPES = (own_export, feedback_rows, natural_instructions, preferences, conversations, self_instruct, triples)
_DEFINITION_AND_TWO = TaskEncoding()
_SILENT = Silent()
_KNOWN_SHAPES = (
    "instruction/output (Alpaca, 指令/输出), prompt/completion, question/answer, conversations (ShareGPT), messages, "
    "chosen/rejected, instruction/instances (Self-Instruct), definition/positive_examples/instances "
    "(Super-NaturalInstructions), our own export, or exported feedback"
)


def read_records(
    paths: str | Path | Sequence[str | Path],
    *,
    on_error: OnError = "stop",
    task_encoding: TaskEncoding = _DEFINITION_AND_TWO,
    watcher: Watcher = _SILENT,
) -> ReadResult:
    """Everything that `paths` (files, folders, globs, URLs) hold; raises InputError naming file, place and remedy."""
    if on_error not in ("stop", "skip"):
        raise InputError(f"on_error is {on_error!r}; expected 'stop' or 'skip'")
    files = locate(paths)
    records: list[Record] = []
    reports: list[FileReport] = []
    seen: dict[str, str] = {}
    with steps(watcher, "read files", len(files), "files") as progress:
        for located in files:
            if located.listed and located.suffix not in SUFFIXES:
                reason = (
                    f"files ending in {located.suffix or 'nothing'} hold no records; name the file itself to read it"
                )
                reports.append(FileReport(located.name, "", skipped=(Skipped("", reason),)))
            else:
                found, report = _read_file(located, on_error, task_encoding, seen)
                records += found
                reports.append(report)
            progress.advance(note=located.name)
    if not any(report.format for report in reports):
        raise InputError(
            f"none of the {len(reports)} files found holds records; expected {', '.join(sorted(SUFFIXES))}"
        )
    return ReadResult(
        [record for record in records if isinstance(record, Example)],
        [record for record in records if isinstance(record, Preference)],
        [record for record in records if isinstance(record, Task)],
        reports,
    )


@dataclass(slots=True)
class _Reading:
    """A file on its way into records."""

    name: str
    encoding: TaskEncoding
    seen: dict[str, str]
    """Id -> where it was first met, over all files."""
    shape: str = ""
    reader: Callable[[Row], Sequence[Record]] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    num_rating_only: int = 0

    def add(self, row: Row) -> None:
        """Read one row; nothing of it is kept when it raises."""
        if self.reader is None:
            self.shape, self.reader = _detect(row, self.encoding)
        records = self.reader(row)
        new: dict[str, str] = {}
        for record in records:
            first = self.seen.get(record.id) or new.get(record.id)
            if first:
                raise row.error(
                    "id",
                    f"names a record that was already read from {first}",
                    "give each row an id of its own, or remove the ids",
                )
            new[record.id] = f"{self.name}, {row.place}"
        self.seen.update(new)
        self.records += records
        self.num_rating_only += self.shape == feedback_rows.SHAPE and not records
        self.columns.update(row.taken)


def _read_file(
    located: Located, on_error: OnError, encoding: TaskEncoding, seen: dict[str, str]
) -> tuple[list[Record], FileReport]:
    table = read_table(load(located), located.name, located.suffix)
    reading = _Reading(located.name, encoding, seen)
    skipped: list[Skipped] = []
    num_rows = 0
    for row in table.rows:
        num_rows += 1
        try:
            if isinstance(row, BadRow):
                raise row.error
            reading.add(row)
        except InputError as error:
            # A file in no known shape would have every row skipped: that is not what skipping is for.
            if on_error == "stop" or (isinstance(row, Row) and reading.reader is None):
                raise
            skipped.append(Skipped(row.place, str(error).removeprefix(f"{located.name}, {row.place}: ")))
    if num_rows == 0:
        raise InputError(f"{located.name}: the file holds no rows; add some or leave the file out")
    if len(skipped) == num_rows:
        raise InputError(
            f"{located.name}: none of its {num_rows:,} rows can be read; {skipped[0].place}: {skipped[0].reason}"
        )
    report = FileReport(
        file=located.name,
        format=table.format,
        encoding=table.encoding,
        shape=reading.shape,
        columns=reading.columns,
        num_rows=num_rows,
        num_rating_only=reading.num_rating_only,
        skipped=tuple(skipped),
    )
    return reading.records, counted(report, reading.records)


def _detect(row: Row, encoding: TaskEncoding) -> tuple[str, Callable[[Row], Sequence[Record]]]:
    columns = list(row.values)
    for module in _SHAPES:
        name = module.shape(columns)
        if name and module is natural_instructions:
            return name, partial(natural_instructions.read, encoding=encoding)
        if name:
            reader: Callable[[Row], Sequence[Record]] = module.read
            return name, reader
    raise InputError(
        f"{row.file}, {row.place}: the columns {', '.join(map(repr, columns)) or '(none)'} fit no known shape; "
        f"expected one of: {_KNOWN_SHAPES}; rename the columns"
    )
