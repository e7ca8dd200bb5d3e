"""Rows of tokens -> batches: which rows meet in a step, in which order, and how they are padded.

The order depends on the seed and the epoch only. Rows of one step are cut into micro-batches of similar length: that
saves padding and memory and, as the loss is a mean over the whole step, changes nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from heedful.project.randomness import stream

# Batches of similar length are formed within this many batches of random rows: enough to save most of the padding,
# few enough that a step still sees rows of every kind.
_POOL = 8


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One rendered example, cut to the longest length allowed."""

    id: str
    source: str
    input_ids: tuple[int, ...]
    loss_mask: tuple[bool, ...]
    """True where the token counts in the loss; the first token, which nothing predicts, never does."""
    weight: float = 1.0
    """Of each of its trained tokens."""
    num_end_of_turn: int = 0
    """How many ends of turn are trained."""
    num_lost_end_of_turn: int = 0
    """How many were cut off."""
    num_truncated: int = 0
    """How many tokens were cut off; all of them where the row was left out for its length."""
    part: int = 0
    """Which part of its example this is; 0 for the first and for whole ones."""
    group: str = ""
    """Rows of one group are pulled together where that is an objective; empty belongs to none."""

    @property
    def num_tokens(self) -> int:
        """Length, prompt included."""
        return len(self.input_ids)

    @property
    def num_trained(self) -> int:
        """Tokens that count in the loss."""
        return sum(self.loss_mask)


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Rows padded at the end to one length. No attention mask: a causal model never looks at what comes after."""

    input_ids: torch.Tensor  # (B, T)
    loss_mask: torch.Tensor  # (B, T), True = trained
    row_weights: torch.Tensor  # (B,)
    num_tokens: int
    """Without padding."""
    weight: float
    """Sum of the weights of the trained tokens: what a summed loss is divided by."""

    def to(self, device: torch.device) -> TokenBatch:
        """The same batch on `device`."""
        return TokenBatch(
            self.input_ids.to(device),
            self.loss_mask.to(device),
            self.row_weights.to(device),
            self.num_tokens,
            self.weight,
        )


def pad(rows: Sequence[TokenRow]) -> TokenBatch:
    """Put rows into one rectangle. Which id pads does not matter: it is neither looked at nor trained."""
    longest = max(row.num_tokens for row in rows)
    input_ids = torch.zeros(len(rows), longest, dtype=torch.long)
    loss_mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for index, row in enumerate(rows):
        input_ids[index, : row.num_tokens] = torch.tensor(row.input_ids)
        loss_mask[index, : row.num_tokens] = torch.tensor(row.loss_mask)
    return TokenBatch(
        input_ids=input_ids,
        loss_mask=loss_mask,
        row_weights=torch.tensor([row.weight for row in rows]),
        num_tokens=sum(row.num_tokens for row in rows),
        weight=sum(row.weight * row.num_trained for row in rows),
    )


def rectangle(rows: Sequence[Sequence[int]], filler: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, T) with `filler` at the ends, and a mask (B, T), True = a token."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], dtype=torch.long)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(width) < lengths[:, None]


class Order(Protocol):
    """Which rows meet in which step; both are the same whenever they are asked for."""

    @property
    def num_rows(self) -> int:
        """Rows of an epoch, in batches of `batch_size`, the last of which may be smaller."""

    def batches(self, epoch: int) -> list[list[int]]:
        """Where the rows of each of an epoch's steps are."""


@dataclass(frozen=True, slots=True)
class RandomOrder:
    """Every row once an epoch."""

    lengths: Sequence[int]
    batch_size: int
    seed: int

    @property
    def num_rows(self) -> int:
        """Rows of an epoch."""
        return len(self.lengths)

    def batches(self, epoch: int) -> list[list[int]]:
        """Those of an epoch."""
        return epoch_batches(self.lengths, self.batch_size, seed=self.seed, epoch=epoch)


def epoch_batches(lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Every row's index exactly once, in batches of `batch_size` of similar length; the last may be smaller."""
    random = stream(seed, "order", epoch)
    order = list(range(len(lengths)))
    random.shuffle(order)
    pool = batch_size * _POOL
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        grouped = sorted(order[start : start + pool], key=lambda index: (lengths[index], index))
        batches += [grouped[first : first + batch_size] for first in range(0, len(grouped), batch_size)]
    random.shuffle(batches)
    return batches


def micro_batches(
    indices: Sequence[int], lengths: Sequence[int], max_tokens: int, *, padded: bool = True
) -> list[list[int]]:
    """Cut one step's rows into groups of at most `max_tokens`, with or without padding; a longer row goes alone."""
    groups: list[list[int]] = []
    num_tokens = 0
    for index in sorted(indices, key=lambda index: (-lengths[index], index)):
        # Longest first: the first row of a group says how wide the group is.
        num_more = lengths[groups[-1][0]] if groups and padded else lengths[index]
        if groups and num_tokens + num_more <= max_tokens:
            groups[-1].append(index)
            num_tokens += num_more
        else:
            groups.append([index])
            num_tokens = lengths[index]
    return groups
