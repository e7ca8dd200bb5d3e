"""Regular expressions read character by character, which know at any moment whether and how a match can still be reached.

The language is exactly that of the `regex` package for the syntax that is taken; the rest is refused (`regular_nfa.py`).
States are made when they are needed, so a pattern costs what the texts that it meets ask for.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from heapq import heappop, heappush
from itertools import count
from typing import Literal

from heedful.constraints.characters import Alphabet, category
from heedful.constraints.regular_nfa import Assertion, Nfa, build

MAX_KEPT = 20_000
"""States kept for reuse; after that many the store begins anew."""
MAX_VISITED = 20_000
"""States looked through for the way to a match; where that is not enough, the text counts as one that cannot match."""

_NEVER = sys.maxsize
_LONGER = 8
"""How many times as many states are looked through where a text of some length is wanted."""
_START, _OTHER, _WORD, _NEWLINE, _END = range(5)
"""What stands before or after a place in the text."""


class State:
    """Where a pattern is: made by `Regular` alone, the same object for the same place."""

    __slots__ = ("accepts", "before", "following", "places", "rest")

    def __init__(self, places: frozenset[int], before: int, accepts: bool) -> None:
        self.places = places  # 2 * state of the automaton, one more where nothing may follow
        self.before = before
        self.accepts = accepts
        self.following: dict[int, State | None] = {}
        self.rest: str | Literal[False] | None = False  # not looked for yet


class Regular:
    """One pattern; `full`: the whole text matches, `search`: the text holds a match.

    With `relaxed` look-around is taken and always holds: then texts are read that the pattern does not match. With `strict_end`
    a `$` is the very end, as JavaScript has it: then fewer are.
    Raises ValueError, in words, for syntax that cannot be followed, and for a pattern that no text matches.
    """

    def __init__(
        self,
        pattern: str,
        mode: Literal["full", "search"] = "full",
        *,
        relaxed: bool = False,
        strict_end: bool = False,
    ) -> None:
        self.pattern = pattern
        self._nfa = build(pattern, mode, relaxed=relaxed, strict_end=strict_end)
        self._knows_words = not self._nfa.assertions.isdisjoint({"boundary", "no_boundary"})
        self._knows_start = self._knows_words or "start" in self._nfa.assertions
        word = self._nfa.number(category("w")) if self._knows_words else -1
        newline = self._nfa.number(((10, 10),))
        self._alphabet = Alphabet(self._nfa.sets)
        self._kinds = [
            _NEWLINE if newline in members else _WORD if word in members else _OTHER
            for members in self._alphabet.members
        ]
        self._forever = 2 * self._nfa.end if mode == "search" else -1
        self._closures: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self._kept: dict[tuple[frozenset[int], int], State] = {}
        self._distances = _distances(self._nfa)
        self._start = self._state(frozenset({2 * self._nfa.start}), _START)
        if self.shortest_rest(self._start) is None:
            raise ValueError(f"no text was found that matches the regular expression {pattern[:80]!r}")

    def start(self) -> State:
        """Before the first character."""
        return self._start

    def step(self, state: State, text: str) -> State | None:
        """After `text`; None when nothing that follows can make a match."""
        for character in text:
            following = self._after(state, self._alphabet.letter(character))
            if following is None or self.shortest_rest(following) is None:
                return None
            state = following
        return state

    def accepts(self, state: State) -> bool:
        """Whether the text so far matches."""
        return state.accepts

    def shortest_rest(self, state: State, least: int = 0, most: int | None = None) -> str | None:
        """The shortest text of at least `least` and at most `most` characters that ends in a match from here."""
        if least <= 0:
            if state.rest is False:
                self._look_for_rest(state)
            rest = state.rest if isinstance(state.rest, str) else None
        else:
            rest = next(self.rests(state, least), None)
        return rest if rest is None or most is None or len(rest) <= most else None

    def rests(self, state: State, least: int = 0) -> Iterator[str]:
        """Texts of at least `least` characters that end in a match, shorter ones first; not all, one way to each state."""
        layer, length, visited = {state: ""}, 0, 0
        while layer and visited < MAX_VISITED * _LONGER:
            if length >= least:
                yield from (text for found, text in layer.items() if found.accepts)
            following: dict[State, str] = {}
            for found, text in layer.items():
                for letter, sample in self._alphabet.samples.items():
                    visited += 1
                    after = self._after(found, letter)
                    if after is not None and after not in following:
                        following[after] = text + sample
            layer, length = following, length + 1

    def samples(self) -> list[str]:
        """Characters of every kind that the pattern tells apart, the most ordinary first."""
        return list(self._alphabet.samples.values())

    # -- states ---------------------------------------------------------------------------------------------------

    def _look_for_rest(self, start: State) -> None:
        """Best first, led by what the automaton needs at least; the states on the way then know their rest too."""
        came: dict[State, tuple[State, str] | None] = {start: None}
        depths = {start: 0}
        queue = [(self._at_least(start), 0, 0, start)]
        # Of equal ones the deepest: others may be thousands.
        tie = count(1)
        while queue and len(came) <= MAX_VISITED:
            _, _, _, state = heappop(queue)
            if state.accepts or state.rest is not False:
                _remember(came, state)
                return
            depth = depths[state] + 1
            for letter, sample in self._alphabet.samples.items():
                after = self._after(state, letter)
                if after is None or after.rest is None or depths.get(after, depth + 1) <= depth:
                    continue
                if (least := self._at_least(after)) < _NEVER:
                    came[after], depths[after] = (state, sample), depth
                    heappush(queue, (depth + least, -depth, next(tie), after))
        # None of them leads to a match, if all were looked at.
        for state in came if not queue else [start]:
            state.rest = None

    def _at_least(self, state: State) -> int:
        """Characters to a match, if all assertions hold; exact where the way is known."""
        if isinstance(state.rest, str):
            return len(state.rest)
        return min(self._distances[place // 2] for place in state.places)

    def _after(self, state: State, letter: int) -> State | None:
        if letter not in state.following:
            state.following[letter] = self._find_after(state, letter)
        return state.following[letter]

    def _find_after(self, state: State, letter: int) -> State | None:
        kind, members = self._kinds[letter], self._alphabet.members[letter]
        reached = set()
        for place in state.places:
            if place % 2:
                continue
            for inside in self._closure(place // 2, state.before, kind):
                for number, target in self._nfa.arrows[inside // 2]:
                    if number in members:
                        # A `$` that was passed before a line break: the text ends after it.
                        reached.add(2 * target + inside % 2)
        if not reached:
            return None
        if self._forever in reached:
            reached = {self._forever}
        return self._state(frozenset(reached), kind)

    def _state(self, places: frozenset[int], before: int) -> State:
        if not self._knows_words:
            before = _START if before == _START and self._knows_start else _OTHER
        elif before == _NEWLINE:
            before = _OTHER
        found = self._kept.get((places, before))
        if found is None:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            end = self._nfa.end
            accepts = any(end == inside // 2 for place in places for inside in self._closure(place // 2, before, _END))
            found = self._kept[places, before] = State(places, before, accepts)
        return found

    def _closure(self, state: int, before: int, after: int) -> tuple[int, ...]:
        """What is reached without a character: 2 * state, one more where `$` was passed with a line break ahead."""
        known = self._closures.get((state, before, after))
        if known is None:
            found, waiting = {2 * state}, [2 * state]
            for place in waiting:
                for assertion, target in self._nfa.jumps[place // 2]:
                    if assertion is None or _holds(assertion, before, after):
                        promised = place % 2 or (assertion == "end" and after == _NEWLINE)
                        if (reached := 2 * target + promised) not in found:
                            found.add(reached)
                            waiting.append(reached)
            useful = (place for place in found if self._nfa.arrows[place // 2] or place // 2 == self._nfa.end)
            known = self._closures[state, before, after] = tuple(useful)
        return known


def _distances(nfa: Nfa) -> list[int]:
    """For each state of the automaton: characters to its end, if all assertions hold."""
    sources: list[list[tuple[int, int]]] = [[] for _ in nfa.arrows]
    for state, arrows in enumerate(nfa.arrows):
        for number, target in arrows:
            if nfa.sets[number]:
                sources[target].append((state, 1))
    for state, jumps in enumerate(nfa.jumps):
        for _, target in jumps:
            sources[target].append((state, 0))
    found = [_NEVER] * len(sources)
    found[nfa.end] = 0
    waiting = deque([nfa.end])
    while waiting:
        state = waiting.popleft()
        for source, cost in sources[state]:
            if found[state] + cost < found[source]:
                found[source] = found[state] + cost
                (waiting.append if cost else waiting.appendleft)(source)
    return found


def _remember(came: dict[State, tuple[State, str] | None], state: State) -> None:
    """Writes the shortest rest into every state on the way to `state`."""
    rest = state.rest = "" if state.accepts else state.rest or ""
    while (way := came[state]) is not None:
        state, sample = way
        rest = state.rest = sample + rest


def _holds(assertion: Assertion, before: int, after: int) -> bool:
    if assertion == "start":
        return before == _START
    if assertion == "end":
        return after in (_END, _NEWLINE)
    if assertion == "very_end":
        return after == _END
    return ((before == _WORD) != (after == _WORD)) == (assertion == "boundary")


@lru_cache(maxsize=256)
def regular(
    pattern: str, mode: Literal["full", "search"] = "full", *, relaxed: bool = False, strict_end: bool = False
) -> Regular:
    """A `Regular`, made once for each pattern."""
    return Regular(pattern, mode, relaxed=relaxed, strict_end=strict_end)
