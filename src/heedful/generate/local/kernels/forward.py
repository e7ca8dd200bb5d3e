"""One step of a Llama model: new tokens of many sequences through all layers, and logits where they are wanted.

Every thread of a team calls `forward` with the same arguments. The rows of a step are tokens; each belongs to a sequence
(a row of the block table) and has a position there. Prompts, pieces of prompts and single new tokens are all the same.
What a row yields does not depend on the other rows: no sum is split by how many there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from heedful.generate.local.kernels.adapters import DOWN as DOWN_PROJ
from heedful.generate.local.kernels.adapters import GATE, MAX_RANK, UP, O, Q, field_of, grow, shrink
from heedful.generate.local.kernels.attention import (
    attend,
    store_half_keys,
    store_half_values,
    store_keys,
    store_values,
)
from heedful.generate.local.kernels.lanes import (
    add_row,
    clear,
    halve_row,
    load_int,
    rms_norm,
    rotate,
    round_row,
    swiglu,
)
from heedful.generate.local.kernels.simd import LANES
from heedful.generate.local.kernels.team import LINE, barrier, take
from heedful.generate.local.kernels.tiles import BF16_DOTS, COLUMNS, GROUP, bf16_panel, float_panel, int8_panel

FLOAT, BF16, INT8 = 0, 1, 2
_VECTOR = 4 * LANES
# Places in a layer's row of addresses.
NORM, QKV, QKV_SCALES, QKV_BIAS, OUT, OUT_SCALES, MLP_NORM, GATE_UP, GATE_UP_SCALES, DOWN, DOWN_SCALES = range(11)
NUM_ADDRESSES = 11
PHASES = 14
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
    inner: int
    """Two rows of adapters' inner results."""
    scores: int
    """For each thread `scores_size` bytes."""
    scores_size: int


class Step(NamedTuple):
    """What one step reads."""

    epsilon: Any
    """Of the norms, a 32-bit float."""
    state: int
    """Address for the team's barriers."""
    counters: int
    """Address of a zeroed line for each phase."""
    hidden: int
    """Address of (rows, hidden) embeddings, changed in place."""
    num_rows: int
    positions: Any
    """(rows,) integers."""
    tables: Any
    """For each row the address of its sequence's block numbers."""
    adapters: Any
    """For each row the address of its adapter's table, or 0."""
    adapts: int
    """1 when any row has an adapter."""


@njit(nogil=True, cache=True)
def _panels(plan, x, size, weights, scales, first, last, num_rows, y, y_stride, add):  # type: ignore[no-untyped-def]
    """Rows of `size` floats (their rounded form lies in the plan's scratch) times panels `first` to `last`."""
    for panel in range(first, last):
        there = y + (panel - first) * COLUMNS * 4
        if plan.kind == FLOAT:
            float_panel(x, size * 4, weights + panel * size * 64, size, num_rows, there, y_stride, add)
        elif plan.kind == BF16:
            here, width = (plan.rounded, size * 2) if BF16_DOTS else (x, size * 4)
            bf16_panel(here, width, weights + panel * size * 32, size, num_rows, there, y_stride, add)
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
def _rounds(plan):  # type: ignore[no-untyped-def]
    """Whether products read the rounded form of a row."""
    return plan.kind == INT8 or (plan.kind == BF16 and BF16_DOTS)


