"""How many tokens the words take that a plan fills with, so that there are enough words and characters and not too many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.composition import NEVER
from heedful.constraints.fillers import LONGEST_WORD
from heedful.constraints.masks.wanted import MOST_FILLED, Prices

Numbers = NDArray[np.int64]
Bounds = tuple[int, int | None] | None
_ANY = 1 << 30


class Filling:
    """For one composition."""

    def __init__(self, prices: Prices, words: Bounds, characters: Bounds) -> None:
        """Bounds of what is counted; None where it is not."""
        self._prices = prices
        self._words, self._characters = _plain(words), _plain(characters)
        self.is_mixed = words is not None and characters is not None
        self._has_characters = characters is not None
        self._by_words = prices.by_words
        self._by_characters = np.array(
            [prices.by_characters(number) for number in range(min(self._characters[0], MOST_FILLED) + 1)], np.int64
        )
        self._mixed: dict[tuple[int, int, int, int], int] = {}

    def tokens(
        self, words_low: Numbers, words_high: Numbers, characters_low: Numbers, characters_high: Numbers, least: int,
        joins: NDArray[np.bool_],
    ) -> Numbers:  # fmt: skip
        """For texts of so many words and characters; `least` words are filled with in any case. `joins`: the first of a plan's
        words may be one with what stands before."""
        missing = np.maximum(self._words[0] - words_low + joins, least)
        room = self._words[1] - words_high
        lacking, space = self._characters[0] - characters_low, self._characters[1] - characters_high
        if self._has_characters and (self.is_mixed or least):
            found = self._both(missing, room, lacking, space)
            return (
                np.maximum(found, self._both(np.maximum(missing - 1, 0), room, lacking, space))
                if joins.any()
                else found
            )
        if self._has_characters:
            costs = self._by_characters[np.clip(lacking, 0, len(self._by_characters) - 1)]
            return np.where((space < 0) | (lacking >= MOST_FILLED), NEVER, costs)
        costs = self._by_words[np.clip(missing, 0, MOST_FILLED)]
        # Where a mark joins, the word that is filled with for it makes up for one that is none.
        is_full = (room < 0) | (room < missing - joins) if least else room < 0
        return np.where(is_full | (missing > MOST_FILLED), NEVER, costs)

    def _both(self, missing: Numbers, room: Numbers, lacking: Numbers, space: Numbers) -> Numbers:
        keys = np.stack(np.broadcast_arrays(np.maximum(missing, 0), room, lacking, space), axis=1)
        keys[:, 1:] = np.clip(keys[:, 1:], -1, 1 << 20)
        unique, inverse = np.unique(keys, axis=0, return_inverse=True)
        found = np.array([self._of_both(*map(int, row)) for row in unique], np.int64)
        return found[inverse.reshape(-1)]

    def _of_both(self, missing: int, room: int, lacking: int, space: int) -> int:
        """As the drafts do it: words first, then longer, shorter or more words until there are enough characters."""
        key = (missing, room, lacking, space)
        if key not in self._mixed:
            if len(self._mixed) > 1 << 16:
                self._mixed.clear()
            self._mixed[key] = self._reckoned(missing, room, lacking, space)
        return self._mixed[key]

    def _reckoned(self, missing: int, room: int, lacking: int, space: int) -> int:
        prices = self._prices
        if room < missing or space < 0 or missing > MOST_FILLED or lacking > MOST_FILLED:
            return NEVER
        letters = int(prices.letters_by_words[missing])
        if letters > space:
            return NEVER
        if letters >= lacking:
            return int(prices.by_words[missing])
        usual = -(-lacking // prices.usual)
        if missing <= usual <= room:
            return prices.by_characters(lacking)
        number = max(missing, -(-lacking // LONGEST_WORD))
        return number * prices.dearest if prices.usual > 1 and number <= min(lacking, room) else NEVER


def _plain(bounds: Bounds) -> tuple[int, int]:
    if bounds is None:
        return -_ANY, _ANY
    return bounds[0], _ANY if bounds[1] is None else bounds[1]
