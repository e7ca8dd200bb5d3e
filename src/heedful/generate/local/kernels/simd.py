"""Vector instructions for numba: small building blocks that our loops call with plain addresses.

numba leaves the choice of instructions to LLVM's vectoriser, which misses the ones that matter here (integer products,
tiles of accumulators that stay in registers). Each function below writes its piece of LLVM code itself, in vectors of
16 lanes that LLVM maps to whatever the processor has. Only products of integers and of halves name an instruction.

Addresses are integers in bytes, as `array.ctypes.data` gives them. Nothing is checked: callers own the bounds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.extending import intrinsic


class _BfloatType(ir.Type):  # type: ignore[misc]
    """The upper half of a 32-bit float, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BfloatType)

    def __hash__(self) -> int:
        return hash(_BfloatType)


LANES = 16
HOST = frozenset(name for name, is_there in get_host_cpu_features().items() if is_there)
"""What this processor can do, by LLVM's names."""

INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT, HALF = ir.FloatType(), ir.HalfType()
FLOATS = ir.VectorType(FLOAT, LANES)
BFLOATS32 = ir.VectorType(_BfloatType(), 32)
FLOATS8 = ir.VectorType(FLOAT, 8)
INTS = ir.VectorType(INT32, LANES)
BYTES32, SHORTS32 = ir.VectorType(INT8, 32), ir.VectorType(INT16, 32)
BYTES16, SHORTS16, INTS8 = ir.VectorType(INT8, 16), ir.VectorType(INT16, 16), ir.VectorType(INT32, 8)


