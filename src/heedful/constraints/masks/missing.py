"""What would be missing of all phrases behind each token: for tokens in general, by how they begin, and singly for those that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.machine import State
from heedful.constraints.masks.blocks import WIDTH, Block, Needs, block_of, spoiled
from heedful.constraints.masks.needles import Needles
from heedful.constraints.masks.stands import NONE_LOST, Stand, stands_of
from heedful.constraints.masks.suffixes import Begun, Divided, suffixes_of
from heedful.constraints.masks.texts import NUM_KINDS, Batch, TokenTexts
from heedful.constraints.masks.wanted import NO_SIZE, Prices, Size, Wanted, are_apart
from heedful.constraints.phrases import PhrasesPart

_MOST_KNOWN = 512


@dataclass(frozen=True, slots=True)
class Reckoned:
    """At one place of an answer."""

    base: Needs
    """By kind."""
    is_losing: NDArray[np.bool_]
    """Kinds of tokens that make another word of a phrase that the text ends with, or of the beginning of one."""
    begun: tuple[Begun, ...]
    """What is missing that tokens may end with the beginning of, inside of words."""
    ids: NDArray[np.int64]
    """Tokens that are reckoned singly."""
    rows: Needs
    """Of those: when what is begun is completed first."""
    apart: Needs
    """Of those: when it is written anew."""


class Missing:
    """Of one composition."""

    def __init__(
        self, parts: Sequence[tuple[int, PhrasesPart, list[Wanted]]], tokens: TokenTexts, prices: Prices
    ) -> None:
        self._parts, self._tokens = parts, tokens
        self._needles, self._suffixes = Needles.of(tokens), suffixes_of(tokens)
        self._known: dict[object, Reckoned] = {}
        self._blocks: dict[object, Block] = {}
        asked = [one for _, _, wanted in parts for one in wanted if one.phrase.low]
        self._bringing = _bringing([one for _, part, wanted in parts for one in wanted if not part._any_of])
        self.attached = prices.attached + max((prices.more_attached(one.phrase.text) for one in asked), default=0)
        """Tokens more that a plan may take where no space comes before it."""
        self.is_exact = all(
            one.size.words_low == one.size.words_high and one.size.characters_low == one.size.characters_high
            for one in asked
        )
        self.is_bounded = any(one.phrase.high is not None for _, _, wanted in parts for one in wanted)
        self.leading_marks = max((_leading_marks(one.phrase.text) for one in asked), key=len, default="")

    @classmethod
    def of(cls, parts: Sequence[object], tokens: TokenTexts, prices: Prices) -> Missing | None:
        """None where a plan may not be what is reckoned."""
        found, places = [], [(n, part) for n, part in enumerate(parts) if isinstance(part, PhrasesPart)]
        said = [(n, k, phrase.text) for n, part in places for k, phrase in enumerate(part.phrases) if phrase.low]
        for number, part in places:
            if part._any_of and any(phrase.low != 1 for phrase in part.phrases):
                return None
            wanted = []
            for place in range(len(part.phrases)):
                others = [text for n, k, text in said if (n, k) != (number, place)]
                wanted.append(Wanted(part, place, prices, others))
            found.append((number, part, wanted))
        every = [one for _, _, wanted in found for one in wanted]
        asked = [one for one in every if one.phrase.low]
        if not all(prices.is_said(one.phrase.text) and one.size.is_possible for one in asked):
            return None
        # Where occurrences could overlap, the planner's way to the second one is not the one that is reckoned.
        if any(one.phrase.low > 1 and _has_border(one.needle.text) for one in asked) or not are_apart(every, prices):
            return None
        return cls(found, tokens, prices)

    def reckoned(self, states: Sequence[State], pending: bytes, batch: Batch) -> Reckoned:
        """Of the tokens of `batch`, which may follow `pending`."""
        stands = [stand for number, part, wanted in self._parts for stand in stands_of(part, wanted, states[number])]
        key = (pending, *stands)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[key] = self._made(stands, pending, batch)
        return found

    def divided(self, batch: Batch, pending: bytes, begun: Sequence[Begun]) -> Divided:
        """The classes of `batch`, divided by what of `Reckoned.begun` tokens end with."""
        return self._suffixes.divided(batch, pending, begun)

    def _made(self, stands: Sequence[Stand | None], pending: bytes, batch: Batch) -> Reckoned:
        base = np.zeros((NUM_KINDS, WIDTH), np.int64)
        every = [one for _, _, wanted in self._parts for one in wanted]
        absent = {one for one, stand in zip(every, stands, strict=True) if stand is not None and not stand.number}
        blocks: list[Block] = []
        at = 0
        for _, part, wanted in self._parts:
            own = stands[at : at + len(wanted)]
            at += len(wanted)
            # Any of several is one thing that is missing; else each is one.
            groups = (
                [(wanted, own)] if part._any_of else [([one], [stand]) for one, stand in zip(wanted, own, strict=True)]
            )
            for ones, several in groups:
                if all(stand is None for stand in several):
                    continue
                is_brought = not absent.isdisjoint(self._bringing.get(ones[0], ()))
                key = (pending, ones[0], is_brought, *several)
                if key not in self._blocks:
                    if len(self._blocks) >= _MOST_KNOWN * 8:
                        self._blocks.clear()
                    size = NO_SIZE if is_brought else Size.most([one.size for one in ones])
                    effects = [
                        self._needles.effects(one.needle, stand.ending, stand.begun, pending, one.fold)
                        if stand is not None
                        else None
                        for one, stand in zip(ones, several, strict=True)
                    ]
                    self._blocks[key] = block_of(ones, size, several, effects, self._tokens.columns[:, 4], batch)
                base += self._blocks[key].base
                blocks.append(self._blocks[key])
        is_losing = np.any(
            [[bool(stand.begun) or lost for lost in stand.lost] for stand in stands if stand] or [list(NONE_LOST)],
            axis=0,
        )
        return self._joined(base, is_losing, blocks, pending, batch)

    def _joined(
        self, base: Needs, is_losing: NDArray[np.bool_], blocks: Sequence[Block], pending: bytes, batch: Batch
    ) -> Reckoned:
        inside = tuple(
            Begun(block.wanted, block.size, order)
            for order, block in enumerate(blocks)
            if block.base[0, 0] and block.size is not NO_SIZE and not block.wanted.needle.whole_word
        )
        ids = np.concatenate([block.ids for block in blocks]) if blocks else np.zeros(0, np.int64)
        if not len(ids):
            empty = np.zeros((0, WIDTH), np.int64)
            return Reckoned(base, is_losing, inside, ids, empty, empty)
        order = np.argsort(ids, kind="stable")
        unique, first = np.unique(ids[order], return_index=True)
        apart = np.add.reduceat(np.concatenate([block.more for block in blocks])[order], first, axis=0)
        apart += base[self._tokens.columns[batch.dense[unique] - 1, 4]]
        rows = apart.copy()
        # Of several that are begun a plan completes the first.
        is_free = np.ones(len(unique), bool)
        for number, block in enumerate(blocks):
            places = np.searchsorted(unique, block.ids)
            new = block.is_begun & is_free[places]
            rows[places[new], :5] += block.glued[new]
            is_free[places[new]] = False
            for one in inside:
                if one.order == number:
                    begun = self._suffixes.begun(one.wanted, batch, pending)[unique]
                    begun[places] = 0
                    for place in np.flatnonzero((begun > 0) & is_free).tolist():
                        rest = one.wanted.rests[begun[place]]
                        assert rest is not None
                        rows[place, :5] += np.subtract(rest.values, one.size.values)
                        is_free[place] = False
        rows[~is_free, 5] += spoiled(blocks, unique[~is_free])
        return Reckoned(base, is_losing, inside, unique, rows, apart)


def _has_border(text: str) -> bool:
    return any(text.startswith(text[size:]) for size in range(1, len(text)))


def _leading_marks(text: str) -> str:
    found = ""
    for character in text:
        if character.isalnum():
            break
        found += character if not character.isspace() else ""
    return found


def _bringing(wanted: Sequence[Wanted]) -> dict[Wanted, list[Wanted]]:
    """For each phrase the phrases that it is a part of: as long as one of them is missing a plan brings both with it."""
    once = [one for one in wanted if one.phrase.low == 1]
    return {one: [other for other in once if one.is_in(other)] for one in once}
