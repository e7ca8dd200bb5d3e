"""Sets of characters as sorted ranges of code points, and the alphabet that a few of them divide Unicode into.

What `\\w`, `\\d` and `\\s` hold is asked of the `regex` package, once, for all of Unicode: that package has the last word
on patterns everywhere in Heedful, and Python's `re` sees combining marks and superscripts differently.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache

import regex

Ranges = tuple[tuple[int, int], ...]
"""Inclusive, sorted, apart from each other."""

LAST = sys.maxunicode
ANYTHING: Ranges = ((0, LAST),)
_SURROGATES = range(0xD800, 0xE000)
"""Half characters: no text holds them."""
_WELCOME = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ -_.,:;/@#+*=!?()'$%&~|<>[]{}^`\"\\\n\t"
"""What to write where several characters would do, the best first."""


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted and merged."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    found, at = [], 0
    for low, high in ranges:
        if at < low:
            found.append((at, low - 1))
        at = high + 1
    if at <= LAST:
        found.append((at, LAST))
    return tuple(found)


@lru_cache(maxsize=8)
def category(name: str) -> Ranges:
    """`w`, `d` or `s`, as the `regex` package has it; a tenth of a second for the first call."""
    return tuple((found.start(), found.end() - 1) for found in regex.finditer(rf"\{name}+", _all_characters()))


@lru_cache(maxsize=1)
def _all_characters() -> str:
    return "".join(map(chr, range(LAST + 1)))


class Alphabet:
    """Unicode divided by a few sets: characters that are in the same sets have the same letter, a small number."""

    def __init__(self, sets: Sequence[Ranges]) -> None:
        turns: dict[int, set[int]] = {0: set()}
        for number, ranges in enumerate(sets):
            for low, high in ranges:
                turns.setdefault(low, set()).symmetric_difference_update({number})
                turns.setdefault(high + 1, set()).symmetric_difference_update({number})
        inside: frozenset[int] = frozenset()
        letters: dict[frozenset[int], int] = {}
        self._starts: list[int] = []
        self._letters: list[int] = []
        for start in sorted(turns):
            inside = inside ^ turns[start]
            if start <= LAST:
                self._starts.append(start)
                self._letters.append(letters.setdefault(inside, len(letters)))
        self.members: list[frozenset[int]] = list(letters)
        """For each letter: the sets, by their number, that its characters are in."""
        self._known: dict[str, int] = {}
        self.samples: dict[int, str] = self._find_samples()
        """A character for each letter, the most welcome letter first; letters of half characters alone have none."""

    def letter(self, character: str) -> int:
        found = self._known.get(character)
        if found is None:
            found = self._letters[bisect_right(self._starts, ord(character)) - 1]
            if len(self._known) < 4096:
                self._known[character] = found
        return found

    def _find_samples(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for character in _WELCOME:
            found.setdefault(self.letter(character), character)
        for start, end, letter in zip(self._starts, [*self._starts[1:], LAST + 1], self._letters, strict=True):
            if letter not in found or ord(found[letter]) < ord(" "):
                # Control characters and half characters are the last choice.
                inside = [code for code in (max(start, ord(" ")), start, 0xE000) if start <= code < end]
                if inside := [code for code in inside if code not in _SURROGATES]:
                    found.setdefault(letter, chr(inside[0]))
        return found
