"""Several patterns that one text has to match, with the questions that a `Regular` answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from heedful.constraints.regular import Regular, State

States = tuple[State, ...]
_MAX_VISITED = 10_000
"""Steps on the way to a common match; what needs more counts as impossible."""


class Together:
    """Follows all of `patterns`; alone, each of them can be matched."""

    def __init__(self, patterns: Sequence[Regular]) -> None:
        self._patterns = tuple(patterns)
        # In the order of each pattern's own, which begins with ordinary letters.
        self._samples = list(dict.fromkeys(sample for pattern in patterns for sample in pattern.samples()))

    def start(self) -> States:
        return tuple(pattern.start() for pattern in self._patterns)

    def step(self, states: States, text: str) -> States | None:
        """None where one of them can have no match any more; all of them may still exclude each other."""
        following = []
        for pattern, state in zip(self._patterns, states, strict=True):
            after = pattern.step(state, text)
            if after is None:
                return None
            following.append(after)
        return tuple(following)

    def accepts(self, states: States) -> bool:
        return all(state.accepts for state in states)

    def shortest_rest(self, states: States, least: int = 0, most: int | None = None) -> str | None:
        """Best first, led by what each pattern needs at least; of equal ones the longest text, which is nearest to its end."""
        seen: set[tuple[States, int]] = set()
        tie = count(1)
        queue = [(0, 0, 0, states, "")]
        while queue and len(seen) < _MAX_VISITED:
            _, _, _, found, text = heappop(queue)
            # How long the text is matters only while it is too short.
            if (key := (found, len(text) if most is not None else min(len(text), least))) in seen:
                continue
            seen.add(key)
            if len(text) >= least and self.accepts(found):
                return text
            for sample in self._samples:
                after = self.step(found, sample)
                if after is None:
                    continue
                needed = max(len(pattern.shortest_rest(state) or "") for pattern, state in zip(self._patterns, after, strict=True))  # fmt: skip
                whole = max(len(text) + 1 + needed, least)
                if most is None or whole <= most:
                    heappush(queue, (whole, -len(text), next(tie), after, text + sample))
        return None

    def rests(self, states: States, least: int = 0) -> Iterator[str]:
        """Texts that end in a match of all, shorter ones first; one way to each place."""
        layer, length, visited = {states: ""}, 0, 0
        while layer and visited < _MAX_VISITED:
            if length >= least:
                yield from (text for found, text in layer.items() if self.accepts(found))
            following: dict[States, str] = {}
            for found, text in layer.items():
                for sample in self._samples:
                    visited += 1
                    after = self.step(found, sample)
                    if after is not None:
                        following.setdefault(after, text + sample)
            layer, length = following, length + 1
