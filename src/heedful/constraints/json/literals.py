"""Values that are listed one by one: `enum`, `const`, null, true and false; each in one spelling."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from heedful.constraints.json.shape import Cursor, Shape


def spell(value: Any) -> str:
    """The one way in which a listed value may be written."""
    return json.dumps(value, ensure_ascii=False)


class LiteralShape(Shape):
    """One of several texts, all of them known to be valid."""

    kind = "literal"

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__()
        self.spellings = tuple(sorted(set(texts), key=lambda text: (len(text), text)))
        self.opening = frozenset(text[0] for text in self.spellings)

    def begin(self, parent: Any, start: int, character: str) -> Sequence[Cursor]:
        cursor = LiteralCursor(self, parent, start, parent.is_checked, parent.depth, self.spellings, 0)
        return cursor.advance(character, "", start)

    def texts(self) -> Iterator[str]:
        return iter(self.spellings)


@dataclass(frozen=True, slots=True)
class LiteralCursor(Cursor):
    """Some spellings that agree up to `offset`."""

    spellings: tuple[str, ...]
    offset: int

    def advance(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        ahead = tuple(spelling for spelling in self.spellings if spelling[self.offset : self.offset + 1] == character)
        found: list[Cursor] = []
        if ahead:
            offset = self.offset + 1
            if any(len(spelling) == offset and not _is_number(spelling) for spelling in ahead):
                found.append(self.parent.after())
                ahead = tuple(spelling for spelling in ahead if len(spelling) > offset)
            if ahead:
                cursor = LiteralCursor(self.shape, self.parent, self.start, self.is_checked, self.depth, ahead, offset)
                found.append(cursor)
        if self.may_end():
            # A number ends where something else follows.
            found += self.parent.after().advance(character, text, at)
        return found

    def may_end(self) -> bool:
        return any(len(spelling) == self.offset for spelling in self.spellings)

    def inner_place(self) -> Hashable:
        return self.spellings, self.offset

    def rests(self, text: str) -> Iterator[str]:
        return (spelling[self.offset :] for spelling in self.spellings)


def _is_number(spelling: str) -> bool:
    return spelling[-1].isdigit()
