"""Chooser: one answer's way from logits to the next token, with all that it must remember.

A choice depends on the answer's own logits, its own random stream and its own tokens, never on its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.generate.engine import Sampling
from heedful.generate.local.distortion import Distortion
from heedful.generate.local.sampling import draw


class MaskConstraint(Protocol):
    """Says which tokens may come next. State is passed in and out, so answers cannot mix."""

    def start(self) -> Any: ...
    def allowed(self, state: Any) -> torch.Tensor: ...  # (vocabulary,) of bool
    def advance(self, state: Any, token: int) -> Any: ...


class LazyConstraint(Protocol):
    """Says it of one token after the other: only those are looked at that would be chosen."""

    def start(self) -> Any: ...
    def permits(self, state: Any, token: int) -> bool: ...
    def sure(self, state: Any) -> Sequence[int]: ...  # some that may come; at least one
    def mask(self, state: Any) -> NDArray[np.bool_] | None: ...  # (vocabulary,) what may come; None if not at hand
    def allowed(self, state: Any) -> NDArray[np.bool_]: ...  # the same, however long that takes
    def advance(self, state: Any, token: int) -> Any: ...
    def num_missing(self, state: Any) -> int: ...  # things that the answer still lacks
    def advancing(self, state: Any) -> Sequence[int]: ...  # tokens that bring one of them nearer, if they may come
    def shown(self, text: str) -> str: ...  # how the answer reads whose tokens say `text`, letter by letter


Constraint = MaskConstraint | LazyConstraint

_NUM_TRIED = 64
"""The likeliest tokens that are tried; where none of them may come, one of the constraint's own is taken."""
_NUM_SINGLY = 2
"""So many are asked about one by one, a tenth of a millisecond each and more where a plan is sought in vain; then all at once, if
the constraint has a mask at hand."""


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
        self._mask: MaskConstraint | None = None
        self._lazy: LazyConstraint | None = None
        if constraint is not None and hasattr(constraint, "permits"):
            self._lazy = cast(LazyConstraint, constraint)
        else:
            self._mask = constraint
        self._state = constraint.start() if constraint else None
        self.distortion = Distortion() if self._lazy else None
        """What a constraint did to the answer; None without one that can be asked token by token."""
        self._is_counted = bool(sampling.presence_penalty or sampling.frequency_penalty)

    @property
    def takes_the_likeliest(self) -> bool:
        """The choice is the largest logit, as it is."""
        return self.sampling.temperature <= 0 and not self.adjusts and self._lazy is None

    def twin(self) -> Chooser:
        """A chooser that has accepted the same tokens, and goes its own way from here."""
        twin = copy(self)
        twin._counts, twin._seen = self._counts.copy(), self._seen.copy()
        twin.distortion = copy(self.distortion)
        return twin

    def choose(self, logits: torch.Tensor, likeliest: int | None = None, log_sum: float | None = None) -> int:
        """The next token; `logits` (vocabulary,) stay as they are. `likeliest`: the largest of them, and `log_sum`: the logarithm of
        the sum of their exponentials, where they are known."""
        free, freely = logits, likeliest
        if self.adjusts:
            logits, likeliest = self.adjusted(logits), None
        token = likeliest if likeliest is not None and self._generator is None else self._pick(logits)
        if self._lazy is None:
            return token
        assert self.distortion is not None
        refused: list[int] = []
        if not self._lazy.permits(self._state, token):
            token, refused = self._permitted(logits, token)
        self.distortion.add(free, token, refused, likeliest=freely, log_sum=log_sum)
        return token

    def shown(self, text: str) -> str:
        """How the answer reads whose tokens say `text`."""
        return self._lazy.shown(text) if self._lazy else text

    @property
    def num_missing(self) -> int:
        """How many things the answer still lacks, as far as its constraint can tell."""
        return self._lazy.num_missing(self._state) if self._lazy else 0

    def advancing(self) -> Sequence[int]:
        """Tokens that bring nearer what is missing; nothing is said of whether they may come."""
        return self._lazy.advancing(self._state) if self._lazy else ()

    def sure(self) -> Sequence[int]:
        """A few tokens that may come next for sure; none without a constraint that tells them."""
        return self._lazy.sure(self._state) if self._lazy else ()

    def missing_after(self, token: int) -> int | None:
        """`num_missing` when `token` comes next; None when it may not."""
        if self._lazy is None:
            return 0
        if not self._lazy.permits(self._state, token):
            return None
        return self._lazy.num_missing(self._lazy.advance(self._state, token))

    def only_permitted(self, logits: torch.Tensor, number: int) -> torch.Tensor:
        """A copy of `logits` in which all but the `number` likeliest tokens that may come are ruled out."""
        if self._lazy is None:
            return logits
        found = torch.full_like(logits, -torch.inf)
        kept = 0
        for token in logits.topk(min(2 * number + _NUM_TRIED, len(logits))).indices.tolist():
            if logits[token] > -torch.inf and self._lazy.permits(self._state, token):
                found[token] = logits[token]
                kept += 1
                if kept == number:
                    return found
        for token in self._lazy.sure(self._state):
            found[token] = logits[token]
        return found

    def _pick(self, logits: torch.Tensor) -> int:
        if self._generator is None:
            return int(logits.float().numpy(force=True).argmax())
        return draw(logits, self.sampling, self._generator)

    def _permitted(self, logits: torch.Tensor, first: int) -> tuple[int, list[int]]:
        """Choose again without what may not come, beginning with `first`; also what was refused. Sampling so draws from
        exactly the tokens that may come, in proportion: what is drawn and refused is as if it had never been there."""
        assert self._lazy is not None
        # With numpy: what PyTorch does with several threads waits for them, longer than all of this takes.
        values, refused, token = logits.float().numpy(force=True).copy(), [first], first
        for number in range(_NUM_TRIED):
            values[token] = -np.inf
            if number == _NUM_SINGLY:
                refused += self._ruled_out(values, self._lazy.mask(self._state))
            if values.max() == -np.inf:
                break
            token = int(values.argmax()) if self._generator is None else self._pick(torch.from_numpy(values))
            if self._lazy.permits(self._state, token):
                return token, refused
            refused.append(token)
        if self._generator is not None:
            # What may come is far from what the model would say: all of it has to be known for a fair draw.
            self._ruled_out(values, self._lazy.allowed(self._state))
            if values.max() > -np.inf:
                return self._pick(torch.from_numpy(values)), refused
        sure = self._lazy.sure(self._state)
        return max(sure, key=lambda token: float(values[token])), refused

    def _ruled_out(self, values: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> list[int]:
        """Take from `values` all that `mask` (vocabulary,) leaves out; returns those that would have been chosen before others."""
        if mask is None:
            return []
        is_out = np.ones(len(values), bool)
        is_out[: len(mask)] = ~mask[: len(values)]
        best = values[~is_out].max(initial=-np.inf)
        likelier: list[int] = np.flatnonzero(is_out & (values > best)).tolist() if self._generator is None else []
        values[is_out] = -np.inf
        return likelier

    def accept(self, token: int) -> None:
        """Remember what was chosen."""
        self._num_tokens += 1
        if self._is_counted:
            self._counts[token] += 1
        if self.sampling.repetition_penalty != 1:
            self._seen.add(token)
        constraint = self._lazy or self._mask
        if constraint is not None:
            self._state = constraint.advance(self._state, token)

    @property
    def adjusts(self) -> bool:
        """Something changes the logits before the choice."""
        sampling = self.sampling
        return bool(
            sampling.logit_bias
            or self._counts
            or self._seen
            or self._mask is not None
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
        if self._mask is not None:
            logits.masked_fill_(~self._mask.allowed(self._state), -torch.inf)
        return logits


def choose(
    logits: torch.Tensor, choosers: Sequence[Chooser | None], log_sums: NDArray[np.float64] | None = None
) -> list[int]:
    """One token for each row of `logits` (rows, vocabulary); without a chooser the likeliest. `log_sums` (rows,): logarithms of
    the sums of their exponentials, where they are known."""
    # PyTorch's threads wait for each other longer than numpy takes.
    largest = logits.float().numpy().argmax(axis=-1) if logits.is_cpu else logits.argmax(dim=-1)
    chosen: list[int] = largest.tolist()
    for row, chooser in enumerate(choosers):
        if chooser is not None and not chooser.takes_the_likeliest:
            log_sum = None if log_sums is None else float(log_sums[row])
            chosen[row] = chooser.choose(logits[row], chosen[row], log_sum)
    return chosen
