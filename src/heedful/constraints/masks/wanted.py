"""What a plan is made of, in numbers: how many tokens, words and characters each phrase, and each word that fills, takes.

Wherever the planner could choose, the numbers are bounds: never fewer tokens than it would take, nor fewer words than there may be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful import text as texts
from heedful.constraints.composition import NEVER
from heedful.constraints.fillers import LONGEST_WORD, Voice, between
from heedful.constraints.masks.needles import Needle
from heedful.constraints.phrases import Phrase, PhrasesPart, _folded
from heedful.constraints.tokens import TokenTable

MOST_FILLED = 4096
"""Words or characters; answers that need more are left to those who ask for one token."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a text in a plan. `words_low` and `words_high` bound how many words more there are with it."""

    tokens: int
    words_low: int
    words_high: int
    characters_low: int
    characters_high: int

    @property
    def values(self) -> tuple[int, int, int, int, int]:
        return self.tokens, self.words_low, self.words_high, self.characters_low, self.characters_high

    @property
    def is_possible(self) -> bool:
        """Whether tokens spell it."""
        return self.tokens < NEVER

    @staticmethod
    def most(sizes: Sequence[Size]) -> Size:
        """What holds for any of them."""
        columns = list(zip(*(size.values for size in sizes), strict=True))
        return Size(*(min(column) if place in (1, 3) else max(column) for place, column in enumerate(columns)))


NO_SIZE = Size(0, 0, 0, 0, 0)
"""Of what comes with something else."""


class Wanted:
    """One phrase of one part."""

    def __init__(self, part: PhrasesPart, number: int, prices: Prices, others: Sequence[str]) -> None:
        """`others`: all other phrases that may be asked for."""
        self.phrase: Phrase = part.phrases[number]
        phrase = self.phrase
        self.fold = part._fold
        self.needle = Needle(phrase.needle, phrase.whole_word, self.fold is _folded)
        is_part = any(phrase.text.casefold() in other.casefold() for other in others)
        self.size = prices.size(phrase.text, is_part=is_part)
        # By the characters of it that stand in the text already; None where it is not gone on with.
        self.rests: list[Size | None] = [None]
        for begun in range(1, len(phrase.needle)):
            self.rests.append(prices.rest_size(phrase, begun, is_part=is_part))

    def is_in(self, other: Wanted) -> bool:
        """Whether writing `other` writes it too."""
        own, whole = self.phrase.text.casefold(), other.phrase.text.casefold()
        return own != whole and own in whole and self.needle.count(self.fold(other.phrase.text)) > 0


class Prices:
    """Of texts, for one vocabulary, one way to count words, and one voice."""

    def __init__(self, table: TokenTable, voice: Voice, num_words: Callable[[str], int]) -> None:
        self._table, self._voice, self._num_words = table, voice, num_words
        self.usual = 4 if voice.is_spaced else 1
        words = [voice.word(number) for number in range(min(len(voice.words), 8))]
        self.by_words = _sums([self.tokens(word) for word in words])
        """Tokens of so many words to fill with."""
        self.letters_by_words = _sums([len(word) for word in words])
        # In scripts without spaces a longer word is more words: only those of one character are filled with.
        longest = LONGEST_WORD if voice.is_spaced else 1
        self.fillers = [*words, *(voice.of_length(size) for size in range(1, longest + 1))]
        self.dearest = max(map(self.tokens, self.fillers))
        """The most tokens that a word to fill with takes."""
        self.attached = max(0, *(self._attached(word) - self.tokens(word) for word in self.fillers))
        """Tokens more that a word to fill with takes without a space before it."""

    @lru_cache(maxsize=4096)  # noqa: B019 - lives as long as a composition
    def by_characters(self, number: int) -> int:
        """Tokens of words that have so many characters together."""
        if number <= 0:
            return 0
        num_words = -(-number // self.usual)
        least, more = divmod(number, num_words)
        sizes = ((least + 1, more), (least, num_words - more))
        return sum(self.tokens(self._voice.of_length(size)) * times for size, times in sizes if times)

    def tokens(self, text: str) -> int:
        """Of a text behind any other."""
        if not texts.is_unspaced(text):
            return self._spelled(" " + text)
        # What stands in the text already is not written again (`_shared` of the drafts), and a space may come before it.
        return max(self._spelled(" " + text), *(self._spelled(text[start:]) for start in range(len(text))))

    def is_said(self, text: str) -> bool:
        """Whether the planner would write it as it is."""
        voice = self._voice
        return voice.may_stand(text) or not voice.may_stand(voice.changed(text))

    def more_attached(self, text: str) -> int:
        """Tokens more that `text` takes without a space before it."""
        return max(self._attached(text) - self.tokens(text), 0)

    def size(self, text: str, *, is_part: bool) -> Size:
        """`is_part`: it may be written as a part of another phrase, so that nothing is added with it."""
        words, characters = self._num_words(text), texts.num_characters(text)
        if is_part:
            return Size(self.tokens(text), 0, words, 0, characters)
        if texts.is_unspaced(text):
            # Written next to others it may be one word with them, or share characters with what stands before.
            one = min(words, 1) if self._num_words("的的") == 2 else 0
            return Size(self.tokens(text), one, words, 1, characters)
        return Size(self.tokens(text), words, words, characters, characters)

    def rest_size(self, phrase: Phrase, begun: int, *, is_part: bool) -> Size | None:
        """What completes `phrase` behind the `begun` characters of it; None where the planner would not."""
        text = phrase.text if len(phrase.text) == len(phrase.needle) else phrase.needle
        rest = text[begun:]
        if not self._voice.may_stand(rest):
            return None
        if is_part:
            # It is gone on with only where the phrase that it is a part of is not missing too.
            whole = self.size(phrase.text, is_part=True)
            return replace(whole, tokens=max(whole.tokens, self._spelled(rest)))
        words = self._num_words(text) - self._num_words(text[:begun])
        characters = texts.num_characters(rest)
        return Size(self._spelled(rest), words, words, characters, characters)

    def _attached(self, text: str) -> int:
        return self._spelled(text)

    def _spelled(self, text: str) -> int:
        found = self._table.spell(text.encode())
        return NEVER if found is None else len(found)


def are_apart(wanted: Sequence[Wanted], prices: Prices) -> bool:
    """Whether no plan holds one of the phrases too often: none that is bounded is in another, or comes about between two."""
    texts_of_plans = [one.phrase.text for one in wanted if one.phrase.low] + prices.fillers
    for one in wanted:
        if one.phrase.high is None:
            continue
        needle, pieces = one.needle.text, {one.fold(piece) for piece in texts_of_plans}
        if any(one.needle.count(piece) for piece in pieces if piece != needle):
            return False
        for size in range(1, len(needle)):
            left = needle[:size]
            wholes = [left + between(left, piece) + piece for piece in pieces]
            if any(whole.startswith(needle) or needle.startswith(whole) for whole in wholes):
                return False
    return True


def _sums(values: Sequence[int]) -> NDArray[np.int64]:
    """Of the first so many of `values`, which take turns."""
    return np.concatenate([[0], np.cumsum(np.resize(np.array(values, np.int64), MOST_FILLED))])
