"""Supervised contrastive learning: rows of one group are pulled together, rows of different groups apart.

Khosla et al., arXiv:2004.11362, formula 2 (L_sup_out). z_i is a row's representation of length 1, P(i) are the other rows of
its group in the batch, A(i) all other rows:

    L = mean over i with P(i) not empty of  -1/|P(i)| sum over p in P(i) of log( exp(z_i z_p / t) / sum over a in A(i) of exp(z_i z_a / t) )

Two ways to group. By *task*: a row is its instruction and its reference output, rows of one task belong together. By
*paraphrase*: a row is its prompt alone, prompts that ask for the same in other words belong together (the row's meta
`groups.paraphrase`). A row without a group is pushed away from others and pulled to none.

A row's representation is the mean of the last hidden states over its tokens. The state of its end of turn, the one token
that has seen all others, would be the obvious choice; but what a language model keeps there says what comes after an end of
turn, which is the same for all rows, while the states on the way say which words are to come.

The term compares rows, so its mean over rows is not a sum over micro-batches. Two consequences. It is multiplied by the weight by
which the loop divides a step's sums: what is minimised is the mean over tokens of cross entropy plus `weight` times the mean
over rows of L. And a step is one micro-batch, whatever `tune.micro_batch_tokens` says: cut otherwise, another loss would be
minimised. A batch needs pairs: `mixing.DealtOrder` makes such batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from heedful.train.computing.forward import inner_of, packed_states
from heedful.train.computing.head import loss_of_states
from heedful.train.loop import Objective
from heedful.train.objectives import instruction
from heedful.train.rows.batches import TokenBatch, TokenRow, pad
from heedful.train.rows.packing import PackedBatch, pack
from heedful.train.task_settings import Grouping

PROJECTION = "contrastive_projection"
"""The module's name in the model while it is trained."""
_NO_GROUP = -1


@dataclass(frozen=True, slots=True)
class GroupedBatch:
    """Rows, and which of them belong together."""

    tokens: PackedBatch | TokenBatch
    averages: torch.Tensor  # packed (B, N), padded (B, T): a token's share in the mean of a row
    groups: torch.Tensor  # (B,), _NO_GROUP for none

    @property
    def num_tokens(self) -> int:
        """Without padding."""
        return self.tokens.num_tokens

    @property
    def weight(self) -> float:
        """Sum of the weights of the trained tokens."""
        return self.tokens.weight

    def to(self, device: torch.device) -> GroupedBatch:
        """The same batch on `device`."""
        return GroupedBatch(self.tokens.to(device), self.averages.to(device), self.groups.to(device))


def supervised_contrastive(states: torch.Tensor, groups: torch.Tensor, temperature: float) -> torch.Tensor:
    """states (B, H), groups (B,) -> the mean of L over rows that are not alone in their group; 0 when all are."""
    states = torch.nn.functional.normalize(states.to(torch.promote_types(states.dtype, torch.float32)), dim=-1)
    itself = torch.eye(len(groups), dtype=torch.bool, device=groups.device)
    similar = (states @ states.T / temperature).masked_fill(itself, -torch.inf)  # (B, B)
    log_shares = similar - similar.logsumexp(-1, keepdim=True) if len(groups) > 1 else similar
    positive = (groups[:, None] == groups[None]) & ~itself & (groups[:, None] != _NO_GROUP)
    num_positive = positive.sum(-1)
    pulled = num_positive > 0
    # A row's share in itself is minus infinity: chosen away before it is multiplied by anything.
    of_rows = -torch.where(positive, log_shares, 0).sum(-1) / num_positive.clamp(min=1)
    return of_rows.sum() / pulled.sum().clamp(min=1)


def contrastive(
    weight: float, temperature: float, by: Grouping, *, is_packed: bool, language_weight: float = 1.0
) -> Objective[TokenRow, GroupedBatch]:
    """Instruction tuning with the term; with a `language_weight` of 0 the term alone. Rows need their `group`.

    Validation measures the language-model loss alone, so that runs with and without the term can be compared; the term
    alone is measured where it is all there is, over micro-batches as they come.
    """
    return Objective(
        name=f"contrastive by {by}",
        build=partial(_build, by=by, is_packed=is_packed),
        loss=partial(
            _packed_loss if is_packed else _padded_loss,
            weight=weight,
            temperature=temperature,
            language_weight=language_weight,
        ),
        is_packed=is_packed,
        takes_whole_steps=True,
        build_measured=partial(_build_alone, by=by, is_packed=is_packed) if language_weight else None,
    )


