"""Append-only journals: what a long stage has decided so far, one durable line each.

A line is `checksum JSON`. A process killed while writing leaves at most one torn line at the end, which is cut off
when the journal is opened again; a damaged line anywhere else means that the disk or a person changed the file.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

from heedful.errors import StorageError
from heedful.project.progress import Watcher
from heedful.records import canonical_json


class Journal:
    """One journal file; owns its file descriptor. Use as a context manager."""

    def __init__(self, path: Path, watcher: Watcher) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._watcher = watcher
        self._entries, length = _read(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.ftruncate(self._descriptor, length)
        os.fsync(self._descriptor)

    def read(self) -> list[dict[str, Any]]:
        """All entries, those of earlier processes first."""
        return list(self._entries)

    def append(self, entry: dict[str, Any]) -> None:
        """Make one entry durable before returning."""
        data = _line(entry)
        start = os.fstat(self._descriptor).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
            os.fsync(self._descriptor)
        except OSError:
            # A full disk may have taken half a line; without this the next append would damage the middle.
            os.ftruncate(self._descriptor, start)
            raise
        self._entries.append(entry)
        self._watcher.milestone("journal.appended")

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _line(entry: dict[str, Any]) -> bytes:
    body = canonical_json(entry).encode("utf-8", "surrogatepass")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The sound entries, and the length in bytes of the part that holds them."""
    entries: list[dict[str, Any]] = []
    length = 0
    if not path.exists():
        return entries, length
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        entry = _parse(line)
        if entry is None:
            if number == len(lines):
                break
            raise StorageError(
                f"{path}, line {number}: the checksum does not fit; the file was changed or the disk is damaged. "
                f"Move the file away: the stage then starts afresh, and answers in the request cache are not paid again"
            )
        entries.append(entry)
        length += len(line)
    return entries, length


def _parse(line: bytes) -> dict[str, Any] | None:
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    entry: dict[str, Any] = json.loads(body)
    return entry
