"""Attention of short spans on processors, forward and backward, in loops of our own over the tiles that the engine multiplies with.

A span has a few hundred tokens. There torch's products spend more time on being called than on multiplying, and compute scores
that nobody may see. Here one call serves all spans of a layer. A task is one span and one key-value head, with the query heads
that share it, and works in the processor's cache:

    scores    = q k'                         T rows of queries, S seen tokens
    shares    = softmax(factor scores)       kept for the way back
    out       = shares v
    of_shares = g v'                         g: the gradient of out
    of_scores = factor shares (of_shares - sum(shares of_shares))
    of_q      = of_scores k
    of_k      = of_scores' q,  of_v = shares' g

Of its own tokens only those before a query, up to a vector, are multiplied. What a span says of keys and values is kept apart and
added in the order of the spans afterwards: equal bits, whichever thread was faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import carray, njit
from torch.autograd.function import once_differentiable

from heedful.generate.local.kernels.lanes import load_float, store_float
from heedful.generate.local.kernels.simd import (
    FLOATS,
    INT32,
    INTS,
    LANES,
    SHORTS16,
    Emitter,
    Float,
    as_pointer,
    instruction,
)
from heedful.generate.local.kernels.team import argument, next_task
from heedful.generate.local.kernels.tiles import BF16_DOTS, bf16_panel, float_panel
from heedful.train.computing.threads import SharedLoop, addresses
from heedful.train.rows.packing import Span

_VECTOR = 4 * LANES
"""Bytes of 16 floats, and of a step of a panel: a float, or two bf16 numbers, for each of 16 columns."""
_BLOCK = 24
"""Rows of shares that are multiplied together: they see almost the same tokens."""


def is_ours(query: torch.Tensor) -> bool:
    """Whether attention of queries (1, H, N, D) like these is computed here."""
    dtypes = (torch.float32, torch.bfloat16) if BF16_DOTS else (torch.float32,)
    return query.device.type == "cpu" and query.dtype in dtypes and query.shape[-1] % LANES == 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """Spans as numbers. A span of T tokens sees S tokens, its own last."""

    table: torch.Tensor
    """(spans, 6): first token; T; S; where in `seen`, and where in a head's shares, the span begins; length of a row of shares."""
    seen: torch.Tensor
    """Places of the tokens that each span sees."""
    order: torch.Tensor
    """Spans, those with the most work first."""
    num_shares: int
    """Of one head."""


