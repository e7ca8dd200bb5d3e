"""LlamaCppEngine: one answer after the other, in the order in which they were asked for; fast where one person waits.

Prompts are rendered and tokens chosen by the same code as in the local engine, so both give the same answers wherever
their logits agree, seeds included. It keeps the prompt that it read last: a conversation that goes on is read from where
it changed.

No thread of its own: of those who wait for answers one at a time runs the model, for whichever answer is next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Any

import torch

from heedful.errors import EngineError, InputError, ModelError
from heedful.generate._base import (
    ClosesItself,
    check_request,
    check_score_request,
    refuse_score_ids,
    refuse_unsupported,
)
from heedful.generate.enforcing import Enforcer
from heedful.generate.engine import Event, Request, ScoreRequest, ScoreResult
from heedful.generate.llamacpp.context import CHUNK, Context
from heedful.generate.local.choosing import Constraint
from heedful.generate.local.rows import Row
from heedful.models.names import conversion_folder, file_sha256, locate
from heedful.project import Silent, Watcher
from heedful.records import Generation, Message, digest
from heedful.render import Renderer

_HONOURED = frozenset(
    {
        "temperature", "top_p", "top_k", "min_p", "seed", "max_tokens", "min_tokens", "stop", "n", "repetition_penalty",
        "presence_penalty", "frequency_penalty", "logit_bias", "prompt_ids", "logprobs", "top_logprobs", "requirements",
    }
)  # fmt: skip


class LlamaCppEngine(ClosesItself):
    """Generates and scores with a GGUF file. Safe to use from several threads, which take turns."""

    def __init__(
        self,
        name: str | Path,
        *,
        max_length: int = 2048,
        num_threads: int | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        """`name` is that of a GGUF file or of a package that carries one; raises ModelError for any other.

        `max_length` bounds prompt and answer together, in tokens. `num_threads`: as many as torch uses, unless given.
        """
        location = locate(name)
        if location.kind != "gguf":
            raise ModelError(f"{name}: llama.cpp reads GGUF files only; `heedful export --what gguf` writes one")
        tokenizer = _tokenizer(location.path)
        self._renderer = Renderer(tokenizer)
        self._enforcer = Enforcer(tokenizer, self._renderer.end_of_turn_ids)
        self._context = Context(
            location.path, max_length=max_length, num_threads=num_threads or torch.get_num_threads()
        )
        self._max_length = self._context.max_length
        if self._max_length < max_length:
            (watcher or Silent()).say(
                f"{name} reads at most {self._max_length} tokens; max_length {max_length} is lowered to that"
            )
        weights = [file_sha256(location.path), self._context.version]
        self._identity = digest(["llamacpp", 1, weights, self._max_length, self._renderer.template_hash])
        self._queue: deque[Row] = deque()
        self._row: Row | None = None
        self._position = 0
        """How many tokens of the current row's prompt are read."""
        self._logits: torch.Tensor | None = None
        """After all that is read of the current row, (V,)."""
        self._turn = Condition()
        self._busy = False
        self._num_waiting = 0
        self._closed = False

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def description(self) -> str:
        """For people: "llama.cpp (Q4_1, 2 threads)"."""
        threads = self._context.num_threads
        return f"llama.cpp ({self._context.precision}, {threads} thread{'' if threads == 1 else 's'})"

    @property
    def is_independent(self) -> bool:
        """An answer is the same whatever else is asked: there is nothing beside it."""
        return True

    @property
    def preferred_batch(self) -> int:
        return 1

    @property
    def num_in_flight(self) -> int:
        with self._turn:
            rows = [*self._queue, *([self._row] if self._row else [])]
            return sum(not row.finished for row in rows)

    def check(self, request: Request) -> list[int]:
        """Raise InputError for a request that cannot be answered as asked; returns the prompt's ids."""
        check_request(request)
        refuse_unsupported(request, _HONOURED, "llama.cpp")
        prompt_ids = list(request.prompt_ids) or self._renderer.prompt_ids(request.messages)
        if len(prompt_ids) >= self._max_length:
            raise InputError(
                f"request {request.id!r}: the prompt has {len(prompt_ids)} tokens, the limit for prompt and answer is "
                f"{self._max_length}; shorten the prompt or raise max_length"
            )
        for token in prompt_ids:
            if not 0 <= token < self._context.num_vocabulary:
                raise InputError(f"request {request.id!r}: token {token} is not one of {self._context.num_vocabulary}")
        return prompt_ids

    def submit(self, request: Request, *, constraint: Constraint | None = None) -> LlamaCppHandle:
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
        with self._turn:
            self._check_open()
            self._queue.extend(rows)
        return LlamaCppHandle(self, rows)

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Scores in order. An answer under way is finished first: there is room for one text."""
        for item in items:
            yield self._score_between_answers(item)

    def close(self) -> None:
        """Cancel what is under way and free the model."""
        with self._model_to_itself():
            if self._closed:
                return
            self._closed = True
            for row in [*self._queue, *([self._row] if self._row else [])]:
                row.finish("cancelled")
            self._queue.clear()
            self._row = None
            self._context.close()

    def _score_between_answers(self, item: ScoreRequest) -> ScoreResult:
        while True:
            with self._model_to_itself():
                self._check_open()
                row = self._row
                if row is None or row.finished:
                    return self._score(item)
            self.drive([row], until_finished=True)

    # -- turns -----------------------------------------------------------------------------------------------------

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
            except BaseException:
                self._abandon()
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

    # -- while it is one's turn ------------------------------------------------------------------------------------

    def _step(self) -> None:
        """One pass of the model: a piece of the next answer's prompt, or its next token."""
        row = self._next()
        if row is None:
            return
        if self._logits is None:
            self._read_prompt(row)
        if self._logits is not None:
            token = row.chooser.choose(self._logits)
            row.accept(token, self._logits)
            self._logits = None if row.finished else self._context.read([token])[0]

    def _next(self) -> Row | None:
        """The row that is answered now; finished ones make room."""
        if self._row is not None and self._row.finished:
            self._row = None
        while self._row is None and self._queue:
            row = self._queue.popleft()
            if not row.finished:
                self._row, self._logits = row, None
                self._position = self._context.begin(row.prompt_ids, needed_from=len(row.prompt_ids) - 1)
        return self._row

    def _read_prompt(self, row: Row) -> None:
        piece = row.prompt_ids[self._position : self._position + CHUNK]
        self._position += len(piece)
        is_last = self._position == len(row.prompt_ids)
        logits = self._context.read(piece, num_logits=int(is_last))
        self._logits = logits[0] if is_last else None

    def _score(self, item: ScoreRequest) -> ScoreResult:
        check_score_request(item)
        refuse_score_ids(item, "llama.cpp")
        rendered = self._renderer.render([*item.messages, Message("assistant", item.continuation)])
        # What the template writes after the end of turn is not part of the answer.
        end = max(place for place, is_trained in enumerate(rendered.loss_mask) if is_trained) + 1
        if end > self._max_length:
            raise InputError(
                f"score request {item.id!r} has {end} tokens, more than the limit of {self._max_length}; shorten it or "
                "leave it out"
            )
        ids, first = rendered.input_ids[:end], len(self._renderer.prompt_ids(item.messages))
        logprob, position = 0.0, self._context.begin(ids, needed_from=first - 1)
        while position < end - 1:
            piece = ids[position : min(position + CHUNK, end - 1)]
            position += len(piece)
            num_logits = min(len(piece), max(position - first + 1, 0))
            logits = self._context.read(piece, num_logits=num_logits)
            if num_logits:
                targets = torch.tensor(ids[position - num_logits + 1 : position + 1])
                chosen = torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])
                logprob += float(chosen.double().sum())
        return ScoreResult(item.id, logprob, num_tokens=end - first, num_bytes=len(item.continuation.encode("utf-8")))

    def _abandon(self) -> None:
        """After a failed step: the row that it was about ends here, with the reason "error"."""
        if self._row is not None:
            self._row.finish("error")
        self._row = self._logits = None

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("this engine is closed; make a new one")


class LlamaCppHandle:
    """The rows of one request."""

    def __init__(self, engine: LlamaCppEngine, rows: list[Row]) -> None:
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
        """End all answers as they are."""
        self._engine.cancel(self._rows)


def _tokenizer(gguf: Path) -> Any:
    """The file's own; from its conversion where there is one, which says the same and is read faster."""
    from transformers import AutoTokenizer

    folder, options = gguf.parent, {"gguf_file": gguf.name}
    if conversion_folder(gguf).is_dir():
        folder, options = conversion_folder(gguf), {}
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{gguf}: its tokenizer cannot be read ({error}); install or copy the file again") from error
