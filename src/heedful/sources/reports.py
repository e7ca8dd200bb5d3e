"""What was read and how: one FileReport a file, and the ReadResult that holds records and reports together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from heedful.records import Example, Preference, Task

MAXIMUM_SKIPPED_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row, page or file that was left out, and why."""

    place: str
    """`line 12`, `row 7`, `page 3`; empty when it is the whole file."""
    reason: str


@dataclass(frozen=True, slots=True)
class FileReport:
    """How one file was read."""

    file: str
    """Logical name (see `files.py`)."""
    format: str
    """`jsonl`, `json`, `csv`, `tsv`, `parquet`, `text`, `markdown`, `html`, `pdf`, `docx`; empty when it was not read."""
    encoding: str = ""
    """Empty for binary formats."""
    shape: str = ""
    """How rows were understood: `alpaca`, `sharegpt` ...; `document` for documents."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column of the file -> field of the record; columns without a field of their own go to `meta.extra`."""
    num_rows: int = 0
    """Rows seen, skipped ones included; sections of a document."""
    num_records: int = 0
    """Records made: a row may hold several, or a task and its examples."""
    num_with_input: int = 0
    num_with_system: int = 0
    num_multi_turn: int = 0
    num_empty_answers: int = 0
    num_undesirable: int = 0
    """Rows labelled as bad answers (KTO); they get weight 0."""
    num_rating_only: int = 0
    """Rows of feedback without a correction: nothing to learn from but that an answer was liked or not."""
    languages: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()

    def describe(self) -> str:
        """A few lines for a terminal."""
        if not self.format:
            return f"{self.file}: not read: {self.skipped[0].reason}"
        unit = "section" if self.shape == "document" else "row"
        how = ", ".join(part for part in (self.format, self.encoding) if part)
        lines = [f"{self.file}: {_several(self.num_rows, unit)} read as {self.shape} ({how})"]
        if self.num_records not in (0, self.num_rows):
            lines[0] += f", {_several(self.num_records, 'record')}"
        if self.columns:
            lines.append("  " + ", ".join(f"{column} -> {field}" for column, field in self.columns.items()))
        lines += [f"  {text}" for text in (self._counts(), self._ratings(), self._languages()) if text]
        lines += [f"  skipped {skipped.place}: {skipped.reason}" for skipped in self.skipped[:MAXIMUM_SKIPPED_SHOWN]]
        if len(self.skipped) > MAXIMUM_SKIPPED_SHOWN:
            lines.append(f"  skipped {len(self.skipped):,} in all")
        return "\n".join(lines)

    def _counts(self) -> str:
        counts = {
            "with an input": self.num_with_input,
            "with a system message": self.num_with_system,
            "of several turns": self.num_multi_turn,
            "with an empty answer": self.num_empty_answers,
            "labelled undesirable (weight 0)": self.num_undesirable,
        }
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)

    def _ratings(self) -> str:
        says = "says" if self.num_rating_only == 1 else "say"
        return f"{_several(self.num_rating_only, 'row')} {says} only a rating" if self.num_rating_only else ""

    def _languages(self) -> str:
        order = sorted(self.languages.items(), key=lambda item: (-item[1], item[0]))
        return "languages: " + ", ".join(f"{name or 'unknown'} {count:,}" for name, count in order) if order else ""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Everything that was read, in the order of the files and their rows."""

    examples: list[Example]
    preferences: list[Preference]
    tasks: list[Task]
    report: list[FileReport]

    def describe(self) -> str:
        """The reports as text for a terminal, with a line of totals."""
        counts = {"example": len(self.examples), "preference": len(self.preferences), "task": len(self.tasks)}
        parts = [_several(count, noun) for noun, count in counts.items() if count]
        num_read = sum(1 for report in self.report if report.format)
        total = f"{', '.join(parts) or 'nothing'} from {_several(num_read, 'file')}"
        return "\n".join([*(report.describe() for report in self.report), total])


def _several(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def counted(report: FileReport, records: list[Example | Preference | Task]) -> FileReport:
    """The report with the counts that follow from its records."""
    conversations = [record for record in records if isinstance(record, Example)]
    prompts = [record.messages for record in conversations]
    prompts += [record.prompt for record in records if isinstance(record, Preference)]
    languages = Counter(record.language for record in records if not isinstance(record, Task))
    return replace(
        report,
        num_records=len(records),
        num_with_input=sum(bool(example.meta_value("input")) for example in conversations),
        num_with_system=sum(any(m.role == "system" for m in messages) for messages in prompts),
        num_multi_turn=sum(sum(m.role == "user" for m in messages) > 1 for messages in prompts),
        num_empty_answers=sum(not example.answer.strip() for example in conversations),
        num_undesirable=sum(example.weight == 0 for example in conversations),
        languages=dict(sorted(languages.items())),
    )
