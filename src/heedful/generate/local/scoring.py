"""Score requests -> token ids of which the last ones are scored, and back."""

from __future__ import annotations

from dataclasses import dataclass

from heedful.errors import InputError
from heedful.generate.engine import ScoreRequest, ScoreResult
from heedful.records import Message
from heedful.render import Renderer


@dataclass(frozen=True, slots=True)
class ScoredIds:
    """A request as the model reads it."""

    request: ScoreRequest
    ids: list[int]
    num_scored: int
    """The last this many ids are the answer and its end of turn."""

    def result(self, logprob: float) -> ScoreResult:
        """The request's."""
        return ScoreResult(
            id=self.request.id,
            logprob=logprob,
            num_tokens=self.num_scored,
            num_bytes=len(self.request.continuation.encode("utf-8")),
        )


def scored_ids(renderer: Renderer, item: ScoreRequest, max_length: int) -> ScoredIds:
    """Raises InputError for an item that is longer than `max_length` tokens."""
    rendered = renderer.render([*item.messages, Message("assistant", item.continuation)])
    num_prompt = len(renderer.prompt_ids(item.messages))
    # What the template writes after the end of turn is not part of the answer.
    end = max(place for place, trained in enumerate(rendered.loss_mask) if trained) + 1
    if end > max_length:
        raise InputError(
            f"score request {item.id!r} has {end} tokens, more than the limit of {max_length}; shorten it or leave it out"
        )
    return ScoredIds(item, rendered.input_ids[:end], end - num_prompt)
