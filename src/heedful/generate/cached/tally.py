"""How many requests and scores were found in the file, and how many had to be computed."""

from __future__ import annotations

from threading import Lock

from heedful.project import Watcher


class Tally:
    """Counts, and tells the watcher when something was stored."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._lock = Lock()
        self.num_found = 0
        self.num_computed = 0

    def found(self, count: int) -> None:
        """Answered from the file, or by another process."""
        with self._lock:
            self.num_found += count

    def stored(self, count: int) -> None:
        """Computed, and in the file now."""
        with self._lock:
            self.num_computed += count
        self._watcher.milestone("cache.stored")
