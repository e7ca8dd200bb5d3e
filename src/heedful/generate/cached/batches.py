"""For engines whose answers depend on their batch: what is missing is computed and stored batch by batch.

Batches are formed from what is missing, in the order it was asked for, and each batch is stored in one transaction: a run that
was killed finds whole batches, and the rest meet in the same batches as they would have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from threading import RLock

from heedful.generate.cached.keys import request_key
from heedful.generate.cached.store import Store
from heedful.generate.cached.tally import Tally
from heedful.generate.cached.values import from_value, to_value
from heedful.generate.engine import Engine, Handle, Request
from heedful.records import Generation


@dataclass(slots=True)
class Pending:
    """A request whose answer is being computed; equal requests share it."""

    key: str
    inner: Handle
    settle: Callable[[Pending], None] = field(repr=False)
    answer: tuple[Generation, ...] | None = None
    error: Exception | None = None

    def result(self) -> tuple[Generation, ...]:
        """Wait; the request's whole batch is computed and stored first."""
        self.settle(self)
        if self.error is not None:
            raise self.error
        return self.answer or ()

    def cancel(self) -> None:
        self.inner.cancel()


class Batches:
    """What is pending, in the order it was asked for."""

    def __init__(self, engine: Engine, store: Store, tally: Tally) -> None:
        self._engine, self._store, self._tally = engine, store, tally
        self._pending: dict[str, Pending] = {}
        self._lock = RLock()

    def submit(self, request: Request) -> Pending | tuple[Generation, ...]:
        """What is there, or a place in the next batch."""
        key = request_key(self._engine.identity, request)
        with self._lock:
            if key in self._pending:
                return self._pending[key]
            found = self._store.get(key)
            if found is not None:
                self._tally.found(1)
                return from_value(found)
            pending = self._pending[key] = Pending(key, self._engine.submit(request), self._settle)
            return pending

    def close(self) -> None:
        """Of the engine, too."""
        self._engine.close()

    def _settle(self, wanted: Pending) -> None:
        """Compute the pending requests up to the batch that holds `wanted`, storing batch by batch."""
        with self._lock:
            while wanted.answer is None and wanted.error is None:
                self._settle_batch(list(islice(self._pending.values(), self._engine.preferred_batch)))

    def _settle_batch(self, batch: list[Pending]) -> None:
        complete = {}
        for pending in batch:
            try:
                pending.answer = pending.inner.result()
            except Exception as error:  # Kept for whoever waits for this request; the others' answers are stored.
                pending.error = error
            del self._pending[pending.key]
            if pending.answer and all(one.finish_reason in ("stop", "length") for one in pending.answer):
                complete[pending.key] = to_value(pending.answer)
        if complete:
            self._store.put(complete)
            self._tally.stored(len(complete))
