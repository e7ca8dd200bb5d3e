"""Logits in bf16 on processors -> cross entropies, and in place their gradients: three passes over a row in the processor's cache.

With torch's operations a row of 49,152 logits is read and written a dozen times, in 32 bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import carray, njit

from heedful.generate.local.kernels.lanes import load_float, load_int, store_float
from heedful.generate.local.kernels.simd import FLOATS, LANES, Emitter, Float, as_pointer, instruction
from heedful.generate.local.kernels.team import argument, next_task
from heedful.train.computing.threads import SharedLoop, addresses

_BF16 = 2 * LANES
"""Bytes of a vector."""


def is_ours(logits: torch.Tensor) -> bool:
    """Whether rows of logits (M, V) like these are computed here."""
    return logits.dtype is torch.bfloat16 and logits.device.type == "cpu" and logits.shape[-1] % LANES == 0


@instruction
def _largest(e: Emitter, row: Any, num_vectors: Any) -> Float:
    return e.largest(row, num_vectors, "bf16")


@instruction
def _exponents(e: Emitter, row: Any, peak: Any, num_vectors: Any) -> Float:
    """Sum of exp(logit - peak)."""
    peaks, total = e.spread(peak), e.variable(FLOATS, e.floats(0.0))
    with e.loop(num_vectors) as number:
        values = e.exp(e.builder.fsub(e.load_bf16(e.at(row, number, _BF16)), peaks))
        e.builder.store(e.builder.fadd(e.builder.load(total), values), total)
    return e.total(e.builder.load(total))


@instruction
def _shares(e: Emitter, row: Any, peak: Any, factor: Any, num_vectors: Any) -> None:
    """Logits become factor exp(logit - peak)."""
    peaks, factors = e.spread(peak), e.spread(factor)
    with e.loop(num_vectors) as number:
        place = e.at(row, number, _BF16)
        values = e.exp(e.builder.fsub(e.load_bf16(place), peaks))
        e.store_bf16(place, e.builder.fmul(values, factors))


@instruction
def _nth(e: Emitter, place: Any, lane: Any) -> Float:
    """One number of a vector."""
    return e.builder.extract_element(e.load_bf16(place), lane)


@instruction
def _set_nth(e: Emitter, place: Any, lane: Any, value: Any) -> None:
    """The others stay: they are bf16 numbers, which rounding does not change."""
    e.store_bf16(place, e.builder.insert_element(e.load_bf16(place), value, lane))


def _rows(data):  # type: ignore[no-untyped-def]
    num_logits, logits, targets, factors = argument(data, 0), argument(data, 1), argument(data, 2), argument(data, 3)
    losses, correct, num_vectors = argument(data, 4), argument(data, 5), argument(data, 0) // LANES
    task = next_task(data)
    while task >= 0:
        row, target = logits + task * num_logits * 2, load_int(targets + task * 8)
        factor, peak = load_float(factors + task * 4), _largest(row, num_vectors)
        # The vector in which the target is.
        place, lane = row + target // LANES * _BF16, target % LANES
        own = _nth(place, lane)
        store_float(correct + task * 4, np.float32(1 if own == peak and _is_first(row, target) else 0))
        total = _exponents(row, peak, num_vectors)
        store_float(losses + task * 4, np.float32(math.log(total)) + peak - own)
        _shares(row, peak, factor / total, num_vectors)
        _set_nth(place, lane, factor * (np.float32(math.exp(own - peak)) / total - np.float32(1)))
        task = next_task(data)


@njit(nogil=True, cache=True)
def _is_first(row, place):  # type: ignore[no-untyped-def]
    """No number before `place` is the same."""
    bits = carray(as_pointer(row), (place + 1,), np.int16)
    return np.sum(bits[:place] == bits[place]) == 0


_loop = SharedLoop(_rows)


def softmax_into(
    logits: torch.Tensor, targets: torch.Tensor, factors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """logits (M, V), targets (M,), factors (M,) -> cross entropies (M,), and whether the first of the likeliest was right (M,).

    `logits` become the gradient of the sum of cross entropies, weighted by `factors`.
    """
    losses, correct = torch.empty(len(logits)), torch.empty(len(logits))
    given = addresses(logits, targets.contiguous(), factors.float().contiguous(), losses, correct)
    _loop(len(logits), logits.shape[1], *given)
    return losses, correct > 0
