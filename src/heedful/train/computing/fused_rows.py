"""What lies between the products of matrices, in bf16 on processors: RMS norms and SwiGLU in one pass over memory each.

transformers computes a norm as eight operations, each with a tensor of its own; here a row is read, kept in the processor's
nearest cache, and written once, forward and backward, with sums in 32 bits. Other numbers, other devices and layers of other
shapes stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit
from torch.autograd.function import once_differentiable

from heedful.generate.local.kernels.lanes import load_float, store_float
from heedful.generate.local.kernels.simd import FLOAT, FLOATS, LANES, Emitter, Float, instruction
from heedful.generate.local.kernels.team import argument, next_task
from heedful.train.computing.threads import SharedLoop, addresses

_BF16, _FLOAT = 2 * LANES, 4 * LANES
"""Bytes of a vector."""
_MIN_ROWS = 64
"""Fewer are not worth a second thread."""


@instruction
def _norm_row(e: Emitter, x: Any, weight: Any, y: Any, num_vectors: Any, size: Any, epsilon: Any) -> Float:
    """y = x r w, r = 1 / sqrt(mean of squares + epsilon); returns r. arXiv:1910.07467."""
    total = e.variable(FLOATS, e.floats(0.0))
    with e.loop(num_vectors) as number:
        values = e.load_bf16(e.at(x, number, _BF16))
        e.builder.store(e.multiply_add(values, values, e.builder.load(total)), total)
    mean = e.builder.fadd(e.builder.fdiv(e.total(e.builder.load(total)), size), epsilon)
    factor = e.builder.fdiv(ir.Constant(FLOAT, 1.0), e.call("llvm.sqrt.f32", FLOAT, [mean]))
    factors = e.spread(factor)
    with e.loop(num_vectors) as number:
        values = e.builder.fmul(e.load_bf16(e.at(x, number, _BF16)), factors)
        e.store_bf16(e.at(y, number, _BF16), e.builder.fmul(values, e.load_bf16(e.at(weight, number, _BF16))))
    return factor


@instruction
def _norm_row_back(
    e: Emitter, g: Any, x: Any, weight: Any, factor: Any, of_x: Any, of_weight: Any, num_vectors: Any, size: Any
) -> None:
    """of_x = r (g w - n mean(g w n)), of_weight += g n, where n = x r."""
    factors, total = e.spread(factor), e.variable(FLOATS, e.floats(0.0))
    with e.loop(num_vectors) as number:
        outer = e.load_bf16(e.at(g, number, _BF16))
        normed = e.builder.fmul(e.load_bf16(e.at(x, number, _BF16)), factors)
        product = e.builder.fmul(outer, normed)
        place = e.at(of_weight, number, _FLOAT)
        e.store(place, e.builder.fadd(e.load(place, FLOATS), product))
        weights = e.load_bf16(e.at(weight, number, _BF16))
        e.builder.store(e.multiply_add(product, weights, e.builder.load(total)), total)
    mean = e.spread(e.builder.fneg(e.builder.fdiv(e.total(e.builder.load(total)), size)))
    with e.loop(num_vectors) as number:
        weighted = e.builder.fmul(e.load_bf16(e.at(g, number, _BF16)), e.load_bf16(e.at(weight, number, _BF16)))
        normed = e.builder.fmul(e.load_bf16(e.at(x, number, _BF16)), factors)
        inner = e.multiply_add(normed, mean, weighted)
        e.store_bf16(e.at(of_x, number, _BF16), e.builder.fmul(inner, factors))


@instruction
def _gate_vectors(e: Emitter, gate: Any, up: Any, y: Any, num_vectors: Any) -> None:
    """y = up gate s, s = 1 / (1 + exp(-gate)). arXiv:2002.05202."""
    with e.loop(num_vectors) as number:
        values = e.load_bf16(e.at(gate, number, _BF16))
        opened = e.builder.fmul(values, _sigmoid(e, values))
        e.store_bf16(e.at(y, number, _BF16), e.builder.fmul(opened, e.load_bf16(e.at(up, number, _BF16))))


@instruction
def _gate_vectors_back(e: Emitter, g: Any, gate: Any, up: Any, of_gate: Any, of_up: Any, num_vectors: Any) -> None:
    """of_up = g gate s, of_gate = g up s (1 + gate (1 - s))."""
    with e.loop(num_vectors) as number:
        outer, values = e.load_bf16(e.at(g, number, _BF16)), e.load_bf16(e.at(gate, number, _BF16))
        share = _sigmoid(e, values)
        scaled = e.builder.fmul(outer, share)
        e.store_bf16(e.at(of_up, number, _BF16), e.builder.fmul(scaled, values))
        slope = e.multiply_add(values, e.builder.fsub(e.floats(1.0), share), e.floats(1.0))
        inner = e.builder.fmul(e.builder.fmul(scaled, slope), e.load_bf16(e.at(up, number, _BF16)))
        e.store_bf16(e.at(of_gate, number, _BF16), inner)


def _sigmoid(e: Emitter, values: Any) -> Any:
    return e.builder.fdiv(e.floats(1.0), e.builder.fadd(e.floats(1.0), e.exp(e.builder.fneg(values))))


# -- loops: a task is a part of the rows -----------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _part(data, number):  # type: ignore[no-untyped-def]
    """The first row of a part, and the one after its last."""
    parts, num_rows = argument(data, 0), argument(data, 1)
    return num_rows * number // parts, num_rows * (number + 1) // parts


def _norm_rows(data):  # type: ignore[no-untyped-def]
    size, x, weight = argument(data, 2), argument(data, 3), argument(data, 4)
    y, factors, epsilon = argument(data, 5), argument(data, 6), load_float(argument(data, 7))
    part = next_task(data)
    while part >= 0:
        for row in range(*_part(data, part)):
            there = row * size * 2
            factor = _norm_row(x + there, weight, y + there, size // LANES, np.float32(size), epsilon)
            store_float(factors + row * 4, factor)
        part = next_task(data)


def _norm_rows_back(data):  # type: ignore[no-untyped-def]
    size, g, x, weight = argument(data, 2), argument(data, 3), argument(data, 4), argument(data, 5)
    factors, of_x, of_weight = argument(data, 6), argument(data, 7), argument(data, 8)
    part = next_task(data)
    while part >= 0:
        sums = of_weight + part * size * 4
        for row in range(*_part(data, part)):
            there, factor = row * size * 2, load_float(factors + row * 4)
            _norm_row_back(g + there, x + there, weight, factor, of_x + there, sums, size // LANES, np.float32(size))
        part = next_task(data)


def _gates(data):  # type: ignore[no-untyped-def]
    size, gate, up, y = argument(data, 2), argument(data, 3), argument(data, 4), argument(data, 5)
    part = next_task(data)
    while part >= 0:
        first, last = _part(data, part)
        there = first * size * 2
        _gate_vectors(gate + there, up + there, y + there, (last - first) * size // LANES)
        part = next_task(data)


def _gates_back(data):  # type: ignore[no-untyped-def]
    size, g, gate, up = argument(data, 2), argument(data, 3), argument(data, 4), argument(data, 5)
    of_gate, of_up = argument(data, 6), argument(data, 7)
    part = next_task(data)
    while part >= 0:
        first, last = _part(data, part)
        there, count = first * size * 2, (last - first) * size // LANES
        _gate_vectors_back(g + there, gate + there, up + there, of_gate + there, of_up + there, count)
        part = next_task(data)


_norm_loop, _norm_loop_back = SharedLoop(_norm_rows), SharedLoop(_norm_rows_back)
_gate_loop, _gate_loop_back = SharedLoop(_gates), SharedLoop(_gates_back)


def _num_parts(rows: torch.Tensor) -> int:
    """Of rows (..., H): one a thread, where that is worth it."""
    return torch.get_num_threads() if rows.numel() // rows.shape[-1] >= _MIN_ROWS else 1


def _in_parts(loop: SharedLoop, rows: torch.Tensor, *more: torch.Tensor) -> None:
    """Run a loop over rows (..., H), its first tensor; the others follow."""
    parts, size = _num_parts(rows), rows.shape[-1]
    loop(parts, parts, rows.numel() // size, size, *addresses(rows, *more))


class _RmsNorm(torch.autograd.Function):
    """(..., H) -> the same shape."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        x = x.contiguous()
        y, factors = torch.empty_like(x), torch.empty(x.shape[:-1])
        _in_parts(_norm_loop, x, weight, y, factors, torch.tensor(epsilon))
        ctx.save_for_backward(x, weight)
        ctx.factors = factors
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, sums = torch.empty_like(x), torch.zeros(_num_parts(x), x.shape[-1])
        _in_parts(_norm_loop_back, gradient.contiguous(), x, weight, ctx.factors, of_x, sums)
        return of_x, sums.sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None, None


