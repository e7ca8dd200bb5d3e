"""One step of a Llama model: new tokens of many sequences through all layers, and logits where they are wanted.

Every thread of a team calls `forward` with the same arguments. The rows of a step are tokens; each belongs to a sequence
(a row of the block table) and has a position there. Prompts, pieces of prompts and single new tokens are all the same.
What a row yields does not depend on the other rows: no sum is split by how many there are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from heedful.generate.local.kernels.attention import (
    attend,
    store_half_keys,
    store_half_values,
    store_keys,
    store_values,
)
from heedful.generate.local.kernels.lanes import add_row, clear, load_int, rms_norm, rotate, round_row, swiglu
from heedful.generate.local.kernels.simd import LANES
from heedful.generate.local.kernels.team import LINE, barrier, take
from heedful.generate.local.kernels.tiles import COLUMNS, GROUP, bf16_panel, float_panel, int8_panel

FLOAT, BF16, INT8 = 0, 1, 2
_VECTOR = 4 * LANES
# Places in a layer's row of addresses.
NORM, QKV, QKV_SCALES, QKV_BIAS, OUT, OUT_SCALES, MLP_NORM, GATE_UP, GATE_UP_SCALES, DOWN, DOWN_SCALES = range(11)
NUM_ADDRESSES = 11
PHASES = 10
"""Counters that a layer needs."""


class Plan(NamedTuple):
    """Sizes (in numbers, padded to whole vectors and groups) and addresses that stay the same from step to step."""

    kind: int
    """FLOAT, BF16 or INT8."""
    num_layers: int
    hidden: int
    """Length of a row; `hidden_real` numbers of it are used."""
    hidden_real: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    attended: int
    """Length of a row of attention's results: heads times head_dim, padded."""
    qkv: int
    intermediate: int
    vocabulary: int
    """Padded to whole panels."""
    final_norm: int
    head: int
    head_scales: int
    cosines: int
    sines: int
    """(positions, head_dim / 2) floats."""
    halves: int
    """1 when keys and values are stored as 16-bit floats."""
    keys: int
    values: int
    """Caches: (layer, block, key-value head, ...)."""
    cache_layer: int
    """Bytes from layer to layer, and from block to block, and from head to head."""
    cache_block: int
    cache_head: int
    # Scratch, one row a token.
    normed: int
    rounded: int
    round_scales: int
    projected: int
    attention: int
    gate_up: int
    activated: int
    scores: int
    """For each thread `scores_size` bytes."""
    scores_size: int


@njit(nogil=True, cache=True)
def _panels(plan, x, size, weights, scales, first, last, num_rows, y, y_stride, add):  # type: ignore[no-untyped-def]
    """Rows of `size` floats (their rounded form lies in the plan's scratch) times panels `first` to `last`."""
    for panel in range(first, last):
        there = y + (panel - first) * COLUMNS * 4
        if plan.kind == FLOAT:
            float_panel(x, size * 4, weights + panel * size * 64, size, num_rows, there, y_stride, add)
        elif plan.kind == BF16:
            bf16_panel(x, size * 4, weights + panel * size * 32, size, num_rows, there, y_stride, add)
        else:
            groups = size // GROUP
            int8_panel(
                plan.rounded,
                size * 2,
                plan.round_scales,
                groups * 4,
                weights + panel * size * COLUMNS,
                scales + panel * groups * COLUMNS * 2,
                groups,
                num_rows,
                there,
                y_stride,
                add,
            )


