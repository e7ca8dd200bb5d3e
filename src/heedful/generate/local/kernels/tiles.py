"""Products of a few rows of activations with a panel of 16 columns of weights: the inner loops of every linear layer.

A panel holds the weights of 16 outputs side by side, so that one vector load serves 16 outputs, and the tile's sums
stay in registers from the first input to the last:

    32 bits    (depth, 16) floats
    bf16       (depth / 2, 16, 2) upper halves of floats
    int8       (depth / 2, 16, 2) bytes, with scales (depth / GROUP, 16) of 16-bit floats

int8: activations are rounded to 16 bits with a scale for every GROUP inputs of every row, so that only the weights are
coarse. Rounding activations to 8 bits would be a quarter faster (one instruction multiplies 32 pairs instead of 16), but
moves the logits of a 135M model more than the weights' rounding does.

bf16: where the processor multiplies pairs of them (BF16_DOTS), activations are rounded to bf16, too, as everybody's bf16
models do; elsewhere they stay floats, which costs nothing there.

A row's sums never depend on how many rows share the tile: each lane adds its inputs in their order.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit

from heedful.generate.local.kernels.simd import (
    BFLOATS32,
    BYTES16,
    BYTES32,
    FLOAT,
    FLOATS,
    HOST,
    INT32,
    INTS,
    INTS8,
    SHORTS16,
    SHORTS32,
    Emitter,
    instruction,
)

GROUP = 32
"""Inputs that share a scale."""
COLUMNS = 16
WIDE = {"avx512f", "avx512bw", "avx512vnni"} <= HOST
"""Whether there are 32 registers of 512 bits, and the instruction that multiplies 32 pairs of integers and adds them up."""
BF16_DOTS = {"avx512f", "avx512bf16"} <= HOST
"""Whether there is an instruction that multiplies 32 pairs of bf16 numbers and adds them up in 32 bits."""
CHAIN = 64
"""Inputs whose products are added one by one before the sum is added to the total: one long chain would lose a digit."""


def _float_tile(num_rows: int, kind: str) -> Any:
    """A tile of `num_rows` rows of floats and 16 columns of weights: one float, or two bf16 numbers, at a time."""
    num_inputs = 1 if kind == "float" else 2

    def float_tile(
        e: Emitter, x: Any, x_stride: Any, weights: Any, depth: Any, y: Any, y_stride: Any, add: Any
    ) -> None:
        rows = [e.at(x, e.int64(row), x_stride) for row in range(num_rows)]
        totals = [e.variable(FLOATS, e.floats(0.0)) for _ in rows]
        sums = [e.variable(FLOATS, e.floats(0.0)) for _ in rows]
        num_steps = CHAIN // num_inputs
        num_chains = e.builder.udiv(depth, e.int64(CHAIN))

        def chain(first: Any, count: Any) -> None:
            for part in sums:
                e.builder.store(e.floats(0.0), part)
            with e.loop(count) as number:
                k = e.builder.add(first, number)
                place = e.at(weights, k, 4 * COLUMNS)
                for nth, column in enumerate([e.load(place, FLOATS)] if num_inputs == 1 else e.pair(place)):
                    for row, part in zip(rows, sums, strict=True):
                        value = e.spread(e.load(e.plus(e.at(row, k, 4 * num_inputs), 4 * nth), FLOAT))
                        e.builder.store(e.multiply_add(value, column, e.builder.load(part)), part)
            for part, total in zip(sums, totals, strict=True):
                e.builder.store(e.builder.fadd(e.builder.load(total), e.builder.load(part)), total)

        with e.loop(num_chains) as number:
            chain(e.builder.mul(number, e.int64(num_steps)), e.int64(num_steps))
        whole = e.builder.mul(num_chains, e.int64(num_steps))
        chain(whole, e.builder.sub(e.builder.udiv(depth, e.int64(num_inputs)), whole))
        _write(e, [e.builder.load(total) for total in totals], y, y_stride, add)

    return instruction(float_tile)


def _bf16_tile(num_rows: int) -> Any:
    """The same where inputs are bf16 numbers, too: one instruction for the products of 32 pairs and their sums."""
    if not BF16_DOTS:
        return _float_tile(num_rows, "bf16")

    def bf16_tile(e: Emitter, x: Any, x_stride: Any, weights: Any, depth: Any, y: Any, y_stride: Any, add: Any) -> None:
        rows = [e.at(x, e.int64(row), x_stride) for row in range(num_rows)]
        sums = [e.variable(FLOATS, e.floats(0.0)) for _ in rows]
        with e.loop(e.builder.udiv(depth, e.int64(2))) as pair:
            columns = e.load(e.at(weights, pair, 4 * COLUMNS), BFLOATS32)
            for row, one in zip(rows, sums, strict=True):
                inputs = e.builder.bitcast(e.spread(e.load(e.at(row, pair, 4), INT32), 16), BFLOATS32)
                arguments = [e.builder.load(one), inputs, columns]
                e.builder.store(e.call("llvm.x86.avx512bf16.dpbf16ps.512", FLOATS, arguments), one)
        _write(e, [e.builder.load(one) for one in sums], y, y_stride, add)

    return instruction(bf16_tile)


def _int8_tile(num_rows: int) -> Any:
    """The same for 8-bit weights and 16-bit inputs; `x_scales` holds for each row and group what undoes the rounding."""
    add_pairs = _pairs_of_512_bits if WIDE else _pairs_of_256_bits

    def int8_tile(
        e: Emitter,
        x: Any,
        x_stride: Any,
        x_scales: Any,
        scales_stride: Any,
        weights: Any,
        weight_scales: Any,
        num_groups: Any,
        y: Any,
        y_stride: Any,
        add: Any,
    ) -> None:
        rows = [e.at(x, e.int64(row), x_stride) for row in range(num_rows)]
        scales = [e.at(x_scales, e.int64(row), scales_stride) for row in range(num_rows)]
        totals = [e.variable(FLOATS, e.floats(0.0)) for _ in rows]
        with e.loop(num_groups) as group:
            inputs = e.builder.mul(group, e.int64(2 * GROUP))
            sums = add_pairs(e, [e.builder.add(row, inputs) for row in rows], e.at(weights, group, GROUP * COLUMNS))
            weight_scale = e.as_floats(e.at(weight_scales, group, 2 * COLUMNS), "half")
            for whole, scale, total in zip(sums, scales, totals, strict=True):
                factor = e.builder.fmul(e.spread(e.load(e.at(scale, group, 4), FLOAT)), weight_scale)
                value = e.multiply_add(e.builder.sitofp(whole, FLOATS), factor, e.builder.load(total))
                e.builder.store(value, total)
        _write(e, [e.builder.load(total) for total in totals], y, y_stride, add)

    return instruction(int8_tile)


def _pairs_of_256_bits(e: Emitter, rows: list[Any], weights: Any) -> list[Any]:
    """For each row the sums over one group, (16,) integers, in halves of 8 columns."""
    sums = [[e.variable(INTS8, ir.Constant(INTS8, [0] * 8)) for _ in range(2)] for _ in rows]
    for half in (half for row_sums in sums for half in row_sums):
        e.builder.store(ir.Constant(INTS8, [0] * 8), half)
    with e.loop(e.int64(GROUP // 2)) as pair:
        place = e.at(weights, pair, 2 * COLUMNS)
        columns = [e.builder.sext(e.load(e.plus(place, COLUMNS * half), BYTES16, 1), SHORTS16) for half in range(2)]
        for row, row_sums in zip(rows, sums, strict=True):
            inputs = e.builder.bitcast(e.spread(e.load(e.at(row, pair, 4), INT32), 8), SHORTS16)
            for column, half in zip(columns, row_sums, strict=True):
                products = e.call("llvm.x86.avx2.pmadd.wd", INTS8, [column, inputs])
                e.builder.store(e.builder.add(e.builder.load(half), products), half)
    both = ir.Constant(ir.VectorType(INT32, 16), list(range(16)))
    return [e.builder.shuffle_vector(*[e.builder.load(half) for half in row_sums], both) for row_sums in sums]


def _pairs_of_512_bits(e: Emitter, rows: list[Any], weights: Any) -> list[Any]:
    """The same with one instruction for 32 products and their sums: equal to the last bit, since integers are exact."""
    sums = [e.variable(INTS, ir.Constant(INTS, [0] * 16)) for _ in rows]
    for one in sums:
        e.builder.store(ir.Constant(INTS, [0] * 16), one)
    with e.loop(e.int64(GROUP // 2)) as pair:
        columns = e.builder.sext(e.load(e.at(weights, pair, 2 * COLUMNS), BYTES32, 1), SHORTS32)
        for row, one in zip(rows, sums, strict=True):
            inputs = e.spread(e.load(e.at(row, pair, 4), INT32), 16)
            arguments = [e.builder.load(one), e.builder.bitcast(columns, INTS), inputs]
            e.builder.store(e.call("llvm.x86.avx512.vpdpwssd.512", INTS, arguments), one)
    return [e.builder.load(one) for one in sums]


def _write(e: Emitter, sums: list[Any], y: Any, y_stride: Any, add: Any) -> None:
    """Store one vector a row, or add it to what is there when `add` is not 0."""
    is_added = e.builder.icmp_signed("!=", add, e.int64(0))
    for row, value in enumerate(sums):
        place = e.at(y, e.int64(row), y_stride)
        with e.builder.if_else(is_added) as (then, otherwise):
            with then:
                e.store(place, e.builder.fadd(e.load(place, FLOATS), value))
            with otherwise:
                e.store(place, value)


_float_1, _float_2, _float_3, _float_4, _float_6 = (_float_tile(rows, "float") for rows in (1, 2, 3, 4, 6))
_bf16_1, _bf16_2, _bf16_3, _bf16_4, _bf16_6 = (_bf16_tile(rows) for rows in (1, 2, 3, 4, 6))
_int8_1, _int8_2, _int8_4 = (_int8_tile(rows) for rows in (1, 2, 4))
# As many rows as the wider registers hold; never taken where they are missing.
_MANY = 12 if WIDE else 1 << 40
_float_many, _bf16_many, _int8_many = _float_tile(12, "float"), _bf16_tile(12), _int8_tile(12)


@njit(nogil=True, cache=True)
def float_panel(x, x_stride, weights, depth, num_rows, y, y_stride, add):  # type: ignore[no-untyped-def]
    """All rows times one panel of floats."""
    row = 0
    while row < num_rows:
        left = num_rows - row
        here, there = x + row * x_stride, y + row * y_stride
        if left >= _MANY:
            _float_many(here, x_stride, weights, depth, there, y_stride, add)
            row += 12
        elif left >= 6:
            _float_6(here, x_stride, weights, depth, there, y_stride, add)
            row += 6
        elif left >= 4:
            _float_4(here, x_stride, weights, depth, there, y_stride, add)
            row += 4
        elif left == 3:
            _float_3(here, x_stride, weights, depth, there, y_stride, add)
            row += 3
        elif left == 2:
            _float_2(here, x_stride, weights, depth, there, y_stride, add)
            row += 2
        else:
            _float_1(here, x_stride, weights, depth, there, y_stride, add)
            row += 1


@njit(nogil=True, cache=True)
def bf16_panel(x, x_stride, weights, depth, num_rows, y, y_stride, add):  # type: ignore[no-untyped-def]
    """All rows times one panel of bf16."""
    row = 0
    while row < num_rows:
        left = num_rows - row
        here, there = x + row * x_stride, y + row * y_stride
        if left >= _MANY:
            _bf16_many(here, x_stride, weights, depth, there, y_stride, add)
            row += 12
        elif left >= 6:
            _bf16_6(here, x_stride, weights, depth, there, y_stride, add)
            row += 6
        elif left >= 4:
            _bf16_4(here, x_stride, weights, depth, there, y_stride, add)
            row += 4
        elif left == 3:
            _bf16_3(here, x_stride, weights, depth, there, y_stride, add)
            row += 3
        elif left == 2:
            _bf16_2(here, x_stride, weights, depth, there, y_stride, add)
            row += 2
        else:
            _bf16_1(here, x_stride, weights, depth, there, y_stride, add)
            row += 1


@njit(nogil=True, cache=True)
def int8_panel(  # type: ignore[no-untyped-def]
    x, x_stride, x_scales, scales_stride, weights, weight_scales, num_groups, num_rows, y, y_stride, add
):
    """All rows times one panel of 8-bit weights."""
    row = 0
    while row < num_rows:
        left = num_rows - row
        here, scales, there = x + row * x_stride, x_scales + row * scales_stride, y + row * y_stride
        if left >= _MANY:
            _int8_many(here, x_stride, scales, scales_stride, weights, weight_scales, num_groups, there, y_stride, add)
            row += 12
        elif left >= 4:
            _int8_4(here, x_stride, scales, scales_stride, weights, weight_scales, num_groups, there, y_stride, add)
            row += 4
        elif left >= 2:
            _int8_2(here, x_stride, scales, scales_stride, weights, weight_scales, num_groups, there, y_stride, add)
            row += 2
        else:
            _int8_1(here, x_stride, scales, scales_stride, weights, weight_scales, num_groups, there, y_stride, add)
            row += 1
