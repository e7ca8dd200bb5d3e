"""Instruction tuning of encoder-decoders (the T5 family): cross entropy on each answer, given all that was said before it.

A conversation with several answers is several rows. Ids are those of `heedful.render`, as when the model is asked: the encoder
reads `prompt_ids`, the decoder its start token and then the answer, which ends with the end of text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from heedful.errors import InputError
from heedful.generate.local.reading import start_id
from heedful.records import Example
from heedful.render import Pair, Renderer
from heedful.train.computing.forward import logits_only_where
from heedful.train.computing.head import loss_of_logits
from heedful.train.loop import Objective
from heedful.train.rows.batches import rectangle


@dataclass(frozen=True, slots=True)
class PairRow:
    """One answer and what it answers, cut to the longest length allowed."""

    id: str
    source: str
    source_ids: tuple[int, ...]
    """What the encoder reads, its end of text included."""
    target_ids: tuple[int, ...]
    """What the decoder is to write, its end of text included; all of it is trained."""
    weight: float = 1.0
    """Of each trained token."""
    num_end_of_turn: int = 0
    """Ends of text that are trained: one, or none where it was cut off."""
    num_lost_end_of_turn: int = 0
    num_truncated: int = 0
    """How many tokens were cut off."""

    @property
    def num_tokens(self) -> int:
        """Of both sides."""
        return len(self.source_ids) + len(self.target_ids)

    @property
    def num_trained(self) -> int:
        """Tokens that count in the loss."""
        return len(self.target_ids) if self.weight > 0 else 0


def pair_rows(examples: Iterable[Example], renderer: Renderer, *, max_length: int) -> list[PairRow]:
    """One row for each answer; of what is longer than `max_length` tokens on both sides together, the end is cut off."""
    return [row for example in examples for row in _rows(example, renderer, max_length)]


def _rows(example: Example, renderer: Renderer, max_length: int) -> Iterator[PairRow]:
    answers = [number for number, message in enumerate(example.messages) if message.role == "assistant"]
    try:
        for number in answers:
            yield _row(example, renderer.pair(example.messages[: number + 1]), max_length)
        if not answers:
            # Kept, so that the ledger names it.
            yield _row(example, Pair(renderer.prompt_ids(example.messages), []), max_length)
    except InputError as error:
        raise InputError(f"example {example.id} from {example.source}: {error}") from None


def _row(example: Example, pair: Pair, max_length: int) -> PairRow:
    source_ids = tuple(pair.source_ids[:max_length])
    target_ids = tuple(pair.target_ids[: max_length - len(source_ids)])
    num_cut = len(pair.source_ids) + len(pair.target_ids) - len(source_ids) - len(target_ids)
    trains = example.weight > 0 and bool(pair.target_ids)
    return PairRow(
        id=example.id,
        source=example.source,
        source_ids=source_ids,
        target_ids=target_ids,
        weight=max(example.weight, 0.0),
        num_end_of_turn=int(trains and not num_cut),
        num_lost_end_of_turn=int(trains and num_cut > 0),
        num_truncated=num_cut,
    )


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Rows padded at their ends: S columns of what is read, T of what is written."""

    source_ids: torch.Tensor  # (B, S)
    source_mask: torch.Tensor  # (B, S), True = a token
    target_ids: torch.Tensor  # (B, T)
    target_mask: torch.Tensor  # (B, T), True = trained
    row_weights: torch.Tensor  # (B,)
    num_tokens: int
    """Without padding."""
    weight: float
    """Sum of the weights of the trained tokens."""

    def to(self, device: torch.device) -> PairBatch:
        """The same batch on `device`."""
        names = ("source_ids", "source_mask", "target_ids", "target_mask", "row_weights")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def pad_pairs(rows: Sequence[PairRow]) -> PairBatch:
    """Put rows into two rectangles. Which id pads does not matter: masked or coming last, nobody looks at it."""
    source_ids, source_mask = rectangle([row.source_ids for row in rows])
    target_ids, target_mask = rectangle([row.target_ids if row.weight > 0 else () for row in rows])
    return PairBatch(
        source_ids=source_ids,
        source_mask=source_mask,
        target_ids=target_ids,
        target_mask=target_mask,
        row_weights=torch.tensor([row.weight for row in rows]),
        num_tokens=sum(row.num_tokens for row in rows),
        weight=sum(row.weight * row.num_trained for row in rows),
    )


def seq2seq_loss(model: Any, batch: PairBatch) -> tuple[torch.Tensor, dict[str, float]]:
    """Sum over trained tokens of weighted cross entropy in nats, and how many the model had right (weighted)."""
    targets = batch.target_ids[batch.target_mask]  # (M,)
    weights = batch.row_weights[:, None].expand_as(batch.target_mask)[batch.target_mask]  # (M,)
    start = torch.full_like(batch.target_ids[:, :1], start_id(model))
    with logits_only_where(model, batch.target_mask):
        logits = model(
            input_ids=batch.source_ids,
            attention_mask=batch.source_mask.long(),
            # The token at t is predicted by what is read up to t - 1.
            decoder_input_ids=torch.cat([start, batch.target_ids[:, :-1]], dim=1),
            use_cache=False,
        ).logits  # (M, V)
    assert logits.shape[:-1] == targets.shape, "the model's head did not see the selected positions"
    return loss_of_logits(logits, targets, weights)


seq2seq: Objective[PairRow, PairBatch] = Objective(name="seq2seq", build=pad_pairs, loss=seq2seq_loss)
