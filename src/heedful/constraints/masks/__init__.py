"""Masks: where an answer is -> all tokens that may come next, and for each how many tokens are enough to end the answer behind it.

A composition is asked about one token at a time while answers are written. Masks say it of the whole vocabulary at once, from tables
that are made once for each vocabulary; only for some compositions: those of words, characters and phrases (`prose`), regular
expressions alone (`forms`), and JSON alone (`documents`). What a mask allows the composition permits too; a mask may leave out a
token that is permitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.composition import NEVER, Written
from heedful.constraints.edges import LoneMarksPart, PlainPart
from heedful.constraints.machine import Part
from heedful.constraints.masks.documents import document_masks
from heedful.constraints.masks.forms import regular_masks
from heedful.constraints.masks.prose import place_of, prose_masks
from heedful.constraints.masks.texts import Batch, TokenTexts, token_texts
from heedful.constraints.planner import Planner
from heedful.constraints.tokens import TokenTable

Costs = NDArray[np.int32]

_MOST_KNOWN = 256
_LONGEST = 24
"""Bytes of the plan's beginning that are looked at."""


class _Source(Protocol):
    def costs(self, state: Written, *, is_first: bool) -> Costs | None: ...


class Masks:
    """For one composition. Safe to use for many answers at once."""

    def __init__(self, source: _Source, table: TokenTable, planner: Planner) -> None:
        self._source, self._table, self._tokens = source, table, token_texts(table)
        self._plain, self._lone = place_of(planner._parts, PlainPart), place_of(planner._parts, LoneMarksPart)
        self._by_bytes = table._by_bytes
        self._refused = _refused_before(self._tokens)

    def costs(self, state: Written, permits: Callable[[int], bool], *, is_first: bool) -> Costs | None:
        """(vocabulary,): tokens that are enough to end the answer behind each token, NEVER for those that may not come; None where
        that cannot be told. `permits` is asked of a few single tokens."""
        if state.is_over:
            return np.full(len(self._table.data), NEVER, np.int32)
        costs = self._source.costs(state, is_first=is_first)
        if costs is None:
            return None
        pending = self._tokens.pending(state.pending, is_first=is_first)
        if self._plain is not None:
            place, plain = self._plain
            # Of letters without marks only the last one matters.
            before: str = state.states[place]
            before = before[-1:] if before.isascii() else before
            costs[self._refused_by(plain, before, pending, lambda batch: batch.combining)] = NEVER
        if self._lone is not None:
            place, lone = self._lone
            costs[self._refused_by(lone, state.states[place], pending, lambda batch: batch.breaking)] = NEVER
        for token in self._singly(state):
            if costs[token] >= NEVER and permits(token):
                costs[token] = state.left - 2
        for token in self._table.end_ids:
            costs[token] = 0 if permits(token) else NEVER
        return costs

    def _refused_by(
        self, part: Part, before: str, pending: bytes, some: Callable[[Batch], Iterable[tuple[int, str]]]
    ) -> NDArray[np.int64]:
        """Tokens among `some` that `part` refuses in the state `before`."""
        key = (part, before, pending)
        found = self._refused.get(key)
        if found is None:
            if len(self._refused) >= _MOST_KNOWN:
                self._refused.clear()
            refused = [token for token, text in some(self._tokens.batch(pending)) if part.step(before, text) is None]
            found = self._refused[key] = np.array(refused, np.int64)
        return found

    def _singly(self, state: Written) -> list[int]:
        """Tokens that the plan begins with: one of them may be all that is left."""
        text = b"".join(state.plan[:2])
        known = (self._by_bytes.get(text[:size]) for size in range(1, min(len(text), _LONGEST) + 1))
        return [token for token in known if token is not None]


@lru_cache(maxsize=16)
def _refused_before(tokens: TokenTexts) -> dict[tuple[Part, str, bytes], NDArray[np.int64]]:
    """What compositions share: the parts that are asked are the same ones in all of them."""
    return {}


def masks_of(planner: Planner, table: TokenTable) -> Masks | None:
    """None for compositions of which masks cannot be made so."""
    source: _Source | None = (
        prose_masks(planner, table) or regular_masks(planner, table) or document_masks(planner, table)
    )
    if source is None:
        return None
    return Masks(source, table, planner)


__all__ = ["Masks", "masks_of"]