@contextmanager
def projected(model: Any, size: int, seed: int) -> Iterator[None]:
    """Inside, representations are compared after a trained linear map to `size` numbers; 0 for none. It is not kept."""
    if not size:
        yield
        return
    like = inner_of(model).get_output_embeddings().weight
    layer = torch.nn.Linear(like.shape[1], size, bias=False, device=like.device, dtype=like.dtype)
    drawn = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(seed)) / like.shape[1] ** 0.5
    layer.weight.data.copy_(drawn)
    model.add_module(PROJECTION, layer)
    try:
        yield
    finally:
        delattr(model, PROJECTION)


# -- the batch -----------------------------------------------------------------------------------------------------------------


def _build(rows: Sequence[TokenRow], *, by: Grouping, is_packed: bool) -> GroupedBatch:
    names = {name: number for number, name in enumerate(dict.fromkeys(row.group for row in rows if row.group))}
    groups = torch.tensor([names.get(row.group, _NO_GROUP) for row in rows])
    tokens = pack(rows) if is_packed else pad(rows)
    averages = torch.zeros(len(rows), tokens.input_ids.shape[1])
    for index, row in enumerate(rows):
        places = tokens.places_of(index) if isinstance(tokens, PackedBatch) else list(range(row.num_tokens))
        own = places if by == "task" else places[: _num_prompt(row)]
        averages[index, own] = 1 / len(own)
    return GroupedBatch(tokens, averages, groups)


def _build_alone(rows: Sequence[TokenRow], *, by: Grouping, is_packed: bool) -> GroupedBatch:
    batch = _build(rows, by=by, is_packed=is_packed)
    return replace(batch, groups=torch.full_like(batch.groups, _NO_GROUP))


def _num_prompt(row: TokenRow) -> int:
    """Tokens before the first answer."""
    return row.loss_mask.index(True) if row.num_trained else row.num_tokens


# -- the loss ------------------------------------------------------------------------------------------------------------------


def _packed_loss(
    model: Any, batch: GroupedBatch, *, weight: float, temperature: float, language_weight: float
) -> tuple[torch.Tensor, dict[str, float]]:
    tokens = batch.tokens
    assert isinstance(tokens, PackedBatch)
    hidden = packed_states(model, tokens)  # (N, H)
    head = inner_of(model).get_output_embeddings().weight
    predicting = hidden.index_select(0, tokens.predictors)  # (M, H)
    total, accuracy = loss_of_states(predicting, head, tokens.targets, tokens.weights)
    states = batch.averages.to(hidden.dtype) @ hidden  # (B, H)
    return _joined(model, batch, language_weight * total, accuracy, states, weight, temperature)


def _padded_loss(
    model: Any, batch: GroupedBatch, *, weight: float, temperature: float, language_weight: float
) -> tuple[torch.Tensor, dict[str, float]]:
    assert isinstance(batch.tokens, TokenBatch)
    kept: list[torch.Tensor] = []
    # What goes into the output layer is kept on its way, before only some of it is let through.
    handle = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        total, accuracy = instruction.loss(model, batch.tokens)
    finally:
        handle.remove()
    hidden = kept[0][:, -batch.averages.shape[1] :]  # (B, T, H); virtual tokens come before
    states = torch.bmm(batch.averages.to(hidden.dtype)[:, None], hidden)[:, 0]  # (B, H)
    return _joined(model, batch, language_weight * total, accuracy, states, weight, temperature)


def _joined(
    model: Any,
    batch: GroupedBatch,
    total: torch.Tensor,
    metrics: dict[str, float],
    states: torch.Tensor,
    weight: float,
    temperature: float,
) -> tuple[torch.Tensor, dict[str, float]]:
    if bool((batch.groups == _NO_GROUP).all()):
        return total, metrics
    projection = getattr(model, PROJECTION, None)
    term = supervised_contrastive(states if projection is None else projection(states), batch.groups, temperature)
    metrics = {**metrics, "contrastive": float(term.detach()) * batch.weight}
    return total + weight * batch.weight * term, metrics
