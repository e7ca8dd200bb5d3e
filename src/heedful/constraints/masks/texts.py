"""What is known of every token of a vocabulary before anything is asked: its text, and the class that it shares with others.

Tokens of one class do the same to counts of words and characters and to runs of blanks and marks, so a mask is worked out for
a few thousand classes and copied to the tokens. A token may end in the middle of a character; it then counts with a letter that
completes it, which is how a plan would go on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful import text as texts
from heedful.constraints.composition import _completing, _whole_characters
from heedful.constraints.edges import PLAIN
from heedful.constraints.fillers import between
from heedful.constraints.tokens import TokenTable

_RUNS = re.compile(r"a{2,}|1{2,}")
_INNER_MARKS = "'’.-‐‑_,:/"
_MARK = "\u0903"
"""Stands for all characters that only follow others; it combines with none."""
START = b"start"
"""In place of pending bytes: the answer's first token, whose space is dropped."""

Kind = int
JOINS, DIGIT, UNSPACED, POINT, OTHER, FOLLOWS = range(6)
"""How a token begins: with a letter, with a digit, with a character that is a word, with one of `.,:`, otherwise, or with a
character that belongs to the one before."""
NUM_KINDS = 6
APART, BLANK, MARK = range(3)
"""What the next word follows: something that a space comes behind, a blank, or a mark that opens something."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tokens that may stand at some place, as far as characters go."""

    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    """The class of each, as the vocabulary numbers them."""
    dense: NDArray[np.int32]
    """(vocabulary,): the class of each token, one more; 0 for those that may not stand here."""
    texts: tuple[str, ...]
    """What each adds to the text, with the letter that completes it."""
    combining: tuple[tuple[int, str], ...]
    """Tokens that may combine with the character before, and their texts."""
    breaking: tuple[tuple[int, str], ...]
    """Tokens with a line break, and their texts."""


class TokenTexts:
    """Of one vocabulary. Tables grow as they are needed; nothing in them is ever changed."""

    def __init__(self, table: TokenTable) -> None:
        self.table = table
        self.size = len(table.data)
        self._batches: dict[bytes, Batch] = {}
        self._classes: dict[tuple[str, int, int, int], int] = {}
        self._shapes: dict[str, int] = {}
        self._columns: NDArray[np.int64] = np.zeros((0, 5), np.int64)
        self._completions: dict[bytes, tuple[str, int] | None] = {}
        self._kinds: dict[str, str] = {}
        self._starting: list[int] | None = None
        self._plain = PLAIN

    def batch(self, pending: bytes) -> Batch:
        """The tokens that may follow `pending`, the first bytes of a character, or nothing, or START."""
        found = self._batches.get(pending)
        if found is None:
            # Other threads may make the same one: the last stays.
            if len(self._batches) > 4096:
                self._batches.clear()
            found = self._batches[pending] = self._made(pending)
        return found

    def pending(self, pending: bytes, *, is_first: bool) -> bytes:
        """Which batch may follow."""
        return START if is_first and not pending and self.table.drops_first_space else pending

    @property
    def shapes(self) -> Sequence[str]:
        """Texts in which letters are `a`, digits `1`, words of one character 的, blanks a space, and marks of no meaning `#`."""
        return list(self._shapes)

    @property
    def columns(self) -> NDArray[np.int64]:
        """(classes, 5): shape, characters, what the next word follows, tokens to complete the last character, kind."""
        if len(self._columns) < len(self._classes):
            names = list(self._shapes)
            kinds = [_kind(name) for name in names]
            rows = [
                (self._shapes[shape], number, joint, extra, kinds[self._shapes[shape]])
                for shape, number, joint, extra in list(self._classes)
            ]
            self._columns = np.array(rows, np.int64).reshape(-1, 5)
        return self._columns

    def _made(self, pending: bytes) -> Batch:
        ids, classes, found = [], [], []
        for token, data in self._data(pending):
            known = self._text(data)
            if known is None:
                continue
            text, extra = known
            ids.append(token)
            classes.append(self._class(text, extra))
            found.append(text)
        dense = np.zeros(self.size, np.int32)
        dense[ids] = np.array(classes, np.int32) + 1
        combining = tuple((token, text) for token, text in zip(ids, found, strict=True) if combines(text[0]))
        breaking = tuple((token, text) for token, text in zip(ids, found, strict=True) if "\n" in text)
        return Batch(np.array(ids, np.int64), np.array(classes, np.int64), dense, tuple(found), combining, breaking)

    def _data(self, pending: bytes) -> Iterator[tuple[int, bytes]]:
        """Tokens with all bytes since the last whole character."""
        ends = set(self.table.end_ids)
        if pending in (b"", START):
            for token, data in enumerate(self.table.data):
                if pending == START and data.startswith(b" "):
                    data = data[1:]
                if data and token not in ends:
                    yield token, data
            return
        if self._starting is None:
            self._starting = [
                token
                for token, data in enumerate(self.table.data)
                if data and 0x80 <= data[0] < 0xC0 and token not in ends
            ]
        for token in self._starting:
            yield token, pending + self.table.data[token]

    def _text(self, data: bytes) -> tuple[str, int] | None:
        """The text of a token, and the tokens that complete its last character; None where no answer may have it."""
        cut = _whole_characters(data)
        if cut is None:
            return None
        text, pending = cut
        extra = 0
        if pending:
            if pending not in self._completions:
                self._completions[pending] = self._completion(pending)
            completion = self._completions[pending]
            if completion is None:
                return None
            text, extra = text + completion[0], completion[1]
        # Joiners are left out or stay, as what stands on both sides of them tells.
        if self._plain.step("", text) is None or "\u200c" in text or "\u200d" in text:
            return None
        return text, extra

    def _completion(self, pending: bytes) -> tuple[str, int] | None:
        for character in _completing(pending):
            spelled = self.table.spell(character.encode()[len(pending) :])
            if spelled is not None and not combines(character) and unicodedata.is_normalized("NFC", character):
                return character, len(spelled)
        return None

    def _class(self, text: str, extra: int) -> int:
        shape = _RUNS.sub(lambda run: run[0][0], "".join(map(self._simple, text)))
        self._shapes.setdefault(shape, len(self._shapes))
        key = (shape, texts.num_characters(text), _joint(text[-1]), extra)
        return self._classes.setdefault(key, len(self._classes))

    def _simple(self, character: str) -> str:
        known = self._kinds.get(character)
        if known is None:
            known = self._kinds[character] = _simple(character)
        return known


@lru_cache(maxsize=4)
def token_texts(table: TokenTable) -> TokenTexts:
    """Those of a vocabulary, made once for each."""
    return TokenTexts(table)


def _simple(character: str) -> str:
    if character == "\n" or character in _INNER_MARKS:
        return character
    if character.isspace():
        return " "
    if texts.is_unspaced(character):
        return "的"
    category = unicodedata.category(character)
    if category == "Nd":
        return "1"
    if category[0] in "LN":
        return "a"
    return _MARK if category[0] == "M" else "#"


def combines(character: str) -> bool:
    return (
        character in "\u200c\u200d"
        or unicodedata.category(character)[0] == "M"
        or "\u1160" <= character <= "\u11ff"
        or not unicodedata.is_normalized("NFC", character)
    )


def _kind(shape: str) -> Kind:
    first = shape[0]
    if first in ".,:":
        return POINT
    if first == _MARK:
        return FOLLOWS
    return {"a": JOINS, "1": DIGIT, "的": UNSPACED}.get(first, OTHER)


def _joint(last: str) -> int:
    if last.isspace():
        return BLANK
    return APART if between(last, "a") else MARK
