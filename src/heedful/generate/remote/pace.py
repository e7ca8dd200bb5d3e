"""How many requests may be in flight: more while the server answers, fewer at once when it says that it is busy.

As TCP does it (Jacobson 1988, Chiu and Jain 1989). The limit doubles each round trip until the server first objects, is halved
by an objection, and then grows by the same amount each round trip: a sixteenth of the ceiling, so half the way back takes
eight round trips whatever the ceiling. Objections to requests that were sent before the last halving tell nothing new and
halve nothing. While objections come and no answer does, everybody pauses, twice as long each time: at one request in flight
there is nothing left to halve.

`Retry-After` is about the client, not about one request: everybody waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# A server that serves few at once is not met with a crowd: three round trips lead from here to 64.
_FIRST_LIMIT = 8
_STEPS_TO_CEILING = 16
# Seconds of the first pause without an answer, and of the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


class Pace:
    """The state of the control; it does not wait itself. Only for use in one thread."""

    def __init__(
        self, ceiling: int, *, now: Callable[[], float] = time.monotonic, first_pause: float = _FIRST_PAUSE
    ) -> None:
        self._ceiling, self._now, self._first_pause = ceiling, now, first_pause
        self._limit = float(min(_FIRST_LIMIT, ceiling))
        # Below it the limit doubles each round trip.
        self._threshold = float(ceiling)
        self._num_halvings = 0
        self._objections_in_a_row = 0
        # Answers that may still raise the limit: as many as were in flight when it was last reached.
        self._num_raises = 0
        self._resume_at = 0.0
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    @property
    def pause(self) -> float:
        """Seconds that nothing may be sent; 0 when there is no pause."""
        return max(0.0, self._resume_at - self._now())

    def begin(self) -> int:
        """A request is sent; the result is to be handed to `answered`, `objected` or `ended`."""
        self.in_flight += 1
        if self.in_flight >= self.limit:
            self._num_raises = self.in_flight
        return self._num_halvings

    def answered(self, ticket: int) -> None:
        """It was answered; a limit that nobody reaches is not raised."""
        if self._num_raises and ticket == self._num_halvings:
            self._num_raises -= 1
            slow_start = self._limit < self._threshold
            step = 1.0 if slow_start else max(1.0, self._ceiling / _STEPS_TO_CEILING) / self._limit
            self._limit = min(float(self._ceiling), self._limit + step)
        self._objections_in_a_row = 0
        self.in_flight -= 1

    def objected(self, ticket: int, retry_after: float | None = None) -> None:
        """The server is busy, or did not answer in time."""
        self.in_flight -= 1
        if retry_after:
            self._resume_at = max(self._resume_at, self._now() + retry_after)
        if ticket != self._num_halvings:
            return
        self._limit = self._threshold = max(1.0, self._limit / 2)
        self._num_halvings += 1
        self._objections_in_a_row += 1
        if self._objections_in_a_row > 1:
            pause = min(_LONGEST_PAUSE, self._first_pause * 2.0 ** (self._objections_in_a_row - 2))
            self._resume_at = max(self._resume_at, self._now() + pause)

    def ended(self, ticket: int) -> None:
        """It failed in a way that says nothing about how busy the server is."""
        self.in_flight -= 1
