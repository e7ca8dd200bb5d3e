"""What others miss, made of their `Needs`: texts in the order in which they are best placed, and units to reach."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from heedful import text as texts
from heedful.constraints.forms import Missing
from heedful.constraints.json.fields import overlap
from heedful.constraints.machine import Needs

Manner = Literal["firm first", "all", "longest first"]
"""Whether what may come about by itself waits for the rest, or is placed at once; and in which order."""

_MAX_LINKED = 24
_MAX_MUCH = 20_000
_RUN = re.compile(r"\w+")


def asked(missing: Sequence[Needs], manner: Manner = "firm first") -> list[str]:
    """What has to occur, in order."""
    firm, loose = _different(missing, lambda rank: rank < 2), _different(missing, lambda rank: rank >= 2)
    if manner == "all":
        return _linked([*loose, *(text for text in firm if not any(text in other for other in loose))])
    if not firm:
        return loose
    if manner == "longest first":
        return sorted(firm, key=len, reverse=True)
    # In the order in which they may make up what comes about by itself.
    joined = "\n".join(loose)
    return sorted(firm, key=lambda text: joined.find(text) if text in joined else len(joined))


def _different(missing: Sequence[Needs], has_rank: Callable[[int], bool]) -> list[str]:
    """Each text as often as the one asks for it that asks most often."""
    some = [needs for needs in sorted(missing, key=lambda needs: needs.rank) if has_rank(needs.rank)]
    said = {item.texts[0] for needs in some for item in needs.items if len(item.texts) == 1}
    counts: Counter[str] = Counter()
    found = []
    for needs in some:
        own: Counter[str] = Counter()
        for item in needs.items:
            text = min(item.texts, key=len)
            if len(item.texts) > 1 and any(one in other for one in item.texts for other in said):
                continue  # It comes with the others.
            own[text] += 1
            if own[text] > counts[text]:
                counts[text] += 1
                found.append(text)
    return found


def _linked(several: Sequence[str]) -> list[str]:
    """In an order in which those that overlap stand behind each other."""
    found: list[str] = []
    left = list(several)
    while left and len(several) <= _MAX_LINKED:
        following = max(left, key=lambda text: overlap(found[-1], text) if found else 0)
        if not found or not overlap(found[-1], following):
            following = next((text for text in left if any(overlap(text, other) for other in left)), left[0])
        left.remove(following)
        found.append(following)
    return found + left


def units(missing: Sequence[Needs]) -> dict[str, int]:
    """How many more of each unit; of several the most."""
    found: dict[str, int] = {}
    for needs in missing:
        for unit, number in needs.units:
            found[unit] = max(found.get(unit, number), number)
    return found


def is_met(missing: Sequence[Needs]) -> bool:
    """Whether nothing is missing, as far as is told."""
    others = any(needs.opening or needs.closing or needs.items for needs in missing)
    return not others and not any(units(missing).values())


class Goals:
    """How many units an ending has to have at least, and of which there may be too many."""

    def __init__(self, missing: Missing, example: str) -> None:
        """`example`: some ending."""
        self.least = {unit: number for unit, number in units(missing("")).items() if number > 0}
        self._count_words: Callable[[str], int] = texts.num_words
        if (number := self.least.get("words")) is not None:
            behind = units(missing(example)).get("words", 0)
            if behind > 0 and number - behind == len(_RUN.findall(example)) != texts.num_words(example):
                self._count_words = lambda text: len(_RUN.findall(text))
        # Who refuses a text says what was missing before it: so of far too much is told whether it is too much.
        much = "so " * (20 + 2 * max(self.least.values(), default=0))
        behind_much = units(missing(much[:_MAX_MUCH])) if self.least else {}
        self._capped = {unit for unit in self.least if behind_much.get(unit, 0)}

    def is_capped(self, unit: str) -> bool:
        """Whether there may be too many; only known for what is asked for at all."""
        return unit in self._capped

    def lacking(self, unit: str, text: str) -> int:
        """How many more an ending needs, 0 at least."""
        return max(self.least.get(unit, 0) - self._count(unit, text), 0) if unit in self.least else 0

    def letters(self, text: str, most: int) -> str:
        """The letters that an ending needs more of, each as often as that."""
        wanted = [unit for unit in self.least if unit.startswith("letter:")]
        return "".join(unit.partition(":")[2] * min(self.lacking(unit, text), most) for unit in wanted)

    def _count(self, unit: str, text: str) -> int:
        if unit == "words":
            return self._count_words(text)
        if unit == "characters":
            return texts.num_characters(text)
        return text.lower().count(unit.partition(":")[2]) if unit.startswith("letter:") else 0
