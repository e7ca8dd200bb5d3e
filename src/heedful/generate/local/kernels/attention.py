"""Attention of one query token over keys and values that lie in blocks of 16 tokens.

A block of one layer holds, for each key-value head, keys as (head_dim, 16 tokens) and values as (16 tokens, head_dim):
both products then run along vectors. Query heads that share a key-value head are computed together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from heedful.generate.local.kernels.lanes import clear, load_int, scale_in_place, store_float
from heedful.generate.local.kernels.simd import FLOAT, FLOATS, LANES, Emitter, Float, instruction

BLOCK = LANES
"""Tokens in a block: one vector of scores."""
_VECTOR = 4 * LANES


def _scores(num_heads: int, kind: str) -> Any:
    def scores(e: Emitter, queries: Any, head_dim: Any, keys: Any, factor: Any, y: Any, y_stride: Any) -> None:
        """Scaled products of `num_heads` queries with the 16 keys of a block, one vector for each query."""
        stride = e.builder.mul(head_dim, e.int64(4))
        rows = [e.at(queries, e.int64(head), stride) for head in range(num_heads)]
        # Two sums for each head: a chain of additions waits for itself.
        sums = [[e.variable(FLOATS, e.floats(0.0)) for _ in range(2)] for _ in rows]
        size = LANES * (4 if kind == "float" else 2)
        with e.loop(e.builder.udiv(head_dim, e.int64(2))) as pair:
            for odd in range(2):
                place = e.plus(e.at(keys, pair, 2 * size), odd * size)
                column = e.as_floats(place, kind)
                for row, both in zip(rows, sums, strict=True):
                    query = e.spread(e.load(e.plus(e.at(row, pair, 8), 4 * odd), FLOAT))
                    e.builder.store(e.multiply_add(query, column, e.builder.load(both[odd])), both[odd])
        factors = e.spread(factor)
        for head, both in enumerate(sums):
            total = e.builder.fadd(*[e.builder.load(half) for half in both])
            e.store(e.at(y, e.int64(head), y_stride), e.builder.fmul(total, factors))

    return instruction(scores)


def _mix(num_heads: int, kind: str) -> Any:
    def mix(e: Emitter, weights: Any, weights_stride: Any, values: Any, head_dim: Any, num_tokens: Any, y: Any) -> None:
        """Add the block's first `num_tokens` values, weighted, to the sums of `num_heads` heads at `y`."""
        y_stride = e.builder.mul(head_dim, e.int64(4))
        size = 4 if kind == "float" else 2
        row_size = e.builder.mul(head_dim, e.int64(size))
        with e.loop(e.builder.udiv(head_dim, e.int64(LANES))) as part:
            places = [e.at(e.at(y, e.int64(head), y_stride), part, _VECTOR) for head in range(num_heads)]
            sums = [e.variable(FLOATS, e.load(place, FLOATS)) for place in places]
            column = e.at(values, part, size * LANES)
            with e.loop(num_tokens) as token:
                vector = e.as_floats(e.at(column, token, row_size), kind)
                for head, total in enumerate(sums):
                    weight = e.load(e.at(e.at(weights, e.int64(head), weights_stride), token, 4), FLOAT)
                    e.builder.store(e.multiply_add(e.spread(weight), vector, e.builder.load(total)), total)
            for place, total in zip(places, sums, strict=True):
                e.store(place, e.builder.load(total))

    return instruction(mix)


_scores_1, _scores_2, _scores_3, _scores_4 = (_scores(heads, "float") for heads in (1, 2, 3, 4))
_half_scores_1, _half_scores_2, _half_scores_3, _half_scores_4 = (_scores(heads, "half") for heads in (1, 2, 3, 4))
_mix_1, _mix_2, _mix_3, _mix_4 = (_mix(heads, "float") for heads in (1, 2, 3, 4))
_half_mix_1, _half_mix_2, _half_mix_3, _half_mix_4 = (_mix(heads, "half") for heads in (1, 2, 3, 4))


def _store_keys(kind: str) -> Any:
    size = 4 if kind == "float" else 2

    def store_keys(e: Emitter, x: Any, head_dim: Any, keys: Any) -> None:
        """One token's key, a number into each of the block's rows."""
        with e.loop(head_dim) as place:
            value = e.load(e.at(x, place, 4), FLOAT)
            value = value if kind == "float" else e.builder.fptrunc(value, e.half)
            e.store(e.at(keys, place, size * LANES), value, size)

    return instruction(store_keys)


def _store_values(kind: str) -> Any:
    size = 4 if kind == "float" else 2

    def store_values(e: Emitter, x: Any, head_dim: Any, values: Any) -> None:
        """One token's value, a row of the block."""
        with e.loop(e.builder.udiv(head_dim, e.int64(LANES))) as part:
            vector = e.load(e.at(x, part, _VECTOR), FLOATS)
            vector = vector if kind == "float" else e.builder.fptrunc(vector, e.halves)
            e.store(e.at(values, part, size * LANES), vector, size)

    return instruction(store_values)


