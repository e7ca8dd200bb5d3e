"""Threads that run one jitted function together: shares of the work are taken from counters, and all wait at barriers.

A step of a small model has hundreds of short phases; handing each to a thread pool would cost more than the work. Here
every thread runs the whole step, and a barrier costs less than a microsecond on idle cores. A thread that waits long
(its sibling's core is busy with something else) gives its core away.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit

from heedful.generate.local.kernels.simd import INT32, INT64, Emitter, Integer, instruction

LINE = 64
"""Bytes of a cache line: what different threads write lies that far apart."""


def _word(e: Emitter, address: Any) -> Any:
    return e.builder.inttoptr(address, ir.PointerType(INT64))


@instruction
def take(e: Emitter, counter: Any, amount: Any) -> Integer:
    """Add to a counter that threads share; returns what it was."""
    return e.builder.atomic_rmw("add", _word(e, counter), amount, "acq_rel")


@instruction
def _peek(e: Emitter, place: Any) -> Integer:
    return e.builder.load_atomic(_word(e, place), "acquire", 8, typ=INT64)


@instruction
def _put(e: Emitter, place: Any, value: Any) -> None:
    e.builder.store_atomic(value, _word(e, place), "release", 8)


@instruction
def _give_way(e: Emitter) -> None:
    """Let another thread have the core."""
    e.call("sched_yield", INT32, [])


@njit(nogil=True, cache=True)
def barrier(state, num_threads):  # type: ignore[no-untyped-def]
    """Wait until all have come. At `state`: how many have, and one line further the number of this meeting."""
    if num_threads == 1:
        return
    meeting = _peek(state + LINE)
    if take(state, 1) == num_threads - 1:
        _put(state, 0)
        _put(state + LINE, meeting + 1)
        return
    spins = 0
    while _peek(state + LINE) == meeting:
        spins += 1
        if spins > 2000:
            _give_way()


@njit(nogil=True, cache=True)
def next_task(data):  # type: ignore[no-untyped-def]
    """A task's number that no other thread has; -1 when there are no more. At `data`: how many were taken, how many there are."""
    number = take(data, 1)
    return number if number < _peek(data + 8) else -1


@njit(nogil=True, cache=True)
def argument(data, number):  # type: ignore[no-untyped-def]
    """The `number`th of the 64-bit integers that follow."""
    return _peek(data + 16 + 8 * number)


class Team:
    """The caller's thread and `size - 1` more. They live as long as the team, and sleep between calls."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._state = np.zeros(2 * LINE // 8, np.int64)
        self._errors: list[BaseException] = []
        self._starts = [SimpleQueue[Callable[[int], object] | None]() for _ in range(size - 1)]
        self._ends: SimpleQueue[None] = SimpleQueue()
        for number, start in enumerate(self._starts, 1):
            Thread(target=self._serve, args=(number, start), name=f"heedful-team-{number}", daemon=True).start()

    @property
    def state(self) -> int:
        """Address for `barrier`."""
        return int(self._state.ctypes.data)

    def run(self, function: Callable[[int], object]) -> None:
        """Call `function(number)` in every thread; it must let go of the interpreter's lock. Waits for all."""
        for start in self._starts:
            start.put(function)
        function(0)
        for _ in self._starts:
            self._ends.get()
        if self._errors:
            raise self._errors.pop()

    def close(self) -> None:
        """End the threads."""
        for start in self._starts:
            start.put(None)
        self._starts = []

    def _serve(self, number: int, start: SimpleQueue[Callable[[int], object] | None]) -> None:
        while (function := start.get()) is not None:
            try:
                function(number)
            except BaseException as error:
                self._errors.append(error)
            # Else the last step's arguments would live until the next one.
            del function
            self._ends.put(None)