@njit(nogil=True, cache=True)
def _linear(plan, threads, counter, x, size, weights, scales, outputs, num_rows, y, add):  # type: ignore[no-untyped-def]
    """y (+)= x W, shared among the threads by panels."""
    num_panels = outputs // COLUMNS
    amount = max(1, num_panels // (threads * 8))
    while True:
        first = take(counter, amount)
        if first >= num_panels:
            return
        last = min(first + amount, num_panels)
        _panels(plan, x, size, weights, scales, first, last, num_rows, y + first * COLUMNS * 4, outputs * 4, add)


@njit(nogil=True, cache=True)
def _round_rows(plan, counter, x, size, num_rows):  # type: ignore[no-untyped-def]
    groups = size // GROUP
    while True:
        row = take(counter, 1)
        if row >= num_rows:
            return
        round_row(x + row * size * 4, plan.rounded + row * size * 2, plan.round_scales + row * groups * 4, groups)


@njit(nogil=True, cache=True)
def _norm_rows(plan, counter, x, weights, num_rows, epsilon):  # type: ignore[no-untyped-def]
    size, groups = plan.hidden, plan.hidden // GROUP
    while True:
        row = take(counter, 1)
        if row >= num_rows:
            return
        normed = plan.normed + row * size * 4
        rms_norm(x + row * size * 4, weights, plan.hidden_real, epsilon, normed, size // LANES)
        if plan.kind == INT8:
            round_row(normed, plan.rounded + row * size * 2, plan.round_scales + row * groups * 4, groups)


@njit(nogil=True, cache=True)
def _place_rows(plan, layer, counter, bias, num_rows, positions, tables, table_width):  # type: ignore[no-untyped-def]
    """Biases and rotary positions; keys and values go to the cache."""
    half, head_bytes = plan.head_dim // 2, plan.head_dim * 4
    while True:
        row = take(counter, 1)
        if row >= num_rows:
            return
        here, position = plan.projected + row * plan.qkv * 4, positions[row]
        if bias:
            add_row(bias, here, np.float32(1), plan.qkv // LANES)
        angle = position * half * 4
        for head in range(plan.num_heads + plan.num_kv_heads):
            rotate(here + head * head_bytes, plan.cosines + angle, plan.sines + angle, half)
        block = load_int(tables[row] + (position // LANES) * 8)
        slot, size = position % LANES, 2 if plan.halves else 4
        start = layer * plan.cache_layer + block * plan.cache_block
        for head in range(plan.num_kv_heads):
            key = here + (plan.num_heads + head) * head_bytes
            value = key + plan.num_kv_heads * head_bytes
            keys = plan.keys + start + head * plan.cache_head + slot * size
            values = plan.values + start + head * plan.cache_head + slot * plan.head_dim * size
            if plan.halves:
                store_half_keys(key, plan.head_dim, keys)
                store_half_values(value, plan.head_dim, values)
            else:
                store_keys(key, plan.head_dim, keys)
                store_values(value, plan.head_dim, values)


@njit(nogil=True, cache=True)
def _attend_rows(plan, layer, thread, counter, num_rows, positions, tables):  # type: ignore[no-untyped-def]
    """Key-value head by head, so that what sequences share is still near when the next one reads it."""
    group = plan.num_heads // plan.num_kv_heads
    factor = np.float32(plan.head_dim**-0.5)
    scores = plan.scores + thread * plan.scores_size
    while True:
        unit = take(counter, 1)
        if unit >= num_rows * plan.num_kv_heads:
            return
        head, row = unit // num_rows, unit % num_rows
        start = layer * plan.cache_layer + head * plan.cache_head
        offset = head * group * plan.head_dim * 4
        attend(
            plan.projected + row * plan.qkv * 4 + offset,
            group,
            plan.head_dim,
            factor,
            tables[row],
            positions[row] + 1,
            plan.keys + start,
            plan.values + start,
            plan.cache_block,
            plan.halves,
            scores,
            plan.attention + row * plan.attended * 4 + offset,
        )


@njit(nogil=True, cache=True)
def _gate_rows(plan, threads, counter, weights, scales, num_rows):  # type: ignore[no-untyped-def]
    """silu(gate) * up. Panels alternate between gate and up, so that one thread has both."""
    num_pairs = plan.intermediate // COLUMNS
    amount = max(1, num_pairs // (threads * 8))
    stride = 2 * plan.intermediate * 4
    while True:
        first = take(counter, amount)
        if first >= num_pairs:
            return
        last = min(first + amount, num_pairs)
        there = plan.gate_up + 2 * first * COLUMNS * 4
        _panels(plan, plan.normed, plan.hidden, weights, scales, 2 * first, 2 * last, num_rows, there, stride, 0)
        for row in range(num_rows):
            for pair in range(first, last):
                gate = plan.gate_up + row * stride + pair * 2 * _VECTOR
                swiglu(gate, gate + _VECTOR, plan.activated + (row * plan.intermediate + pair * COLUMNS) * 4)


@njit(nogil=True, cache=True)
def forward(  # type: ignore[no-untyped-def]
    thread,
    threads,
    plan,
    epsilon,
    layers,
    state,
    counters,
    hidden,
    num_rows,
    positions,
    tables,
    wanted,
    outputs,
    logits,
):
    """`hidden`: address of (rows, hidden) embeddings, changed in place. Rows `wanted` are moved together to `outputs`,
    and their logits (wanted, vocabulary) written to `logits`. `counters`: address of a zeroed line for each phase.
    """
    for layer in range(plan.num_layers):
        row = layers[layer]
        counter = counters + layer * PHASES * LINE
        _norm_rows(plan, counter, hidden, row[NORM], num_rows, epsilon)
        barrier(state, threads)
        _linear(
            plan, threads, counter + LINE, plan.normed, plan.hidden, row[QKV], row[QKV_SCALES], plan.qkv, num_rows,
            plan.projected, 0,
        )  # fmt: skip
        barrier(state, threads)
        _place_rows(plan, layer, counter + 2 * LINE, row[QKV_BIAS], num_rows, positions, tables, 0)
        barrier(state, threads)
        _attend_rows(plan, layer, thread, counter + 3 * LINE, num_rows, positions, tables)
        barrier(state, threads)
        if plan.kind == INT8:
            _round_rows(plan, counter + 4 * LINE, plan.attention, plan.attended, num_rows)
            barrier(state, threads)
        _linear(
            plan, threads, counter + 5 * LINE, plan.attention, plan.attended, row[OUT], row[OUT_SCALES], plan.hidden,
            num_rows, hidden, 1,
        )  # fmt: skip
        barrier(state, threads)
        _norm_rows(plan, counter + 6 * LINE, hidden, row[MLP_NORM], num_rows, epsilon)
        barrier(state, threads)
        _gate_rows(plan, threads, counter + 7 * LINE, row[GATE_UP], row[GATE_UP_SCALES], num_rows)
        barrier(state, threads)
        if plan.kind == INT8:
            _round_rows(plan, counter + 8 * LINE, plan.activated, plan.intermediate, num_rows)
            barrier(state, threads)
        _linear(
            plan, threads, counter + 9 * LINE, plan.activated, plan.intermediate, row[DOWN], row[DOWN_SCALES],
            plan.hidden, num_rows, hidden, 1,
        )  # fmt: skip
        barrier(state, threads)
    counter = counters + plan.num_layers * PHASES * LINE
    num_wanted = wanted.size
    if num_wanted == 0:
        return
    if thread == 0:
        for number in range(num_wanted):
            place = outputs + number * plan.hidden * 4
            clear(place, plan.hidden // LANES)
            add_row(hidden + wanted[number] * plan.hidden * 4, place, np.float32(1), plan.hidden // LANES)
    barrier(state, threads)
    _norm_rows(plan, counter, outputs, plan.final_norm, num_wanted, epsilon)
    barrier(state, threads)
    _linear(
        plan, threads, counter + LINE, plan.normed, plan.hidden, plan.head, plan.head_scales, plan.vocabulary,
        num_wanted, logits, 0,
    )  # fmt: skip
    barrier(state, threads)
