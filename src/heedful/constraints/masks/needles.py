"""Which tokens complete a phrase or go on with one, for each way in which the text before may end. All others do nothing to it.

A table says it for one phrase and one ending; it is made when that ending first occurs, from the few tokens that hold some of the
phrase, and each of them is looked at with the rules of `heedful.requirements.matching`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import regex
from numpy.typing import NDArray

from heedful.constraints.masks.texts import Batch, TokenTexts
from heedful.requirements.keywords import within_word

_MOST_TABLES = 4096
_MOST_FOLDED = 512
_BLANKS = regex.compile(r"\s+")
_ASCII_STARTS = regex.compile(r"[a-z0-9]+|[^a-z0-9\s]", regex.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Needle:
    """What is looked for, folded as the text is."""

    text: str
    whole_word: bool
    folds: bool

    def count(self, whole: str, start: int = 0) -> int:
        """Occurrences, if the text ended here."""
        found, size = 0, len(self.text)
        while (at := whole.find(self.text, start)) >= 0:
            if self.whole_word and (within_word(whole, at) or within_word(whole, at + size)):
                start = at + 1
            else:
                found, start = found + 1, at + size
        return found

    def begun(self, whole: str, start: int = 0) -> int:
        """Characters of it that the text ends with, as a beginning."""
        for length in range(min(len(self.text) - 1, len(whole) - start), 0, -1):
            if whole.endswith(self.text[:length]) and not (self.whole_word and within_word(whole, len(whole) - length)):
                return length
        return 0

    def ending(self, whole: str, begun: int) -> str:
        """A text that stands for `whole`: the phrase goes on, or begins, behind both in the same way."""
        if begun:
            return " " + self.text[:begun]
        if not whole or not self.whole_word:
            return " "
        last = whole[-1]
        if self.text[0].isdecimal():
            digit = next((digit for digit in "1234567890" if digit not in self.text), "1")
            if last.isdecimal():
                return digit
            if last in ".,:" and whole[-2:-1].isdecimal():
                return digit + last
        # Not one of its own letters: the phrase would be there already.
        letter = next((letter for letter in "qxzjkvwybpfgmuhcldrnioaste" if letter not in self.text), "q")
        return letter if within_word(whole + self.text[0], len(whole)) else " "


@dataclass(frozen=True, slots=True)
class Effects:
    """What tokens do to one phrase."""

    ids: NDArray[np.int64]
    """Of all tokens that do anything."""
    completed: NDArray[np.int64]
    """How often the phrase then stands in the text, if it ended there, beside what was there."""
    begun: NDArray[np.int64]
    """Characters of it that the text then ends with."""
    at_end: NDArray[np.int64]
    """Whether the text then ends with all of it, as a word that more letters would change."""

    def rows(self) -> Iterator[tuple[int, int, int, bool]]:
        """(token, completed, begun, at_end)."""
        columns = (self.ids, self.completed, self.begun, self.at_end > 0)
        return zip(*(column.tolist() for column in columns), strict=True)


class Folded:
    """The texts of one batch of tokens as phrases are searched in, and where in them a word may begin."""

    def __init__(self, batch: Batch, fold: Callable[[str], str]) -> None:
        self.texts = [_folded(text, fold) for text in batch.texts]
        self._by_text = _grouped(enumerate(self.texts))
        self._by_rest = _grouped(
            (place, text[start:]) for place, text in enumerate(self.texts) for start in _starts(text) if start
        )
        self._sorted_texts, self._sorted_rests = sorted(self._by_text), sorted(self._by_rest)
        self._joined = "\n".join(self.texts)
        self._offsets = np.cumsum([0, *(len(text) + 1 for text in self.texts)])

    def candidates(self, needle: Needle, begun: int) -> set[int]:
        """Places of tokens that may complete the phrase, begin it, or go on with the `begun` characters of it."""
        found = set(self._alike(needle.text, self._by_text, self._sorted_texts))
        found.update(self._alike(needle.text, self._by_rest, self._sorted_rests))
        if not needle.whole_word:
            found.update(self._holding(needle.text))
        if begun:
            rest = needle.text[begun:]
            found.update(self._alike(rest, self._by_text, self._sorted_texts))
            if needle.text[begun - 1] == " ":
                found.update(self._alike(" " + rest, self._by_text, self._sorted_texts))
        return found

    def _alike(self, wanted: str, groups: dict[str, list[int]], ordered: list[str]) -> Iterator[int]:
        """Texts that are the beginning of `wanted`, or begin with it."""
        for length in range(1, len(wanted)):
            yield from groups.get(wanted[:length], ())
        for place in range(bisect_left(ordered, wanted), len(ordered)):
            if not ordered[place].startswith(wanted):
                return
            yield from groups[ordered[place]]

    def _holding(self, wanted: str) -> Iterator[int]:
        at = self._joined.find(wanted)
        while at >= 0:
            yield int(np.searchsorted(self._offsets, at, side="right")) - 1
            at = self._joined.find(wanted, at + 1)


class Needles:
    """Tables for one vocabulary."""

    def __init__(self, tokens: TokenTexts) -> None:
        self._tokens = tokens
        self._folded: dict[tuple[bytes, bool], Folded] = {}
        self._effects: dict[tuple[Needle, str, bytes], Effects] = {}

    @staticmethod
    def of(tokens: TokenTexts) -> Needles:
        """Those of a vocabulary, shared by all compositions."""
        return _needles(tokens)

    def effects(self, needle: Needle, ending: str, begun: int, pending: bytes, fold: Callable[[str], str]) -> Effects:
        """Of the tokens that may follow `pending` behind `ending` (`Needle.ending`)."""
        key = (needle, ending, pending)
        found = self._effects.get(key)
        if found is None:
            if len(self._effects) >= _MOST_TABLES:
                self._effects.clear()
            found = self._effects[key] = self._made(needle, ending, begun, pending, fold)
        return found

    def folded(self, batch: Batch, pending: bytes, folds: bool, fold: Callable[[str], str]) -> list[str]:
        """The texts of `batch` as they are searched in."""
        return self._known(batch, pending, folds, fold).texts

    def _known(self, batch: Batch, pending: bytes, folds: bool, fold: Callable[[str], str]) -> Folded:
        if (pending, folds) not in self._folded:
            if len(self._folded) >= _MOST_FOLDED:
                self._folded.clear()
            self._folded[pending, folds] = Folded(batch, fold)
        return self._folded[pending, folds]

    def _made(self, needle: Needle, ending: str, begun: int, pending: bytes, fold: Callable[[str], str]) -> Effects:
        folded = self._known(self._tokens.batch(pending), pending, needle.folds, fold)
        texts, ids = folded.texts, self._tokens.batch(pending).ids
        places = sorted(folded.candidates(needle, begun))
        rows = []
        for place in places:
            text = texts[place]
            whole = ending + (text[1:] if text[:1] == " " == ending[-1:] else text)
            completed, reached = needle.count(whole), needle.begun(whole)
            if completed or reached:
                at_end = completed and needle.whole_word and whole.endswith(needle.text)
                rows.append((int(ids[place]), completed, reached, int(at_end)))
        return Effects(*(column.copy() for column in np.array(rows, np.int64).reshape(-1, 4).T))


@lru_cache(maxsize=4)
def _needles(tokens: TokenTexts) -> Needles:
    return Needles(tokens)


def _folded(text: str, fold: Callable[[str], str]) -> str:
    """As a part of a longer text: white space at its ends stays, each run of it one space."""
    found = fold(text)
    if text[0].isspace():
        found = " " + found
    if found and text[-1].isspace() and found != " ":
        found += " "
    return found


def _starts(text: str) -> Iterator[int]:
    """Where a whole word may begin."""
    if text.isascii():
        yield from (found.start() for found in _ASCII_STARTS.finditer(text))
    else:
        yield from (at for at, character in enumerate(text) if character != " " and not within_word(text, at))


def _grouped(pairs: Iterator[tuple[int, str]] | enumerate[str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for place, text in pairs:
        groups[text].append(place)
    return dict(groups)
