"""CachedEngine: answers and scores that were computed once are kept in a SQLite file, so a killed run pays nothing twice.

The key is a digest of what determines the answer: the engine's identity, the prompt, the sampling. Batches are formed
from what is missing, in the order it was asked for, and each batch is stored in one transaction: a run that was killed
finds whole batches, and the rest meet in the same batches as they would have.

Answers that were cancelled or failed are not stored. A stored answer comes as one event.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any

from heedful.errors import StorageError
from heedful.generate._base import ClosesItself
from heedful.generate.engine import Engine, Event, Handle, Request, ScoreRequest, ScoreResult
from heedful.project import Silent, Watcher
from heedful.records import Generation, Usage, digest

_SCHEMA_VERSION = 1
# A scoring call sorts by length, which saves more the more it sees.
_SCORE_BATCHES = 4


@dataclass(slots=True)
class _Pending:
    """A request whose answer is being computed; equal requests share it."""

    key: str
    inner: Handle
    answer: tuple[Generation, ...] | None = None
    error: Exception | None = None


class CachedEngine(ClosesItself):
    """Any engine, with a memory. Closing it closes the engine within."""

    def __init__(self, engine: Engine, path: Path, watcher: Watcher | None = None) -> None:
        self._engine, self._watcher = engine, watcher or Silent()
        self._store = _Store(path)
        self._pending: dict[str, _Pending] = {}
        self._lock = RLock()
        self.num_found = 0
        """Requests and scores answered from the file."""
        self.num_computed = 0

    @property
    def identity(self) -> str:
        return self._engine.identity

    @property
    def preferred_batch(self) -> int:
        return self._engine.preferred_batch

    @property
    def num_in_flight(self) -> int:
        return self._engine.num_in_flight

    def submit(self, request: Request) -> CachedHandle:
        """Look the request up, or queue it in the engine within."""
        key = _request_key(self.identity, request)
        with self._lock:
            if key in self._pending:
                return CachedHandle(self, request, self._pending[key])
            found = self._store.get(key)
            if found is not None:
                self.num_found += 1
                return CachedHandle(self, request, tuple(_generation(value) for value in found))
            pending = _Pending(key, self._engine.submit(request))
            self._pending[key] = pending
            return CachedHandle(self, request, pending)

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Scores in order; what is missing is scored a few batches at a time, and stored."""
        pending = iter(items)
        while window := list(islice(pending, _SCORE_BATCHES * self.preferred_batch)):
            keys = [_score_key(self.identity, item) for item in window]
            with self._lock:
                yield from self._score_window(window, keys)

    def close(self) -> None:
        """Close the engine and the file."""
        self._engine.close()
        self._store.close()

    def settle(self, wanted: _Pending) -> None:
        """Compute the pending requests up to the batch that holds `wanted`, storing batch by batch."""
        with self._lock:
            while wanted.answer is None and wanted.error is None:
                self._settle_batch(list(islice(self._pending.values(), self.preferred_batch)))

    def _settle_batch(self, batch: Sequence[_Pending]) -> None:
        complete = {}
        for pending in batch:
            try:
                pending.answer = pending.inner.result()
            except Exception as error:  # Kept for whoever waits for this request; the others' answers are stored.
                pending.error = error
            del self._pending[pending.key]
            if pending.answer and all(g.finish_reason in ("stop", "length") for g in pending.answer):
                complete[pending.key] = [asdict(generation) for generation in pending.answer]
        self._keep(complete)

    def _score_window(self, window: Sequence[ScoreRequest], keys: Sequence[str]) -> list[ScoreResult]:
        found = {key: value for key in dict.fromkeys(keys) if (value := self._store.get(key)) is not None}
        missing = {key: item for key, item in zip(keys, window, strict=True) if key not in found}
        computed = dict(zip(missing, map(asdict, self._engine.score(missing.values())), strict=True)) if missing else {}
        self._keep(computed)
        self.num_found += len(window) - len(computed)
        values = found | computed
        return [ScoreResult(**{**values[key], "id": item.id}) for key, item in zip(keys, window, strict=True)]

    def _keep(self, values: Mapping[str, Any]) -> None:
        if values:
            self._store.put(values)
            self.num_computed += len(values)
            self._watcher.milestone("cache.stored")


class CachedHandle:
    """An answer from the file, or one that is being computed."""

    def __init__(self, engine: CachedEngine, request: Request, source: tuple[Generation, ...] | _Pending) -> None:
        self._engine, self._request, self._source = engine, request, source

    def __iter__(self) -> Iterator[Event]:
        for generation in self.result():
            yield Event(generation.index, generation.text, generation)

    def result(self) -> tuple[Generation, ...]:
        """Wait; the request's whole batch is computed and stored first."""
        if isinstance(self._source, _Pending):
            self._engine.settle(self._source)
            if self._source.error is not None:
                raise self._source.error
            self._source = self._source.answer or ()
        return tuple(replace(generation, request_id=self._request.id) for generation in self._source)

    def cancel(self) -> None:
        """Cancel the computation, for all who asked the same."""
        if isinstance(self._source, _Pending):
            self._source.inner.cancel()


class _Store:
    """Keys and JSON values in SQLite. Write-ahead log: a killed writer leaves the last whole transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Guarded by the engine's lock, so threads may share it.
            self._connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _SCHEMA_VERSION):
                raise StorageError(
                    f"{path} was written by another version of Heedful; delete it, and answers are computed anew"
                )
            with self._connection:
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
                )
                self._connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def get(self, key: str) -> Any:
        """The value, or None."""
        try:
            row = self._connection.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
            return None if row is None else json.loads(row[0])
        except (sqlite3.Error, ValueError) as error:
            raise self._failure(error) from error

    def put(self, values: Mapping[str, Any]) -> None:
        """Store all or nothing."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def close(self) -> None:
        self._connection.close()

    def _failure(self, error: Exception) -> StorageError:
        return StorageError(
            f"the request cache {self._path} cannot be used ({error}); free some space if the disk is full, "
            "or delete the file: its answers are then computed anew"
        )


def _request_key(identity: str, request: Request) -> str:
    # Everything but the id: what the answer depends on.
    content = {key: value for key, value in asdict(request).items() if key != "id"}
    return digest(["answer", _SCHEMA_VERSION, identity, content])


def _score_key(identity: str, item: ScoreRequest) -> str:
    messages = [[message.role, message.content] for message in item.messages]
    return digest(["score", _SCHEMA_VERSION, identity, messages, item.continuation])


def _generation(value: Mapping[str, Any]) -> Generation:
    """The inverse of `asdict`, after a trip through JSON."""
    logprobs = value["logprobs"]
    return Generation(
        **{
            **value,
            "token_ids": tuple(value["token_ids"]),
            "logprobs": None if logprobs is None else tuple(logprobs),
            "usage": Usage(**value["usage"]),
        }
    )
