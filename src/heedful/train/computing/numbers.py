"""In which numbers a model is computed while it is trained, and where its exact weights are meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch

from heedful.train.settings import Precision

_EXACT: WeakKeyDictionary[Any, dict[str, torch.Tensor]] = WeakKeyDictionary()


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """Of the numbers that a model is computed in; "auto" takes bf16 where the processor multiplies them itself."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    is_fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _multiplies_bf16()
    return torch.bfloat16 if is_fast else torch.float32


def _multiplies_bf16() -> bool:
    # Emulated, bf16 is slower than 32 bits.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@contextmanager
def computed_in(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """Inside, parameters have `dtype`; buffers (positions among them) stay exact.

    What is trained is as exact afterwards as it was; frozen weights have been rounded.
    """
    # Weights of four bits lie packed in bytes.
    before = {parameter: parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    exact = {
        name: parameter.data
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter in before and parameter.dtype.itemsize > dtype.itemsize
    }
    kept = {parameter: exact[name] for name, parameter in model.named_parameters() if name in exact}
    for parameter in before:
        parameter.data = parameter.data.to(dtype)
    _EXACT[model] = exact
    try:
        yield
    finally:
        del _EXACT[model]
        for parameter, own in before.items():
            parameter.data = kept[parameter] if parameter in kept else parameter.data.to(own)


def exact_weights(model: Any) -> dict[str, torch.Tensor]:
    """By name, the trained weights of which `model` holds a rounding inside `computed_in`; the tensors, not copies."""
    return _EXACT.get(model, {})
