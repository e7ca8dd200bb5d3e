"""An answer that follows a context-free grammar: read by llguidance, byte by byte.

llguidance does not tell how a text can be completed. Ways to an end are looked for here, the shortest first, among a few bytes of each
kind that may come next; so a grammar whose every text is long may count as one that cannot be completed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from heedful.constraints.fillers import between
from heedful.constraints.forms import Missing
from heedful.constraints.machine import Completion
from heedful.requirements.grammars import matcher_of

_MOST_SEEN = 1500
"""Texts that are looked at for one end."""
_NUM_WAYS, _MOST_LED = 4, 20
_FEW = 6
"""So many bytes that may come next are all tried; of more, one of each kind and all marks."""
_SAMPLES = b"a0A \n"
# The first bytes of Chinese characters, and what makes one of them complete.
_CONTINUED = (b"\xe7\x9a\x84",)


class GrammarForm:
    """One grammar. A state is a matcher that is never changed."""

    def __init__(self, grammar: str) -> None:
        """Raises ValueError, in words, when no text was found that follows it."""
        self._start = matcher_of(grammar)
        if next(self.completions(self._start), None) is None:
            raise ValueError("no text was found that follows the grammar")

    def start(self) -> Any:
        return self._start

    def step(self, state: Any, text: str) -> Any | None:
        return _after(state, text.encode())

    def accepts(self, state: Any) -> bool:
        return bool(state.is_accepting())

    def completions(self, state: Any) -> Iterator[Completion]:
        for number, way in enumerate(self._ways(state)):
            if number >= _NUM_WAYS:
                return
            yield Completion(way)

    def fitting(self, state: Any, missing: Missing, words: Sequence[str]) -> Iterator[Completion]:
        """Ways on which what others miss is led through."""
        led, tried = "", set[str]()
        for _ in range(_MOST_LED):
            text = next(
                (item.texts[0] for one in missing(led) for item in one.items if item.texts[0] not in tried), None
            )
            if text is None:
                break
            tried.add(text)
            for way in self._ways(state, ends=False):
                said = way + between(led + way, text) + text
                if (after := self.step(state, said)) is not None:
                    state, led = after, led + said
                    break
        for completion in self.completions(state):
            yield Completion(led + completion.before)

    def _ways(self, state: Any, *, ends: bool = True) -> Iterator[str]:
        """Texts that may come next, shorter ones first; with `ends`, those that end the answer."""
        waiting: list[tuple[int, int, bytes, Any]] = [(0, 0, b"", state)]
        num_seen = 0
        while waiting and num_seen < _MOST_SEEN:
            _, _, way, here = heapq.heappop(waiting)
            if not ends or here.is_accepting():
                yield way.decode()
            for more in _next(here):
                after = _after(here, more)
                if after is not None:
                    num_seen += 1
                    heapq.heappush(waiting, (len(way) + len(more), num_seen, way + more, after))


def _after(state: Any, data: bytes) -> Any | None:
    new = state.deep_copy()
    return new if new.try_consume_tokens(list(data)) == len(data) and not new.is_error() else None


def _next(state: Any) -> list[bytes]:
    """Bytes to try, forced ones together."""
    if forced := bytes(state.compute_ff_bytes()):
        try:
            forced.decode()
        except UnicodeDecodeError:
            pass
        else:
            return [forced]
    mask = np.unpackbits(np.frombuffer(state.compute_bitmask(), np.uint8), bitorder="little")
    allowed = [byte for byte in np.flatnonzero(mask[:256]).tolist() if byte < 0x80]
    if len(allowed) > _FEW:
        allowed = [byte for byte in allowed if byte in _SAMPLES or not (chr(byte).isalnum() or byte < 0x21)]
    return [bytes([byte]) for byte in allowed] + [one for one in _CONTINUED if mask[one[0]]]