store_keys, store_half_keys = _store_keys("float"), _store_keys("half")
store_values, store_half_values = _store_values("float"), _store_values("half")


@instruction
def _soften(e: Emitter, scores: Any, num_vectors: Any) -> Float:
    """Scores become exp(score - largest), in place; returns their sum."""
    peak = e.largest(scores, num_vectors)
    peaks = e.spread(peak)
    total = e.variable(FLOATS, e.floats(0.0))
    with e.loop(num_vectors) as number:
        place = e.at(scores, number, _VECTOR)
        values = e.exp(e.builder.fsub(e.load(place, FLOATS), peaks))
        e.store(place, values)
        e.builder.store(e.builder.fadd(e.builder.load(total), values), total)
    return e.total(e.builder.load(total))


@njit(nogil=True, cache=True)
def _scores_of(heads, halves, queries, head_dim, keys, factor, y, y_stride):  # type: ignore[no-untyped-def]
    if halves:
        if heads == 1:
            _half_scores_1(queries, head_dim, keys, factor, y, y_stride)
        elif heads == 2:
            _half_scores_2(queries, head_dim, keys, factor, y, y_stride)
        elif heads == 3:
            _half_scores_3(queries, head_dim, keys, factor, y, y_stride)
        else:
            _half_scores_4(queries, head_dim, keys, factor, y, y_stride)
    elif heads == 1:
        _scores_1(queries, head_dim, keys, factor, y, y_stride)
    elif heads == 2:
        _scores_2(queries, head_dim, keys, factor, y, y_stride)
    elif heads == 3:
        _scores_3(queries, head_dim, keys, factor, y, y_stride)
    else:
        _scores_4(queries, head_dim, keys, factor, y, y_stride)


@njit(nogil=True, cache=True)
def _mix_of(heads, halves, weights, stride, values, head_dim, num_tokens, y):  # type: ignore[no-untyped-def]
    if halves:
        if heads == 1:
            _half_mix_1(weights, stride, values, head_dim, num_tokens, y)
        elif heads == 2:
            _half_mix_2(weights, stride, values, head_dim, num_tokens, y)
        elif heads == 3:
            _half_mix_3(weights, stride, values, head_dim, num_tokens, y)
        else:
            _half_mix_4(weights, stride, values, head_dim, num_tokens, y)
    elif heads == 1:
        _mix_1(weights, stride, values, head_dim, num_tokens, y)
    elif heads == 2:
        _mix_2(weights, stride, values, head_dim, num_tokens, y)
    elif heads == 3:
        _mix_3(weights, stride, values, head_dim, num_tokens, y)
    else:
        _mix_4(weights, stride, values, head_dim, num_tokens, y)


@njit(nogil=True, cache=True)
def attend(  # type: ignore[no-untyped-def]
    queries, num_heads, head_dim, factor, table, num_tokens, keys, values, block_bytes, halves, scores, y
):
    """Attention of the `num_heads` query heads at `queries` that share one key-value head, to `y`.

    `table` is the address of the sequence's block numbers (64-bit); `keys` and `values` of this layer and head in block 0,
    blocks `block_bytes` apart; `scores` is room for `num_heads` rows of `num_tokens`, rounded up to whole blocks.
    """
    num_blocks = (num_tokens + BLOCK - 1) // BLOCK
    stride = num_blocks * BLOCK * 4
    for block in range(num_blocks):
        place = keys + load_int(table + block * 8) * block_bytes
        head = 0
        while head < num_heads:
            heads = min(4, num_heads - head)
            rows, there = queries + head * head_dim * 4, scores + head * stride + block * BLOCK * 4
            _scores_of(heads, halves, rows, head_dim, place, factor, there, stride)
            head += heads
    for head in range(num_heads):
        row = scores + head * stride
        for token in range(num_tokens, num_blocks * BLOCK):
            store_float(row + token * 4, np.float32(-1e30))
        factor_out = np.float32(1) / _soften(row, num_blocks)
        # Weights are made whole here, not the sums at the end: as in the formula.
        scale_in_place(row, factor_out, num_blocks)
    clear(y, num_heads * head_dim // LANES)
    for block in range(num_blocks):
        place = values + load_int(table + block * 8) * block_bytes
        count = min(BLOCK, num_tokens - block * BLOCK)
        head = 0
        while head < num_heads:
            heads = min(4, num_heads - head)
            there = y + head * head_dim * 4
            weights = scores + head * stride + block * BLOCK * 4
            _mix_of(heads, halves, weights, stride, place, head_dim, count, there)
            head += heads
