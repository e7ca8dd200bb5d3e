"""Masks for regular expressions alone: worked out once for each state of the automaton, and kept.

The whole answer matches, or a match is somewhere in it. How many tokens are enough is told by the
plans of the composition's own planner, one for each state in which a token may end.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.composition import NEVER, Written
from heedful.constraints.edges import PlainPart, Restraint
from heedful.constraints.forms import ContainsPart, RegexForm
from heedful.constraints.masks.noise import Noise
from heedful.constraints.masks.texts import TokenTexts, combines, token_texts
from heedful.constraints.masks.walks import Walks, tree_of
from heedful.constraints.planner import Planner
from heedful.constraints.regular import State
from heedful.constraints.tokens import TokenTable

Costs = NDArray[np.int32]

_MOST_KNOWN = 256
"""States of which masks are kept: 200 kB each where there are 49 thousand tokens."""
_NUM_PLANS = 2


@dataclass(frozen=True, slots=True)
class _Table:
    """For one state of the automaton, and one beginning of a character."""

    costs: Costs
    """(vocabulary,)"""
    dearest: int
    leading: dict[str, NDArray[np.bool_]]
    """What a plan may begin with that is no word, and (vocabulary,) of bool: behind which tokens it would."""


class RegularMasks:
    """For one composition."""

    def __init__(self, planner: Planner, table: TokenTable, walks: Walks, *, place: int, restraint: int | None) -> None:
        """Where among the states that of the automaton is, and that of a `Restraint`."""
        self._planner, self._walks, self._place, self._restraint = planner, walks, place, restraint
        self._tokens: TokenTexts = token_texts(table)
        noise = planner._parts[restraint] if restraint is not None else None
        assert noise is None or isinstance(noise, Restraint)
        self._noise = Noise(noise, self._tokens)
        self._known: dict[tuple[State, bytes], _Table] = {}
        self._ends: dict[int, tuple[int, str]] = {}
        self._noisy_ids: dict[tuple[tuple[int, int, int], bytes, str], NDArray[np.int64]] = {}

    def costs(self, state: Written, *, is_first: bool) -> Costs | None:
        """As `ProseMasks.costs`."""
        if state.wanted > 1:
            return None
        pending = self._tokens.pending(state.pending, is_first=is_first)
        found = self._table(state, pending)
        costs = found.costs.copy()
        if found.dearest > state.left - 2:
            costs[costs > state.left - 2] = NEVER
        if self._restraint is not None:
            runs = state.states[self._restraint]
            costs[self._noisy(runs, pending, "")] = NEVER
            for leading, is_behind in found.leading.items():
                noisy = self._noisy(runs, pending, leading)
                costs[noisy[is_behind[noisy]]] = NEVER
        return costs

    def _noisy(self, runs: tuple[int, int, int], pending: bytes, leading: str) -> NDArray[np.int64]:
        """Tokens that would be too many blanks or marks, also when `leading` comes next."""
        key = (runs, pending, leading)
        found = self._noisy_ids.get(key)
        if found is None:
            if len(self._noisy_ids) >= _MOST_KNOWN:
                self._noisy_ids.clear()
            batch = self._tokens.batch(pending)
            refused = self._noise.refused(runs, leading)[self._tokens.columns[batch.classes, 0]]
            found = self._noisy_ids[key] = batch.ids[refused]
        return found

    def _table(self, state: Written, pending: bytes) -> _Table:
        key = (state.states[self._place], pending)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[key] = self._made(state, pending)
        return found

    def _made(self, state: Written, pending: bytes) -> _Table:
        batch = self._tokens.batch(pending)
        reached = self._walks.read(state.states[self._place], tree_of(batch))
        ends = np.unique(reached[reached >= 0])
        by_end = np.full(len(self._walks.states) + 1, NEVER, np.int64)
        leading: dict[str, list[int]] = {}
        for end in ends.tolist():
            by_end[end], marks = self._end(end)
            if marks and self._restraint is not None:
                leading.setdefault(marks, []).append(end)
        costs: Costs = np.full(self._tokens.size, NEVER, np.int32)
        extra = self._tokens.columns[batch.classes, 3]
        costs[batch.ids] = np.minimum(by_end[reached] + extra, NEVER)
        possible = costs[costs < NEVER]
        behind = {}
        for marks, several in leading.items():
            behind[marks] = np.zeros(self._tokens.size, bool)
            behind[marks][batch.ids[np.isin(reached, several)]] = True
        return _Table(costs, int(possible.max()) if len(possible) else 0, behind)

    def _end(self, number: int) -> tuple[int, str]:
        """Tokens of a plan from a state of the automaton, and the marks that it begins with."""
        if number not in self._ends:
            states = list(self._planner.start())
            states[self._place] = self._walks.states[number]
            found = (NEVER, "")
            if self._planner.accepts(states):
                found = (0, "")
            else:
                for pieces in islice(self._planner.plans(states, "a", effort=1, least=0), _NUM_PLANS):
                    if pieces and not combines(pieces[0][0]) and (cost := self._cost(pieces)) < found[0]:
                        found = (cost, _leading("".join(pieces)))
            self._ends[number] = found
        return self._ends[number]

    def _cost(self, pieces: tuple[str, ...]) -> int:
        number = self._tokens.table.num_tokens(piece.encode() for piece in pieces)
        return NEVER if number is None else number


def regular_masks(planner: Planner, table: TokenTable) -> RegularMasks | None:
    """None for compositions that hold anything else."""
    kinds, forms = [type(part) for part in planner._parts], planner._forms
    if kinds == [PlainPart] and len(forms) == 1 and isinstance(forms[0], RegexForm):
        return RegularMasks(planner, table, Walks(forms[0]._regular), place=1, restraint=None)
    first = planner._parts[0]
    if kinds == [ContainsPart, PlainPart, Restraint] and not forms and isinstance(first, ContainsPart):
        # What has to stand at the end is not gone on with: the planner writes it anew.
        return None if first._is_last else RegularMasks(planner, table, Walks(first._regular), place=0, restraint=2)
    return None


def _leading(text: str) -> str:
    return text[: next((place for place, character in enumerate(text) if character.isalnum()), len(text))]
