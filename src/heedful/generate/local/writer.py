"""Token ids -> text as it comes: whole characters only, and nothing of a stop string is ever shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

# What decoders write for bytes that do not (yet) make a character.
_INCOMPLETE = "\ufffd"


class TextWriter:
    """One answer's text. The pieces that `push` and `finish` return join to `text`."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str]) -> None:
        self._decode, self._stop = decode, tuple(stop)
        self._ids: list[int] = []
        # Ids before `_start` are settled; those up to `_done` are text already, kept as context for decoding the rest.
        self._start = self._done = 0
        self._held = ""
        """Complete text that may turn out to be the beginning of a stop string."""
        self.text = ""
        self.stopped = False
        """True once a stop string was found: nothing comes after."""

    def twin(self) -> TextWriter:
        """A writer of the same text so far, which goes its own way from here."""
        twin = copy(self)
        twin._ids = self._ids.copy()
        return twin

    def push(self, token_id: int) -> str:
        """Add a token; returns what can be shown now."""
        self._ids.append(token_id)
        fresh = self._decode(self._ids[self._start :])
        if fresh.endswith(_INCOMPLETE):
            return ""
        return self._show(self._settle(fresh))

    def finish(self) -> str:
        """No more tokens: returns what was held back."""
        shown = self._show(self._settle(self._decode(self._ids[self._start :])))
        if not self.stopped:
            shown += self._held
            self.text += self._held
        self._held = ""
        return shown

    def _settle(self, fresh: str) -> str:
        known = self._decode(self._ids[self._start : self._done])
        self._start, self._done = self._done, len(self._ids)
        return fresh[len(known) :]

    def _show(self, piece: str) -> str:
        if self.stopped:
            return ""
        waiting = self._held + piece
        cut = _first_stop(waiting, self._stop)
        if cut is not None:
            self.stopped, self._held = True, ""
            shown = waiting[:cut]
        else:
            keep = _length_of_beginning(waiting, self._stop)
            shown, self._held = waiting[: len(waiting) - keep], waiting[len(waiting) - keep :]
        self.text += shown
        return shown


def _first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the stop string that is complete first begins, whatever the tokens were that brought it."""
    found = [(place + len(word), place) for word in stop if (place := text.find(word)) >= 0]
    return min(found)[1] if found else None


def _length_of_beginning(text: str, stop: Sequence[str]) -> int:
    """Length of the longest end of `text` that is the beginning of a stop string."""
    longest = max((len(word) for word in stop), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(word.startswith(text[-length:]) for word in stop):
            return length
    return 0
