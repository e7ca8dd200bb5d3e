"""Around the value: white space, and the code fence where one is allowed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from heedful.constraints.json.shape import GAP_OPEN, Cursor
from heedful.constraints.json.value import Node, value_cursor

_OPENINGS = ("```json\n", "```\n")
_CLOSING = "\n```"


@dataclass(frozen=True, slots=True)
class RootCursor(Cursor):
    """Outside of everything: nothing is around it, and it ends the answer."""

    is_fenced: bool
    is_done: bool
    offset: int
    """How much is written of what closes the fence, or of a last line break."""

    def after(self) -> Cursor:
        return _root(self.is_fenced, True, 0)

    def advance(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        closing = _CLOSING if self.is_fenced else "\n"
        if self.is_done and closing[self.offset : self.offset + 1] == character:
            return (_root(self.is_fenced, True, self.offset + 1),)
        return ()

    def inner_place(self) -> Hashable:
        return self.is_fenced, self.is_done, self.offset

    def rests(self, text: str) -> Iterator[str]:
        yield _CLOSING[self.offset :] if self.is_fenced else ""

    def may_end(self) -> bool:
        return self.is_done and (not self.is_fenced or self.offset == len(_CLOSING))


def _root(is_fenced: bool, is_done: bool, offset: int) -> RootCursor:
    return RootCursor(None, None, 0, False, 0, is_fenced, is_done, offset)


@dataclass(frozen=True, slots=True)
class FenceCursor(Cursor):
    """In the line that opens a fence. `shape` is the place of the value."""

    offset: int
    spellings: tuple[str, ...]

    def advance(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        ahead = tuple(spelling for spelling in self.spellings if spelling[self.offset] == character)
        if not ahead:
            return ()
        offset = self.offset + 1
        if len(ahead[0]) == offset:
            return (value_cursor(self.shape, self.parent, at + 1, GAP_OPEN, True),)
        return (FenceCursor(self.shape, self.parent, 0, self.is_checked, self.depth, offset, ahead),)

    def inner_place(self) -> Hashable:
        return self.offset, self.spellings

    def rests(self, text: str) -> Iterator[str]:
        line = min((spelling[self.offset :] for spelling in self.spellings), key=len)
        return (line + value for value in self.shape.variants())


def start_cursors(node: Node, allow_code_fence: bool) -> tuple[Cursor, ...]:
    """Before the first character of an answer."""
    bare: Any = value_cursor(node, _root(False, False, 0), 0, GAP_OPEN, True)
    if not allow_code_fence:
        return (bare,)
    return (bare, FenceCursor(node, _root(True, False, 0), 0, False, 0, 0, _OPENINGS))
