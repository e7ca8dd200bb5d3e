"""Perplexity and bits per byte of given answers, from the log-likelihoods that an engine's `score` returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from heedful.errors import InputError
from heedful.metrics._result import MetricResult, combined_result, signature
from heedful.statistics import Array, ratio

# A certain token may come out of 32-bit arithmetic a little above log 1.
_ROUNDING = 1e-4


class Scored(Protocol):
    """The log-likelihood of one text; `generate.engine.ScoreResult` is one."""

    @property
    def id(self) -> str: ...
    @property
    def logprob(self) -> float: ...
    @property
    def num_tokens(self) -> int: ...
    @property
    def num_bytes(self) -> int: ...


def perplexity(results: Sequence[Scored]) -> MetricResult:
    """exp(-sum of log-likelihoods / sum of tokens), so long answers weigh more; of each item alone in `per_item`.

    Tokens are the model's own, end of turn included: only models with the same tokenizer compare.
    """
    rows = _rows(results, [result.num_tokens for result in results])
    signed = signature("perplexity", tok="model", end="counted", average="tokens")
    return combined_result("perplexity", rows, perplexity_of_sums, signed, higher_is_better=False)


def bits_per_byte(results: Sequence[Scored]) -> MetricResult:
    """Log-likelihood in bits per UTF-8 byte, which compares models with different tokenizers.

    The end of turn has a likelihood too and counts as one byte.
    """
    rows = _rows(results, [result.num_bytes + 1 for result in results])
    rows[:, 0] /= math.log(2)
    signed = signature("bits_per_byte", end="one-byte", average="bytes")
    return combined_result("bits_per_byte", rows, ratio, signed, higher_is_better=False)


def perplexity_of_sums(sums: Array) -> Array:
    """Perplexity (...) of summed negative log-likelihoods and tokens (..., 2)."""
    return np.exp(ratio(sums))


def _rows(results: Sequence[Scored], lengths: Sequence[int]) -> Array:
    """Negative log-likelihood and length of each item (N, 2); raises InputError where a likelihood makes no sense."""
    if not results:
        raise InputError("no items to score; give at least one log-likelihood")
    for result, length in zip(results, lengths, strict=True):
        if not math.isfinite(result.logprob) or result.logprob > _ROUNDING or length < 1:
            raise InputError(
                f"item {result.id!r}: log-likelihood {result.logprob} of {length} tokens or bytes; expected a finite "
                f"number of at most 0 for at least one token"
            )
    return np.array([[-result.logprob, length] for result, length in zip(results, lengths, strict=True)])
