"""An event loop in a thread of its own, for use by other threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import Lock, Thread, current_thread
from typing import Any

# Seconds for what is under way to clean up after itself; sockets are closed long before.
_PATIENCE = 5.0


class LoopThread:
    """Starts when it is first needed. A daemon: an interpreter that ends does not wait for it."""

    def __init__(self, clean_up: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`clean_up` is the last thing that runs in the loop."""
        self._clean_up = clean_up
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        # A loop holds its tasks only weakly.
        self._last_task: asyncio.Task[None] | None = None
        self._closed = False

    def call(self, function: Callable[[], object]) -> bool:
        """Have the loop call `function` soon; False when it is closed."""
        with self._lock:
            if not self._closed:
                self._open().call_soon_threadsafe(function)
            return not self._closed

    def wait_for(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work()` to its end, from any other thread; nothing when the loop never started or is closed."""
        with self._lock:
            if self._closed or self._loop is None:
                return
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        future.result()

    def close(self) -> None:
        """Clean up and stop. Once is enough."""
        with self._lock:
            loop, self._closed = (None if self._closed else self._loop), True
        if loop is None or self._thread is None:
            return
        loop.call_soon_threadsafe(self._begin_to_finish)
        # The garbage collector may close an engine that nobody closed, in any thread.
        if current_thread() is not self._thread:
            self._thread.join(_PATIENCE)

    def _open(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = Thread(target=self._run, args=(self._loop,), name="heedful-remote", daemon=True)
            self._thread.start()
        return self._loop

    def _begin_to_finish(self) -> None:
        self._last_task = asyncio.get_running_loop().create_task(self._finish())

    async def _finish(self) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE / 2):
                    await self._clean_up()
        finally:
            asyncio.get_running_loop().stop()

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            loop.close()
