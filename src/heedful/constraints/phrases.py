"""Keywords and forbidden words while a text is written, found just as `heedful.requirements.keywords` finds them.

The text is folded piece by piece, at white space. An occurrence is settled when the characters behind it are known that say
whether it is a word of its own; until then it counts only if the text ends.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from heedful.constraints.machine import NOTHING, Item, Needs
from heedful.requirements.keywords import fold, within_word

_LONGEST_OPEN = 96
"""Characters without white space that are folded again with each token; longer runs (Chinese) are cut."""
_KEPT_OPEN = 32
_SHORT = 96
"""Characters, within which most texts hold none of the phrases."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is looked for, and how often it must and may occur."""

    text: str
    needle: str
    """Folded as the text is."""
    whole_word: bool
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class _Found:
    folded: str
    """The end of what is folded for good."""
    raw: str
    """What is behind the last white space."""
    counts: tuple[int, ...]
    starts: tuple[int, ...]
    """Where in `folded` the search for each phrase goes on."""


class PhrasesPart:
    """All phrases within their bounds; with `any_of`, one of them at least `low` times."""

    def __init__(self, phrases: Sequence[Phrase], *, any_of: bool = False, folds: bool = True) -> None:
        """`folds`: case does not count."""
        self.phrases, self._any_of = tuple(phrases), any_of
        self._fold: Callable[[str], str] = _folded if folds else _plain
        self._kept = max(len(phrase.needle) for phrase in phrases) + 12
        self._any = re.compile("|".join({re.escape(phrase.needle) for phrase in phrases}))

    def start(self) -> _Found:
        zeros = (0,) * len(self.phrases)
        return _Found("", "", zeros, zeros)

    def step(self, state: _Found, text: str) -> _Found | None:
        folded, raw = self._settled(state.folded, state.raw + text)
        whole = folded + self._fold(raw)
        cut = max(len(folded) - self._kept, 0)
        if self._has_none(whole):
            return _Found(folded[cut:], raw, state.counts, (0,) * len(self.phrases))
        counts, starts = [], []
        for phrase, count, start in zip(self.phrases, state.counts, state.starts, strict=True):
            if whole.find(phrase.needle, start) >= 0:
                count, start = self._count(phrase, whole, count, start, is_end=False)
                if phrase.high is not None and count > phrase.high and not self._any_of:
                    return None
            counts.append(count)
            starts.append(start)
        return _Found(folded[cut:], raw, tuple(counts), tuple(max(start - cut, 0) for start in starts))

    def numbers(self, state: _Found) -> Sequence[int]:
        """How often each occurs if the text ended here."""
        whole = state.folded + self._fold(state.raw)
        if self._has_none(whole):
            return state.counts
        return [
            self._count(phrase, whole, count, start, is_end=True)[0] if whole.find(phrase.needle, start) >= 0 else count
            for phrase, count, start in zip(self.phrases, state.counts, state.starts, strict=True)
        ]

    def accepts(self, state: _Found) -> bool:
        pairs = zip(self.phrases, self.numbers(state), strict=True)
        if self._any_of:
            return any(number >= phrase.low for phrase, number in pairs)
        return all(number >= phrase.low and (phrase.high is None or number <= phrase.high) for phrase, number in pairs)

    def is_hopeless(self, state: _Found) -> bool:
        return False

    def needs(self, state: _Found) -> Needs:
        if self.accepts(state):
            return NOTHING
        whole = state.folded + self._fold(state.raw)
        missing = [
            (phrase, phrase.low - number)
            for phrase, number in zip(self.phrases, self.numbers(state), strict=True)
            if number < phrase.low
        ]
        if self._any_of:
            least = min(number for _, number in missing)
            nearest = [phrase for phrase, number in missing if number == least]
            rests = [self._rest(nearest[0], whole)]
            return Needs(items=tuple(Item(tuple(p.text for p in nearest), rest) for rest in rests + [""] * (least - 1)))
        items: list[Item] = []
        for phrase, number in missing:
            items.append(Item((phrase.text,), self._rest(phrase, whole)))
            items += [Item((phrase.text,))] * (number - 1)
        return Needs(items=tuple(items))

    def _has_none(self, whole: str) -> bool:
        """Whether a text of which this takes next to no time holds nothing that is looked for."""
        return len(whole) <= _SHORT and self._any.search(whole) is None

    def _count(self, phrase: Phrase, whole: str, count: int, start: int, *, is_end: bool) -> tuple[int, int]:
        """Occurrences from `start` on, and where the search has to go on."""
        needle = phrase.needle
        while (at := whole.find(needle, start)) >= 0:
            end = at + len(needle)
            # Whether the place behind it is inside a word or number takes two more characters to tell.
            if phrase.whole_word and end + 2 > len(whole) and not is_end:
                return count, at
            if phrase.whole_word and (within_word(whole, at) or within_word(whole, end)):
                start = at + 1
            else:
                count, start = count + 1, end
        return count, max(start, 0)

    def _settled(self, folded: str, raw: str) -> tuple[str, str]:
        """Fold all that later characters cannot change."""
        at = max(raw.rfind(" "), raw.rfind("\n")) + 1
        if not at and len(raw) > _LONGEST_OPEN:
            at = _safe_cut(raw, len(raw) - _KEPT_OPEN)
        if not at:
            return folded, raw
        done, raw = raw[:at], raw[at:]
        if done[0].isspace() and folded and folded[-1] != " ":
            folded += " "
        folded += self._fold(done)
        if done[-1].isspace() and folded and folded[-1] != " ":
            folded += " "
        return folded, raw

    def _rest(self, phrase: Phrase, whole: str) -> str:
        """What is left of an occurrence that the text ends in the middle of."""
        needle = phrase.needle
        for length in range(min(len(needle) - 1, len(whole)), 0, -1):
            begins = whole.endswith(needle[:length])
            if begins and not (phrase.whole_word and within_word(whole, len(whole) - length)):
                same = len(phrase.text) == len(needle)
                return phrase.text[length:] if same else needle[length:]
        return ""


def _folded(text: str) -> str:
    """`fold`, the short way for what most texts are."""
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    return fold(text)


def _plain(text: str) -> str:
    """White space as it is folded, and nothing else."""
    return " ".join(text.split())


def _safe_cut(text: str, at: int) -> int:
    """The nearest place before `at` where the next character is a whole one; 0 for none."""
    while at > 0 and (unicodedata.combining(text[at]) or "\u1100" <= text[at] <= "\u11ff"):
        at -= 1
    return at
