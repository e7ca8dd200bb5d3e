"""Composition: several requirements on one answer, enforced together while it is written, token by token.

Whatever is written, a *plan* is at hand: a text that, written next, ends the answer with every requirement satisfied, within the
tokens that are left. A token may come next when it is the plan's own, or when another plan is found behind it. So there
is always a token that may come, no answer runs into a dead end, and none is cut off: what cannot be planned is refused when the
request is made. Plans are believed only after all machines have read them to their ends.

Tokens are looked at one by one, as they are chosen: the likeliest token of a model may nearly always come, and then nothing else is
computed. `allowed` is the mask of the whole vocabulary, for those who need it.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.fillers import between
from heedful.constraints.machine import State
from heedful.constraints.planner import Planner
from heedful.constraints.tokens import LetterCase, TokenTable

if TYPE_CHECKING:
    from heedful.constraints.masks import Masks

NEVER = 1 << 20
"""More tokens than any budget has."""
_EFFORT, _FIRST_EFFORT = 1, 6
LONG_PLAN = 40
"""Pieces; making so long a plan takes milliseconds."""
_SHORT_PLAN = 8
_NUM_CHARACTERS, _MOST_CHARACTERS = 8, 1 << 15
"""Characters that are tried in place of one whose first bytes are written already."""
_CONTEXT = 16
"""Last characters of the text that the planner sees."""

_SMALL, _CAPITAL = string.ascii_lowercase, string.ascii_uppercase
_TURNED = {"upper": str.maketrans(_SMALL, _CAPITAL), "lower": str.maketrans(_CAPITAL, _SMALL)}
Pieces = tuple[bytes, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """What is known of an answer so far. Never changes."""

    states: tuple[State, ...]
    before: str
    """The last characters of the text."""
    pending: bytes
    """The first bytes of a character that is not complete."""
    plan: Pieces
    """What would be written next to end the answer."""
    num_planned: int
    """Tokens of the plan."""
    wanted: int
    """Tokens that must still be written before the answer may end."""
    left: int
    """Tokens that may still be written, the one that ends the answer included."""
    is_over: bool = False


class Composition:
    """A constraint (DESIGN: state in, state out). Safe to use for many answers at once: it remembers nothing of them."""

    def __init__(
        self,
        planner: Planner,
        table: TokenTable,
        min_tokens: int,
        max_tokens: int,
        plan: Pieces,
        case: LetterCase | None = None,
    ) -> None:
        """`plan` ends an answer that is not begun. `case`: letters are written as they come, and turned by whoever shows them; `table`
        holds tokens as they read then."""
        self._planner, self._table, self._case = planner, table, case
        num_planned = self._table.num_tokens(plan)
        assert num_planned is not None
        self._start = Written(planner.start(), "", b"", plan, num_planned, min_tokens, max_tokens)
        self._last: tuple[Written, int, Written | None] | None = None
        self._masks: Masks | Literal[False] | None = False

    def start(self) -> Written:
        """Before the first token."""
        return self._start

    def shown(self, text: str) -> str:
        """What an answer reads of what its tokens say: the same, or its letters from a to z in the one case that is asked for."""
        return text if self._case is None else text.translate(_TURNED[self._case])

    def after(self, state: Written, token: int) -> Written | None:
        """What is known when `token` comes next; None when it may not."""
        if token in self._table.end_ids:
            is_whole = not state.pending and state.wanted <= 0 < state.left
            if not is_whole or not self._planner.accepts(state.states):
                return None
            return Written(state.states, state.before, b"", (), 0, 0, state.left - 1, is_over=True)
        data = self._table.data[token] if 0 <= token < len(self._table.data) else b""
        if not data or state.is_over or state.left < 2:
            return None
        if state is self._start and self._table.drops_first_space and data.startswith(b" "):
            data = data[1:]
            if not data:
                return None
        cut = _whole_characters(state.pending + data)
        if cut is None:
            return None
        text, pending = cut
        states = self._planner.step(state.states, text) if text else state.states
        if states is None:
            return None
        before = (state.before + text)[-_CONTEXT:]
        wanted, left = max(state.wanted - 1, 0), state.left - 1
        plan = self._rest(state.plan, data)
        num_planned = None if plan is None else self._table.num_tokens(plan)
        if plan is None or num_planned is None or not wanted <= num_planned < left:
            goes_on = text.isascii() and (text[:1].isalnum() or not any(map(str.isalnum, text)))
            found = self._planned(states, before, pending, (wanted, left), state.plan, goes_on=goes_on)
            if found is None:
                return None
            plan, num_planned = found
        return Written(states, before, pending, plan, num_planned, wanted, left)

    def permits(self, state: Written, token: int) -> bool:
        """Whether `token` may come next."""
        new = self.after(state, token)
        # Whoever asks and hears yes goes on with it, nearly always. One assignment, so that threads cannot mix.
        self._last = (state, token, new)
        return new is not None

    def advance(self, state: Written, token: int) -> Written:
        """After `token`, which is permitted."""
        last = self._last
        new = last[2] if last is not None and last[0] is state and last[1] == token else self.after(state, token)
        assert new is not None, f"token {token} may not come here"
        return new

    def sure(self, state: Written) -> list[int]:
        """A few tokens that may come next, at least one: what ends the answer, if it may end, a full stop before that, and the
        plan's next token."""
        ends = [token for token in self._table.end_ids if self.permits(state, token)]
        if ends and state.before[-1:].isalnum():
            stop = self._table.spell(self._planner.ender.encode()) or ()
            ends += [token for token in stop[:1] if self.permits(state, token)]
        if not state.plan:
            return ends
        spelled = self._table.spell(state.plan[0])
        assert spelled
        return [*ends, spelled[0]]

    def num_missing(self, state: Written) -> int:
        """How many things the answer still lacks: keywords, an ending, a number of words ... 0 when it may end."""
        return 0 if state.is_over else self._planner.num_missing(state.states)

    def advancing(self, state: Written) -> list[int]:
        """Tokens that begin or go on with something that the answer still lacks; nothing is said of whether they may come."""
        if state.is_over or state.pending:
            return []
        found = [self._table.spell(text.encode()) for text in self._planner.advancing(state.states, state.before)]
        return list(dict.fromkeys(spelled[0] for spelled in found if spelled))

    def allowed(self, state: Written) -> NDArray[np.bool_]:
        """(vocabulary,) of bool: tokens that may come next; nearly all of them, and none that may not. Takes a second for large
        vocabularies where there are no tables for what is composed (`masks`)."""
        mask = self.mask(state)
        if mask is None:
            mask = np.array([self.permits(state, token) for token in range(len(self._table.data))], bool)
        return mask

    def mask(self, state: Written) -> NDArray[np.bool_] | None:
        """`allowed`, where it takes less than a few single tokens do; else None."""
        costs = self.costs(state)
        return None if costs is None else costs < NEVER

    def costs(self, state: Written) -> NDArray[np.int32] | None:
        """(vocabulary,): tokens that are enough to end the answer behind each token, NEVER for those that are not in `allowed`; None
        where there are no tables."""
        if self._masks is False:
            # Most answers are written without masks.
            from heedful.constraints.masks import masks_of

            self._masks = masks_of(self._planner, self._table)
        if self._masks is None:
            return None
        return self._masks.costs(state, lambda token: self.permits(state, token), is_first=state is self._start)

    def tokens_to_finish(self, state: Written) -> int:
        """So many tokens more are enough, the end included."""
        return 0 if state.is_over else state.num_planned + 1

    # -- plans -------------------------------------------------------------------------------------------------------

    def _planned(
        self,
        states: tuple[State, ...],
        before: str,
        pending: bytes,
        bounds: tuple[int, int],
        old: Pieces,
        *,
        goes_on: bool,
    ) -> tuple[Pieces, int] | None:
        """`goes_on`: what was written last begins no word."""
        if not pending:
            return self._planned_from(states, before, bounds, old, b"", goes_on=goes_on)
        for character in _completing(pending):
            after = self._planner.step(states, character)
            if after is not None:
                rest = character.encode()[len(pending) :]
                found = self._planned_from(after, (before + character)[-_CONTEXT:], bounds, (), rest)
                if found is not None:
                    return found
        return None

    def _planned_from(
        self,
        states: tuple[State, ...],
        before: str,
        bounds: tuple[int, int],
        old: Pieces,
        first: bytes,
        *,
        goes_on: bool = False,
    ) -> tuple[Pieces, int] | None:
        """A plan, `first` before it, of as many tokens as `bounds` tells: the least, and one more than the most."""
        wanted, left = bounds
        if (settled := self._planner.settled(states)) is not None:
            plan = tuple(piece for piece in (first, settled.encode()) if piece)
            cost = self._table.num_tokens(plan)
            if cost is not None and wanted <= cost:
                # Where the shortest does not fit, hardly any other does; a plan is at hand already.
                return (plan, cost) if cost < left else None
        still_serves = False
        for again in self._again(states, before, old, goes_on=goes_on) if old else ():
            still_serves, cost = True, self._table.num_tokens(again)
            if cost is not None and wanted <= cost < left:
                return again, cost
        if still_serves and len(old) > LONG_PLAN:
            # Hundreds of words are still missing, and there is no room for one more: another plan would be as long.
            return None
        if self._planner.is_hopeless(states) and before and before[-1:].isspace():
            return None
        for pieces in self._planner.plans(states, before, effort=_EFFORT, least=wanted):
            plan = tuple(piece for piece in (first, *(piece.encode() for piece in pieces)) if piece)
            cost = self._table.num_tokens(plan)
            if cost is not None and wanted <= cost < left:
                return plan, cost
        return None

    def _again(self, states: tuple[State, ...], before: str, old: Pieces, *, goes_on: bool) -> Iterator[Pieces]:
        """The plan of before, where it still serves: without one of its words, which has been written otherwise, or as it is."""
        if before[-1:].isspace() and old[0].startswith(b" "):
            old = (old[0][1:], *old[1:]) if len(old[0]) > 1 else old[1:]
        plans = [old]
        # Where another word came than the one that was planned, the rest of the plan is not glued to it.
        if old and (gap := between(before, old[0].decode(errors="replace"))):
            plans.insert(0, (gap.encode() + old[0], *old[1:]))
        # The shorter first: else a plan for many words would outgrow what is left. The last piece may have to be the last.
        shorter = [cut for plan in plans for cut in (plan[:-1], (*plan[:-2], *plan[-1:])) if len(plan) > 2]
        # Where no word was begun as many are missing as before, and a short plan hardly holds one that only fills.
        first = plans[:1] if goes_on or len(old) <= _SHORT_PLAN else []
        for plan in (*first, *shorter, *plans[len(first) :]):
            try:
                text = b"".join(plan).decode()
            except UnicodeDecodeError:
                return
            after = self._planner.step(states, text)
            if after is not None and self._planner.accepts(after):
                yield plan

    def _rest(self, plan: Pieces, data: bytes) -> Pieces | None:
        """What is left of `plan` behind `data`; None when it does not begin so."""
        for number, piece in enumerate(plan):
            if data.startswith(piece):
                data = data[len(piece) :]
                if not data:
                    return plan[number + 1 :]
            elif piece.startswith(data):
                return (piece[len(data) :], *plan[number + 1 :])
            else:
                return None
        return None