class _SwiGlu(torch.autograd.Function):
    """silu(gate) up, both (..., I)."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        y = torch.empty_like(gate)
        _in_parts(_gate_loop, gate, up, y)
        ctx.save_for_backward(gate, up)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gate, up = ctx.saved_tensors
        of_gate, of_up = torch.empty_like(gate), torch.empty_like(up)
        _in_parts(_gate_loop_back, gradient.contiguous(), gate, up, of_gate, of_up)
        return of_gate, of_up


@contextmanager
def fused_rows(model: torch.nn.Module) -> Iterator[int]:
    """Inside, norms and gated layers of `model` are computed here; yields how many are."""
    changed = []
    for module in model.modules():
        forward = _norm_forward(module) or _gated_forward(module)
        if forward is not None:
            module.forward = forward
            changed.append(module)
    try:
        yield len(changed)
    finally:
        for module in changed:
            # Uncovers the method of the class.
            del module.forward


def _is_ours(x: torch.Tensor) -> bool:
    return x.dtype is torch.bfloat16 and x.device.type == "cpu" and x.shape[-1] % LANES == 0


def _norm_forward(module: Any) -> Any:
    """Of norms that compute what Llama's does."""
    if type(module).__name__ not in ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "Phi3RMSNorm"):
        return None
    plain, epsilon = module.forward, module.variance_epsilon

    def forward(hidden_states: torch.Tensor) -> Any:
        if not _is_ours(hidden_states):
            return plain(hidden_states)
        return _RmsNorm.apply(hidden_states, module.weight, epsilon)  # type: ignore[no-untyped-call]

    return forward


def _gated_forward(module: Any) -> Any:
    """Of layers down(silu(gate(x)) up(x))."""
    if type(module).__name__ not in ("LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP"):
        return None
    if not isinstance(module.act_fn, torch.nn.SiLU) and type(module.act_fn).__name__ != "SiLUActivation":
        return None
    plain = module.forward

    def forward(x: torch.Tensor) -> Any:
        if not _is_ours(x) or module.intermediate_size % LANES:
            return plain(x)
        return module.down_proj(_SwiGlu.apply(module.gate_proj(x), module.up_proj(x)))  # type: ignore[no-untyped-call]

    return forward
