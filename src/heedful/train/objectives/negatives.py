"""Learning from wrong outputs: cross entropy on right answers, unlikelihood on wrong ones.

Unlikelihood (Welleck et al., arXiv:1908.04319, formula 4, on whole given outputs instead of repeated tokens): the sum over
a wrong output's tokens of -log(1 - p(token)). Three kinds of tokens are left out, for punishing them would punish what is
right: those with which the wrong output and the right one both begin; everything before, the prompt; and the wrong output's
end of turn, unless ending there is just what was wrong.

Both sums are divided by the weight of the right answers' tokens: a wrong token counts `tune.negative_weight` times as much
as a right one, whatever a step holds, and cutting a step into micro-batches changes nothing. Packed, right and wrong
answers to one prompt read it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from heedful.records import Example, Message, Preference, canonical_json
from heedful.render import Renderer
from heedful.train.computing.forward import inner_of, packed_states, padded_logits
from heedful.train.computing.head import loss_of_states
from heedful.train.loop import Objective
from heedful.train.rows.batches import TokenBatch, TokenRow, pad
from heedful.train.rows.packing import PackedBatch, num_common, pack

_PART = 256
"""Tokens whose logits exist at once."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A right answer, and wrong ones to the same prompt."""

    right: TokenRow
    wrong: tuple[TokenRow, ...] = ()
    """Trained where they are wrong: their loss masks are True for tokens to make less likely."""

    @property
    def id(self) -> str:
        """Of the example."""
        return self.right.id

    @property
    def num_tokens(self) -> int:
        """Read in all, as if nothing were shared."""
        return self.right.num_tokens + sum(row.num_tokens for row in self.wrong)


@dataclass(frozen=True, slots=True)
class AnswerBatch:
    """Right and wrong answers side by side."""

    tokens: PackedBatch | TokenBatch
    is_wrong: torch.Tensor  # (rows,) of `tokens`
    weight: float
    """Sum of the weights of the right answers' tokens."""

    @property
    def num_tokens(self) -> int:
        """Without padding."""
        return self.tokens.num_tokens

    def to(self, device: torch.device) -> AnswerBatch:
        """The same batch on `device`."""
        return AnswerBatch(self.tokens.to(device), self.is_wrong.to(device), self.weight)


# -- which tokens --------------------------------------------------------------------------------------------------------------


def from_preference(preference: Preference) -> Example:
    """The chosen answer as an example that knows the rejected one as wrong; what says the same twice knows none."""
    differs = preference.chosen != preference.rejected
    example = Example(
        id=preference.id,
        messages=(*preference.prompt, Message("assistant", preference.chosen)),
        method=preference.method,
        source=preference.source,
        language=preference.language,
        license=preference.license,
        parents=preference.parents,
        meta=preference.meta,
    )
    return example.with_meta(wrong=[{"output": preference.rejected, "reason": ""}]) if differs else example


def wrong_outputs(example: Example) -> tuple[str, ...]:
    """Known wrong answers in place of the last one: the row's meta `wrong`, objects with an `output`."""
    return tuple(one["output"] for one in example.meta_value("wrong", []) if one["output"] != example.answer)


def answer_rows(
    examples: Iterable[Example], right: Iterable[TokenRow], renderer: Renderer, *, max_length: int
) -> list[AnswerRow]:
    """Examples, each with its own row as instruction tuning renders it -> the row with its wrong answers."""
    return [
        AnswerRow(row, tuple(_wrong_rows(example, row, renderer, max_length)))
        for example, row in zip(examples, right, strict=True)
    ]


def _wrong_rows(example: Example, right: TokenRow, renderer: Renderer, max_length: int) -> Iterable[TokenRow]:
    for output in wrong_outputs(example) if right.num_trained else ():
        expected = renderer.pair(example.messages).target_ids
        pair = renderer.pair((*example.prompt, Message("assistant", output)))
        first = num_common(expected, pair.target_ids)
        # To end here is wrong only where the right answer goes on.
        last = max(len(pair.target_ids) - 1, first + 1)
        start, end = len(pair.source_ids) + first, min(len(pair.source_ids) + last, max_length)
        if start >= end:
            continue
        input_ids = (*pair.source_ids, *pair.target_ids)[:end]
        mask = tuple(start <= place for place in range(end))
        yield replace(
            right,
            input_ids=tuple(input_ids),
            loss_mask=mask,
            num_truncated=0,
            num_end_of_turn=0,
            num_lost_end_of_turn=0,
        )


