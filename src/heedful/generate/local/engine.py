"""LocalEngine: requests queue up, join the running batch in the order they came, and stream as they are written.

No thread of its own: of those who wait for answers one drives the batch, and writes the others' tokens on the way.
After every step all of them look whether what they wait for has come, so that no stream stalls behind another.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Condition
from typing import Any

from heedful.errors import EngineError, InputError
from heedful.generate._base import ClosesItself, check_request
from heedful.generate.engine import Event, Request, ScoreRequest, ScoreResult
from heedful.generate.local.batch import Batch
from heedful.generate.local.rows import Row
from heedful.generate.local.scoring import score
from heedful.models.loading import LoadedModel
from heedful.project import Silent, Watcher
from heedful.records import Generation, digest
from heedful.render import renderer_for

# Room for keys and values: a 135M model keeps 46 kB a token, so a full batch stays below 1.5 GB (while rows join, twice).
_TOKENS_PER_BATCH = 32_768
# Scores are computed and sorted by length within windows of this many items.
_SCORE_WINDOW = 512


class LocalEngine(ClosesItself):
    """Generates and scores with a loaded model. Safe to use from several threads."""

    def __init__(
        self, loaded: LoadedModel, *, max_batch: int = 32, max_length: int = 2048, watcher: Watcher | None = None
    ) -> None:
        """`max_length` bounds prompt and answer together, in tokens; it is lowered to what the model can read.

        `max_batch`: on two cores a step of 32 rows takes 1.4 times as long as one of 16; beyond, little is gained.
        """
        self._model = loaded.model
        self._renderer = renderer_for(loaded)
        limit = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None) or max_length
        if limit < max_length:
            (watcher or Silent()).say(
                f"{loaded.name} reads at most {limit} tokens; max_length {max_length} is lowered to that"
            )
        self._max_batch, self._max_length = max_batch, min(max_length, limit)
        self._pad_id = loaded.tokenizer.pad_token_id or 0
        self._queue: deque[Row] = deque()
        self._unfinished: list[Row] = []
        self._batch: Batch | None = None
        # Who may run the model and change rows: one thread at a time (`_busy`), all others look again after its turn.
        self._turn = Condition()
        self._busy = False
        self._num_waiting = 0
        self._closed = False
        arithmetic = [str(loaded.model.dtype), loaded.model.device.type, self._max_length]
        weights = [loaded.identity, _adapter_in_memory(loaded)]
        self._identity = digest(["local", 1, weights, arithmetic, self._renderer.template_hash])

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def preferred_batch(self) -> int:
        return self._max_batch

    @property
    def num_in_flight(self) -> int:
        with self._turn:
            # A list of its own: on their way from the queue into the batch, rows are in neither.
            self._unfinished = [row for row in self._unfinished if not row.finished]
            return len(self._unfinished)

    def submit(self, request: Request) -> LocalHandle:
        """Queue a request; raises InputError at once for a prompt that leaves no room for an answer."""
        check_request(request)
        prompt_ids = list(request.prompt_ids) or self._renderer.prompt_ids(request.messages)
        if len(prompt_ids) >= self._max_length:
            raise InputError(
                f"request {request.id!r}: the prompt has {len(prompt_ids)} tokens, the limit for prompt and answer is "
                f"{self._max_length}; shorten the prompt or raise max_length"
            )
        rows = [
            Row(request, index, prompt_ids, self._max_length, self._renderer) for index in range(request.sampling.n)
        ]
        with self._turn:
            self._check_open()
            self._queue.extend(rows)
            self._unfinished = [row for row in [*self._unfinished, *rows] if not row.finished]
        return LocalHandle(self, rows)

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Scores in order. Runs between the steps of a batch under way."""
        pending = iter(items)
        while window := list(islice(pending, _SCORE_WINDOW)):
            with self._model_to_itself():
                self._check_open()
                results = score(
                    self._model,
                    self._renderer,
                    window,
                    max_batch=self._max_batch,
                    max_length=self._max_length,
                    pad_id=self._pad_id,
                )
            yield from results

    def close(self) -> None:
        """Cancel what is under way and let go of the model."""
        with self._model_to_itself():
            self._closed = True
            for row in [*self._queue, *(self._batch.rows if self._batch else [])]:
                row.finish("cancelled")
            self._queue.clear()
            self._batch = self._model = None

    def drive(self, rows: list[Row], *, until_finished: bool) -> None:
        """Run one step, unless another thread has brought meanwhile what is waited for: the end, or any event."""

        def has_come() -> bool:
            return all(row.finished for row in rows) or (not until_finished and any(row.events for row in rows))

        with self._turn:
            # Those who only cancel or score go first: a thread that drives again and again would never let them in.
            self._turn.wait_for(lambda: has_come() or not (self._busy or self._num_waiting))
            if has_come():
                return
            self._busy = True
        with self._until_done():
            try:
                self._step()
            except BaseException as error:
                self._abandon()
                if isinstance(error, RuntimeError | MemoryError):
                    raise EngineError(
                        f"generation failed ({error}); if memory ran out, use a smaller max_batch"
                    ) from error
                raise

    def cancel(self, rows: list[Row]) -> None:
        """End `rows` as they are; waits for a step under way, a fraction of a second."""
        with self._model_to_itself():
            for row in rows:
                row.finish("cancelled")

    @contextmanager
    def _model_to_itself(self) -> Iterator[None]:
        with self._turn:
            self._num_waiting += 1
            self._turn.wait_for(lambda: not self._busy)
            self._num_waiting -= 1
            self._busy = True
        with self._until_done():
            yield

    @contextmanager
    def _until_done(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._turn:
                self._busy = False
                self._turn.notify_all()

    def _step(self) -> None:
        if self._batch is None or self._batch.can_be_joined:
            self._admit(self._take())
        assert self._batch is not None
        self._batch.step()
        if not self._batch.rows:
            self._batch = None

    def _admit(self, newcomers: list[Row]) -> None:
        try:
            if self._batch is None:
                self._batch = Batch(self._model, newcomers, self._pad_id)
            elif newcomers:
                self._batch.join(newcomers)
        except BaseException:
            for row in newcomers:
                row.finish("error")
            raise

    def _take(self) -> list[Row]:
        """Rows that may join now: from the front of the queue, as many as fit; at least one when nothing runs."""
        rows = list(self._batch.rows) if self._batch else []
        taken: list[Row] = []
        width = self._batch.width if self._batch else 0
        num_left = max((row.num_left for row in rows), default=0)
        while self._queue and len(rows) < self._max_batch:
            row = self._queue[0]
            width, num_left = max(width, len(row.prompt_ids)), max(num_left, row.num_left)
            if rows and (width + num_left) * (len(rows) + 1) > _TOKENS_PER_BATCH:
                break
            self._queue.popleft()
            if not row.finished:
                rows.append(row)
                taken.append(row)
        return taken

    def _abandon(self) -> None:
        """After a failed step the cache is in an unknown state: its rows end here, with the reason "error"."""
        for row in self._batch.rows if self._batch else []:
            row.finish("error")
        self._batch = None

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("this engine is closed; make a new one")


class LocalHandle:
    """The rows of one request."""

    def __init__(self, engine: LocalEngine, rows: list[Row]) -> None:
        self._engine, self._rows = engine, rows

    def __iter__(self) -> Iterator[Event]:
        """Each event once, also when several iterate."""
        while True:
            for row in self._rows:
                while row.events:
                    yield row.events.popleft()
            if all(row.finished and not row.events for row in self._rows):
                return
            self._engine.drive(self._rows, until_finished=False)

    def result(self) -> tuple[Generation, ...]:
        """Wait for all answers."""
        while not all(row.finished for row in self._rows):
            self._engine.drive(self._rows, until_finished=True)
        return tuple(row.generation for row in self._rows if row.generation is not None)

    def cancel(self) -> None:
        """End all answers as they are; their room in the batch is free from the next step on."""
        self._engine.cancel(self._rows)


def _adapter_in_memory(loaded: LoadedModel) -> str:
    """A hash of adapter weights that were trained here and not saved yet; empty when disk and memory agree."""
    if loaded.info is not None or not hasattr(loaded.model, "peft_config"):
        return ""
    sha256 = hashlib.sha256()
    for name, value in sorted(_adapter_weights(loaded.model)):
        sha256.update(name.encode())
        sha256.update(value.detach().float().cpu().numpy().tobytes())
    return sha256.hexdigest()


def _adapter_weights(model: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in model.named_parameters() if "lora_" in name]
