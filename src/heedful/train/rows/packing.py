"""Rows of different lengths -> one row without padding, in which none sees another, and equal beginnings are read once.

A packed row is cut into spans. A span's tokens see the earlier tokens of their own span and all tokens of the spans that
it continues, nothing else; positions count from the beginning of the row that a token belongs to. Rows that begin with
the same tokens (one system prompt, one document, a chosen and a rejected answer, several answers to one prompt) share a
span for that beginning: a tree whose leaves are the rows. Gradients are those of separate rows, since what is read once
is a function of the same tokens; only what is drawn at random (dropout) is drawn once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from heedful.train.rows.batches import TokenRow

MIN_SHARED = 16
"""Shorter beginnings are read again: a span of its own costs more than it saves."""


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `start` to `end` of a packed row; `before` are the spans, earlier ones first, that these tokens continue."""

    start: int
    end: int
    before: tuple[tuple[int, int], ...] = ()

    @property
    def num_before(self) -> int:
        """Tokens that every token of the span sees besides those of the span."""
        return sum(end - start for start, end in self.before)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Several rows in one. N tokens are read, M tokens are trained."""

    input_ids: torch.Tensor  # (1, N)
    position_ids: torch.Tensor  # (1, N)
    spans: tuple[Span, ...]
    predictors: torch.Tensor  # (M,), places whose next token is trained; a shared one once for each of its rows
    targets: torch.Tensor  # (M,), that token
    weights: torch.Tensor  # (M,)
    owners: torch.Tensor  # (M,), which row it belongs to
    num_rows: int
    num_tokens: int
    """Of all rows, counted as if nothing were shared."""
    weight: float
    """Sum of `weights`: what a summed loss is divided by."""
    row_places: tuple[tuple[tuple[int, int], ...], ...] = ()
    """Of each row: beginnings and ends of where its tokens lie, in order."""

    def places_of(self, index: int) -> list[int]:
        """Where each token of a row lies."""
        return [place for start, end in self.row_places[index] for place in range(start, end)]

    @property
    def num_read(self) -> int:
        """Tokens that go through the model."""
        return self.input_ids.shape[1]

    def to(self, device: torch.device) -> PackedBatch:
        """The same batch on `device`."""
        names = ("input_ids", "position_ids", "predictors", "targets", "weights", "owners")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def pack(rows: Sequence[TokenRow], *, shares: bool = True) -> PackedBatch:
    """Put rows one behind the other; with `shares`, equal beginnings of at least MIN_SHARED tokens only once."""
    tree = _Tree(rows)
    if shares:
        tree.add_sharing(sorted(range(len(rows)), key=lambda index: rows[index].input_ids), 0, ())
    else:
        for index in range(len(rows)):
            tree.add(index, 0, rows[index].num_tokens, ())
    return tree.batch()


class _Tree:
    """Collects spans; knows for every row in which places its tokens lie."""

    def __init__(self, rows: Sequence[TokenRow]) -> None:
        self._rows = rows
        self._spans: list[Span] = []
        self._ids: list[int] = []
        self._positions: list[int] = []
        self._places: list[tuple[tuple[int, int], ...]] = [()] * len(rows)

    def add(self, index: int, start: int, end: int, before: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """Tokens `start` to `end` of a row as a span; returns what a continuation sees. An empty span is none."""
        if end > start:
            first = len(self._ids)
            self._ids += self._rows[index].input_ids[start:end]
            self._positions += range(start, end)
            self._spans.append(Span(first, len(self._ids), before))
            before = (*before, (first, len(self._ids)))
        self._places[index] = before
        return before

    def add_sharing(self, order: Sequence[int], depth: int, before: tuple[tuple[int, int], ...]) -> None:
        """Rows in the order of their tokens, of which the first `depth` are in `before`."""
        for group in self._alike(order, depth):
            first = group[0]
            if len(group) == 1:
                self.add(first, depth, self._rows[first].num_tokens, before)
                continue
            # In sorted order the first and the last have the least in common.
            end = num_common(self._rows[first].input_ids, self._rows[group[-1]].input_ids)
            below = self.add(first, depth, end, before)
            self.add_sharing(group, end, below)

    def _alike(self, order: Sequence[int], depth: int) -> Iterator[list[int]]:
        """Neighbours that have at least MIN_SHARED more tokens in common."""
        group: list[int] = []
        for index in order:
            one = self._rows[group[-1]].input_ids if group else ()
            if group and num_common(one, self._rows[index].input_ids) < depth + MIN_SHARED:
                yield group
                group = []
            group.append(index)
        if group:
            yield group

    def batch(self) -> PackedBatch:
        predictors: list[int] = []
        targets: list[int] = []
        weights: list[float] = []
        owners: list[int] = []
        for index, row in enumerate(self._rows):
            places = [place for start, end in self._places[index] for place in range(start, end)]
            for place, (token, is_trained) in enumerate(zip(row.input_ids, row.loss_mask, strict=True)):
                if is_trained:
                    predictors.append(places[place - 1])
                    targets.append(token)
                    weights.append(row.weight)
                    owners.append(index)
        return PackedBatch(
            input_ids=torch.tensor([self._ids]),
            position_ids=torch.tensor([self._positions]),
            spans=tuple(self._spans),
            predictors=torch.tensor(predictors, dtype=torch.long),
            targets=torch.tensor(targets, dtype=torch.long),
            weights=torch.tensor(weights, dtype=torch.float32),
            owners=torch.tensor(owners, dtype=torch.long),
            num_rows=len(self._rows),
            num_tokens=sum(row.num_tokens for row in self._rows),
            weight=sum(weights),
            row_places=tuple(self._places),
        )


def behind(spans: Sequence[Span], num_virtual: int) -> tuple[Span, ...]:
    """Spans behind `num_virtual` virtual tokens, with which every row begins: one more span, read once for all of them."""
    first = (0, num_virtual)

    def moved(one: tuple[int, int]) -> tuple[int, int]:
        return one[0] + num_virtual, one[1] + num_virtual

    return (Span(*first), *(Span(*moved((s.start, s.end)), (first, *map(moved, s.before))) for s in spans))


def num_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    number = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        number += 1
    return number
