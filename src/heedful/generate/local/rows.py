"""One answer under way: what is asked, what is written so far, and the events that nobody has taken yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch

from heedful.generate.engine import Event, Request, Sampling
from heedful.generate.local.choosing import Chooser, Constraint
from heedful.generate.local.writer import TextWriter
from heedful.project.randomness import stream_seed
from heedful.records import FinishReason, Generation, Usage, digest
from heedful.render import Renderer


class Row:
    """One of a request's `n` answers. Written by the thread that drives the engine."""

    def __init__(
        self,
        request: Request,
        index: int,
        prompt_ids: Sequence[int],
        max_length: int,
        renderer: Renderer,
        constraint: Constraint | None = None,
    ) -> None:
        self.request, self.index, self.prompt_ids = request, index, prompt_ids
        generator = _generator(request.sampling, prompt_ids, index)
        self.chooser = Chooser(request.sampling, prompt_ids, renderer.end_of_turn_ids, generator, constraint)
        self.events: deque[Event] = deque()
        self.generation: Generation | None = None
        self._room = min(request.sampling.max_tokens, max_length - len(prompt_ids))
        self._end_ids = frozenset(renderer.end_of_turn_ids)
        self._writer = TextWriter(renderer.decode, request.sampling.stop)
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._top_logprobs: list[tuple[tuple[int, float], ...]] = []

    @property
    def num_left(self) -> int:
        """Tokens that may still be written."""
        return self._room - len(self._ids)

    @property
    def finished(self) -> bool:
        """Nothing more will be written."""
        return self.generation is not None

    @property
    def last_id(self) -> int:
        """The token that was accepted last."""
        return self._ids[-1]

    def accept(self, token: int, logits: torch.Tensor) -> None:
        """Take the next token, chosen from `logits` (vocabulary,); may finish the row."""
        self._ids.append(token)
        self.chooser.accept(token)
        if self.request.logprobs:
            self._report(token, torch.log_softmax(logits.float(), dim=-1))
        if token in self._end_ids:
            self.finish("stop")
            return
        piece = self._writer.push(token)
        if self._writer.stopped:
            self.finish("stop", piece)
        elif len(self._ids) >= self._room:
            self.finish("length", piece)
        elif piece:
            self.events.append(Event(self.index, piece))

    def _report(self, token: int, logprobs: torch.Tensor) -> None:
        self._logprobs.append(float(logprobs[token]))
        if self.request.top_logprobs:
            values, ids = logprobs.topk(min(self.request.top_logprobs, len(logprobs)))
            self._top_logprobs.append(tuple(zip(ids.tolist(), values.tolist(), strict=True)))

    def finish(self, reason: FinishReason, piece: str = "") -> None:
        """End the answer as it is. What was held back comes out, unless it completes a stop string."""
        if self.finished:
            return
        piece += self._writer.finish()
        generation = Generation(
            request_id=self.request.id,
            text=self._writer.text,
            token_ids=tuple(self._ids),
            logprobs=tuple(self._logprobs) if self.request.logprobs else None,
            top_logprobs=tuple(self._top_logprobs) if self.request.top_logprobs else None,
            finish_reason="stop" if reason == "length" and self._writer.stopped else reason,
            usage=Usage(len(self.prompt_ids), len(self._ids)),
            index=self.index,
        )
        # The event first: other threads take a finished row without events for one that has told everything.
        self.events.append(Event(self.index, piece, generation))
        self.generation = generation


def _generator(sampling: Sampling, prompt_ids: Sequence[int], index: int) -> torch.Generator | None:
    """A stream of the answer's own. Named by what is asked, not by the request's id: equal requests, equal answers."""
    if sampling.temperature <= 0:
        return None
    generator = torch.Generator()
    generator.manual_seed(stream_seed(sampling.seed, "sample", digest(list(prompt_ids)), index))
    return generator
