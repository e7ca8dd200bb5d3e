"""Words, characters and sentences while they are written. They count with the very functions that `check` uses.

A text is cut where its parts count separately (at white space for words, at a blank line for sentences): the parts before are a
number, the rest is kept and counted again when it grows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from heedful import text as texts
from heedful.constraints.machine import NOTHING, Needs

_Tail = tuple[int, str]
_SHORT = 24
"""Characters."""


class CountedPart:
    """So many units, from `low` to `high`."""

    def __init__(self, unit: str, low: int, high: int | None, count: Callable[[str], int]) -> None:
        self.unit, self.low, self.high, self._count = unit, low, high, count

    def start(self) -> _Tail:
        return 0, ""

    def step(self, state: _Tail, text: str) -> _Tail | None:
        number, tail = state
        text = tail + text
        if at := self._cut(text):
            number, text = number + self._count(text[:at]), text[at:]
        # What was counted once is never taken back by what follows.
        if self.high is not None and number > self.high:
            return None
        return number, text

    def _cut(self, text: str) -> int:
        """Where what follows counts by itself; 0 for nowhere."""
        return 0

    def number(self, state: _Tail) -> int:
        """How many there are if the text ended here."""
        return state[0] + self._count(state[1])

    def accepts(self, state: _Tail) -> bool:
        number = self.number(state)
        return number >= self.low and (self.high is None or number <= self.high)

    def is_hopeless(self, state: _Tail) -> bool:
        return self.high is not None and self.number(state) > self.high

    def needs(self, state: _Tail) -> Needs:
        number = self.number(state)
        if number < self.low:
            return Needs(units=((self.unit, self.low - number),))
        if self.high is not None and number > self.high:
            return Needs(units=((self.unit, self.high - number),))
        return NOTHING


class WordsPart(CountedPart):
    """Words, by whichever of the definitions `count` has: all of them end at white space."""

    def __init__(
        self, unit: str, low: int, high: int | None, count: Callable[[str], int], *, cuts_unspaced: bool = True
    ) -> None:
        """`cuts_unspaced`: a character of a script without spaces is a word of its own."""
        known = lru_cache(maxsize=1024)(count)
        # Words come again and again; plans do not.
        super().__init__(unit, low, high, lambda text: known(text) if len(text) <= _SHORT else count(text))
        self._cuts_unspaced = cuts_unspaced

    def _cut(self, text: str) -> int:
        at = max(text.rfind(" "), text.rfind("\n")) + 1
        # None in ASCII is such a word, and a long text without blanks would be looked through again at every step.
        if not self._cuts_unspaced or text.isascii():
            return at
        return next((end for end in range(len(text), at, -1) if texts.is_unspaced(text[end - 1])), at)


class SentencesPart(CountedPart):
    """Sentences: a blank line is the only place where what follows has no say in what was before."""

    def __init__(self, low: int, high: int | None) -> None:
        super().__init__("sentences", low, high, _num_sentences)

    def _cut(self, text: str) -> int:
        at = text.rfind("\n\n")
        return at + 2 if at >= 0 else 0


@lru_cache(maxsize=8192)
def _num_sentences(text: str) -> int:
    return texts.num_sentences(text)


class CharactersPart(CountedPart):
    """Characters that are not white space; each counts by itself."""

    def __init__(self, low: int, high: int | None) -> None:
        super().__init__("characters", low, high, texts.num_characters)

    def _cut(self, text: str) -> int:
        return len(text)


class LettersPart(CountedPart):
    """One letter. The last character is kept: a mark that follows may make another letter of it."""

    def __init__(self, letter: str, low: int, high: int | None, count: Callable[[str], int]) -> None:
        super().__init__(f"letter:{letter}", low, high, count)

    def _cut(self, text: str) -> int:
        return max(len(text) - 1, 0)
