"""CachedEngine: any engine, with a memory that all stages and all runs share. What was answered once is not asked again.

The key of an answer is a digest of what determines it: the engine's identity, the prompt, the sampling (`keys.py`). Answers that
were cancelled or failed are not stored. A stored answer comes as one event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any, Protocol

from heedful.generate._base import ClosesItself
from heedful.generate.cached.batches import Batches
from heedful.generate.cached.keys import score_key
from heedful.generate.cached.singly import Singly, answers_singly
from heedful.generate.cached.store import Store
from heedful.generate.cached.tally import Tally
from heedful.generate.engine import Engine, Event, Request, ScoreRequest, ScoreResult
from heedful.project import Silent, Watcher
from heedful.records import Generation

# A scoring call sorts by length, which saves more the more it sees.
_SCORE_BATCHES = 4


class CachedEngine(ClosesItself):
    """Any engine, with a memory. Closing it closes the engine within."""

    def __init__(self, engine: Engine, path: Path, watcher: Watcher | None = None) -> None:
        self._engine = engine
        self._tally = Tally(watcher or Silent())
        self._missing: Batches | Singly
        # Batches are stored seldom, and wait for the disk; single answers are stored often, and the disk follows within a second.
        if answers_singly(engine):
            self._store = Store(path, durable=False)
            self._missing = Singly(engine, self._store, self._tally)
        else:
            self._store = Store(path)
            self._missing = Batches(engine, self._store, self._tally)
        self._lock = RLock()

    @property
    def engine(self) -> Engine:
        """The one within, which knows what was spent."""
        return self._engine

    @property
    def identity(self) -> str:
        return self._engine.identity

    @property
    def is_independent(self) -> bool | None:
        """What the engine within says; None when it does not say."""
        return getattr(self._engine, "is_independent", None)

    @property
    def preferred_batch(self) -> int:
        return self._engine.preferred_batch

    @property
    def num_in_flight(self) -> int:
        return self._engine.num_in_flight

    @property
    def num_found(self) -> int:
        """Requests and scores answered from the file."""
        return self._tally.num_found

    @property
    def num_computed(self) -> int:
        """Requests and scores that the engine within answered, and that are stored."""
        return self._tally.num_computed

    def submit(self, request: Request) -> CachedHandle:
        """Look the request up, or queue it in the engine within."""
        return CachedHandle(request, self._missing.submit(request))

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Scores in order; what is missing is scored a few batches at a time, and stored."""
        pending = iter(items)
        while window := list(islice(pending, _SCORE_BATCHES * self.preferred_batch)):
            keys = [score_key(self.identity, item) for item in window]
            with self._lock:
                yield from self._score_window(window, keys)

    def close(self) -> None:
        """Close the engine and the file."""
        self._missing.close()
        self._store.close()

    def _score_window(self, window: Sequence[ScoreRequest], keys: Sequence[str]) -> list[ScoreResult]:
        found = self._store.get_many(dict.fromkeys(keys))
        missing = {key: item for key, item in zip(keys, window, strict=True) if key not in found}
        computed: Mapping[str, Any] = {}
        if missing:
            computed = dict(zip(missing, map(asdict, self._engine.score(missing.values())), strict=True))
            self._store.put(computed)
            self._tally.stored(len(computed))
        self._tally.found(len(window) - len(computed))
        values = {**found, **computed}
        return [ScoreResult(**{**values[key], "id": item.id}) for key, item in zip(keys, window, strict=True)]


class _Source(Protocol):
    """Where an answer comes from that is not there yet."""

    def result(self) -> tuple[Generation, ...]: ...

    def cancel(self) -> None: ...


class CachedHandle:
    """An answer from the file, or one that is being computed."""

    def __init__(self, request: Request, source: tuple[Generation, ...] | _Source) -> None:
        self._request, self._source = request, source

    def __iter__(self) -> Iterator[Event]:
        for generation in self.result():
            yield Event(generation.index, generation.text, generation)

    def result(self) -> tuple[Generation, ...]:
        """Wait; what was computed is stored before it is returned."""
        if not isinstance(self._source, tuple):
            self._source = self._source.result()
        return tuple(replace(generation, request_id=self._request.id) for generation in self._source)

    def cancel(self) -> None:
        """Cancel the computation, for all who asked the same."""
        if not isinstance(self._source, tuple):
            self._source.cancel()
