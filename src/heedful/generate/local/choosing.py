"""Chooser: one answer's way from logits to the next token, with all that it must remember.

A choice depends on the answer's own logits, its own random stream and its own tokens, never on its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from typing import Any, Protocol

import torch

from heedful.generate.engine import Sampling
from heedful.generate.local.sampling import draw


class Constraint(Protocol):
    """Says which tokens may come next. State is passed in and out, so answers cannot mix."""

    def start(self) -> Any: ...
    def allowed(self, state: Any) -> torch.Tensor: ...  # (vocabulary,) of bool
    def advance(self, state: Any, token: int) -> Any: ...


class Chooser:
    """Created for each answer; `choose` and then `accept` for each token."""

    def __init__(
        self,
        sampling: Sampling,
        prompt_ids: Sequence[int],
        end_ids: Sequence[int],
        generator: torch.Generator | None,
        constraint: Constraint | None = None,
    ) -> None:
        """`end_ids` end an answer: not before `min_tokens`."""
        self.sampling, self._generator = sampling, generator
        self._end_ids = list(end_ids)
        self._counts: Counter[int] = Counter()
        self._seen = set(prompt_ids) if sampling.repetition_penalty != 1 else set()
        self._num_tokens = 0
        self._constraint = constraint
        self._state = constraint.start() if constraint else None
        self._is_counted = bool(sampling.presence_penalty or sampling.frequency_penalty)

    @property
    def takes_the_likeliest(self) -> bool:
        """The choice is the largest logit, as it is."""
        return self.sampling.temperature <= 0 and not self.adjusts

    def twin(self) -> Chooser:
        """A chooser that has accepted the same tokens, and goes its own way from here."""
        twin = copy(self)
        twin._counts, twin._seen = self._counts.copy(), self._seen.copy()
        return twin

    def choose(self, logits: torch.Tensor) -> int:
        """The next token; `logits` (vocabulary,) stay as they are."""
        if self.adjusts:
            logits = self.adjusted(logits)
        if self._generator is None:
            return int(logits.argmax())
        return draw(logits, self.sampling, self._generator)

    def accept(self, token: int) -> None:
        """Remember what was chosen."""
        self._num_tokens += 1
        if self._is_counted:
            self._counts[token] += 1
        if self.sampling.repetition_penalty != 1:
            self._seen.add(token)
        if self._constraint is not None:
            self._state = self._constraint.advance(self._state, token)

    @property
    def adjusts(self) -> bool:
        """Something changes the logits before the choice."""
        sampling = self.sampling
        return bool(
            sampling.logit_bias
            or self._counts
            or self._seen
            or self._constraint is not None
            or self._num_tokens < sampling.min_tokens
        )

    def adjusted(self, logits: torch.Tensor) -> torch.Tensor:
        """A copy of logits or log-probabilities with biases, penalties, the least length and the constraint's mask."""
        sampling, logits = self.sampling, logits.float().clone()
        if sampling.logit_bias:
            places = [token for token, _ in sampling.logit_bias]
            logits.index_add_(0, torch.tensor(places), torch.tensor([bias for _, bias in sampling.logit_bias]))
        if self._seen:
            seen = torch.tensor(sorted(self._seen))
            values, penalty = logits[seen], sampling.repetition_penalty
            logits[seen] = torch.where(values > 0, values / penalty, values * penalty)
        if self._counts:
            tokens = torch.tensor(list(self._counts))
            counts = torch.tensor(list(self._counts.values()), dtype=logits.dtype)
            logits[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * counts
        if self._num_tokens < sampling.min_tokens:
            logits[self._end_ids] = -torch.inf
        if self._constraint is not None:
            logits.masked_fill_(~self._constraint.allowed(self._state), -torch.inf)
        return logits


def choose(logits: torch.Tensor, choosers: Sequence[Chooser | None]) -> list[int]:
    """One token for each row of `logits` (rows, vocabulary); without a chooser the likeliest."""
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    for row, chooser in enumerate(choosers):
        if chooser is not None and not chooser.takes_the_likeliest:
            chosen[row] = chooser.choose(logits[row])
    return chosen
