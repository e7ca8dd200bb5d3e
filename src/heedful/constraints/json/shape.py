"""What all kinds of JSON value have in common: a `Shape` says how a value may look, a `Cursor` stands inside one being written.

Cursors are values: a step makes new ones. Each knows the cursor of the list or object around it (`parent`), so a cursor is a whole
stack. `rests` are texts that end the value; without checks the first of them always does, with checks each has to be tried.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heedful.requirements.strict_json import depth

if TYPE_CHECKING:
    from heedful.constraints.json.parts import Part

MAX_DEPTH = 40
"""Levels of nesting that are begun: deeper than anyone writes on purpose, and checking a value costs Python's stack a dozen frames
a level."""


class Shape(ABC):
    """How a value of one kind may look; whatever that does not cover is asked of `checks` when the value is finished."""

    opening: frozenset[str]
    """The characters that such a value may begin with."""
    kind: str

    def __init__(self, checks: Sequence[Part] = ()) -> None:
        self.checks = tuple(checks)
        self.found: str | None = None
        """The shortest text, once it is found; the grammar keeps it here."""
        self.is_settled = False
        """Whether `found` will not change any more."""

    @abstractmethod
    def begin(self, parent: Cursor, start: int, character: str) -> Sequence[Cursor]:
        """The cursors after the first character, which stands at `start`."""

    @abstractmethod
    def texts(self) -> Iterator[str]:
        """Whole values, shorter ones first as far as that is simple; the first is valid if there are no checks."""

    def holds(self, text: str) -> bool:
        """Whether the finished value passes the checks."""
        if not self.checks:
            return True
        value = json.loads(text)
        return all(check.holds(value) for check in self.checks)

    def nesting(self) -> int:
        """Levels of the shortest value."""
        return depth(json.loads(self.found)) if self.found is not None else MAX_DEPTH


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place inside a value that has been begun."""

    shape: Any
    parent: Any
    """The cursor of the list or object around, or the one at the root."""
    start: int
    """Where in the answer the value begins."""
    is_checked: bool
    """Whether this value or one around it has checks: then a way to end has to be tried before it is believed."""
    depth: int

    def advance(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        """The cursors after `character`, which is `text[at]`; none where it may not stand."""
        raise NotImplementedError

    def rests(self, text: str) -> Iterator[str]:
        """Ways to end this value, given all that is written."""
        raise NotImplementedError

    def after(self) -> Cursor:
        """Once the value inside that was being written is finished."""
        raise NotImplementedError

    def place(self) -> Hashable:
        """The same for cursors that are ended in the same ways, whatever is written before them; for those without checks."""
        return (type(self), self.shape, self.inner_place(), self.parent.place() if self.parent is not None else None)

    def inner_place(self) -> Hashable:
        """Where in the value the cursor stands."""
        raise NotImplementedError

    def finish(self, text: str, end: int) -> Sequence[Cursor]:
        """The value ended before `text[end]`."""
        if self.shape.checks and not self.shape.holds(text[self.start : end]):
            return ()
        return (self.parent.after(),)


GAP_OPEN, GAP_SPACE, GAP_LINE = 0, 1, 2
"""White space between things: none yet; one space; a line break and `gap - GAP_LINE` spaces. No more can follow the second."""
MAX_INDENT = 32


def widen(gap: int, character: str, *, lines: bool) -> int | None:
    """The gap after one more character of white space; None where that is too much: a model would go on for ever."""
    if character == " ":
        if gap == GAP_OPEN:
            return GAP_SPACE
        return gap + 1 if GAP_LINE <= gap < GAP_LINE + MAX_INDENT else None
    return GAP_LINE if lines and gap == GAP_OPEN else None
