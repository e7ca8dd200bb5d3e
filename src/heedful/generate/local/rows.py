"""One answer under way: what is asked, what is written so far, and the events that nobody has taken yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import torch

from heedful.generate.engine import Event, Request, Sampling, TokenLogprob
from heedful.generate.local.choosing import Chooser, Constraint
from heedful.generate.local.writer import TextWriter
from heedful.project.randomness import stream_seed
from heedful.records import FinishReason, Generation, Usage, digest
from heedful.render import Renderer


def reported(request: Request, token: int, logits: torch.Tensor) -> TokenLogprob | None:
    """None unless the request asks for it. Log-probabilities are the model's own."""
    if not request.logprobs:
        return None
    logprobs = torch.log_softmax(logits.float(), dim=-1)
    top: tuple[tuple[int, float], ...] = ()
    if request.top_logprobs:
        values, ids = logprobs.topk(min(request.top_logprobs, len(logprobs)))
        top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return TokenLogprob(token, float(logprobs[token]), top)


class Answer(Protocol):
    """What a runner writes: a row, or the rows of a beam search."""

    request: Request
    prompt_ids: Sequence[int]

    @property
    def num_branches(self) -> int:
        """Sequences that are read at a time."""

    @property
    def num_left(self) -> int:
        """Tokens that may still be written."""

    @property
    def finished(self) -> bool:
        """Nothing more will be written."""

    def finish(self, reason: FinishReason) -> None:
        """End it as it is."""


def why_no_room(answer: Answer, max_branches: int, num_wanted: int, num_tokens: int) -> str:
    """Why the branches of a beam search never fit where `num_wanted` tokens are needed and `num_tokens` there; else empty."""
    if answer.num_branches > max_branches:
        return f"{answer.num_branches} beams are more than the {max_branches} answers that are written at a time"
    if answer.num_branches > 1 and num_wanted > num_tokens:
        return (
            f"its {answer.num_branches} beams may need room for {num_wanted:,} tokens, there is {num_tokens:,}; ask for fewer "
            "tokens or beams, or raise max_memory"
        )
    return ""


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
        self.num_branches = 1
        self._room = min(request.sampling.max_tokens, max_length - len(prompt_ids))
        self._end_ids = frozenset(renderer.end_of_turn_ids)
        self._renderer = renderer
        self._writer = TextWriter(self.decode, request.sampling.stop)
        self._ids: list[int] = []
        self._reports: list[TokenLogprob] = []
        self._num_told = 0

    @property
    def num_left(self) -> int:
        """Tokens that may still be written."""
        return self._room - len(self._ids)

    @property
    def finished(self) -> bool:
        """Nothing more will be written."""
        return self.generation is not None

    def decode(self, ids: Sequence[int]) -> str:
        """Token ids -> the text that they show."""
        return self.chooser.shown(self._renderer.decode(ids))

    def accept(self, token: int, logits: torch.Tensor) -> None:
        """Take the next token, chosen from `logits` (vocabulary,); may finish the row."""
        self.chooser.accept(token)
        self.write(token, reported(self.request, token, logits))

    def write(self, token: int, report: TokenLogprob | None) -> None:
        """The next token as it is, with what is to be reported of it."""
        self._ids.append(token)
        if report is not None:
            self._reports.append(report)
        if token in self._end_ids:
            self.finish("stop")
            return
        piece = self._writer.push(token)
        if self._writer.stopped:
            self.finish("stop", piece)
        elif len(self._ids) >= self._room:
            self.finish("length", piece)
        elif piece:
            told, self._num_told = self._reports[self._num_told :], len(self._reports)
            self.events.append(Event(self.index, piece, logprobs=tuple(told)))

    def finish(self, reason: FinishReason, piece: str = "") -> None:
        """End the answer as it is. What was held back comes out, unless it completes a stop string."""
        if self.finished:
            return
        piece += self._writer.finish()
        generation = Generation(
            request_id=self.request.id,
            text=self._writer.text,
            token_ids=tuple(self._ids),
            logprobs=tuple(report.logprob for report in self._reports) if self.request.logprobs else None,
            top_logprobs=tuple(report.top for report in self._reports) if self.request.top_logprobs else None,
            finish_reason="stop" if reason == "length" and self._writer.stopped else reason,
            usage=Usage(len(self.prompt_ids), len(self._ids)),
            index=self.index,
            constraint_report=self.chooser.distortion.report() if self.chooser.distortion else None,
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
