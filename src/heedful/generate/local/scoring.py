"""Log-likelihood of given answers, in padded batches of similar length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from heedful.errors import InputError
from heedful.generate.engine import ScoreRequest, ScoreResult
from heedful.generate.local.batch import TOKENS_PER_PASS, forward, pad_left
from heedful.records import Message
from heedful.render import Renderer

# Logits are what fills memory: 200 MB in 32-bit floats.
_LOGITS_PER_PASS = 50_000_000


@dataclass(frozen=True, slots=True)
class _Item:
    request: ScoreRequest
    input_ids: list[int]
    num_scored: int
    """The last this many ids are the answer and its end of turn."""


def score(
    model: Any, renderer: Renderer, items: Iterable[ScoreRequest], *, max_batch: int, max_length: int, pad_id: int
) -> list[ScoreResult]:
    """Scores in the order of `items`; raises InputError for one that is longer than `max_length`."""
    prepared = [_prepare(renderer, item, max_length) for item in items]
    # Similar lengths together waste little on padding. Ties keep their order, so batches are the same on every run.
    order = sorted(range(len(prepared)), key=lambda place: len(prepared[place].input_ids))
    results: dict[int, ScoreResult] = {}
    for places in _batches(order, prepared, max_batch, model.config.get_text_config().vocab_size):
        batch = [prepared[place] for place in places]
        results.update(zip(places, _score_batch(model, batch, pad_id), strict=True))
    return [results[place] for place in range(len(prepared))]


def _prepare(renderer: Renderer, item: ScoreRequest, max_length: int) -> _Item:
    rendered = renderer.render([*item.messages, Message("assistant", item.continuation)])
    num_prompt = len(renderer.prompt_ids(item.messages))
    # What the template writes after the end of turn is not part of the answer.
    end = max(place for place, trained in enumerate(rendered.loss_mask) if trained) + 1
    if end > max_length:
        raise InputError(
            f"score request {item.id!r} has {end} tokens, more than the limit of {max_length}; shorten it or leave it out"
        )
    return _Item(item, rendered.input_ids[:end], end - num_prompt)


def _batches(order: Sequence[int], items: Sequence[_Item], max_batch: int, num_vocabulary: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for place in order:
        grown = [items[other] for other in (*batch, place)]
        width = max(len(item.input_ids) for item in grown)
        num_logits = (max(item.num_scored for item in grown) + 1) * num_vocabulary
        is_full = len(grown) > max_batch or len(grown) * width > TOKENS_PER_PASS
        if batch and (is_full or len(grown) * num_logits > _LOGITS_PER_PASS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@torch.inference_mode()
def _score_batch(model: Any, batch: Sequence[_Item], pad_id: int) -> Iterator[ScoreResult]:
    ids, mask = pad_left([item.input_ids for item in batch], pad_id)
    # One more than is scored: the logits that predict a token stand one place before it.
    num_last = max(item.num_scored for item in batch) + 1
    logits = forward(model, ids, mask, num_last=num_last)  # (B, num_last, V)
    targets = ids[:, -num_last + 1 :].to(logits.device)  # (B, num_last - 1)
    for row, item in enumerate(batch):
        own = torch.log_softmax(logits[row, -item.num_scored - 1 : -1].float(), dim=-1)  # (num_scored, V)
        picked = own.gather(1, targets[row, -item.num_scored :, None])
        yield ScoreResult(
            id=item.request.id,
            logprob=float(picked.double().sum()),
            num_tokens=item.num_scored,
            num_bytes=len(item.request.continuation.encode("utf-8")),
        )
