"""What happens to a row of activations between two linear layers: norms, rotary positions, SwiGLU, rounding.

Rows are whole vectors of 16 floats long; what pads them is zero.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import njit

from heedful.generate.local.kernels.simd import (
    FLOAT,
    FLOATS,
    FLOATS8,
    INTS,
    LANES,
    SHORTS16,
    Emitter,
    Float,
    Integer,
    instruction,
)
from heedful.generate.local.kernels.tiles import GROUP

_VECTOR = 4 * LANES
# Of a 16-bit input.
_LARGEST = 32767.0


@instruction
def load_float(e: Emitter, place: Any) -> Float:
    """One number."""
    return e.load(place, FLOAT)


@instruction
def store_float(e: Emitter, place: Any, value: Any) -> None:
    """One number."""
    e.store(place, value)


@instruction
def load_int(e: Emitter, place: Any) -> Integer:
    """One 64-bit integer."""
    return e.load(place, e.int64(0).type, 8)


@instruction
def square_sum(e: Emitter, x: Any, num_vectors: Any) -> Float:
    """Sum of squares of a row."""
    total = e.variable(FLOATS, e.floats(0.0))
    with e.loop(num_vectors) as number:
        values = e.load(e.at(x, number, _VECTOR), FLOATS)
        e.builder.store(e.multiply_add(values, values, e.builder.load(total)), total)
    return e.total(e.builder.load(total))


@instruction
def scale_row(e: Emitter, x: Any, weights: Any, factor: Any, y: Any, num_vectors: Any) -> None:
    """y = x * factor * weights."""
    factors = e.spread(factor)
    with e.loop(num_vectors) as number:
        values = e.builder.fmul(e.load(e.at(x, number, _VECTOR), FLOATS), factors)
        e.store(e.at(y, number, _VECTOR), e.builder.fmul(values, e.load(e.at(weights, number, _VECTOR), FLOATS)))


@instruction
def scale_in_place(e: Emitter, x: Any, factor: Any, num_vectors: Any) -> None:
    """x = x * factor."""
    factors = e.spread(factor)
    with e.loop(num_vectors) as number:
        place = e.at(x, number, _VECTOR)
        e.store(place, e.builder.fmul(e.load(place, FLOATS), factors))


@instruction
def clear(e: Emitter, x: Any, num_vectors: Any) -> None:
    """x = 0."""
    with e.loop(num_vectors) as number:
        e.store(e.at(x, number, _VECTOR), e.floats(0.0))


@instruction
def add_row(e: Emitter, x: Any, y: Any, factor: Any, num_vectors: Any) -> None:
    """y += x * factor."""
    factors = e.spread(factor)
    with e.loop(num_vectors) as number:
        place = e.at(y, number, _VECTOR)
        e.store(place, e.multiply_add(e.load(e.at(x, number, _VECTOR), FLOATS), factors, e.load(place, FLOATS)))


@instruction
def dot_rows(e: Emitter, x: Any, y: Any, num_vectors: Any) -> Float:
    """Sum of products of two rows."""
    total = e.variable(FLOATS, e.floats(0.0))
    with e.loop(num_vectors) as number:
        left, right = (e.load(e.at(row, number, _VECTOR), FLOATS) for row in (x, y))
        e.builder.store(e.multiply_add(left, right, e.builder.load(total)), total)
    return e.total(e.builder.load(total))


@instruction
def swiglu(e: Emitter, gate: Any, up: Any, y: Any) -> None:
    """y = up * gate / (1 + exp(-gate)), one vector. arXiv:2002.05202."""
    values = e.load(gate, FLOATS)
    sigmoid = e.builder.fdiv(e.floats(1.0), e.builder.fadd(e.floats(1.0), e.exp(e.builder.fneg(values))))
    e.store(y, e.builder.fmul(e.builder.fmul(values, sigmoid), e.load(up, FLOATS)))


@instruction
def rotate(e: Emitter, x: Any, cosines: Any, sines: Any, half: Any) -> None:
    """Rotary positions in place: the first `half` numbers are turned with the second half. arXiv:2104.09864."""
    with e.loop(e.builder.udiv(half, e.int64(8))) as number:
        near = e.at(x, number, 32)
        far = e.at(near, half, 4)
        first, second = e.load(near, FLOATS8), e.load(far, FLOATS8)
        cosine, sine = (e.load(e.at(table, number, 32), FLOATS8) for table in (cosines, sines))
        e.store(near, e.builder.fsub(e.builder.fmul(first, cosine), e.builder.fmul(second, sine)))
        e.store(far, e.builder.fadd(e.builder.fmul(second, cosine), e.builder.fmul(first, sine)))


@instruction
def round_group(e: Emitter, x: Any, y: Any, scale: Any) -> None:
    """GROUP floats as 16-bit integers at `y`; at `scale` the float that undoes it."""
    vectors = [e.load(e.plus(x, start * 4), FLOATS) for start in range(0, GROUP, LANES)]
    largest = e.floats(0.0)
    for values in vectors:
        largest = e.call("llvm.maxnum.v16f32", FLOATS, [largest, e.call("llvm.fabs.v16f32", FLOATS, [values])])
    greatest = e.fold(
        largest, lambda left, right: e.call(f"llvm.maxnum.v{left.type.count}f32", left.type, [left, right])
    )
    is_zero = e.builder.fcmp_ordered("==", greatest, ir.Constant(FLOAT, 0.0))
    safe = e.builder.select(is_zero, ir.Constant(FLOAT, 1.0), greatest)
    factors = e.spread(e.builder.fdiv(ir.Constant(FLOAT, _LARGEST), safe))
    for number, values in enumerate(vectors):
        rounded = e.builder.fptosi(e.call("llvm.rint.v16f32", FLOATS, [e.builder.fmul(values, factors)]), INTS)
        e.store(e.plus(y, number * 2 * LANES), e.builder.trunc(rounded, SHORTS16), 2)
    e.store(scale, e.builder.fdiv(greatest, ir.Constant(FLOAT, _LARGEST)))


@instruction
def halve_row(e: Emitter, x: Any, y: Any, num_vectors: Any) -> None:
    """A row of floats as bf16 numbers, the nearest ones, the even one of two."""
    with e.loop(num_vectors) as number:
        e.store_bf16(e.at(y, number, _VECTOR // 2), e.load(e.at(x, number, _VECTOR), FLOATS))


@instruction
def peak_of(e: Emitter, x: Any, num_vectors: Any) -> Float:
    """The largest number of a row."""
    return e.largest(x, num_vectors)


@instruction
def sum_of_exps(e: Emitter, x: Any, peak: Any, num_vectors: Any) -> Float:
    """Sum of exp(x - peak) over a row."""
    peaks, total = e.spread(peak), e.variable(FLOATS, e.floats(0.0))
    with e.loop(num_vectors) as number:
        values = e.exp(e.builder.fsub(e.load(e.at(x, number, _VECTOR), FLOATS), peaks))
        e.builder.store(e.builder.fadd(e.builder.load(total), values), total)
    return e.total(e.builder.load(total))


@njit(nogil=True, cache=True)
def write_log_sums(x, stride, num_rows, size, found):  # type: ignore[no-untyped-def]
    """found = log(sum(exp(row))) for rows of `size` floats that lie `stride` bytes apart."""
    num_vectors = size // LANES
    for row in range(num_rows):
        place = x + row * stride
        peak = peak_of(place, num_vectors)
        for number in range(num_vectors * LANES, size):
            peak = max(peak, load_float(place + 4 * number))
        total = float(sum_of_exps(place, peak, num_vectors))
        for number in range(num_vectors * LANES, size):
            total += math.exp(load_float(place + 4 * number) - peak)
        found[row] = peak + math.log(total)


@njit(nogil=True, cache=True)
def round_row(x, y, scales, num_groups):  # type: ignore[no-untyped-def]
    """A row of floats as 16-bit integers."""
    for group in range(num_groups):
        round_group(x + group * 4 * GROUP, y + group * 2 * GROUP, scales + group * 4)


@njit(nogil=True, cache=True)
def rms_norm(x, weights, size, epsilon, y, num_vectors):  # type: ignore[no-untyped-def]
    """y = x / sqrt(mean of squares + epsilon) * weights. arXiv:1910.07467."""
    mean = square_sum(x, num_vectors) / size
    scale_row(x, weights, 1 / (mean + epsilon) ** 0.5, y, num_vectors)
