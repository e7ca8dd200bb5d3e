"""Progress for whoever asked for it, and in any case the remarks that a command would print."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from heedful.project.progress import Remembering, Silent


@contextmanager
def watching(progress: bool) -> Iterator[Remembering]:
    """A watcher for one piece of work; with `progress` it draws on standard error what the command would draw."""
    if not progress:
        yield Remembering(Silent())
        return
    from heedful.project.watching import terminal_watcher

    drawn = terminal_watcher()
    try:
        yield Remembering(drawn)
    finally:
        if (close := getattr(drawn, "close", None)) is not None:
            close()
