"""Log-likelihoods of given continuations over a KernelModel: a context that several continuations follow is read once.

Continuations of one context are branches of it, as in a beam search: they share its full blocks and copy the last one, so that not even
the rest of a block is read twice. The logits after the context serve the first token of all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from heedful.generate.local.sequences import Branch, Sequences, num_blocks

Item = tuple[Sequence[int], int]
"""Ids, and how many of the last are scored."""
Read = Callable[[Sequence[tuple[Branch, int, int]]], torch.Tensor]
"""For (branch, how many of its read tokens are new, how many of these are asked about) the logits after the latter."""


@dataclass(slots=True)
class _Context:
    """Ids and what may follow them."""

    branch: Branch
    continuations: list[tuple[int, Sequence[int]]]
    """Each with the place of its item."""
    branches: list[Branch] = field(default_factory=list)
    """Once the context is read: of the continuations whose first token is not all."""
    longer: list[tuple[int, Sequence[int]]] = field(default_factory=list)
    """The continuations of `branches`."""

    @property
    def unread(self) -> list[Branch]:
        return [branch for branch in self.branches or [self.branch] if branch.num_unread]


class Likelihoods:
    """Scores items; `totals` holds their log-likelihoods at the end."""

    def __init__(self, items: Sequence[Item], sequences: Sequences, *, max_blocks: int, shares: bool) -> None:
        """As many continuations of a context are read side by side as `max_blocks` have room for; without `shares` each by itself."""
        self.totals = [0.0] * len(items)
        self._sequences, self._shares = sequences, shares
        self._waiting = deque(_grouped(items, max_blocks if shares else 0))
        self._running: list[_Context] = []

    @property
    def is_done(self) -> bool:
        return not (self._waiting or self._running)

    def advance(self, max_tokens: int, read: Read, copy: Callable[[int, int], None]) -> None:
        """Read up to `max_tokens` more tokens, of as many contexts as have room."""
        work: list[tuple[_Context, Branch, int]] = []
        order = deque(self._running)
        room = max_tokens
        while room and (context := order.popleft() if order else self._newcomer()) is not None:
            for branch in context.unread[:room]:
                count = min(room, branch.num_unread)
                self._sequences.advance(branch, count)
                work.append((context, branch, count))
                room -= count
                if not room:
                    break
        assert work, "there is room for the longest context"
        # Of a context only the last token's logits say anything, of a continuation all.
        wanted = [count if context.branches else int(not branch.num_unread) for context, branch, count in work]
        logits = read([(branch, count, number) for (_, branch, count), number in zip(work, wanted, strict=True)])
        start = 0
        for (context, branch, _), number in zip(work, wanted, strict=True):
            if number:
                self._note(context, branch, logits[start : start + number], copy)
            start += number
        for context in [context for context in self._running if not context.unread]:
            self._sequences.release(context.branches or [context.branch])
        self._running = [context for context in self._running if context.unread]

    def _newcomer(self) -> _Context | None:
        if not self._waiting:
            return None
        context = self._waiting[0]
        num_shareable = len(context.branch.ids) - 1 if self._shares else 0
        if not self._sequences.admit(context.branch, num_shareable, num_branches=len(context.continuations)):
            return None
        self._running.append(self._waiting.popleft())
        return context

    def _note(self, context: _Context, branch: Branch, logits: torch.Tensor, copy: Callable[[int, int], None]) -> None:
        """Add what `logits` after the last tokens read of `branch` tell."""
        norms = logits.logsumexp(dim=-1)
        if context.branches:
            place, ids = context.longer[context.branches.index(branch)]
            num_read = branch.num_read - len(context.branch.ids)
            # The logits after a token tell of the next one.
            targets = torch.tensor(ids[num_read - len(logits) + 1 : num_read + 1])
            picked = logits.gather(1, targets[:, None])[:, 0] - norms
            self.totals[place] += float(picked.double().sum())
            return
        for place, ids in context.continuations:
            self.totals[place] += float(logits[0, ids[0]].double() - norms[0].double())
        context.longer = [pair for pair in context.continuations if len(pair[1]) > 1]
        if context.longer:
            length = len(branch.ids)
            context.branches = self._sequences.branched([branch], [0] * len(context.longer), copy)
            # The first branch is the context's own: its ids are told apart from here on.
            context.branch = Branch(branch.ids[:length], length)
            for one, (_, ids) in zip(context.branches, context.longer, strict=True):
                # What comes after the last id is not asked for, so it is not read.
                one.ids += ids[:-1]


def _grouped(items: Sequence[Item], max_blocks: int) -> Iterator[_Context]:
    """Continuations by their contexts, in the order in which contexts appear first."""
    by_context: dict[tuple[int, ...], list[tuple[int, Sequence[int]]]] = {}
    for place, (ids, num_scored) in enumerate(items):
        cut = len(ids) - num_scored
        by_context.setdefault(tuple(ids[:cut]), []).append((place, ids[cut:]))
    for context, continuations in by_context.items():
        length = len(context) + max(len(ids) for _, ids in continuations) - 1
        branch = Branch(context, length)
        num_common, num_each = num_blocks(branch, 0), num_blocks(branch, 1) - num_blocks(branch, 0)
        size = max((max_blocks - num_common) // max(num_each, 1), 1)
        for start in range(0, len(continuations), size):
            yield _Context(Branch(context, length), continuations[start : start + size])
