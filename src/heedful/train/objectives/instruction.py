"""Instruction tuning: cross entropy on answers and their ends of turn, on nothing else.

The loss is a mean over trained tokens, not over rows: a long answer counts for more than a short one, and cutting a
step into micro-batches changes nothing. (A mean of means would overweight rows that happen to meet short ones.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from heedful.errors import InputError
from heedful.records import Example
from heedful.render import Renderer
from heedful.train.computing.forward import inner_of, packed_states, padded_logits
from heedful.train.computing.head import loss_of_logits, loss_of_states
from heedful.train.loop import Objective
from heedful.train.rows.batches import TokenBatch, TokenRow, pad
from heedful.train.rows.packing import PackedBatch, pack


def rows(examples: Iterable[Example], renderer: Renderer, *, max_length: int) -> list[TokenRow]:
    """Render examples, and cut what is longer than `max_length` tokens at its end."""
    return [_row(example, renderer, max_length) for example in examples]


def _row(example: Example, renderer: Renderer, max_length: int) -> TokenRow:
    try:
        rendered = renderer.render(example.messages)
    except InputError as error:
        raise InputError(f"example {example.id} from {example.source}: {error}") from None
    input_ids = tuple(rendered.input_ids[:max_length])
    # Nothing comes before the first token, so nothing can predict it.
    trains = example.weight > 0
    loss_mask = tuple(trains and trained and index > 0 for index, trained in enumerate(rendered.loss_mask[:max_length]))
    num_kept = ends_of_turn(loss_mask, rendered.loss_mask)
    return TokenRow(
        id=example.id,
        source=example.source,
        input_ids=input_ids,
        loss_mask=loss_mask,
        weight=example.weight if trains else 0.0,
        num_end_of_turn=num_kept,
        num_lost_end_of_turn=rendered.num_end_of_turn - num_kept if trains else 0,
        num_truncated=len(rendered.input_ids) - len(input_ids),
    )


def ends_of_turn(loss_mask: Sequence[bool], whole: Sequence[bool]) -> int:
    """How many stretches of trained tokens are kept to their last token, which is their end of turn.

    `whole` says what would be trained, and begins where `loss_mask` does, but may go on.
    """
    return sum(trained and not (index + 1 < len(whole) and whole[index + 1]) for index, trained in enumerate(loss_mask))


def loss(model: Any, batch: TokenBatch) -> tuple[torch.Tensor, dict[str, float]]:
    """Sum over trained tokens of weighted cross entropy in nats, and how many the model had right (weighted)."""
    targets = batch.input_ids[:, 1:][batch.loss_mask[:, 1:]]  # (N,), N trained tokens
    weights = batch.row_weights.unsqueeze(1).expand_as(batch.loss_mask)[:, 1:][batch.loss_mask[:, 1:]]  # (N,)
    # The token at t is predicted by what the model says at t - 1.
    predicts = batch.loss_mask.roll(-1, dims=1)  # (B, T); column 0 is never trained, so nothing wraps around
    logits = padded_logits(model, batch.input_ids, predicts)  # (N, V)
    assert logits.shape[:-1] == targets.shape, "the model's head did not see the selected positions"
    return loss_of_logits(logits, targets, weights)


def packed_loss(model: Any, batch: PackedBatch) -> tuple[torch.Tensor, dict[str, float]]:
    """The same of packed rows; the model must be inside `reads_packed`."""
    hidden = packed_states(model, batch).index_select(0, batch.predictors)  # (M, H)
    weight = inner_of(model).get_output_embeddings().weight
    return loss_of_states(hidden, weight, batch.targets, batch.weights)


padded: Objective[TokenRow, TokenBatch] = Objective(name="instruction", build=pad, loss=loss)
packed: Objective[TokenRow, PackedBatch] = Objective(name="instruction", build=pack, loss=packed_loss, is_packed=True)
