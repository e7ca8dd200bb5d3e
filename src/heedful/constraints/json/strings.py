"""Strings: their length, their patterns, and what a backslash may begin."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice, product
from typing import Any

import regex

from heedful.constraints.json.parts import Part
from heedful.constraints.json.shape import Cursor, Shape
from heedful.constraints.json.together import Together
from heedful.constraints.regular import Regular

_OFTEN = '"\\\n\t'
_ESCAPES = {json.dumps(character)[1:-1]: character for character in (*_OFTEN, *map(chr, range(32)))} | {"\\/": "/"}
"""What stands for the characters that JSON does not take as they are."""
_HEX = re.compile(r"\\u(?![dD][89a-fA-F])[0-9a-fA-F]{0,4}")
"""Half characters are left out: one that the other half does not follow is no text."""
_PLAIN = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]+')
_FILLER = "a"
_PALETTE = "abcdefghijklmnopqrstuvwxyzABCDEF0123456789"
_MAX_TEXTS = 1000
_MAX_KEPT = 4096
_MAX_LEAST = 20_000
"""A string that has to be longer counts as impossible."""


class StringShape(Shape):
    """Strings of some lengths that match all of some patterns."""

    kind = "string"
    opening = frozenset('"')

    def __init__(
        self, least: int, most: int | None, patterns: Sequence[Regular], *, is_free: bool, checks: Sequence[Part] = ()
    ) -> None:
        super().__init__(checks)
        self.least = least
        self.most = most
        # The two have the same methods; what their states are is their own business.
        self.pattern: Any = None if not patterns else patterns[0] if len(patterns) == 1 else Together(patterns)
        self.is_free = is_free and not patterns
        """Whether any words may stand here."""
        self.start = None if self.pattern is None else self.pattern.start()
        self._kept: dict[tuple[Any, int], str | None] = {}

    def begin(self, parent: Any, start: int, character: str) -> Sequence[Cursor]:
        is_checked = bool(self.checks) or parent.is_checked
        return (StringCursor(self, parent, start, is_checked, parent.depth, 0, self.start, ""),)

    def texts(self) -> Iterator[str]:
        return (f'"{rest}' for rest in self.rests(self.start, 0))

    def may_hold(self, length: int) -> bool:
        return self.most is None or length <= self.most

    def after(self, state: Any, length: int, character: str) -> Any:
        """The pattern's state after a character that follows `length` others; None where it may not stand."""
        if not (character < "\x7f" or _is_agreed(character)):
            return None
        found = self.pattern.step(state, character)
        return None if found is None or self.shortest(found, length + 1) is None else found

    def shortest(self, state: Any, length: int) -> str | None:
        """What makes the string long enough and match; not yet spelled as JSON."""
        if self.least > _MAX_LEAST or not self.may_hold(length):
            return None
        if self.pattern is None:
            return _FILLER * max(self.least - length, 0)
        key = (state, min(length, self.least) if self.most is None else length)
        if key not in self._kept:
            if len(self._kept) > _MAX_KEPT:
                self._kept.clear()
            room = None if self.most is None else self.most - length
            self._kept[key] = self.pattern.shortest_rest(state, max(self.least - length, 0), room)
        return self._kept[key]

    def rests(self, state: Any, length: int) -> Iterator[str]:
        """Texts up to the closing quotation mark, spelled as JSON."""
        shortest = self.shortest(state, length)
        if shortest is None:
            return
        yield _spelled(shortest)
        more: Iterator[str]
        if self.pattern is None:
            more = (shortest + extra for extra in _extras())
        else:
            matching = self.pattern.rests(state, max(self.least - length, 0))
            more = chain(islice(matching, 100), self._varied(state, length, shortest))
        for rest in islice(more, _MAX_TEXTS):
            if rest != shortest and self.may_hold(length + len(rest)):
                yield _spelled(rest)

    def _varied(self, state: Any, length: int, text: str) -> Iterator[str]:
        """`text` with one or two characters replaced: a pattern's own samples are one for each kind of character."""
        for size in (1, 2):
            for place in range(len(text) - size, -1, -1):
                for characters in product(_PALETTE, repeat=size):
                    other = text[:place] + "".join(characters) + text[place + size :]
                    if self._ends(state, length, other):
                        yield other

    def _ends(self, state: Any, length: int, text: str) -> bool:
        for character in text:
            state, length = self.after(state, length, character), length + 1
            if state is None:
                return False
        return self.shortest(state, length) == ""


