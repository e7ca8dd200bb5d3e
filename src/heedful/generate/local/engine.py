"""LocalEngine: requests queue up, join the running batch in the order they came, and stream as they are written.

No thread of its own: of those who wait for answers one drives the batch, and writes the others' tokens on the way.
After every step all of them look whether what they wait for has come, so that no stream stalls behind another.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Condition
from typing import Any

import torch

from heedful.errors import EngineError, InputError, ModelError
from heedful.generate._base import ClosesItself, check_request, refuse_unsupported
from heedful.generate.enforcing import Enforcer
from heedful.generate.engine import Event, Request, ScoreRequest, ScoreResult
from heedful.generate.local.banks import BankedSearch
from heedful.generate.local.beams import BeamSearch
from heedful.generate.local.choosing import Constraint
from heedful.generate.local.opening import Precision, Runner, open_kernels, why_not_kernels
from heedful.generate.local.padded import PaddedRunner
from heedful.generate.local.reading import token_bytes
from heedful.generate.local.rows import Answer, Row
from heedful.generate.local.scoring import scored_ids
from heedful.models.info import read_info
from heedful.models.loading import LoadedModel
from heedful.models.names import file_sha256
from heedful.project import Silent, Watcher
from heedful.project.settings import nearest
from heedful.records import Generation, digest
from heedful.render import Renderer, renderer_for

_HONOURED = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "seed", "max_tokens", "min_tokens", "stop", "n", "logit_bias"),
        *(
            "adapter",
            "repetition_penalty",
            "presence_penalty",
            "frequency_penalty",
            "prompt_ids",
            "logprobs",
            "top_logprobs",
            "num_beams",
            "length_penalty",
            "requirements",
        ),
    }
)
# Scores are computed within windows of this many items.
_SCORE_WINDOW = 512


class LocalEngine(ClosesItself):
    """Generates and scores with a loaded model. Safe to use from several threads."""

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        precision: Precision | None = None,
        max_batch: int = 64,
        max_length: int = 2048,
        max_memory: int = 1 << 30,
        share_beginnings: bool = True,
        adapters: Mapping[str, Path | str] | None = None,
        max_adapter_memory: int = 256 << 20,
        watcher: Watcher | None = None,
    ) -> None:
        """`max_length` bounds prompt and answer together, in tokens, also where an encoder reads the prompt; it is lowered to
        what the model can read.

        `precision` of the weights; None takes the one that the model was loaded in. `max_memory`, in bytes, bounds keys
        and values (it is raised to what two answers of `max_length` need). `max_batch` answers are written at once. `share_beginnings`: what prompts begin
        with in common is read once (it changes no answer).

        `adapters`: folders of LoRA, prefix or prompt adapters by the names that requests choose them by; at most `max_adapter_memory` bytes of them are
        in memory, others are read when they are asked for.
        """
        self._renderer = renderer_for(loaded)
        limit = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None) or max_length
        if limit < max_length:
            (watcher or Silent()).say(
                f"{loaded.name} reads at most {limit} tokens; max_length {max_length} is lowered to that"
            )
        self._max_batch, self._max_length = max_batch, min(max_length, limit)
        self._num_vocabulary = int(loaded.model.config.get_text_config().vocab_size)
        weights = [loaded.identity, _adapter_in_memory(loaded)]
        loaded_as = str(loaded.model.dtype).removeprefix("torch.")
        self.why_not_kernels = why_not_kernels(loaded.model) or (
            f"it was loaded as {loaded_as}" if loaded_as not in ("float32", "bfloat16") else ""
        )
        folders = {name: Path(folder) for name, folder in (adapters or {}).items()}
        self._adapters = {name: _checked(folder, loaded, self._renderer) for name, folder in folders.items()}
        if self.why_not_kernels:
            if folders:
                raise EngineError(f"{loaded.name} cannot take adapters per request: {self.why_not_kernels}")
            if precision not in (None, loaded_as):
                raise EngineError(
                    f"{loaded.name} cannot run in {precision}: {self.why_not_kernels}; load it with dtype={precision!r} or "
                    "leave precision out"
                )
            self._runner: Runner = _padded(loaded, max_batch, max_memory)
            self._precision = loaded_as
            arithmetic = [loaded_as, loaded.model.device.type]
        else:
            precision = precision or ("float32" if loaded_as == "float32" else "bfloat16")
            self._runner = open_kernels(
                loaded,
                precision,
                max_batch=max_batch,
                max_length=self._max_length,
                max_memory=max_memory,
                key=digest(weights),
                shares=share_beginnings,
                adapters=folders,
                max_adapter_memory=max_adapter_memory,
            )
            self._precision = precision
            arithmetic = [precision, "kernels"]
        self._enforcer = Enforcer(loaded.tokenizer, self._renderer.end_of_turn_ids)
        self._queue: deque[Answer] = deque()
        self._unfinished: list[Row] = []
        # Who may run the model and change rows: one thread at a time (`_busy`), all others look again after its turn.
        self._turn = Condition()
        self._busy = False
        self._num_waiting = 0
        self._closed = False
        content = ["local", 2, weights, arithmetic, self._max_length, self._renderer.template_hash]
        self._identity = digest([*content, sorted(self._adapters.items())] if self._adapters else content)

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

    @property
    def description(self) -> str:
        """For people."""
        threads = torch.get_num_threads()
        by = "transformers" if self.why_not_kernels else f"{threads} thread{'s' if threads > 1 else ''}"
        return f"the local engine ({self._precision}, {by})"

    @property
    def is_independent(self) -> bool:
        """An answer is the same, to the last bit, whatever else is answered beside it."""
        return not self.why_not_kernels

    @property
    def num_tokens_kept(self) -> int:
        """Room for keys and values that answers under way hold, in tokens."""
        return self._runner.num_tokens_kept

    def submit(self, request: Request, *, constraint: Constraint | None = None) -> LocalHandle:
        """Queue a request; raises InputError at once for one that cannot be answered as asked.

        `constraint` says for each answer which tokens may come next; without one the request's requirements do.
        """
        prompt_ids = self.check(request)
        if constraint is None:
            room = min(request.sampling.max_tokens, self._max_length - len(prompt_ids))
            constraint = self._enforcer.constraint(request, room)
        rows = [
            Row(request, index, prompt_ids, self._max_length, self._renderer, constraint)
            for index in range(request.sampling.n)
        ]
        search = BankedSearch if rows[0].chooser.num_missing else BeamSearch
        answers: list[Answer] = [search(rows, self._renderer)] if request.sampling.num_beams > 1 else list(rows)
        for answer in answers:
            if problem := self._runner.why_never(answer):
                raise InputError(f"request {request.id!r}: {problem}")
        with self._turn:
            self._check_open()
            self._queue.extend(answers)
            self._unfinished = [row for row in [*self._unfinished, *rows] if not row.finished]
        return LocalHandle(self, rows)

    def check(self, request: Request) -> list[int]:
        """The prompt's ids; raises what `submit` would raise."""
        check_request(request)
        refuse_unsupported(request, _HONOURED, "the local engine")
        prompt_ids = list(request.prompt_ids) or self._renderer.prompt_ids(request.messages)
        self._check_ids(request, prompt_ids)
        return prompt_ids

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Scores in order. Runs between the steps of a batch under way."""
        pending = iter(items)
        while window := list(islice(pending, _SCORE_WINDOW)):
            prepared = [scored_ids(self._renderer, item, self._max_length, self._num_vocabulary) for item in window]
            with self._model_to_itself():
                self._check_open()
                try:
                    logprobs = self._runner.score([(item.ids, item.num_scored) for item in prepared])
                except BaseException:
                    self._runner.abandon()
                    raise
            for item, logprob in zip(prepared, logprobs, strict=True):
                yield item.result(logprob)

    def close(self) -> None:
        """Cancel what is under way and let go of the model."""
        with self._model_to_itself():
            if not self._closed:
                self._closed = True
                for answer in [*self._queue, *self._runner.rows]:
                    answer.finish("cancelled")
                self._queue.clear()
                self._runner.tidy()
                self._runner.close()

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
                self._runner.step(self._queue)
            except BaseException as error:
                self._runner.abandon()
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
            self._runner.tidy()

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

    def _check_ids(self, request: Request, prompt_ids: list[int]) -> None:
        if len(prompt_ids) >= self._max_length:
            raise InputError(
                f"request {request.id!r}: the prompt has {len(prompt_ids)} tokens, the limit for prompt and answer is "
                f"{self._max_length}; shorten the prompt or raise max_length"
            )
        if request.adapter is not None and request.adapter not in self._adapters:
            raise ModelError(
                f"request {request.id!r}: no adapter is called {request.adapter!r}; "
                + (nearest(request.adapter, list(self._adapters)) if self._adapters else "this engine was given none")
            )
        for field, ids in (
            ("prompt_ids", request.prompt_ids),
            ("logit_bias", [token for token, _ in request.sampling.logit_bias]),
        ):
            if wrong := [token for token in ids if not 0 <= token < self._num_vocabulary]:
                raise InputError(
                    f"request {request.id!r}: {field} names token {wrong[0]}; this model's are 0 to {self._num_vocabulary - 1}"
                )

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


def _padded(loaded: LoadedModel, max_batch: int, max_memory: int) -> PaddedRunner:
    # Half of it: while rows join, their cache is there twice.
    max_tokens = max_memory // (2 * token_bytes(loaded.model))
    return PaddedRunner(
        loaded.model, max_batch=min(max_batch, 32), max_tokens=max_tokens, pad_id=loaded.tokenizer.pad_token_id or 0
    )


def _checked(folder: Path, loaded: LoadedModel, renderer: Renderer) -> str:
    """The hash of an adapter's weights; raises ModelError when it was trained on another base or template."""
    info = read_info(folder)
    if info is not None and info.base_identity != loaded.identity:
        raise ModelError(f"{folder} was trained on another base than {loaded.name}; name an adapter of this one")
    if info is not None and info.template_hash != renderer.template_hash:
        raise ModelError(f"{folder} was trained with another chat template than {loaded.name} has; train it again")
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{folder} is no adapter: it has no {weights.name}")
    return file_sha256(weights)


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
    return [(name, value) for name, value in model.named_parameters() if "lora_" in name or "prompt_encoder" in name]
