"""RemoteHandle: a request under way, between the thread of the event loop that fills it and the threads that read it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition, Lock

from heedful.generate.engine import Event
from heedful.records import Generation

Outcome = tuple[Generation, ...] | Exception
"""All `n` answers, or why there are none."""


class RemoteHandle:
    """Iterate for events as they come, or wait for `result()`.

    Thousands may be waiting to be sent, so it holds little: the lock is that of the engine, and what only some need is made late.
    """

    __slots__ = ("_cancel", "_changed", "_events", "_has_ended", "_lock", "_outcome", "_taken")

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._changed: Condition | None = None
        self._events: deque[Event] = deque(maxlen=0)
        self._taken = 0
        self._has_ended = False
        self._outcome: Outcome | None = None
        self._cancel: Callable[[], None] | None = None

    # -- for whoever asked -----------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Event]:
        """Pieces of text while the server writes; then one event for each answer with all of it, or the error.

        A whole answer has its text in its one event; the end of a streamed one has none.
        """
        while (piece := self._next()) is not None:
            yield piece
        answer = self.result()
        with self._lock:
            already, self._has_ended = self._has_ended, True
        if not already:
            for one in answer:
                yield Event(one.index, "" if self._taken else one.text, one)

    def result(self) -> tuple[Generation, ...]:
        """Wait; raises the EngineError of a request that failed."""
        with self._lock:
            while self._outcome is None:
                self._wait()
            outcome = self._outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def cancel(self) -> None:
        """Close the connection, which ends the work of a server that looks; the answers end as they are."""
        cancel = self._cancel
        if cancel is not None:
            cancel()

    def _next(self) -> Event | None:
        with self._lock:
            while not self._events and self._outcome is None:
                self._wait()
            if not self._events:
                return None
            self._taken += 1
            return self._events.popleft()

    def _wait(self) -> None:
        if self._changed is None:
            self._changed = Condition(self._lock)
        self._changed.wait()

    # -- for the event loop ----------------------------------------------------------------------------------------

    def begun(self, cancel: Callable[[], None]) -> None:
        """`cancel` ends it. It also keeps the engine alive as long as somebody waits."""
        with self._lock:
            if self._outcome is None:
                self._cancel = cancel

    @property
    def is_done(self) -> bool:
        return self._outcome is not None

    def show(self, index: int, text: str) -> None:
        """One more piece of an answer."""
        with self._lock:
            if self._events.maxlen == 0:
                self._events = deque()
            self._events.append(Event(index, text))
            self._tell()

    def take_back(self) -> int:
        """Forget the pieces shown of an attempt that failed; returns how many of them somebody has read already."""
        with self._lock:
            if not self._taken:
                self._events.clear()
            return self._taken

    def finish(self, outcome: Outcome) -> None:
        """Nothing follows."""
        with self._lock:
            self._outcome = outcome
            # What cancels it holds the request, the engine and this: a circle that would wait for the garbage collector.
            self._cancel = None
            self._tell()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed.notify_all()