def num_plain(text: str, start: int) -> int:
    """Characters of `text` from `start` on that a string holds as they are."""
    found = _PLAIN.match(text, start)
    return 0 if found is None else found.end() - start


def _spelled(rest: str) -> str:
    return json.dumps(rest, ensure_ascii=False)[1:]


def _extras() -> Iterator[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    yield from letters
    yield from (first + second for first in letters for second in letters)


@lru_cache(maxsize=4096)
def _is_agreed(character: str) -> bool:
    """Whether Python's `re`, which other checkers use, takes the character for the same kind as `regex` does."""
    return all(
        (regex.match(kind, character) is None) == (re.match(kind, character) is None) for kind in (r"\w", r"\d", r"\s")
    )


@dataclass(frozen=True, slots=True)
class StringCursor(Cursor):
    """Inside a string."""

    length: int
    state: Any
    """The pattern's; None where there is no pattern."""
    pending: str
    """A backslash and what follows it, until the character it stands for is known."""

    def advance(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        if self.pending or character == "\\":
            return self._escape(self.pending + character)
        if character == '"':
            return self.finish(text, at + 1) if self.shape.shortest(self.state, self.length) == "" else ()
        if character < " " or "\ud800" <= character < "\ue000":
            return ()
        return self._with(character)

    def run(self, text: str, at: int) -> tuple[StringCursor, int]:
        """Goes over plain characters at once, where nothing else depends on them; the same cursor where there are none."""
        if self.is_checked or self.pending or self.shape.pattern is not None:
            return self, at
        more = num_plain(text, at)
        if self.shape.most is not None:
            more = min(more, self.shape.most - self.length)
        return (self.of_length(self.length + more), at + more) if more > 0 else (self, at)

    def of_length(self, length: int) -> StringCursor:
        """The same string with so many characters, where there is no pattern."""
        return self._at(length, None, "")

    def inner_place(self) -> Hashable:
        # Once a string is long enough, what ends it is the same; an escape or a pattern may care how much room there is.
        is_exact = self.shape.most is not None and (self.shape.pattern is not None or self.pending != "")
        return self.length if is_exact else min(self.length, self.shape.least), self.state, self.pending

    def _with(self, character: str) -> Sequence[Cursor]:
        state = self._after(character)
        return () if state is None else (self._at(self.length + 1, state[0], ""),)

    def _after(self, character: str) -> tuple[Any] | None:
        """The pattern's state once `character` is added; None where it may not be."""
        if self.shape.pattern is None:
            return (None,) if self.shape.may_hold(self.length + 1) else None
        state = self.shape.after(self.state, self.length, character)
        return None if state is None else (state,)

    def _at(self, length: int, state: Any, pending: str) -> StringCursor:
        return StringCursor(self.shape, self.parent, self.start, self.is_checked, self.depth, length, state, pending)

    def _escape(self, pending: str) -> Sequence[Cursor]:
        if pending in _ESCAPES:
            return self._with(_ESCAPES[pending])
        if self.shape.pattern is None and _HEX.fullmatch(pending) and len(pending) == 6:
            return self._with(chr(int(pending[2:], 16)))
        if next(self._escapes(pending), None) is None:
            return ()
        return (self._at(self.length, self.state, pending),)

    def _escapes(self, pending: str) -> Iterator[tuple[str, Any]]:
        """(the rest of the escape, the pattern's state then) for those that may stand here."""
        for spelling, character in _ESCAPES.items():
            if spelling.startswith(pending) and (state := self._after(character)) is not None:
                yield spelling[len(pending) :], state[0]
        if self.shape.pattern is None and _HEX.fullmatch(pending) and self.shape.may_hold(self.length + 1):
            # "d" is followed by "0": what begins with "d8" is half a character.
            yield ("0020" if len(pending) == 2 else "0000")[len(pending) - 2 :], None

    def after_escape(self) -> Iterator[tuple[str, int]]:
        """(what ends the escape that was begun, the length then); nothing and the length where there is none."""
        if not self.pending:
            yield "", self.length
        else:
            yield from ((rest, self.length + 1) for rest, _ in islice(self._escapes(self.pending), 1))

    def rests(self, text: str) -> Iterator[str]:
        if not self.pending:
            yield from self.shape.rests(self.state, self.length)
            return
        for rest, state in self._escapes(self.pending):
            yield from (rest + more for more in islice(self.shape.rests(state, self.length + 1), 4))