@lru_cache(maxsize=8)
def _plan(spans: tuple[Span, ...]) -> _Plan:
    table: list[tuple[int, ...]] = []
    seen: list[int] = []
    num_shares = 0
    for span in spans:
        num = span.end - span.start
        places = [place for start, end in (*span.before, (span.start, span.end)) for place in range(start, end)]
        width = -(-len(places) // LANES) * LANES
        table.append((span.start, num, len(places), len(seen), num_shares, width))
        seen += places
        num_shares += num * width
    order = sorted(range(len(table)), key=lambda number: -table[number][1] * table[number][2])
    return _Plan(torch.tensor(table), torch.tensor(seen), torch.tensor(order), num_shares)


# -- rows of scores, in numbers of `size` bytes ------------------------------------------------------------------------------


def _load(e: Emitter, place: Any, number: Any, size: int) -> Any:
    return e.as_floats(e.at(place, number, size * LANES), "bf16" if size == 2 else "float")


def _store(e: Emitter, place: Any, number: Any, values: Any, size: int) -> None:
    if size == 2:
        e.store_bf16(e.at(place, number, 2 * LANES), values)
    else:
        e.store(e.at(place, number, _VECTOR), values)


@instruction
def _exponents(e: Emitter, scores: Any, factor: Any, num_vectors: Any) -> Float:
    """scores = exp(factor (scores - the largest)), in place; returns their sum."""
    peak, factors = e.spread(e.largest(scores, num_vectors)), e.spread(factor)
    total = e.variable(FLOATS, e.floats(0.0))
    with e.loop(num_vectors) as number:
        place = e.at(scores, number, _VECTOR)
        values = e.exp(e.builder.fmul(e.builder.fsub(e.load(place, FLOATS), peak), factors))
        e.store(place, values)
        e.builder.store(e.builder.fadd(e.builder.load(total), values), total)
    return e.total(e.builder.load(total))


def _scaled(size: int) -> Any:
    def scaled(e: Emitter, x: Any, factor: Any, y: Any, num_vectors: Any) -> None:
        """y = factor x, of floats."""
        factors = e.spread(factor)
        with e.loop(num_vectors) as number:
            _store(e, y, number, e.builder.fmul(e.load(e.at(x, number, _VECTOR), FLOATS), factors), size)

    return instruction(scaled)


def _softmax_back(size: int) -> Any:
    def softmax_back(e: Emitter, shares: Any, of_shares: Any, factor: Any, y: Any, num_vectors: Any) -> None:
        """y = factor shares (of_shares - sum(shares of_shares)); of_shares are floats."""
        total = e.variable(FLOATS, e.floats(0.0))
        with e.loop(num_vectors) as number:
            outer = e.load(e.at(of_shares, number, _VECTOR), FLOATS)
            more = e.multiply_add(_load(e, shares, number, size), outer, e.builder.load(total))
            e.builder.store(more, total)
        mean, factors = e.spread(e.total(e.builder.load(total))), e.spread(factor)
        with e.loop(num_vectors) as number:
            inner = e.builder.fsub(e.load(e.at(of_shares, number, _VECTOR), FLOATS), mean)
            outer = e.builder.fmul(_load(e, shares, number, size), factors)
            _store(e, y, number, e.builder.fmul(inner, outer), size)

    return instruction(softmax_back)


_scaled_2, _scaled_4 = _scaled(2), _scaled(4)
_softmax_back_2, _softmax_back_4 = _softmax_back(2), _softmax_back(4)


@njit(nogil=True, cache=True)
def _scale(size, x, factor, y, num_vectors):  # type: ignore[no-untyped-def]
    if size == 2:
        _scaled_2(x, factor, y, num_vectors)
    else:
        _scaled_4(x, factor, y, num_vectors)


@njit(nogil=True, cache=True)
def _panel(size, x, x_stride, weights, depth, num_rows, y, y_stride, add):  # type: ignore[no-untyped-def]
    if size == 2:
        bf16_panel(x, x_stride, weights, depth, num_rows, y, y_stride, add)
    else:
        float_panel(x, x_stride, weights, depth, num_rows, y, y_stride, add)


# -- panels ------------------------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _pack_across(rows, places, panels):  # type: ignore[no-untyped-def]
    """Tokens become columns. rows (N, U) of 32 bits -> panels (S / 16, U, 16), zeros behind the last token."""
    num_units = rows.shape[1]
    for number in range(-(-len(places) // LANES) * LANES):
        panel, lane = number // LANES, number % LANES
        if number < len(places):
            place = places[number]
            for unit in range(num_units):
                panels[panel, unit, lane] = rows[place, unit]
        else:
            for unit in range(num_units):
                panels[panel, unit, lane] = 0


@njit(nogil=True, cache=True)
def _pack_along(rows, places, panels):  # type: ignore[no-untyped-def]
    """Tokens become inputs. rows (N, D) -> panels (D / 16, S / G, 16, G), G numbers in 32 bits; a zero behind an odd last token."""
    group = panels.shape[3]
    for number in range(len(places)):
        place, unit, nth = places[number], number // group, number % group
        for panel in range(panels.shape[0]):
            for lane in range(LANES):
                panels[panel, unit, lane, nth] = rows[place, panel * LANES + lane]
    if len(places) % group:
        panels[:, -1, :, -1] = 0


def _turned_block(size: int) -> Any:
    def turned_block(e: Emitter, x: Any, x_stride: Any, num_rows: Any, zeros: Any, y: Any, y_stride: Any) -> None:
        """16 columns of as many rows as 16 units of 32 bits hold become rows of 16 units; rows from `num_rows` on are `zeros`."""

        def row(number: int) -> Any:
            is_there = e.builder.icmp_signed("<", e.int64(number), num_rows)
            return e.builder.select(is_there, e.at(x, e.int64(number), x_stride), zeros)

        def unit(number: int) -> Any:
            if size == 4:
                return e.load(row(number), INTS)
            low, high = (e.builder.zext(e.load(row(2 * number + nth), SHORTS16, 2), INTS) for nth in range(2))
            return e.builder.or_(low, e.builder.shl(high, ir.Constant(INTS, [16] * LANES)))

        for number, column in enumerate(_transposed(e, [unit(number) for number in range(LANES)])):
            e.store(e.at(y, e.int64(number), y_stride), column)

    return instruction(turned_block)


def _transposed(e: Emitter, rows: list[Any]) -> list[Any]:
    """16 vectors of 16: squares of 1, 2, 4 and 8 change places across the diagonal."""
    for step in (1, 2, 4, 8):
        places = [
            [lane if not lane & step else LANES + lane - step for lane in range(LANES)],
            [lane + step if not lane & step else LANES + lane for lane in range(LANES)],
        ]
        masks = [ir.Constant(ir.VectorType(INT32, LANES), one) for one in places]
        for first in range(LANES):
            if not first & step:
                pair = rows[first], rows[first + step]
                rows[first], rows[first + step] = (e.builder.shuffle_vector(*pair, mask) for mask in masks)
    return rows


_turned_block_2, _turned_block_4 = _turned_block(2), _turned_block(4)


@njit(nogil=True, cache=True)
def _turn(size, rows, zeros, turned):  # type: ignore[no-untyped-def]
    """rows (T, W) -> turned (W, T rounded up to vectors), zeros behind; `zeros` are a vector of them."""
    num, width, stride = rows.shape[0], rows.shape[1], turned.shape[1] * size
    for first in range(0, num, _VECTOR // size):
        for column in range(0, width, LANES):
            x = rows.ctypes.data + (first * width + column) * size
            y = turned.ctypes.data + column * stride + first * size
            if size == 2:
                _turned_block_2(x, width * size, num - first, zeros.ctypes.data, y, stride)
            else:
                _turned_block_4(x, width * size, num - first, zeros.ctypes.data, y, stride)


# -- products ----------------------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _scores_of(size, rows, start, head, panels, before, y):  # type: ignore[no-untyped-def]
    """rows (N, H, D) of one span and head, times tokens across -> y (T, W) floats.

    Of a row nothing is computed that lies after its own token, beyond that one's vector.
    """
    units, width = panels.shape[1], y.shape[1]
    stride = rows.shape[1] * rows.shape[2] * size
    for panel in range(width // LANES):
        first = max(0, panel * LANES - before)
        x = rows.ctypes.data + (start + first) * stride + head * rows.shape[2] * size
        there = y.ctypes.data + (first * width + panel * LANES) * 4
        weights = panels.ctypes.data + panel * units * _VECTOR
        _panel(size, x, stride, weights, rows.shape[2], y.shape[0] - first, there, width * 4, 0)


@njit(nogil=True, cache=True)
def _keep(size, mixed, out, start, head):  # type: ignore[no-untyped-def]
    """mixed (T, D) floats -> where the span's tokens are in out (N, H, D)."""
    heads, depth = out.shape[1:]
    for row in range(mixed.shape[0]):
        there = out.ctypes.data + ((start + row) * heads + head) * depth * size
        _scale(size, mixed.ctypes.data + row * depth * 4, np.float32(1), there, depth // LANES)


@njit(nogil=True, cache=True)
def _mixed(size, shares, panels, before, y):  # type: ignore[no-untyped-def]
    """shares (T, W) times tokens along -> y (T, D) floats."""
    num, group = shares.shape[0], panels.shape[3]
    units, width, depth = panels.shape[1], shares.shape[1], y.shape[1]
    for first in range(0, num, _BLOCK):
        rows = min(_BLOCK, num - first)
        num_seen = -(-(before + first + rows) // group) * group
        x = shares.ctypes.data + first * width * size
        for panel in range(panels.shape[0]):
            there = y.ctypes.data + (first * depth + panel * LANES) * 4
            weights = panels.ctypes.data + panel * units * _VECTOR
            _panel(size, x, width * size, weights, num_seen, rows, there, depth * 4, 0)


@njit(nogil=True, cache=True)
def _mixed_back(size, turned, panels, before, y, add):  # type: ignore[no-untyped-def]
    """turned (W, T) times the span's own tokens along -> y (S, D) floats, added to what is there with `add`."""
    num, stride, group = y.shape[0], turned.shape[1] * size, panels.shape[3]
    units, depth = panels.shape[1], y.shape[1]
    for first in range(0, num, _BLOCK):
        rows = min(_BLOCK, num - first)
        # Queries before these tokens do not see them.
        unit = max(0, first - before) // group
        x = turned.ctypes.data + first * stride + unit * group * size
        for panel in range(panels.shape[0]):
            there = y.ctypes.data + (first * depth + panel * LANES) * 4
            weights = panels.ctypes.data + (panel * units + unit) * _VECTOR
            _panel(size, x, stride, weights, (units - unit) * group, rows, there, depth * 4, add)


@njit(nogil=True, cache=True)
def _soften(size, scores, before, factor, shares):  # type: ignore[no-untyped-def]
    """scores (T, W) -> shares (T, W), zeros for what is not seen."""
    width = scores.shape[1]
    for row in range(scores.shape[0]):
        limit = before + row + 1
        num_vectors = -(-limit // LANES)
        here, there = scores.ctypes.data + row * width * 4, shares.ctypes.data + row * width * size
        for column in range(limit, num_vectors * LANES):
            store_float(here + column * 4, np.float32(-1e30))
        total = _exponents(here, factor, num_vectors)
        for column in range(limit, num_vectors * LANES):
            store_float(here + column * 4, np.float32(0))
        _scale(size, here, np.float32(1) / total, there, num_vectors)
        for column in range(num_vectors * LANES, width):
            shares[row, column] = 0


@njit(nogil=True, cache=True)
def _soften_back(size, shares, of_shares, before, factor, of_scores):  # type: ignore[no-untyped-def]
    """The way back, all (T, W); `of_shares` are floats."""
    width = shares.shape[1]
    for row in range(shares.shape[0]):
        num_vectors = -(-(before + row + 1) // LANES)
        one = shares.ctypes.data + row * width * size
        other, there = of_shares.ctypes.data + row * width * 4, of_scores.ctypes.data + row * width * size
        if size == 2:
            _softmax_back_2(one, other, factor, there, num_vectors)
        else:
            _softmax_back_4(one, other, factor, there, num_vectors)
        for column in range(num_vectors * LANES, width):
            of_scores[row, column] = 0


# -- tasks: one span and one key-value head each -----------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _span_of(task, num_shared, table, order):  # type: ignore[no-untyped-def]
    """Row of the table, and the key-value head."""
    return table[order[task // num_shared]], task % num_shared


@njit(nogil=True, cache=True)
def _panels(size, units, rows, places, width):  # type: ignore[no-untyped-def]
    """What a span sees, twice: units (N, U) across, rows (N, D) along."""
    group = 4 // size
    across = np.empty((width // LANES, units.shape[1], LANES), np.int32)
    along = np.empty((rows.shape[1] // LANES, -(-len(places) // group), LANES, group), rows.dtype)
    _pack_across(units, places, across)
    _pack_along(rows, places, along)
    return across, along


@njit(nogil=True, cache=True)
def _forward(task, size, table, seen, order, factor, query, key_units, value, shares, out):  # type: ignore[no-untyped-def]
    """query (N, H, D), key_units (N, K, U) of 32 bits, value (N, K, D) -> shares (H, all), out (N, H, D)."""
    num_heads, num_shared, depth = query.shape[1], value.shape[1], value.shape[2]
    (start, num, num_seen, first_seen, first_share, width), shared = _span_of(task, num_shared, table, order)
    places, before = seen[first_seen : first_seen + num_seen], num_seen - num
    across, along = _panels(size, key_units[:, shared], value[:, shared], places, width)
    scores, mixed = np.empty((num, width), np.float32), np.empty((num, depth), np.float32)
    repeats = num_heads // num_shared
    for head in range(shared * repeats, (shared + 1) * repeats):
        own = shares[head, first_share : first_share + num * width].reshape(num, width)
        _scores_of(size, query, start, head, across, before, scores)
        _soften(size, scores, before, factor, own)
        _mixed(size, own, along, before, mixed)
        _keep(size, mixed, out, start, head)


@njit(nogil=True, cache=True)
def _backward(  # type: ignore[no-untyped-def]
    task, size, table, seen, order, factor, gradient, query, key, value_units, shares, of_query, parts
):
    """gradient (N, H, D) and what went forward -> of_query (N, H, D), parts (2, K, all seen, D) floats: of keys, of values."""
    num_heads, num_shared, depth, group = query.shape[1], key.shape[1], key.shape[2], 4 // size
    (start, num, num_seen, first_seen, first_share, width), shared = _span_of(task, num_shared, table, order)
    places, before, own_units = seen[first_seen : first_seen + num_seen], num_seen - num, -(-num // group)
    across, along = _panels(size, value_units[:, shared], key[:, shared], places, width)
    own_along = np.empty((depth // LANES, own_units, LANES, group), key.dtype)
    of_shares, mixed = np.empty((num, width), np.float32), np.empty((num, depth), np.float32)
    vector = _VECTOR // size
    of_scores, turned = np.empty((num, width), key.dtype), np.empty((width, -(-num // vector) * vector), key.dtype)
    zeros, ours = np.zeros(vector, key.dtype), slice(first_seen, first_seen + num_seen)
    repeats = num_heads // num_shared
    for head in range(shared * repeats, (shared + 1) * repeats):
        own = shares[head, first_share : first_share + num * width].reshape(num, width)
        _scores_of(size, gradient, start, head, across, before, of_shares)
        _soften_back(size, own, of_shares, before, factor, of_scores)
        _mixed(size, of_scores, along, before, mixed)
        _keep(size, mixed, of_query, start, head)
        add = 0 if head == shared * repeats else 1
        _turn(size, of_scores, zeros, turned)
        _pack_along(query[:, head], places[before:], own_along)
        _mixed_back(size, turned, own_along, before, parts[0, shared, ours], add)
        _turn(size, own, zeros, turned)
        _pack_along(gradient[:, head], places[before:], own_along)
        _mixed_back(size, turned, own_along, before, parts[1, shared, ours], add)


@njit(nogil=True, cache=True)
def _sum_up(task, size, seen, parts, of_both):  # type: ignore[no-untyped-def]
    """Parts, in order -> of_both (2, N, K, D), 16 columns of one head in a task."""
    num, num_shared, depth = of_both.shape[1:]
    block = task % (depth // LANES)
    shared = task // (depth // LANES) % num_shared
    which = task // (depth // LANES * num_shared)
    sums = np.zeros((num, LANES), np.float32)
    for number in range(len(seen)):
        place = seen[number]
        for lane in range(LANES):
            sums[place, lane] += parts[which, shared, number, block * LANES + lane]
    for place in range(num):
        there = of_both[which, place, shared, block * LANES :].ctypes.data
        _scale(size, sums.ctypes.data + place * _VECTOR, np.float32(1), there, 1)


# -- loops -------------------------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _array(data, number, shape, like):  # type: ignore[no-untyped-def]
    """What the `number`th argument is the address of, with numbers as in `like`."""
    return carray(as_pointer(argument(data, number)), shape, like.dtype)


@njit(nogil=True, cache=True)
def _given(data, number):  # type: ignore[no-untyped-def]
    """Table, seen tokens, order of the spans and factor, from the `number`th argument on."""
    longs, spans, all_seen = np.empty(0, np.int64), argument(data, 5), argument(data, 6)
    table = _array(data, number, (spans, 6), longs)
    seen, order = _array(data, number + 1, (all_seen,), longs), _array(data, number + 2, (spans,), longs)
    return table, seen, order, load_float(argument(data, number + 3))


@njit(nogil=True, cache=True)
def _sizes(data):  # type: ignore[no-untyped-def]
    """Bytes of a number, tokens, heads, key-value heads, numbers of a head, spans, seen tokens of all spans, shares of a head."""
    return (
        argument(data, 0), argument(data, 1), argument(data, 2), argument(data, 3), argument(data, 4), argument(data, 5),
        argument(data, 6), argument(data, 7),
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _forward_all(data, like):  # type: ignore[no-untyped-def]
    size, num, heads, shared, depth, _, _, all_shares = _sizes(data)
    table, seen, order, factor = _given(data, 8)
    query, out = _array(data, 12, (num, heads, depth), like), _array(data, 16, (num, heads, depth), like)
    key_units = _array(data, 13, (num, shared, depth * size // 4), np.empty(0, np.int32))
    value, shares = _array(data, 14, (num, shared, depth), like), _array(data, 15, (heads, all_shares), like)
    task = next_task(data)
    while task >= 0:
        _forward(task, size, table, seen, order, factor, query, key_units, value, shares, out)
        task = next_task(data)


@njit(nogil=True, cache=True)
def _backward_all(data, like):  # type: ignore[no-untyped-def]
    size, num, heads, shared, depth, _, all_seen, all_shares = _sizes(data)
    table, seen, order, factor = _given(data, 8)
    query, key = _array(data, 12, (num, heads, depth), like), _array(data, 13, (num, shared, depth), like)
    value_units = _array(data, 14, (num, shared, depth * size // 4), np.empty(0, np.int32))
    shares, gradient = _array(data, 15, (heads, all_shares), like), _array(data, 16, (num, heads, depth), like)
    of_query = _array(data, 17, (num, heads, depth), like)
    parts = _array(data, 18, (2, shared, all_seen, depth), np.empty(0, np.float32))
    task = next_task(data)
    while task >= 0:
        _backward(task, size, table, seen, order, factor, gradient, query, key, value_units, shares, of_query, parts)
        task = next_task(data)


@njit(nogil=True, cache=True)
def _sum_all(data, like):  # type: ignore[no-untyped-def]
    size, num, _, shared, depth, _, all_seen, _ = _sizes(data)
    _, seen, _, _ = _given(data, 8)
    parts = _array(data, 12, (2, shared, all_seen, depth), np.empty(0, np.float32))
    of_both = _array(data, 13, (2, num, shared, depth), like)
    task = next_task(data)
    while task >= 0:
        _sum_up(task, size, seen, parts, of_both)
        task = next_task(data)


def _forward_loop(data):  # type: ignore[no-untyped-def]
    if argument(data, 0) == 2:
        _forward_all(data, np.empty(0, np.int16))
    else:
        _forward_all(data, np.empty(0, np.float32))


def _backward_loop(data):  # type: ignore[no-untyped-def]
    if argument(data, 0) == 2:
        _backward_all(data, np.empty(0, np.int16))
    else:
        _backward_all(data, np.empty(0, np.float32))


def _sum_loop(data):  # type: ignore[no-untyped-def]
    if argument(data, 0) == 2:
        _sum_all(data, np.empty(0, np.int16))
    else:
        _sum_all(data, np.empty(0, np.float32))


_forwards, _backwards, _sums = SharedLoop(_forward_loop), SharedLoop(_backward_loop), SharedLoop(_sum_loop)


# -- the function --------------------------------------------------------------------------------------------------------------


class ShortSpans(torch.autograd.Function):
    """softmax(factor q k') v, span by span. query (1, H, N, D), key and value (1, K, N, D) -> (1, N, H, D)."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, factor: float, spans: tuple[Span, ...]
    ) -> torch.Tensor:
        # A token's heads lie together, as linear layers write them.
        query, key, value = (tensor.transpose(1, 2).contiguous() for tensor in (query, key, value))
        plan, (_, num, heads, depth), shared = _plan(spans), query.shape, key.shape[2]
        shares, out = query.new_empty(heads, plan.num_shares), torch.empty_like(query)
        ctx.sizes = (query.element_size(), num, heads, shared, depth, len(plan.order), len(plan.seen), plan.num_shares)
        ctx.given = (plan.table, plan.seen, plan.order, torch.tensor(factor, dtype=torch.float32))
        _forwards(len(plan.order) * shared, *ctx.sizes, *addresses(*ctx.given, query, key, value, shares, out))
        ctx.save_for_backward(query, key, value, shares)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        saved = query, key, _, _ = ctx.saved_tensors
        _, _, _, shared, depth, num_spans, num_seen, _ = ctx.sizes
        of_query, of_both = torch.empty_like(query), key.new_empty(2, *key.shape)
        parts = torch.empty(2, shared, num_seen, depth)
        work = (*ctx.given, *saved, gradient.contiguous(), of_query, parts)
        _backwards(num_spans * shared, *ctx.sizes, *addresses(*work))
        _sums(2 * shared * depth // LANES, *ctx.sizes, *addresses(*ctx.given, parts, of_both))
        return of_query.transpose(1, 2), of_both[0].transpose(1, 2), of_both[1].transpose(1, 2), None, None
