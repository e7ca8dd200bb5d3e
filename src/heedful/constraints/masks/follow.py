"""How many words a token adds, which depends on how the text before it ends: `don` and `'t` are one word, `a` and `'t` are too."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.counting import WordsPart
from heedful.constraints.masks.texts import TokenTexts

_ENDINGS = ("", "a", "1", "a_", "a'", "1,", "的", "_")
"""Texts that stand for all that a text may end with."""
_PROBES = ("a", "1", "'a", ",1", "_a", "_", "的", "\u0903")
_MOST_KNOWN = 4096

Signature = tuple[int, ...]


class Follow:
    """For one way to count words."""

    def __init__(self, part: WordsPart, tokens: TokenTexts) -> None:
        self._part, self._tokens = part, tokens
        self._endings: dict[Signature, str] = {}
        for ending in _ENDINGS:
            self._endings.setdefault(self._signature(ending), ending)
        # What counts these alike counts all alike: requirements on words share two tables.
        self._tables = _tables(tokens, tuple(self._signature(ending) for ending in _ENDINGS))

    def added(self, tail: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
        """Words that a text of each shape adds behind `tail`, and whether a word right behind it would be one with its last; both
        (shapes,). None where nothing that is known ends as `tail` does."""
        endings, added = self._tables.endings, self._tables.added
        ending = endings.get(tail, "?")
        if ending == "?":
            if len(endings) >= _MOST_KNOWN:
                endings.clear()
            ending = endings[tail] = self._endings.get(self._signature(tail))
        if ending is None:
            return None
        shapes, found = self._tokens.shapes, added[ending]
        if len(found) < len(shapes):
            more = np.array([self._behind(ending, shape) for shape in shapes[len(found) :]], np.int64)
            # As a whole, so that other threads never see half of it.
            found = added[ending] = np.concatenate([found, more])
        return found[:, 0], found[:, 1] > 0

    def _behind(self, ending: str, shape: str) -> tuple[int, bool]:
        number = self._count(ending + shape)
        return number - self._count(ending), shape[-1] in "'_" and self._count(ending + shape + "a") == number

    def _signature(self, tail: str) -> Signature:
        before = self._count(tail)
        return tuple(self._count(tail + probe) - before for probe in _PROBES)

    def _count(self, text: str) -> int:
        return self._part.number((0, text))


class _Tables:
    """What requirements share that count alike."""

    def __init__(self) -> None:
        self.endings: dict[str, str | None] = {}
        """What stands for all texts that end so; None where nothing does."""
        self.added = {ending: np.zeros((0, 2), np.int64) for ending in _ENDINGS}


@lru_cache(maxsize=16)
def _tables(tokens: TokenTexts, signatures: tuple[Signature, ...]) -> _Tables:
    return _Tables()
