"""Score requests -> token ids of which the last ones are scored, and back."""

from __future__ import annotations

from dataclasses import dataclass

from heedful.errors import InputError
from heedful.generate._base import check_score_request
from heedful.generate.engine import ScoreRequest, ScoreResult
from heedful.records import Message
from heedful.render import Renderer


@dataclass(frozen=True, slots=True)
class ScoredIds:
    """A request as the model reads it."""

    request: ScoreRequest
    ids: list[int]
    num_scored: int
    """The last this many ids are the continuation: an answer and its end of turn, or ids as they were given."""
    text: str
    """Of the continuation."""

    def result(self, logprob: float) -> ScoreResult:
        """The request's."""
        return ScoreResult(
            id=self.request.id,
            logprob=logprob,
            num_tokens=self.num_scored,
            num_bytes=len(self.text.encode("utf-8")),
        )


def scored_ids(renderer: Renderer, item: ScoreRequest, max_length: int, num_vocabulary: int) -> ScoredIds:
    """Raises InputError for an item that is longer than `max_length` tokens, or names tokens that do not exist."""
    check_score_request(item)
    ids, num_scored = _given(item, num_vocabulary) if item.prompt_ids else _rendered(renderer, item)
    if len(ids) > max_length:
        raise InputError(
            f"score request {item.id!r} has {len(ids)} tokens, more than the limit of {max_length}; shorten it or leave it "
            "out"
        )
    text = renderer.decode(item.continuation_ids) if item.prompt_ids else item.continuation
    return ScoredIds(item, ids, num_scored, text)


def _given(item: ScoreRequest, num_vocabulary: int) -> tuple[list[int], int]:
    ids = [*item.prompt_ids, *item.continuation_ids]
    if wrong := [token for token in ids if not 0 <= token < num_vocabulary]:
        raise InputError(
            f"score request {item.id!r} names token {wrong[0]}; this model's are 0 to {num_vocabulary - 1}"
        )
    return ids, len(item.continuation_ids)


def _rendered(renderer: Renderer, item: ScoreRequest) -> tuple[list[int], int]:
    pair = renderer.pair([*item.messages, Message("assistant", item.continuation)])
    return [*pair.source_ids, *pair.target_ids], len(pair.target_ids)
