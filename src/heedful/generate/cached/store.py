"""Store: keys and JSON values in a SQLite file, and who is computing what is missing.

Several processes may read and write one file. It keeps a write-ahead log, so a killed writer leaves the last whole transaction.
What a transaction survives: with `durable=True` a power cut; without it the end of the process, kill -9 included, at a twentieth of
the time, and a power cut from the next `checkpoint` on.

A claim says that somebody is computing a key's answer: a process, until it lets go, is dead, or has not renewed the claim for 30
seconds (it hangs, or the machine slept). The process is looked for by its number only where numbers mean the same: on the same
machine and in the same container.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

from heedful.errors import StorageError
from heedful.generate.cached.keys import SCHEMA_VERSION

CLAIM_SECONDS = 30.0
# Seconds to wait for another process's transaction.
_BUSY_TIMEOUT = 60.0
# SQLite allows 32,766 parameters in a statement; older builds 999.
_AT_ONCE = 500

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
"""
# Nobody claims what is there.
_CLAIM = "INTO claims SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM answers WHERE key = ?)"


class Store:
    """One connection, which threads may share."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        self._guard = _Guard(self._failure)
        self.owner = f"{_neighbourhood()}|{os.getpid()}|{uuid.uuid4().hex}"
        """Whose claims ours are."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT, check_same_thread=False, isolation_level=None
            )
            self._prepare(durable)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def get(self, key: str) -> Any:
        """The value, or None."""
        with self._guard:
            row = self._one("SELECT value FROM answers WHERE key = ?", key)
            return None if row is None else json.loads(row[0])

    def get_many(self, keys: Collection[str]) -> dict[str, Any]:
        """Those that are there."""
        with self._guard:
            rows = self._select("SELECT key, value FROM answers WHERE key IN", keys)
            return {key: json.loads(value) for key, value in rows}

    def put(self, values: Mapping[str, Any]) -> None:
        """Store all or nothing."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        with self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)

    # -- claims ------------------------------------------------------------------------------------------------------

    def claim(self, key: str) -> bool:
        """Whether it is ours to compute; not when somebody else is at it, or the value is there."""
        now = time.time()
        claim = (key, self.owner, now + CLAIM_SECONDS)
        with self._guard:
            # Nearly always nobody is at it: then this statement is all, and a transaction of its own.
            if self._connection.execute(f"INSERT OR IGNORE {_CLAIM}", (*claim, key)).rowcount:
                return True
        with self._transaction():
            holder = self._one("SELECT owner, expires FROM claims WHERE key = ?", key)
            if holder is not None and not self._is_free(holder[0], holder[1], now):
                return False
            return self._connection.execute(f"INSERT OR REPLACE {_CLAIM}", (*claim, key)).rowcount > 0

    def free(self, keys: Collection[str]) -> list[str]:
        """Those that nobody computes any more, in their order."""
        now = time.time()
        with self._guard:
            rows = self._select("SELECT key, owner, expires FROM claims WHERE key IN", keys)
        held = {key for key, owner, expires in rows if not self._is_free(owner, expires, now)}
        return [key for key in keys if key not in held]

    def keep(self, key: str, value: Any) -> Any:
        """Store what we have computed, which ends every claim on it; returns what is kept: the value that came first."""
        row = (key, json.dumps(value))
        with self._guard:
            if self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", row).rowcount:
                return value
            return json.loads(self._one("SELECT value FROM answers WHERE key = ?", key)[0])

    def let_go(self, key: str | None = None) -> None:
        """Of one claim, or of all of ours."""
        with self._transaction():
            self._connection.execute(
                "DELETE FROM claims WHERE owner = ? AND (? IS NULL OR key = ?)", (self.owner, key, key)
            )

    def renew(self) -> None:
        """Say that we are still at it; claims on what is there, and claims that have run out, are forgotten."""
        now = time.time()
        with self._transaction():
            self._connection.execute("DELETE FROM claims WHERE expires < ? OR key IN (SELECT key FROM answers)", (now,))
            self._connection.execute("UPDATE claims SET expires = ? WHERE owner = ?", (now + CLAIM_SECONDS, self.owner))

    # -- the file ----------------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Bring what is stored so far to the disk, beside readers and writers; from any thread."""
        try:
            # A connection of its own: this waits for the disk, and the others should not wait for it.
            connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT)
            try:
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def close(self) -> None:
        with self._guard:
            self._connection.close()

    def _prepare(self, durable: bool) -> None:
        self._to_write_ahead_log()
        (version,) = self._one("PRAGMA user_version")
        if version not in (0, SCHEMA_VERSION):
            raise StorageError(
                f"{self._path} was written by another version of Heedful; delete it, and answers are computed anew"
            )
        self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        if not durable:
            # Checkpoints wait for the disk; whoever wants no waiting calls `checkpoint` elsewhere.
            self._connection.execute("PRAGMA wal_autocheckpoint=0")
        with self._transaction():
            for statement in _TABLES.strip().split("\n"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            # Left behind by those who were killed.
            self._connection.execute("DELETE FROM claims WHERE expires < ?", (time.time(),))

    def _to_write_ahead_log(self) -> None:
        """Two processes that make the same new file collide here, and SQLite does not wait for this lock by itself."""
        deadline = time.monotonic() + _BUSY_TIMEOUT
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL").fetchone()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _is_free(self, owner: str, expires: float, now: float) -> bool:
        """Whether a claim binds nobody any more."""
        if owner == self.owner or expires < now:
            return True
        neighbourhood, number, _ = owner.rsplit("|", 2)
        return neighbourhood == _neighbourhood() and not _is_alive(int(number))

    def _select(self, statement: str, keys: Collection[str]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        wanted = list(keys)
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            rows += self._connection.execute(f"{statement} ({', '.join('?' * len(some))})", some).fetchall()
        return rows

    def _one(self, statement: str, *values: str) -> Any:
        return self._connection.execute(statement, values).fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing. The write lock is taken first: a reader that turns writer could be refused."""
        with self._guard:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _failure(self, error: BaseException) -> StorageError:
        return StorageError(
            f"the request cache {self._path} cannot be used ({error}); free some space if the disk is full, "
            "or delete the file: its answers are then computed anew"
        )


class _Guard:
    """A lock, within which SQLite's errors become ours. A class: entering a generator's context takes longer than a lookup."""

    def __init__(self, failure: Callable[[BaseException], StorageError]) -> None:
        self._lock, self._failure = RLock(), failure

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        self._lock.release()
        if isinstance(error, sqlite3.Error | ValueError):
            raise self._failure(error) from error


@cache
def _neighbourhood() -> str:
    """Where a process number names one process: a machine, and on Linux a container in it."""
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:
        container = ""
    return f"{socket.gethostname()}|{container}"


def _is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