def first_plan(planner: Planner, table: TokenTable, min_tokens: int) -> Iterator[tuple[Pieces, int]]:
    """Plans for an answer that is not begun, each with the tokens that it takes."""
    for pieces in planner.plans(planner.start(), "", effort=_FIRST_EFFORT, least=min_tokens):
        plan = tuple(piece.encode() for piece in pieces)
        cost = table.num_tokens(plan)
        if cost is not None and cost >= min_tokens:
            yield plan, cost


def _whole_characters(data: bytes) -> tuple[str, bytes] | None:
    """The text of all complete characters, and the bytes of one that is not; None for what can never be UTF-8."""
    try:
        return data.decode(), b""
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return None
        return data[: error.start].decode(), data[error.start :]


@lru_cache(maxsize=1 << 12)
def _completing(pending: bytes) -> tuple[str, ...]:
    """Characters whose bytes begin with `pending`: a few letters."""
    return tuple(islice(_letters_behind(pending), _NUM_CHARACTERS))


def _letters_behind(pending: bytes) -> Iterator[str]:
    first = pending[0]
    length = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    low = pending + b"\x80" * (length - len(pending))
    for step in range(min(64 ** (length - len(pending)), _MOST_CHARACTERS)):
        with suppress(UnicodeDecodeError):
            if (character := _nth(low, step, len(pending)).decode()).isalpha():
                yield character


def _nth(low: bytes, step: int, num_fixed: int) -> bytes:
    """The `step`th byte sequence from `low` on: a number in base 64 behind the fixed bytes."""
    digits = bytearray(low)
    for place in range(len(digits) - 1, num_fixed - 1, -1):
        step, digit = divmod(step, 64)
        digits[place] = 0x80 + digit
    return bytes(digits)
