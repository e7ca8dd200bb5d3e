"""SIGTERM, as clusters and service managers send it: the step under way ends, a checkpoint is written, then we leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from heedful.errors import StoppedError


class Stop:
    """Whether somebody asked us to stop."""

    is_asked = False

    def leave(self, step: int) -> None:
        """Raises StoppedError; everything up to `step` is in a checkpoint."""
        raise StoppedError(
            f"stopped by SIGTERM after step {step}; its checkpoint is written, and the same command continues from there"
        )


@contextmanager
def stopping() -> Iterator[Stop]:
    """Inside, SIGTERM is noted and kills nothing. Only the main thread hears signals; elsewhere nothing changes."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(*_: Any) -> None:
        stop.is_asked = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield stop
    finally:
        # None stands for a handler that was not set from Python, which cannot be put back.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