class Emitter:
    """Writes LLVM code. Values are LLVM values; addresses are 64-bit integers."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    half, halves = HALF, ir.VectorType(HALF, LANES)

    def int64(self, value: int) -> Any:
        return ir.Constant(INT64, value)

    def at(self, address: Any, index: Any, stride: int | Any) -> Any:
        """address + index * stride."""
        stride = self.int64(stride) if isinstance(stride, int) else stride
        return self.builder.add(address, self.builder.mul(index, stride))

    def plus(self, address: Any, offset: int) -> Any:
        return self.builder.add(address, self.int64(offset)) if offset else address

    def load(self, address: Any, kind: Any, align: int = 4) -> Any:
        pointer = self.builder.inttoptr(address, ir.PointerType(kind))
        value = self.builder.load(pointer)
        value.align = align
        return value

    def store(self, address: Any, value: Any, align: int = 4) -> None:
        self.builder.store(value, self.builder.inttoptr(address, ir.PointerType(value.type)), align=align)

    def spread(self, value: Any, lanes: int = LANES) -> Any:
        """A vector whose lanes all hold `value`."""
        kind = ir.VectorType(value.type, lanes)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(INT32, 0))
        mask = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
        return self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), mask)

    def floats(self, value: float) -> Any:
        return ir.Constant(FLOATS, [value] * LANES)

    def call(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(result, [argument.type for argument in arguments]), name
        )
        return self.builder.call(function, arguments)

    def multiply_add(self, left: Any, right: Any, plus: Any) -> Any:
        return self.call("llvm.fma.v16f32", FLOATS, [left, right, plus])

    def variable(self, kind: Any, value: Any) -> Any:
        """Something that changes in a loop; LLVM keeps it in a register."""
        place = cgutils.alloca_once(self.builder, kind)
        self.builder.store(value, place)
        return place

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """Repeat the block `count` times; gives the number of the round."""
        with cgutils.for_range(self.builder, count, intp=INT64) as round_:
            yield round_.index

    def as_floats(self, address: Any, kind: str) -> Any:
        """16 numbers stored as "float", "bf16" or "half" (both 16 bits)."""
        if kind == "float":
            return self.load(address, FLOATS)
        if kind == "bf16":
            return self.load_bf16(address)
        return self.builder.fpext(self.load(address, ir.VectorType(HALF, LANES), 2), FLOATS)

    def load_bf16(self, address: Any) -> Any:
        """16 bf16 numbers as floats."""
        wide = self.builder.zext(self.load(address, SHORTS16, 2), INTS)
        return self.builder.bitcast(self.builder.shl(wide, ir.Constant(INTS, [16] * LANES)), FLOATS)

    def store_bf16(self, address: Any, values: Any) -> None:
        """16 floats as the nearest bf16 numbers, the even one of two."""
        bits = self.builder.bitcast(values, INTS)
        shift, one, half = (ir.Constant(INTS, [value] * LANES) for value in (16, 1, 0x7FFF))
        odd = self.builder.and_(self.builder.lshr(bits, shift), one)
        rounded = self.builder.lshr(self.builder.add(self.builder.add(bits, half), odd), shift)
        self.store(address, self.builder.trunc(rounded, SHORTS16), 2)

    def pair(self, address: Any) -> tuple[Any, Any]:
        """16 pairs of bf16 numbers as the floats of the first ones, and of the second ones."""
        both = self.load(address, INTS)
        first = self.builder.shl(both, ir.Constant(INTS, [16] * LANES))
        second = self.builder.and_(both, ir.Constant(INTS, [-65536] * LANES))
        return self.builder.bitcast(first, FLOATS), self.builder.bitcast(second, FLOATS)

    def exp(self, x: Any) -> Any:
        """e to the x in each lane, to about one unit in the last place (Cephes' polynomial, public formula)."""
        builder = self.builder
        x = self.call("llvm.maxnum.v16f32", FLOATS, [x, self.floats(-87.0)])
        x = self.call("llvm.minnum.v16f32", FLOATS, [x, self.floats(88.0)])
        power = self.call("llvm.rint.v16f32", FLOATS, [builder.fmul(x, self.floats(1.4426950408889634))])
        rest = self.multiply_add(power, self.floats(-0.693359375), x)
        rest = self.multiply_add(power, self.floats(2.12194440e-4), rest)
        result = self.floats(1.9875691500e-4)
        for term in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
            result = self.multiply_add(result, rest, self.floats(term))
        result = self.multiply_add(result, builder.fmul(rest, rest), builder.fadd(rest, self.floats(1.0)))
        exponent = builder.add(builder.fptosi(power, INTS), ir.Constant(INTS, [127] * LANES))
        return builder.fmul(result, builder.bitcast(builder.shl(exponent, ir.Constant(INTS, [23] * LANES)), FLOATS))

    def fold(self, values: Any, join: Callable[[Any, Any], Any]) -> Any:
        """One number of all lanes, always in the same order: halves are joined with each other."""
        lanes = LANES
        while lanes > 1:
            lanes //= 2
            undefined = ir.Constant(values.type, ir.Undefined)
            first, second = (
                ir.Constant(ir.VectorType(INT32, lanes), list(range(start, start + lanes))) for start in (0, lanes)
            )
            halves = [self.builder.shuffle_vector(values, undefined, places) for places in (first, second)]
            values = join(*halves)
        return self.builder.extract_element(values, ir.Constant(INT32, 0))

    def total(self, values: Any) -> Any:
        """Sum of the lanes."""
        return self.fold(values, self.builder.fadd)

    def largest(self, address: Any, num_vectors: Any, kind: str = "float") -> Any:
        """The largest number of a row of vectors, stored as `kind`."""
        peaks = self.variable(FLOATS, self.floats(-3e38))
        with self.loop(num_vectors) as number:
            values = self.as_floats(self.at(address, number, LANES * (4 if kind == "float" else 2)), kind)
            self.builder.store(self.call("llvm.maxnum.v16f32", FLOATS, [values, self.builder.load(peaks)]), peaks)
        return self.fold(
            self.builder.load(peaks),
            lambda left, right: self.call(f"llvm.maxnum.v{left.type.count}f32", left.type, [left, right]),
        )


# What an instruction returns: a 32-bit float, or a 64-bit integer.
Float = Any
Integer = Any


def instruction(write: Callable[..., Any]) -> Any:
    """Make code that `write(emitter, *values)` writes callable from jitted code, with integers (addresses) and floats.

    What `write` is annotated to return is what the call returns: None, `Float` or `Integer`.
    """
    result: Any = {"Float": types.float32, "Integer": types.int64}.get(write.__annotations__["return"], types.void)

    def typed(typing_context: Any, *arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
            value = write(Emitter(builder), *values)
            return context.get_dummy_value() if value is None else value

        kinds = [types.float32 if isinstance(kind, types.Float) else types.int64 for kind in arguments]
        return result(*kinds), generate

    typed.__name__ = write.__name__
    # numba counts the arguments here: what `write` calls its emitter is the typing context's place.
    typed.__signature__ = inspect.signature(write)  # type: ignore[attr-defined]
    return intrinsic(typed)


@intrinsic  # type: ignore[untyped-decorator]
def as_pointer(_: Any, address: Any) -> Any:
    """An address as numba's `carray` wants it."""

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        return builder.inttoptr(values[0], cgutils.voidptr_t)

    return types.voidptr(address), generate
