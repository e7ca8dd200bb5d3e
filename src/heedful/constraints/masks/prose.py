"""Masks for answers without a form: words, characters and phrases, all of them bounded from below or above or both.

For each class of tokens a plan is reckoned, not made: the phrases that would still be missing, and words to fill with. Tokens that
complete a phrase, begin one or go on with one are reckoned singly. What is reckoned here to be possible the planner does too:
its first proposal is what the numbers are of. Where that is not sure the token counts as one that may not come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from heedful import text as texts
from heedful.constraints.composition import LONG_PLAN, NEVER, Written
from heedful.constraints.counting import CharactersPart, CountedPart, WordsPart
from heedful.constraints.edges import LoneMarksPart, PlainPart, Restraint
from heedful.constraints.fillers import between
from heedful.constraints.machine import State
from heedful.constraints.masks.filling import Filling
from heedful.constraints.masks.follow import Follow
from heedful.constraints.masks.missing import Missing
from heedful.constraints.masks.noise import Noise
from heedful.constraints.masks.texts import APART, TokenTexts, token_texts
from heedful.constraints.masks.wanted import Prices
from heedful.constraints.phrases import PhrasesPart
from heedful.constraints.planner import Planner
from heedful.constraints.tokens import TokenTable

Found = TypeVar("Found")
Mask = NDArray[np.bool_]
Costs = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Place:
    """What is common to all tokens at one place of an answer."""

    words: int
    characters: int
    added: NDArray[np.int64] | None
    """Words that each class adds."""
    joins: Mask
    """Classes behind which the first word of a plan would be one with the last that was written."""
    noisy: Mask
    """Classes that would be refused for their blanks or marks."""
    left: int
    wanted: int


class ProseMasks:
    """For one composition. Remembers tables, nothing of answers."""

    def __init__(self, planner: Planner, tokens: TokenTexts, prices: Prices, missing: Missing) -> None:
        self._planner, parts = planner, planner._parts
        self._tokens, self._prices, self._missing = tokens, prices, missing
        self._words = place_of(parts, WordsPart)
        self._characters = place_of(parts, CharactersPart)
        self._restraint = place_of(parts, Restraint)
        self._follow = Follow(self._words[1], tokens) if self._words else None
        self._filling = Filling(prices, *(_bounds(found) for found in (self._words, self._characters)))
        self._noise = Noise(self._restraint[1] if self._restraint else None, tokens)

    def costs(self, state: Written, *, is_first: bool) -> Costs | None:
        """(vocabulary,): tokens that are enough to end the answer behind each token, NEVER for those that may not come. None where
        that cannot be told. Tokens that end the answer are not looked at."""
        pending = self._tokens.pending(state.pending, is_first=is_first)
        batch = self._tokens.batch(pending)
        columns = self._tokens.columns
        place = self._place(state, columns)
        if place is None:
            return None
        reckoned = self._missing.reckoned(state.states, pending, batch)
        classes, dense = np.arange(len(columns)), batch.dense
        needs = reckoned.base[columns[:, 4]]
        if reckoned.begun:
            divided = self._missing.divided(batch, pending, reckoned.begun)
            classes, dense = divided.classes, divided.dense
            needs = needs[classes]
            needs[:, :5] += divided.saved
        costs: Costs = np.empty(len(classes) + 1, np.int32)
        costs[0] = NEVER
        costs[1:] = self._reckon(place, columns[classes], needs, classes)
        old = None
        if (place.noisy[classes] < (costs[1:] >= NEVER)).any():
            old = self._old_plans(state, place, columns, reckoned.is_losing)
            if len(state.plan) > LONG_PLAN and state.num_planned > state.left - 2:
                # Then nothing else is looked for.
                costs[1:] = NEVER
            costs[1:] = np.minimum(costs[1:], old[classes])
        found: Costs = costs.take(dense)
        ids = reckoned.ids
        if len(ids):
            own = batch.dense[ids].astype(np.int64) - 1
            singly = columns[own]
            found[ids] = self._reckon(place, singly, reckoned.rows, own)
            if self._filling.is_mixed:
                # A plan whose words are stretched completes nothing first.
                found[ids] = np.maximum(found[ids], self._reckon(place, singly, reckoned.apart, own))
            if old is not None:
                found[ids] = np.minimum(found[ids], old[own])
        return found

    def _place(self, state: Written, columns: NDArray[np.int64]) -> _Place | None:
        added, words, characters = None, 0, 0
        joins = np.zeros(len(columns), bool)
        if self._words and self._follow:
            number, part = self._words
            by_shape = self._follow.added(state.states[number][1])
            if by_shape is None:
                return None
            words = part.number(state.states[number])
            added, joins = by_shape[0][columns[:, 0]], by_shape[1][columns[:, 0]]
        if self._characters:
            number, counted = self._characters
            characters = counted.number(state.states[number])
        runs = state.states[self._restraint[0]] if self._restraint else None
        noisy = self._noise.refused(runs, self._missing.leading_marks)[columns[:, 0]]
        return _Place(words, characters, added, joins, noisy, state.left, state.wanted)

    def _old_plans(
        self, state: Written, place: _Place, columns: NDArray[np.int64], is_losing: Mask
    ) -> NDArray[np.int64]:
        """(classes,): tokens of the plan of before, or of all but one piece of it, behind classes after which it still serves."""
        found = np.full(len(columns), NEVER, np.int64)
        plan = state.plan
        if self._missing.is_bounded or state.pending or not plan or texts.is_unspaced(plan[0].decode(errors="replace")):
            return found
        is_spaced = plan[0].startswith(b" ")
        if not is_spaced and state.before and not state.before[-1].isspace():
            return found
        may_stand: Mask = (columns[:, 3] == 0) & ~place.noisy & ~is_losing[columns[:, 4]] & ~place.joins
        # Of two words one after the other another may have been written; what has to come last stays.
        shorter = [plan[:-1], (*plan[:-2], *plan[-1:])] if len(plan) > 2 else []
        for pieces in (*shorter, plan):
            after = self._planner.step(state.states, b"".join(pieces).decode())
            if after is None or not self._others_accept(after):
                continue
            first = pieces[0].removeprefix(b" ")
            apart, attached = (self._spelled((start, *pieces[1:])) for start in (b" " + first, first))
            costs = np.array([apart, attached, apart if is_spaced else attached])[columns[:, 2]]
            serves = may_stand & (costs >= max(state.wanted - 1, 0)) & (costs <= state.left - 2)
            for counted, added in ((self._words, place.added), (self._characters, columns[:, 1])):
                if counted is not None and added is not None:
                    number, part = counted
                    numbers = part.number(after[number]) + added
                    serves &= (numbers >= part.low) & (part.high is None or numbers <= part.high)
            found = np.where(serves, np.minimum(found, costs), found)
        return found

    def _spelled(self, pieces: Sequence[bytes]) -> int:
        number = self._tokens.table.num_tokens(filter(None, pieces))
        return NEVER if number is None else number

    def _others_accept(self, states: Sequence[State]) -> bool:
        """Whether all is well but for words and characters."""
        counted = [found[0] for found in (self._words, self._characters) if found is not None]
        parts = enumerate(self._planner._parts)
        return all(part.accepts(states[number]) for number, part in parts if number not in counted)

    def _reckon(
        self, place: _Place, columns: NDArray[np.int64], needs: NDArray[np.int64], classes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Tokens to the end behind tokens of `classes`; `needs` (tokens, as `Missing` has them) of what would be missing."""
        tokens, words_low, words_high, characters_low, characters_high, is_bad = needs.T
        now_words = place.words + (place.added[classes] if place.added is not None else 0)
        now_characters = place.characters + columns[:, 1]
        filling = self._filling.tokens(
            now_words + words_low,
            now_words + words_high,
            now_characters + characters_low,
            now_characters + characters_high,
            max(place.wanted - 1, 0),
            place.joins[classes],
        )
        costs = tokens + filling + columns[:, 3] + np.where(columns[:, 2] == APART, 0, self._missing.attached)
        refused = place.noisy[classes] | (is_bad > 0) | (costs > place.left - 2)
        return np.where(refused, NEVER, costs)