@njit(nogil=True, cache=True)
def _round(plan, x, size, row):  # type: ignore[no-untyped-def]
    """A row of `size` floats at `x` to row number `row` of the plan's scratch."""
    there, groups = plan.rounded + row * size * 2, size // GROUP
    if plan.kind == INT8:
        round_row(x, there, plan.round_scales + row * groups * 4, groups)
    else:
        halve_row(x, there, size // LANES)


@njit(nogil=True, cache=True)
def _round_rows(plan, counter, x, size, num_rows):  # type: ignore[no-untyped-def]
    while True:
        row = take(counter, 1)
        if row >= num_rows:
            return
        _round(plan, x + row * size * 4, size, row)


@njit(nogil=True, cache=True)
def _norm_rows(plan, counter, x, weights, num_rows, epsilon):  # type: ignore[no-untyped-def]
    size = plan.hidden
    while True:
        row = take(counter, 1)
        if row >= num_rows:
            return
        normed = plan.normed + row * size * 4
        rms_norm(x + row * size * 4, weights, plan.hidden_real, epsilon, normed, size // LANES)
        if _rounds(plan):
            _round(plan, normed, size, row)


@njit(nogil=True, cache=True)
def _place_rows(plan, layer, counter, bias, num_rows, positions, tables):  # type: ignore[no-untyped-def]
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
def _adapt_rows(plan, layer, counter, adapters, module, x, size, y, y_size, num_rows):  # type: ignore[no-untyped-def]
    """What adapters add to a layer's results; `module` Q stands for Q, K and V."""
    head_bytes = plan.head_dim * 4
    while True:
        row = take(counter, 1)
        if row >= num_rows:
            return
        table = adapters[row]
        if not table:
            continue
        inner = plan.inner + row * 2 * MAX_RANK * 4
        here, there = x + row * size * 4, y + row * y_size * 4
        if module != Q:
            rank = shrink(table, layer, module, here, size // LANES, inner)
            grow(table, layer, module, rank, inner, 0, there, y_size // LANES, y_size // LANES)
            continue
        for part in range(3):
            rank = shrink(table, layer, part, here, size // LANES, inner)
            outputs = (plan.num_heads if part == 0 else plan.num_kv_heads) * plan.head_dim // LANES
            grow(table, layer, part, rank, inner, 0, there, outputs, outputs)
            there += (plan.num_heads if part == 0 else plan.num_kv_heads) * head_bytes


@njit(nogil=True, cache=True)
def _shrink_rows(plan, layer, counter, adapters, num_rows):  # type: ignore[no-untyped-def]
    """Inner results of gate and up."""
    while True:
        row = take(counter, 1)
        if row >= num_rows:
            return
        if adapters[row]:
            inner, here = plan.inner + row * 2 * MAX_RANK * 4, plan.normed + row * plan.hidden * 4
            shrink(adapters[row], layer, GATE, here, plan.hidden // LANES, inner)
            shrink(adapters[row], layer, UP, here, plan.hidden // LANES, inner + MAX_RANK * 4)


@njit(nogil=True, cache=True)
def _grow_pair(plan, layer, table, row, pair, gate):  # type: ignore[no-untyped-def]
    """What an adapter adds to one panel of gate and one of up."""
    inner, stride = plan.inner + row * 2 * MAX_RANK * 4, plan.intermediate // LANES
    grow(table, layer, GATE, field_of(table, layer, GATE, 2), inner, pair, gate, 1, stride)
    grow(table, layer, UP, field_of(table, layer, UP, 2), inner + MAX_RANK * 4, pair, gate + _VECTOR, 1, stride)


@njit(nogil=True, cache=True)
def _gate_rows(plan, layer, threads, counter, weights, scales, num_rows, adapters, adapts):  # type: ignore[no-untyped-def]
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
                if adapts and adapters[row]:
                    _grow_pair(plan, layer, adapters[row], row, pair, gate)
                swiglu(gate, gate + _VECTOR, plan.activated + (row * plan.intermediate + pair * COLUMNS) * 4)


@njit(nogil=True, cache=True)
def _attention_part(thread, threads, plan, step, layer, row, counter):  # type: ignore[no-untyped-def]
    """hidden += attention(norm(hidden))."""
    hidden, num_rows, size = step.hidden, step.num_rows, plan.hidden
    _norm_rows(plan, counter, hidden, row[NORM], num_rows, step.epsilon)
    barrier(step.state, threads)
    here, there = plan.normed, plan.projected
    _linear(plan, threads, counter + LINE, here, size, row[QKV], row[QKV_SCALES], plan.qkv, num_rows, there, 0)
    barrier(step.state, threads)
    if step.adapts:
        _adapt_rows(plan, layer, counter + 10 * LINE, step.adapters, Q, here, size, there, plan.qkv, num_rows)
        barrier(step.state, threads)
    _place_rows(plan, layer, counter + 2 * LINE, row[QKV_BIAS], num_rows, step.positions, step.tables)
    barrier(step.state, threads)
    _attend_rows(plan, layer, thread, counter + 3 * LINE, num_rows, step.positions, step.tables)
    barrier(step.state, threads)
    here, width = plan.attention, plan.attended
    if _rounds(plan):
        _round_rows(plan, counter + 4 * LINE, here, width, num_rows)
        barrier(step.state, threads)
    _linear(plan, threads, counter + 5 * LINE, here, width, row[OUT], row[OUT_SCALES], size, num_rows, hidden, 1)
    barrier(step.state, threads)
    if step.adapts:
        _adapt_rows(plan, layer, counter + 11 * LINE, step.adapters, O, here, width, hidden, size, num_rows)
        barrier(step.state, threads)


@njit(nogil=True, cache=True)
def _mlp_part(threads, plan, step, layer, row, counter):  # type: ignore[no-untyped-def]
    """hidden += down(silu(gate(x)) * up(x)), where x = norm(hidden)."""
    hidden, num_rows, size = step.hidden, step.num_rows, plan.hidden
    _norm_rows(plan, counter + 6 * LINE, hidden, row[MLP_NORM], num_rows, step.epsilon)
    barrier(step.state, threads)
    if step.adapts:
        _shrink_rows(plan, layer, counter + 12 * LINE, step.adapters, num_rows)
        barrier(step.state, threads)
    weights, scales = row[GATE_UP], row[GATE_UP_SCALES]
    _gate_rows(plan, layer, threads, counter + 7 * LINE, weights, scales, num_rows, step.adapters, step.adapts)
    barrier(step.state, threads)
    here, width = plan.activated, plan.intermediate
    if _rounds(plan):
        _round_rows(plan, counter + 8 * LINE, here, width, num_rows)
        barrier(step.state, threads)
    _linear(plan, threads, counter + 9 * LINE, here, width, row[DOWN], row[DOWN_SCALES], size, num_rows, hidden, 1)
    barrier(step.state, threads)
    if step.adapts:
        _adapt_rows(plan, layer, counter + 13 * LINE, step.adapters, DOWN_PROJ, here, width, hidden, size, num_rows)
        barrier(step.state, threads)


@njit(nogil=True, cache=True)
def forward(thread, threads, plan, step, layers, wanted, outputs, logits):  # type: ignore[no-untyped-def]
    """All layers; then rows `wanted` are moved together to `outputs`, and their logits (wanted, vocabulary) to `logits`."""
    for layer in range(plan.num_layers):
        counter = step.counters + layer * PHASES * LINE
        _attention_part(thread, threads, plan, step, layer, layers[layer], counter)
        _mlp_part(threads, plan, step, layer, layers[layer], counter)
    counter = step.counters + plan.num_layers * PHASES * LINE
    num_wanted, size = wanted.size, plan.hidden
    if num_wanted == 0:
        return
    if thread == 0:
        for number in range(num_wanted):
            place = outputs + number * size * 4
            clear(place, size // LANES)
            add_row(step.hidden + wanted[number] * size * 4, place, np.float32(1), size // LANES)
    barrier(step.state, threads)
    _norm_rows(plan, counter, outputs, plan.final_norm, num_wanted, step.epsilon)
    barrier(step.state, threads)
    counter += LINE
    here, scales = plan.normed, plan.head_scales
    _linear(plan, threads, counter, here, size, plan.head, scales, plan.vocabulary, num_wanted, logits, 0)
    barrier(step.state, threads)
