"""One process at a time in a project folder. The lock is the kernel's: a killed process never leaves it behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from heedful.errors import ProjectError


@contextmanager
def locked(folder: Path, *, purpose: str) -> Iterator[None]:
    """Hold the lock of `folder`, or raise ProjectError at once, naming the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / "lock.holder"
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text(encoding="utf-8").strip() if holder.exists() else "another process"
        raise ProjectError(
            f"{folder.parent} is in use by {who}; wait until it is done, or stop it, and run the command again"
        ) from None
    try:
        holder.write_text(f"`{purpose}` (process {os.getpid()})\n", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
