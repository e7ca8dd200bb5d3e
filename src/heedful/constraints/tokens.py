"""A tokenizer as constraints see it: the bytes of each token, and the fewest tokens that spell a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

LetterCase = Literal["upper", "lower"]
_MAX_KNOWN = 50_000
"""Spellings that are remembered; a plan is made of the same words again and again."""


_UNREACHABLE = 1 << 30
"""Tokens."""


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
        sizes: dict[bytes, set[int]] = {}
        for value in self._by_bytes:
            sizes.setdefault(value[:2], set()).add(len(value))
        self._sizes = {begun: tuple(sorted(some, reverse=True)) for begun, some in sizes.items()}
        """Of the tokens that begin with these two bytes, or are this one; the longest first."""
        self._spelled: dict[bytes, tuple[int, ...] | None] = {}
        self._last: tuple[bytes, list[tuple[int, int, int]]] = (b"", [(0, -1, 0)])
        """What was spelled last; replaced as a whole, so that threads cannot mix."""
        self._num_tokens = _NumTokens(self)
        self._turned: dict[LetterCase, TokenTable] = {}

    def turned(self, case: LetterCase) -> TokenTable:
        """The same tokens, as they read when their letters from a to z are turned into `case`."""
        if case not in self._turned:
            data = [value.upper() if case == "upper" else value.lower() for value in self.data]
            table = TokenTable(data, self.end_ids, drops_first_space=self.drops_first_space)
            # Many tokens read alike now. A text is spelled with those that models write: in small letters, of the lowest ids.
            for token in reversed(range(len(data))):
                if data[token] in table._by_bytes and self.data[token] == self.data[token].lower():
                    table._by_bytes[data[token]] = token
            self._turned[case] = table
        return self._turned[case]

    def spell(self, text: bytes) -> tuple[int, ...] | None:
        """The fewest tokens whose bytes are `text`; None when no tokens spell it."""
        if text not in self._spelled:
            if len(self._spelled) >= _MAX_KNOWN:
                self._spelled.clear()
            self._spelled[text] = self._fewest(text)
        return self._spelled[text]

    def num_tokens(self, pieces: Iterable[bytes]) -> int | None:
        """How many tokens spell these pieces, each by itself; None when none spell one of them."""
        number = sum(map(self._num_tokens.__getitem__, pieces))
        return number if number < _UNREACHABLE else None

    def _fewest(self, text: bytes) -> tuple[int, ...] | None:
        # fewest[i]: (number of tokens for text[i:], the first of them, its size). Texts that are spelled one after the other often end
        # alike, and so do these.
        last_text, last_fewest = self._last
        shared = _shared_end(text, last_text)
        fewest = [(_UNREACHABLE, -1, 0)] * (len(text) - shared) + last_fewest[len(last_text) - shared :]
        for start in range(len(text) - shared - 1, -1, -1):
            best = (_UNREACHABLE, -1, 0)
            # Longer tokens first, so that among equals the usual spelling wins.
            for size in (*self._sizes.get(text[start : start + 2], ()), 1):
                end = start + size
                if end > len(text) or fewest[end][0] + 1 >= best[0]:
                    continue
                if (token := self._by_bytes.get(text[start:end])) is not None:
                    best = (fewest[end][0] + 1, token, size)
            fewest[start] = best
        self._last = (text, fewest)
        if fewest[0][0] >= _UNREACHABLE:
            return None
        spelled, at = [], 0
        while at < len(text):
            _, token, size = fewest[at]
            spelled.append(token)
            at += size
        return tuple(spelled)


class _NumTokens(dict[bytes, int]):
    """How many tokens spell a piece; plans are priced piece by piece for every token that is written."""

    def __init__(self, table: TokenTable) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, piece: bytes) -> int:
        if len(self) >= _MAX_KNOWN:
            self.clear()
        spelled = self._table.spell(piece)
        number = self[piece] = _UNREACHABLE if spelled is None else len(spelled)
        return number


def _shared_end(one: bytes, other: bytes) -> int:
    """How many bytes at their ends are the same; perhaps not all of them."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one.endswith(other[len(other) - middle :]):
            low = middle
        else:
            high = middle - 1
    return low