def prose_masks(planner: Planner, table: TokenTable) -> ProseMasks | None:
    """None for compositions that hold anything else."""
    parts = planner._parts
    known = (WordsPart, CharactersPart, PhrasesPart, PlainPart, Restraint, LoneMarksPart)
    if planner._forms or not planner._voices or any(type(part) not in known for part in parts):
        return None
    if any(sum(type(part) is kind for part in parts) > 1 for kind in (WordsPart, CharactersPart)):
        return None
    words = next((part for part in parts if isinstance(part, WordsPart)), None)
    voice = planner._voices[0]
    prices = Prices(table, voice, (lambda text: words.number((0, text))) if words else (lambda text: 0))
    if prices.dearest >= NEVER or (words and words.low and not _counts_singly(words, prices)):
        return None
    tokens = token_texts(table)
    missing = Missing.of(parts, tokens, prices)
    if missing is None:
        return None
    if words and any(isinstance(part, CharactersPart) for part in parts) and not missing.is_exact:
        return None
    return ProseMasks(planner, tokens, prices, missing)


def place_of(parts: Sequence[object], kind: type[Found]) -> tuple[int, Found] | None:
    """The first part of a kind, and which of them it is."""
    return next(((number, part) for number, part in enumerate(parts) if isinstance(part, kind)), None)


def _bounds(found: tuple[int, CountedPart] | None) -> tuple[int, int | None] | None:
    return (found[1].low, found[1].high) if found else None


def _counts_singly(words: WordsPart, prices: Prices) -> bool:
    """Whether each word that is filled with is one more by this count."""
    first, second = prices.fillers[:2]
    joint = between(first, second)
    return words.number((0, f"{first}{joint}{second}")) == 2 and all(
        words.number((0, filler)) == 1 for filler in prices.fillers
    )
