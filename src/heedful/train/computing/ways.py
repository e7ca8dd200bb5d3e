"""How a model is computed while it is trained: in which numbers, packed or padded, with which faster pieces.

Everything here changes the speed, and nothing what is learned; where a model cannot be computed so, it is said why.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from heedful.project import Watcher
from heedful.train.computing.attention import reads_packed, why_not_packed
from heedful.train.computing.fused_lora import fused_lora
from heedful.train.computing.fused_rows import fused_rows
from heedful.train.computing.head import why_not_head_loss
from heedful.train.computing.memory import keep_freed_memory
from heedful.train.computing.numbers import computed_in


def why_padded(model: Any, longest: int) -> str:
    """Why rows of up to `longest` tokens are padded and not packed; empty when they are packed."""
    return why_not_packed(model, longest) or why_not_head_loss(model)


@contextmanager
def computed_fast(model: Any, dtype: torch.dtype, *, packed: bool) -> Iterator[None]:
    """All of it."""
    if any(parameter.device.type == "cpu" for parameter in model.parameters()):
        keep_freed_memory()
    with ExitStack() as stack:
        stack.enter_context(computed_in(model, dtype))
        stack.enter_context(fused_lora(model))
        stack.enter_context(fused_rows(model))
        if packed:
            stack.enter_context(reads_packed(model))
        yield


def describe(dtype: torch.dtype, why_not_packed_: str, watcher: Watcher) -> None:
    """Say it."""
    numbers = str(dtype).removeprefix("torch.")
    watcher.say(
        f"computed in {numbers}, rows padded: {why_not_packed_}"
        if why_not_packed_
        else f"computed in {numbers}, packed"
    )