def report(rows: Sequence[AnswerRow]) -> list[dict[str, int]]:
    """For ledger.json: rows that know wrong answers, how many, and tokens that are made less likely."""
    wrong = [one for row in rows for one in row.wrong]
    return [
        {
            "rows": sum(bool(row.wrong) for row in rows),
            "wrong_outputs": len(wrong),
            "tokens": sum(one.num_trained for one in wrong),
        }
    ]


def content(row: AnswerRow) -> str:
    """What it teaches, to tell runs apart."""
    return canonical_json([[one.input_ids, one.loss_mask] for one in row.wrong])


# -- the loss ------------------------------------------------------------------------------------------------------------------


def unlikelihood(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """logits (M, V), targets (M,) -> -log(1 - p(target)), (M,), in 32 bits at least; exact also where p is close to 1."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    others = logits.scatter(1, targets[:, None], -torch.inf)
    return logits.logsumexp(-1) - others.logsumexp(-1)


def head_unlikelihood(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The same of hidden states (M, H) and the output layer's weights (V, H); logits of a few tokens exist at once."""

    def part(some: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        return unlikelihood(some @ weight.T, of)

    starts = range(0, len(hidden), _PART)
    pieces = [(hidden[start : start + _PART], targets[start : start + _PART]) for start in starts]
    return torch.cat([checkpoint(part, some, of, use_reentrant=False) for some, of in pieces])


def _packed_loss(model: Any, batch: AnswerBatch, *, negative_weight: float) -> tuple[torch.Tensor, dict[str, float]]:
    tokens = batch.tokens
    assert isinstance(tokens, PackedBatch)
    wrong = batch.is_wrong[tokens.owners]  # (M,)
    right = ~wrong
    hidden = packed_states(model, tokens).index_select(0, tokens.predictors)  # (M, H)
    weight = inner_of(model).get_output_embeddings().weight
    total, metrics = loss_of_states(hidden[right], weight, tokens.targets[right], tokens.weights[right])
    if not bool(wrong.any()):
        return total, metrics
    of_wrong = (head_unlikelihood(hidden[wrong], weight, tokens.targets[wrong]) * tokens.weights[wrong]).sum()
    return total + negative_weight * of_wrong, {**metrics, "unlikelihood": float(of_wrong.detach())}


def _padded_loss(model: Any, batch: AnswerBatch, *, negative_weight: float) -> tuple[torch.Tensor, dict[str, float]]:
    tokens = batch.tokens
    assert isinstance(tokens, TokenBatch)
    trained = tokens.loss_mask[:, 1:]
    targets = tokens.input_ids[:, 1:][trained]  # (M,)
    weights = tokens.row_weights[:, None].expand_as(trained)[trained]
    wrong = batch.is_wrong[:, None].expand_as(trained)[trained]
    logits = padded_logits(model, tokens.input_ids, tokens.loss_mask.roll(-1, dims=1))  # (M, V)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = torch.where(wrong, 0, cross_entropy(logits, targets, reduction="none"))
    is_correct = (logits.detach().argmax(-1) == targets) & ~wrong
    total, metrics = (losses * weights).sum(), {"token_accuracy": float((is_correct * weights).sum())}
    if not bool(wrong.any()):
        return total, metrics
    of_wrong = (unlikelihood(logits[wrong], targets[wrong]) * weights[wrong]).sum()
    return total + negative_weight * of_wrong, {**metrics, "unlikelihood": float(of_wrong.detach())}


def _build(rows: Sequence[AnswerRow], *, is_packed: bool) -> AnswerBatch:
    flat = [one for row in rows for one in (row.right, *row.wrong)]
    is_wrong = [number > 0 for row in rows for number in range(1 + len(row.wrong))]
    weight = sum(row.right.weight * row.right.num_trained for row in rows)
    return AnswerBatch((pack if is_packed else pad)(flat), torch.tensor(is_wrong), weight)


def _build_right(rows: Sequence[AnswerRow], *, is_packed: bool) -> AnswerBatch:
    return _build([replace(row, wrong=()) for row in rows], is_packed=is_packed)


def negatives(negative_weight: float, *, is_packed: bool) -> Objective[AnswerRow, AnswerBatch]:
    """Both terms; validation measures right answers alone, so that runs with other weights, or none, can be compared."""
    return Objective(
        name="negatives",
        build=partial(_build, is_packed=is_packed),
        loss=partial(_packed_loss if is_packed else _padded_loss, negative_weight=negative_weight),
        is_packed=is_packed,
        build_measured=partial(_build_right, is_packed=is_packed),
    )
