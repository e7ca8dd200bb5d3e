"""Rows of files -> prompts to answer; what cannot be asked is returned as well, with file, line, field and reason.

A row has an `instruction` (and `input`, `system`, `history`), a `prompt`, or `messages`; or it is anything that
`sources` reads as examples, whose answers are left out. A row may have an `id` and `requirements`.

Requirements are said at the end of the instruction, those that it states itself excepted. Only those of a row that has an answer are not: such a row is an
example, and its own words say them already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from heedful.errors import InputError
from heedful.pipeline.answering import prompt_of
from heedful.pipeline.asking import Asked
from heedful.pipeline.requiring import Read
from heedful.records import Example, Message, RequirementSpec
from heedful.requirements import conflicts
from heedful.sources import natural_instructions, own_export, preferences, self_instruct
from heedful.sources.conversations import as_messages, turns
from heedful.sources.files import Located, load, locate
from heedful.sources.records_reader import SUFFIXES
from heedful.sources.rows import Row, known_fields, message_input, without_placeholder
from heedful.sources.tables import BadRow, read_table
from heedful.sources.triples import history

# What `sources` says to those who read files from Python.
_OTHER_REMEDY = ", or leave bad rows out with on_error='skip'"


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A prompt, as it is asked."""

    number: int
    """Position among the rows of all files, bad ones included."""
    place: str
    """`prompts.jsonl, line 3`."""
    id: str
    messages: tuple[Message, ...]
    requirements: tuple[RequirementSpec, ...]
    """What its answers must keep."""
    read: tuple[Read, ...]
    """Those of them that the instruction states by itself."""
    values: Mapping[str, Any]
    """The row as it was read."""

    def bad(self, reason: str) -> BadPrompt:
        """The same row, as one that cannot be answered."""
        return BadPrompt(self.number, f"{self.place}: {reason}", self.values)


@dataclass(frozen=True, slots=True)
class BadPrompt:
    """A row that cannot be answered."""

    number: int
    reason: str
    """Begins with file and line."""
    values: Mapping[str, Any] | None = None
    """The row as it was read; None when it could not even be parsed."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A prompt before its requirements are said, which happens in the user's last message."""

    id: str
    messages: Sequence[Message]
    input: str | None = None
    """What follows that message, behind the requirements; None for a whole conversation."""
    own: tuple[RequirementSpec, ...] = ()
    is_example: bool = False


def read_prompts(
    paths: Sequence[str], asked: Asked, *, forbidden: Sequence[Path] = ()
) -> tuple[list[PromptRow], list[BadPrompt]]:
    """All prompts of `paths` and all rows that are none, in order; raises InputError for files that are no tables.

    The requirements of `asked` hold for every row, worded as its seed draws. None of `forbidden` may be among the files.
    """
    rows: list[PromptRow] = []
    bad: list[BadPrompt] = []
    number = 0
    for located in _located(paths, forbidden):
        for row in read_table(load(located), located.name, located.suffix).rows:
            try:
                if isinstance(row, BadRow):
                    raise row.error
                found = [_finished(row, draft, asked) for draft in _drafts(row)]
            except InputError as error:
                values = row.values if isinstance(row, Row) else None
                bad.append(BadPrompt(number, str(error).replace(_OTHER_REMEDY, ""), values))
                number += 1
            else:
                rows += [replace(prompt, number=number + place) for place, prompt in enumerate(found)]
                number += len(found)
    if not number:
        raise InputError(f"{', '.join(paths)}: no rows there; add some")
    return rows, bad


def _located(paths: Sequence[str], forbidden: Sequence[Path]) -> list[Located]:
    found = [located for located in locate(paths) if not located.listed or located.suffix in SUFFIXES]
    if not found:
        raise InputError(
            f"no file there ends in one of {', '.join(sorted(SUFFIXES))}; name a file to read it all the same"
        )
    ours = {str(path.resolve()): path for path in forbidden}
    for located in found:
        if located.address in ours:
            raise InputError(
                f"{ours[located.address]} would be read and written; write the answers to another folder, or name the "
                "files to read one by one"
            )
    return found


def _drafts(row: Row) -> Iterator[_Draft]:
    """The prompts of one row; more than one where a row holds a task and its examples."""
    columns = list(row.values)
    fields = known_fields(columns)
    if own_export.shape(columns):
        yield from map(_of_example, own_export.read(row))
    elif natural_instructions.shape(columns) or self_instruct.shape(columns):
        read = (
            self_instruct.read
            if self_instruct.shape(columns)
            else partial(natural_instructions.read, encoding=natural_instructions.TaskEncoding())
        )
        yield from (_of_example(record) for record in read(row) if isinstance(record, Example))
    elif preferences.shape(columns):
        yield _Draft(_id(row), preferences.read(row)[0].prompt, own=row.requirements(), is_example=True)
    elif "messages" in fields or "conversations" in fields:
        yield _of_conversation(row, turns(row))
    elif isinstance(row.take("instruction", None), list):
        asked = as_messages(row, row.take("instruction"), "prompt")
        yield _of_conversation(row, [*row.system(), *asked])
    else:
        yield _of_instruction(row)


def _of_example(example: Example) -> _Draft:
    return _Draft(example.id, example.prompt, own=example.requirements, is_example=True)


def _of_conversation(row: Row, messages: list[Message]) -> _Draft:
    answer = messages.pop().content if messages and messages[-1].role == "assistant" else ""
    return _Draft(_id(row), messages, own=row.requirements(), is_example=bool(answer))


def _of_instruction(row: Row) -> _Draft:
    instruction, input = row.text("instruction"), without_placeholder(row.text("input", ""))
    if not message_input(instruction, input).strip():
        raise row.error("instruction", "is empty", "write what is to be answered, or leave the row out")
    messages = [*row.system(), *history(row), Message("user", instruction)]
    return _Draft(_id(row), messages, input, own=row.requirements(), is_example=bool(row.take("output", "")))


def _id(row: Row) -> str:
    """The id that the row bears, or where it stands."""
    return f"{row.file}:{row.number}" if row.take("id", None) in (None, "") else row.key()


def _finished(row: Row, draft: _Draft, asked: Asked) -> PromptRow:
    """The prompt with its requirements said."""
    roles = [message.role for message in draft.messages]
    if "user" not in roles or roles[-1] in ("assistant", "system"):
        raise row.error("messages", "holds nothing to answer", "end it with a message of the user")
    if found := conflicts((*draft.own, *asked.requirements)):
        raise row.error(
            "requirements", f"cannot be kept together: {'; '.join(found)}", "drop one of each, or leave the row out"
        )
    last = max(place for place, role in enumerate(roles) if role == "user")
    wanted = asked.wanted(draft.messages[last].content, draft.own)
    # An example's own words say its own requirements already.
    said = asked.requirements if draft.is_example else wanted.said
    return PromptRow(
        number=0,
        place=f"{row.file}, {row.place}",
        id=draft.id,
        messages=tuple(_said(draft, last, said, asked.sampling.seed)),
        requirements=wanted.all,
        read=wanted.read,
        values=row.values,
    )


def _said(draft: _Draft, last: int, requirements: tuple[RequirementSpec, ...], seed: int) -> list[Message]:
    """The messages, with what is required said in the user's `last` one."""
    messages = list(draft.messages)
    # A conversation goes as it is when there is nothing to add.
    if requirements or draft.input is not None:
        content = prompt_of(messages[last].content, draft.input or "", requirements, seed=seed)
        messages[last] = Message("user", content)
    return messages
