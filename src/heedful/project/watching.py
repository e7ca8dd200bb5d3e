"""Progress on standard error: live bars on a terminal, a line now and then in a log file. Both give an estimate."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from threading import Timer

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from heedful.project.progress import Watcher

_LOG_INTERVAL = 10.0
"""Seconds between two lines about the same task in a log."""
_SETTLE = 0.5
"""Seconds to wait before a line: answers come a batch at a time, and an estimate after the first of them is wrong."""


def terminal_watcher() -> Watcher:
    """Bars where a person looks, plain lines where a file or another program reads."""
    return BarWatcher() if sys.stderr.isatty() else LineWatcher()


def duration(seconds: float) -> str:
    """`8 s`, `2 min 5 s`, `1 h 4 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class BarWatcher:
    """Live bars with count, elapsed and remaining time."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<26}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def begin(self, task: str, total: int | None, unit: str) -> None:
        self._progress.start()
        self._tasks[task] = self._progress.add_task(task, total=total, note=unit)

    def advance(self, task: str, amount: int, note: str) -> None:
        if note:
            self._progress.update(self._tasks[task], note=note)
        self._progress.advance(self._tasks[task], amount)

    def end(self, task: str) -> None:
        self._progress.stop_task(self._tasks.pop(task))
        if not self._tasks:
            self.close()

    def milestone(self, name: str) -> None:
        pass

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Stop drawing; finished bars stay on the screen."""
        self._progress.stop()


@dataclass
class _Running:
    total: int | None
    unit: str
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    note: str = ""
    reported: float = 0.0
    timer: Timer | None = None


class LineWatcher:
    """One line when a task starts, one every ten seconds, one when it ends."""

    def __init__(self) -> None:
        self._tasks: dict[str, _Running] = {}

    def begin(self, task: str, total: int | None, unit: str) -> None:
        running = _Running(total, unit)
        running.reported = running.started
        self._tasks[task] = running
        self.say(f"{task}: {total} {unit} to do" if total is not None else f"{task} ...")

    def advance(self, task: str, amount: int, note: str) -> None:
        running = self._tasks[task]
        running.done += amount
        running.note = note
        if time.monotonic() - running.reported >= _LOG_INTERVAL and running.timer is None:
            running.timer = Timer(_SETTLE, self._report, (task, running))
            running.timer.daemon = True
            running.timer.start()

    def end(self, task: str) -> None:
        running = self._tasks.pop(task)
        if running.timer is not None:
            running.timer.cancel()
        done = f"{running.done} {running.unit}" if running.done else "done"
        self.say(f"{task}: {done} in {duration(time.monotonic() - running.started)}")

    def _report(self, task: str, running: _Running) -> None:
        running.timer = None
        running.reported = time.monotonic()
        if running.total is None or running.done < running.total:
            note = f"  ({running.note})" if running.note else ""
            self.say(f"{task}: {_state(running, running.reported)}{note}")

    def milestone(self, name: str) -> None:
        pass

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _state(running: _Running, now: float) -> str:
    elapsed = now - running.started
    if running.total is None or not running.done:
        return f"{running.done} {running.unit} after {duration(elapsed)}"
    left = elapsed / running.done * (running.total - running.done)
    return f"{running.done} of {running.total} {running.unit} after {duration(elapsed)}, about {duration(left)} left"
