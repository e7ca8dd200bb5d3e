"""Which tokens would be one blank, line break or mark too many in a row."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.edges import Restraint
from heedful.constraints.masks.texts import TokenTexts

_MOST_KNOWN = 1024

Runs = tuple[int, int, int]


class Noise:
    """For one composition."""

    def __init__(self, restraint: Restraint | None, tokens: TokenTexts) -> None:
        """`restraint`: None where nothing is too many."""
        self._restraint, self._tokens = restraint, tokens
        # All that tells one from another is how many marks it takes.
        self._known = _tables(tokens, restraint._most if restraint else 0)

    def refused(self, runs: Runs | None, following: str = "") -> NDArray[np.bool_]:
        """(shapes,) of bool: too many behind `runs`, or when `following` comes next, as a plan would begin."""
        shapes = self._tokens.shapes
        if self._restraint is None or runs is None:
            return np.zeros(len(shapes), bool)
        known = self._known.get((runs, following), [])
        if len(known) < len(shapes):
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = [*known, *(self._is_refused(runs, shape, following) for shape in shapes[len(known) :])]
            self._known[runs, following] = known
        return np.array(known, bool)

    def _is_refused(self, runs: Runs, shape: str, following: str) -> bool:
        assert self._restraint is not None
        after = self._restraint.step(runs, shape)
        return after is None or (bool(following) and self._restraint.step(after, following) is None)


@lru_cache(maxsize=16)
def _tables(tokens: TokenTexts, most: int) -> dict[tuple[Runs, str], list[bool]]:
    return {}
