"""A tokenizer as constraints see it: the bytes of each token, and the fewest tokens that spell a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MAX_KNOWN = 50_000
"""Spellings that are remembered; a plan is made of the same words again and again."""


class TokenTable:
    """Bytes of tokens. `end_ids` end an answer; other tokens without bytes never occur in one."""

    def __init__(self, data: Sequence[bytes], end_ids: Iterable[int], *, drops_first_space: bool = False) -> None:
        """`drops_first_space`: an answer's text lacks the space that its first token begins with."""
        self.data, self.drops_first_space = list(data), drops_first_space
        self.end_ids = tuple(end_ids)
        self._by_bytes: dict[bytes, int] = {}
        for token, value in enumerate(self.data):
            if value and token not in self.end_ids:
                self._by_bytes.setdefault(value, token)
        self.longest = max(map(len, self._by_bytes), default=1)
        """Bytes."""
        self._spelled: dict[bytes, tuple[int, ...] | None] = {}

    def spell(self, text: bytes) -> tuple[int, ...] | None:
        """The fewest tokens whose bytes are `text`; None when no tokens spell it."""
        if text not in self._spelled:
            if len(self._spelled) >= _MAX_KNOWN:
                self._spelled.clear()
            self._spelled[text] = self._fewest(text)
        return self._spelled[text]

    def _fewest(self, text: bytes) -> tuple[int, ...] | None:
        # fewest[i]: (number of tokens for text[i:], the first of them, where the next begins).
        unreachable = len(text) + 1
        fewest: list[tuple[int, int, int]] = [(unreachable, -1, -1)] * len(text) + [(0, -1, -1)]
        for start in range(len(text) - 1, -1, -1):
            best = (unreachable, -1, -1)
            for end in range(min(len(text), start + self.longest), start, -1):
                # Longer tokens first, so that among equals the usual spelling wins.
                if fewest[end][0] + 1 < best[0] and (token := self._by_bytes.get(text[start:end])) is not None:
                    best = (fewest[end][0] + 1, token, end)
            fewest[start] = best
        if fewest[0][0] > len(text):
            return None
        spelled, at = [], 0
        while at < len(text):
            _, token, at = fewest[at]
            spelled.append(token)
        return tuple(spelled)
