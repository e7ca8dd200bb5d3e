"""Adapter layers in fewer passes over memory while training: the same function as peft's, about a tenth faster.

peft computes x W' + s (x A') B' as five operations, each with a tensor of its own as large as the output. Here the
low-rank part is added into the product in place, forward and backward. A step of SmolLM2-135M on one core took 6.1
instead of 6.65 seconds of its time for 600 tokens; three quarters of what remains are large matrix products.
Layers with dropout, which needs a second copy of x, stay peft's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch.autograd.function import once_differentiable


class _LowRankLinear(torch.autograd.Function):
    """y = x W' + bias + s (x A') B', with W and bias frozen. x: (..., I), W: (O, I), A: (r, I), B: (O, r)."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, a: Any, b: Any, scale: float) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (N, I)
        low = rows @ a.T  # (N, r)
        y = torch.nn.functional.linear(rows, weight, bias).addmm_(low, b.T, alpha=scale)  # (N, O)
        ctx.save_for_backward(x, weight, a, b, low)
        ctx.scale = scale
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, a, b, low = ctx.saved_tensors
        rows, outer = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])  # (N, I), (N, O)
        inner = outer @ b  # (N, r)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (outer @ weight).addmm_(inner, a, alpha=ctx.scale).view(x.shape)
        return of_x, None, None, (inner.T @ rows) * ctx.scale, (outer.T @ low) * ctx.scale, None


@contextmanager
def fused_lora(model: torch.nn.Module) -> Iterator[int]:
    """Inside, the adapters of `model` are computed here; yields how many layers are."""
    layers = [module for module in model.modules() if _is_plain(module)]
    for layer in layers:
        layer.forward = _forward_of(layer)
    try:
        yield len(layers)
    finally:
        for layer in layers:
            # Uncovers the method of the class.
            del layer.forward


def _is_plain(module: Any) -> bool:
    return (
        isinstance(module, Linear)
        and type(module.base_layer) is torch.nn.Linear
        and list(module.lora_A) == ["default"]
        and isinstance(module.lora_dropout["default"], torch.nn.Identity)
        and not module.lora_variant
        and not module.lora_bias["default"]
        and not module.merged
    )


def _forward_of(layer: Any) -> Any:
    base, scale = layer.base_layer, layer.scaling["default"]
    a, b = layer.lora_A["default"], layer.lora_B["default"]

    def forward(x: torch.Tensor) -> Any:
        # The weights of now: a model in parts puts whole ones in place for every pass.
        return _LowRankLinear.apply(x, base.weight, base.bias, a.weight, b.weight, scale)  # type: ignore[no-untyped-call]

    return forward
