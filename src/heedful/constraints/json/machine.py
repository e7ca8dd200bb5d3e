"""An answer that must be one JSON value, valid against a schema: followed character by character, with an end always in sight.

Several readings of what is written may be possible at once (`anyOf`); each is a cursor, and the answer goes on while one of them
does. Where a schema needs checks on finished values, no character is taken before a whole valid answer that begins so was found.

What is not promised: everything that the schema allows. Spelling is narrower (one way to write listed values, little white space,
no exponents within bounds), and so is what is hard to follow. What is accepted is valid: `accepts` asks jsonschema itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from heedful.constraints.forms import Missing
from heedful.constraints.json.effort import Effort
from heedful.constraints.json.endings import Budget, first_ending
from heedful.constraints.json.fitting import fitting
from heedful.constraints.json.literals import LiteralCursor
from heedful.constraints.json.loops import refuse_loops
from heedful.constraints.json.numbers import NumberCursor
from heedful.constraints.json.parts import Document
from heedful.constraints.json.remaining import fields_from
from heedful.constraints.json.root import RootCursor, start_cursors
from heedful.constraints.json.shape import Cursor
from heedful.constraints.json.shapes import make_shapes
from heedful.constraints.json.slots import slots
from heedful.constraints.json.strings import StringCursor
from heedful.constraints.json.value import Grammar
from heedful.constraints.machine import Completion
from heedful.constraints.machine import State as AnyState
from heedful.errors import RequirementError
from heedful.requirements import schemas
from heedful.requirements.strict_json import JsonProblemError, read_strictly
from heedful.requirements.wording import shorten

_MAX_CURSORS = 128
"""Readings that are followed at once; more are left out."""
_MAX_SECONDS = 1.5
"""Processor time for finding a first valid document; only hostile schemas need more than a tenth of it."""
_MAX_FITTED = 2
"""Readings that are filled with what others miss."""
_MAX_ENDINGS = 4096
"""Places of which the shortest end is remembered."""
_FENCED = re.compile(r"```(?:json)?\n(.*)\n```\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class JsonState:
    """What is written, how it may be read, and what would end it, where that had to be found already."""

    text: str
    cursors: tuple[Cursor, ...]
    rest: str | None = None


class JsonMachine:
    """Reads one JSON value that is valid against `schema`; for one thread at a time, as it learns while it reads.

    Raises RequirementError, in words, for what is no schema, and when no valid answer was found within the limits.
    """

    def __init__(self, schema: Any, allow_code_fence: bool = False) -> None:
        try:
            schemas.check_schema(schema)
            self._document = Document(schema)
            refuse_loops(self._document)
            self._grammar = Grammar(make_shapes)
            self._root = self._grammar.node(frozenset({self._document.root}))
            self._document.deadline = time.thread_time() + _MAX_SECONDS
            shortest = self._root.shortest
            self._document.deadline = None
        except ValueError as error:
            raise RequirementError(f"the schema cannot be followed: {error}") from None
        except RecursionError:
            raise RequirementError("the schema cannot be followed: it is nested too deeply") from None
        if shortest is None or not self._is_valid(shortest):
            raise RequirementError(f"no document that satisfies the schema was found: {shorten(str(schema), 120)}")
        self._start = JsonState("", start_cursors(self._root, allow_code_fence))
        self.effort = Effort(self._document)
        """What checks of an answer take."""
        self._endings: dict[Hashable, str | None] = {}

    def start(self) -> JsonState:
        """Before the first character."""
        return self._start

    def step(self, state: AnyState, text: str) -> JsonState | None:
        """After `text`; None when no valid answer that begins so was found."""
        assert isinstance(state, JsonState)
        whole = state.text + text
        cursors, rest = state.cursors, state.rest
        at = len(state.text)
        while at < len(whole):
            if len(cursors) == 1 and isinstance(cursors[0], StringCursor):
                ahead, at = cursors[0].run(whole, at)
                if ahead is not cursors[0]:
                    cursors, rest = (ahead,), None
                    continue
            character = whole[at]
            cursors = advance(cursors, character, whole, at)
            at += 1
            if not cursors:
                return None
            if not all(cursor.is_checked for cursor in cursors):
                rest = None
            elif rest and rest[0] == character:
                rest = rest[1:]
            else:
                rest = _first_ending(cursors, whole[:at])
                if rest is None:
                    return None
        return JsonState(whole, cursors, rest)

    def accepts(self, state: AnyState) -> bool:
        """Whether the answer is complete and valid."""
        assert isinstance(state, JsonState)
        if not any(_may_end(cursor) for cursor in state.cursors):
            return False
        return self._is_answer(state.text)

    def completions(self, state: AnyState) -> Iterator[Completion]:
        """The shortest way found, which is valid; then others with a place for free text in a string."""
        assert isinstance(state, JsonState)
        rest = state.rest if state.rest is not None else _first_ending(state.cursors, state.text)
        if rest is None:
            return
        yield Completion(rest)
        for cursor in state.cursors[:4]:
            yield from slots(cursor, state.text, lambda rest: self._ends(state, rest))

    def ending(self, state: AnyState) -> str | None:
        """The first of `completions`, where the schema alone tells that the answer is valid then; None where it has to be tried.

        That is so where no value under way has checks, and a check of the whole would not stop half way.
        """
        assert isinstance(state, JsonState)
        rest = self.ending_from(state.cursors)
        return rest if rest is not None and self.effort.is_small(state.text, rest) else None

    def ending_from(self, cursors: Sequence[Cursor]) -> str | None:
        """The shortest way to end, whatever is written; None where that matters."""
        if any(cursor.is_checked for cursor in cursors):
            return None
        places = tuple([cursor.place() for cursor in cursors])
        if places not in self._endings:
            if len(self._endings) >= _MAX_ENDINGS:
                self._endings.clear()
            self._endings[places] = _first_ending(cursors, "")
        return self._endings[places]

    def fitting(self, state: AnyState, missing: Missing, words: Sequence[str]) -> Iterator[Completion]:
        """Ways that also bring what others miss. `missing` tells what that is behind a text; `words` are to fill with."""
        assert isinstance(state, JsonState)
        for cursor in state.cursors[:_MAX_FITTED]:
            yield from fitting(fields_from(cursor, state.text), missing, words, lambda rest: self._ends(state, rest))

    def _ends(self, state: JsonState, rest: str) -> bool:
        after = self.step(state, rest)
        return after is not None and self.accepts(after)

    def _is_answer(self, text: str) -> bool:
        fenced = _FENCED.fullmatch(text)
        return self._is_valid(fenced[1] if fenced else text)

    def _is_valid(self, text: str) -> bool:
        try:
            return not schemas.problems(self._document.validator, read_strictly(text))
        except (JsonProblemError, schemas.UncheckableError):
            return False


def advance(cursors: tuple[Cursor, ...], character: str, text: str, at: int) -> tuple[Cursor, ...]:
    """The readings after `character`, which is `text[at]`."""
    if len(cursors) == 1:
        found = tuple(cursors[0].advance(character, text, at))
    else:
        found = tuple(more for cursor in cursors for more in cursor.advance(character, text, at))
    # Readings that have become the same are one.
    return found if len(found) < 2 else tuple(islice(dict.fromkeys(found), _MAX_CURSORS))


def _first_ending(cursors: Sequence[Cursor], text: str) -> str | None:
    """Of the first reading that can be ended; the shortest, where none has checks."""
    if any(cursor.is_checked for cursor in cursors):
        simple_first = sorted(cursors, key=lambda cursor: cursor.is_checked)
        found = (first_ending(cursor, text, Budget()) for cursor in simple_first)
        return next((rest for rest in found if rest is not None), None)
    found = (first_ending(cursor, text, Budget()) for cursor in cursors)
    return min((rest for rest in found if rest is not None), key=len, default=None)


def _may_end(cursor: Cursor) -> bool:
    if isinstance(cursor, RootCursor):
        return cursor.may_end()
    # A number ends with the answer.
    return isinstance(cursor, NumberCursor | LiteralCursor) and cursor.may_end() and _may_end(cursor.parent.after())
