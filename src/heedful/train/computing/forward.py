"""One pass of a model over a batch, rows packed or padded: virtual tokens come first, and logits only where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from heedful.models.virtual import embedded_behind, num_virtual, prefix_cache, virtual_kind
from heedful.train.rows.packing import PackedBatch, behind


def inner_of(model: Any) -> Any:
    """The transformers model in a peft model, its adapters included where they lie in its layers."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def packed_states(model: Any, batch: PackedBatch) -> torch.Tensor:
    """What the last layer says of each token, (N, H); the model must be inside `reads_packed`."""
    num, ids = num_virtual(model), batch.input_ids
    positions, spans, inputs = batch.position_ids, batch.spans, {"input_ids": ids}
    if num:
        positions, spans = positions + num, behind(spans, num)
        inputs |= _virtual(model, ids)
    if "inputs_embeds" in inputs:
        # A prompt's tokens are read, too; of a prefix's there is nothing to read.
        positions = torch.cat([torch.arange(num, device=ids.device)[None], positions], dim=1)
    read = inner_of(model).base_model(**inputs, position_ids=positions, packed_spans=spans, use_cache=False)
    states: torch.Tensor = read.last_hidden_state[0]
    return states[-ids.shape[1] :]


def padded_logits(model: Any, ids: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """ids (B, T) of rows that are padded at their ends, wanted (B, T) -> logits where wanted, (M, V)."""
    inputs = {"input_ids": ids, **_virtual(model, ids)}
    if "inputs_embeds" in inputs:
        wanted = torch.nn.functional.pad(wanted, (num_virtual(model), 0))
    called = inner_of(model) if num_virtual(model) else model
    with logits_only_where(model, wanted):
        logits: torch.Tensor = called(**inputs, use_cache=False).logits
    return logits


def _virtual(model: Any, ids: torch.Tensor) -> dict[str, Any]:
    """Arguments by which `inner_of(model)` reads the virtual tokens of `model` before each row of ids (B, T)."""
    match virtual_kind(model):
        case "prefix":
            return {"past_key_values": prefix_cache(model, len(ids))}
        case "prompt":
            return {"input_ids": None, "inputs_embeds": embedded_behind(model, ids)}
        case _:
            return {}


@contextmanager
def logits_only_where(model: Any, positions: torch.Tensor) -> Iterator[None]:
    """Let the output layer see only hidden states at `positions` (B, T): logits become (M, V).

    With 49,152 words the output layer of a 135M model is a fifth of the arithmetic and most of the memory.
    Done with a hook, so that whatever a model does to its logits afterwards (soft caps, scales) still happens.
    """

    def select(module: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (arguments[0][positions], *arguments[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
