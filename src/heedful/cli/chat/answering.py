"""One answer as it is written, in a thread of its own: whoever reads it can stop it at any moment.

The engine may compute for seconds between two pieces, and holds a lock while it does. So it never runs in the thread
that Ctrl-C interrupts, and stopping waits for it only a moment.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from heedful.errors import EngineError, HeedfulError
from heedful.generate.engine import Event, Handle
from heedful.records import Generation

_PATIENCE = 3.0
"""Seconds that a stopped engine gets to hand over its last words; a remote one may not notice for minutes."""


class _Stop:
    """Put into the queue by whoever wants no more."""


class Answering:
    """Iterate it once for the answer's pieces; then `generation` says how it ended."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        # A simple queue may be filled from a signal handler, even while it is being read.
        self._items: SimpleQueue[Event | Exception | _Stop | None] = SimpleQueue()
        self._text = ""
        self._ended: Generation | None = None

    @property
    def generation(self) -> Generation:
        """The whole answer, or what there is of it, then with the finish reason "cancelled"."""
        return self._ended or Generation(request_id="chat", text=self._text, finish_reason="cancelled")

    def stop(self) -> None:
        """End the answer as it is. Safe in a signal handler and in any thread; never waits."""
        self._items.put(_Stop())

    def discard(self) -> None:
        """Nobody is going to read this answer."""
        self._cancel()

    def __iter__(self) -> Iterator[str]:
        Thread(target=self._work, name="answer", daemon=True).start()
        stopped_at: float | None = None
        try:
            while (item := self._next(stopped_at)) is not None:
                if isinstance(item, _Stop):
                    stopped_at = stopped_at or self._cancel()
                elif isinstance(item, Exception):
                    raise item
                else:
                    self._text += item.text
                    self._ended = item.generation or self._ended
                    if item.text:
                        yield item.text
        finally:
            if self._ended is None and stopped_at is None:
                self._cancel()

    def _next(self, stopped_at: float | None) -> Event | Exception | _Stop | None:
        if stopped_at is None:
            return self._items.get()
        try:
            return self._items.get(timeout=max(stopped_at + _PATIENCE - time.monotonic(), 0))
        except Empty:
            return None

    def _cancel(self) -> float:
        # The engine's lock may be held by the step under way, for which the reader need not wait.
        Thread(target=self._handle.cancel, name="cancel", daemon=True).start()
        return time.monotonic()

    def _work(self) -> None:
        try:
            for event in self._handle:
                self._items.put(event)
        except HeedfulError as error:
            self._items.put(error)
        except Exception as error:
            self._items.put(EngineError(f"generation failed: {error}"))
        self._items.put(None)


@contextmanager
def when_interrupted(action: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C does `action` within the block, instead of raising; only for the main thread."""

    def handler(number: int, frame: Any) -> None:
        action()

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
