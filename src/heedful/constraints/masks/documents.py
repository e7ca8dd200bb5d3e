"""Masks where an answer is JSON: the machine reads the sorted vocabulary once for each place (`reading.py`).

No mask is made where checks of finished values matter, or where a place would take long; tokens are asked about one by one then.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.composition import NEVER, Written
from heedful.constraints.edges import PLAIN, PlainPart
from heedful.constraints.json import JsonMachine
from heedful.constraints.json.effort import num_marks
from heedful.constraints.json.machine import JsonState
from heedful.constraints.json.strings import StringCursor
from heedful.constraints.masks.reading import Cursors, Places, Reading, TooHardError, lexicon_of, open_string
from heedful.constraints.masks.texts import TokenTexts, combines, token_texts
from heedful.constraints.planner import Planner
from heedful.constraints.tokens import TokenTable

Costs = NDArray[np.int32]

_MOST_KNOWN, _MOST_DENSE = 1024, 48
"""Places of which masks are kept, and of these the ones in which most tokens may come: 200 kB each where there are 49 thousand."""


@dataclass(frozen=True, slots=True)
class _Table:
    """For one place, and one beginning of a character."""

    ids: Places
    """Tokens that may come; the others are left to NEVER."""
    costs: Costs
    """Of each of these."""
    dense: Costs | None
    """(vocabulary,): the same, where it is most of them."""
    added: NDArray[np.int64]
    """Characters that each of `ids`, or of all tokens in `dense`, adds to the string in hand."""
    dearest: int
    longest_rest: int
    most_marks: int
    """The most characters of a way to end, and the most marks in one or a token."""


class DocumentMasks:
    """For one composition; for one thread at a time, as its machine."""

    def __init__(self, machine: JsonMachine, table: TokenTable, place: int) -> None:
        """Where among the states that of the machine is."""
        self._machine, self._place = machine, place
        self._tokens: TokenTexts = token_texts(table)
        self._plain = PLAIN
        self._known: dict[Hashable, _Table | None] = {}
        self._num_dense = 0

    def costs(self, state: Written, *, is_first: bool) -> Costs | None:
        """As `ProseMasks.costs`."""
        inside: JsonState = state.states[self._place]
        if state.wanted > 1 or any(cursor.is_checked for cursor in inside.cursors):
            return None
        pending = self._tokens.pending(state.pending, is_first=is_first)
        table = self._table(inside.cursors, pending)
        if table is None:
            return None
        longest = self._tokens.table.longest
        if not self._machine.effort.is_small_with(
            inside.text, longest + table.longest_rest, longest + table.most_marks
        ):
            return None
        if table.dense is not None:
            costs = table.dense.copy()
        else:
            costs = np.full(self._tokens.size, NEVER, np.int32)
            costs[table.ids] = table.costs
        if (room := _room(inside.cursors)) is not None and room < longest:
            costs[table.added > room if table.dense is not None else table.ids[table.added > room]] = NEVER
        if table.dearest > state.left - 2:
            costs[costs > state.left - 2] = NEVER
        return costs

    def _table(self, cursors: Cursors, pending: bytes) -> _Table | None:
        key = (tuple([cursor.place() for cursor in cursors]), _lengths(cursors), pending)
        if key not in self._known:
            if len(self._known) >= _MOST_KNOWN or self._num_dense >= _MOST_DENSE:
                self._known.clear()
                self._num_dense = 0
            try:
                found = self._made(_representative(cursors), pending)
            except TooHardError:
                found = None
            self._num_dense += found is not None and found.dense is not None
            self._known[key] = found
        return self._known[key]

    def _made(self, cursors: Cursors, pending: bytes) -> _Table:
        lexicon = lexicon_of(self._tokens.batch(pending), self._tokens)
        reading = Reading(lexicon)
        places, costs, rests = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [""]
        for end, reached in reading.read(cursors):
            rest, cost = self._ending(end)
            if cost < NEVER:
                rests.append(rest)
                places.append(reached)
                costs.append(cost + lexicon.extra[reached])
        where, values = np.concatenate(places), np.concatenate(costs).astype(np.int32)
        ids, dense = lexicon.ids[where], None
        dearest = int(values.max(initial=0))
        if reading.plain_end is not None:
            rest, cost = self._ending(reading.plain_end)
            rests.append(rest)
            dense = np.minimum(lexicon.plain_costs + cost, NEVER, dtype=np.int32)
            dense[lexicon.ids[reading.apart]] = NEVER
            dense[ids] = values
            dearest = max(dearest, cost + lexicon.dearest)
        most_marks = max(map(num_marks, rests))
        added = lexicon.added[where] if dense is None else lexicon.all_added
        return _Table(ids, values, dense, added, dearest, max(map(len, rests)), most_marks)

    def _ending(self, cursors: Cursors) -> tuple[str, int]:
        """A way to end and its tokens; NEVER where there is none."""
        rest = self._machine.ending_from(cursors)
        return ("", NEVER) if rest is None else (rest, self._cost(rest))

    def _cost(self, rest: str) -> int:
        """Tokens of a way to end; NEVER for one that may not follow every token."""
        if rest and (combines(rest[0]) or self._plain.step("", rest) is None):
            return NEVER
        spelled = self._tokens.table.spell(rest.encode())
        return NEVER if spelled is None else len(spelled)


def _lengths(cursors: Cursors) -> Hashable:
    """What a place leaves out, where it makes a difference: how long each of several strings is that may not be longer than so."""
    if len(cursors) == 1:
        return None
    return tuple([cursor.length for cursor in cursors if isinstance(cursor, StringCursor)])


def _room(cursors: Cursors) -> int | None:
    """Characters that may still be added to the only string in hand; None for any number."""
    cursor = cursors[0]
    if len(cursors) > 1 or not isinstance(cursor, StringCursor) or cursor.shape.most is None or cursor.pending:
        return None
    room: int = cursor.shape.most - cursor.length
    return room


def _representative(cursors: Cursors) -> Cursors:
    """Of all strings that are one place the shortest, to which the most may be added."""
    if (string := open_string(cursors)) is not None:
        return (string.of_length(min(string.length, string.shape.least)),)
    return cursors


def document_masks(planner: Planner, table: TokenTable) -> DocumentMasks | None:
    """None for compositions that hold anything else."""
    forms = planner._forms
    if [type(part) for part in planner._parts] == [PlainPart] and len(forms) == 1 and isinstance(forms[0], JsonMachine):
        return DocumentMasks(forms[0], table, 1)
    return None
