"""How long work tells what it is doing: counted steps with an estimate, and milestones.

A stage never prints. It reports to a `Watcher` that it is handed; the command line hands one that draws progress
bars on standard error, tests hand one that records, or one that kills the process at a chosen milestone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Watcher(Protocol):
    """Whoever wants to know how far the work is."""

    def begin(self, task: str, total: int | None, unit: str) -> None:
        """`task` starts; `total` is None when nobody can know it. Names are unique among tasks under way."""

    def advance(self, task: str, amount: int, note: str) -> None:
        """`amount` more units are done; `note` is a short remark ("loss 1.93") or empty."""

    def end(self, task: str) -> None:
        """`task` is over, whether it succeeded or not."""

    def milestone(self, name: str) -> None:
        """A state on disk has just become, or is about to become, durable. See `MILESTONES`."""

    def say(self, text: str) -> None:
        """A line that the user should read: a count, a warning, a shortfall."""


MILESTONES: dict[str, str] = {
    "stage.begun": "a temporary folder for the stage's artefact exists; nothing is in it",
    "stage.written": "all files of the artefact are in the temporary folder; the manifest is not",
    "stage.sealed": "the manifest is written; the folder still has its temporary name",
    "stage.committed": "the artefact's folder has its final name",
    "journal.appended": "one more line is in a journal",
    "cache.stored": "one more batch of answers is in the request cache",
    "checkpoint.writing": "a training checkpoint is about to be written",
    "checkpoint.written": "a training checkpoint has its final name",
    "train.stepped": "an optimiser step is done, in memory only",
    "report.written": "the report is beside the project's settings",
}
"""Every point at which a process may die and leave a different state behind. Tests kill at each of them."""


class Silent:
    """A watcher that watches nothing."""

    def begin(self, task: str, total: int | None, unit: str) -> None:
        pass

    def advance(self, task: str, amount: int, note: str) -> None:
        pass

    def end(self, task: str) -> None:
        pass

    def milestone(self, name: str) -> None:
        pass

    def say(self, text: str) -> None:
        pass


class Remembering:
    """A watcher that keeps what is said, so that it can be read afterwards, and passes everything on."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.said: list[str] = []

    def begin(self, task: str, total: int | None, unit: str) -> None:
        self._watcher.begin(task, total, unit)

    def advance(self, task: str, amount: int, note: str) -> None:
        self._watcher.advance(task, amount, note)

    def end(self, task: str) -> None:
        self._watcher.end(task)

    def milestone(self, name: str) -> None:
        self._watcher.milestone(name)

    def say(self, text: str) -> None:
        self.said.append(text)
        self._watcher.say(text)


class Steps:
    """A task under way; made by `steps`."""

    def __init__(self, watcher: Watcher, task: str) -> None:
        self._watcher, self._task = watcher, task

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Report `amount` more units."""
        self._watcher.advance(self._task, amount, note)


@contextmanager
def steps(watcher: Watcher, task: str, total: int | None = None, unit: str = "rows") -> Iterator[Steps]:
    """Report a task of `total` units: `with steps(watch, "curate", len(rows)) as progress: ... progress.advance()`."""
    watcher.begin(task, total, unit)
    try:
        yield Steps(watcher, task)
    finally:
        watcher.end(task)
