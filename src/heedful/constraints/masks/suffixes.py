"""Phrases that may stand inside of words: nearly any token may end with the first letters of one, and a plan goes on with those.

So the classes of tokens are divided by which of the missing phrases a token ends with the beginning of. That depends on the tokens
alone, and is worked out once for each set of missing phrases.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.masks.needles import Needle, Needles
from heedful.constraints.masks.texts import Batch, TokenTexts
from heedful.constraints.masks.wanted import Size, Wanted

_MOST_KNOWN = 64


@dataclass(frozen=True, slots=True)
class Begun:
    """One of the phrases that are missing, or several of which any will do, as which the first is gone on with."""

    wanted: Wanted
    size: Size
    order: int
    """Of several that are begun a plan completes the first in this order."""


@dataclass(frozen=True, slots=True)
class Divided:
    """Classes of tokens, divided."""

    dense: NDArray[np.int32]
    """(vocabulary,): the class of each token, one more; 0 for those that may not stand here."""
    classes: NDArray[np.int64]
    """Of each divided class the class."""
    saved: NDArray[np.int64]
    """(divided classes, 5): what is added to what is missing, as something is begun."""


class Suffixes:
    """For one vocabulary."""

    def __init__(self, needles: Needles) -> None:
        self._needles = needles
        self._sorted: dict[tuple[bytes, bool], tuple[list[str], NDArray[np.int64]]] = {}
        self._begun: dict[tuple[Needle, bytes], NDArray[np.int64]] = {}
        self._divided: dict[object, Divided] = {}

    def divided(self, batch: Batch, pending: bytes, missing: Sequence[Begun]) -> Divided:
        """`missing` are phrases without rules on where words end."""
        key = (pending, len(batch.ids), *((one.wanted.needle, one.size, tuple(one.wanted.rests)) for one in missing))
        found = self._divided.get(key)
        if found is None:
            if len(self._divided) >= _MOST_KNOWN:
                self._divided.clear()
            found = self._divided[key] = self._made(batch, pending, missing)
        return found

    def begun(self, wanted: Wanted, batch: Batch, pending: bytes) -> NDArray[np.int64]:
        """(vocabulary,): characters of the phrase that each token ends with, and that the planner would go on with."""
        needle = wanted.needle
        key = (needle, pending)
        found = self._begun.get(key)
        if found is None:
            if len(self._begun) >= _MOST_KNOWN:
                self._begun.clear()
            found = self._begun[key] = self._counted(wanted, batch, pending)
        return found * np.array([rest is not None for rest in wanted.rests], np.int64)[found]

    def _made(self, batch: Batch, pending: bytes, missing: Sequence[Begun]) -> Divided:
        saved: list[tuple[int, ...]] = [(0, 0, 0, 0, 0)]
        which = np.zeros(len(batch.dense), np.int64)
        for one in reversed(missing):
            offset = len(saved) - 1
            for rest in one.wanted.rests[1:]:
                values = one.size.values
                saved.append(tuple(a - b for a, b in zip(rest.values, values, strict=True)) if rest else saved[0])
            begun = self.begun(one.wanted, batch, pending)
            which = np.where(begun > 0, offset + begun, which)
        keys = batch.dense.astype(np.int64) * len(saved) + np.where(batch.dense > 0, which, 0)
        is_there = np.bincount(keys, minlength=1) > 0
        is_there[0] = True
        numbers = np.cumsum(is_there) - 1
        present = np.flatnonzero(is_there)[1:]
        classes, which = np.divmod(present, len(saved))
        return Divided(numbers[keys].astype(np.int32), classes - 1, np.array(saved, np.int64)[which])

    def _counted(self, wanted: Wanted, batch: Batch, pending: bytes) -> NDArray[np.int64]:
        needle = wanted.needle
        if (pending, needle.folds) not in self._sorted:
            folded = self._needles.folded(batch, pending, needle.folds, wanted.fold)
            reversed_texts = [text[::-1] for text in folded]
            order = sorted(range(len(folded)), key=reversed_texts.__getitem__)
            self._sorted[pending, needle.folds] = ([reversed_texts[place] for place in order], batch.ids[order])
        texts, ids = self._sorted[pending, needle.folds]
        found = np.zeros(len(batch.dense), np.int64)
        for length in range(1, len(needle.text)):
            ending = needle.text[:length][::-1]
            low = bisect_left(texts, ending)
            high = bisect_left(texts, ending + chr(0x10FFFF))
            found[ids[low:high]] = length
        return found


@lru_cache(maxsize=4)
def suffixes_of(tokens: TokenTexts) -> Suffixes:
    """Those of a vocabulary, shared by all compositions."""
    return Suffixes(Needles.of(tokens))
