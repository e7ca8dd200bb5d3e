"""Adapters beside packed weights: each row of a step may have its own.

LoRA (arXiv:2106.09685) adds B (A x) to a layer's result; where no row of a step has one, nothing of this is run. Prefix tuning
(arXiv:2101.00190) brings keys and values of virtual tokens before the prompt, prompt tuning (arXiv:2104.08691) their embeddings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit
from safetensors import SafetensorError
from safetensors.torch import load_file

from heedful.errors import ModelError
from heedful.generate.local.kernels.lanes import add_row, dot_rows, load_float, load_int, store_float
from heedful.generate.local.kernels.simd import LANES
from heedful.generate.local.kernels.weights import Sizes, padded

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Q, K, V, O, GATE, UP, DOWN = range(7)  # noqa: E741
NUM_FIELDS = 3
"""Of a module in the table: address of A (rank, inputs), address of B transposed (rank, outputs), rank; 0 for none."""
MAX_RANK = 256


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that kernels can read; `tensors` owns the memory. Of table, prefix and embeddings it has one."""

    tensors: Sequence[torch.Tensor]
    table: Any = None
    """(layers, modules, NUM_FIELDS) integers: where LoRA's matrices lie."""
    prefix: torch.Tensor | None = None
    """(layers, 2, key-value heads, virtual tokens, head_dim): keys and values, as attention sees them."""
    embeddings: torch.Tensor | None = None
    """(virtual tokens, hidden)."""

    @property
    def address(self) -> int:
        """Of the table; 0 without one."""
        return int(self.table.ctypes.data) if self.table is not None else 0

    @property
    def num_virtual(self) -> int:
        """Tokens that stand before the prompt."""
        if self.prefix is not None:
            return int(self.prefix.shape[3])
        return len(self.embeddings) if self.embeddings is not None else 0

    @property
    def num_bytes(self) -> int:
        """Memory that it holds."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors)


def read_adapter(folder: Path, sizes: Sizes) -> Adapter:
    """Read an adapter as peft saves it; raises ModelError for what the kernels cannot apply."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{folder} is no adapter that can be read ({error}); name a folder that `heedful tune` or peft made"
        ) from None
    kind = config.get("peft_type")
    if kind not in _READERS:
        raise ModelError(
            f"{folder} is an adapter of the kind {kind}; these can be chosen per request: {', '.join(_READERS)}; merge others into their base"
        )
    return _READERS[kind](folder, config, weights, sizes)


def _read_lora(folder: Path, config: Any, weights: Mapping[str, torch.Tensor], sizes: Sizes) -> Adapter:
    unknown = [
        key
        for key in ("modules_to_save", "layer_replication", "use_dora", "alora_invocation_tokens")
        if config.get(key)
    ]
    if config.get("bias", "none") != "none" or unknown:
        raise ModelError(
            f"{folder}: only plain LoRA can be chosen per request, not with {', '.join(unknown) or 'biases'}; merge it into its base"
        )
    table = np.zeros((sizes.num_layers, len(MODULES), NUM_FIELDS), np.int64)
    kept: list[torch.Tensor] = []
    for name, first in weights.items():
        layer, module, half = _place(folder, name, sizes)
        if half != "A":
            continue
        rank = len(first)
        if rank > MAX_RANK:
            raise ModelError(f"{folder}: rank {rank} is more than {MAX_RANK}; merge this adapter into its base")
        alpha = config.get("alpha_pattern", {}).get(module, config["lora_alpha"])
        scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
        second = weights[name.replace("lora_A", "lora_B")].float().T * scale  # (rank, outputs)
        parts = [_padded(first.float(), 64), _padded(second, LANES if module in MODULES[:3] else 64)]
        kept += parts
        table[layer, MODULES.index(module)] = [*(part.data_ptr() for part in parts), rank]
    return Adapter(kept, table=table)


def _read_prefix(folder: Path, config: Any, weights: Mapping[str, torch.Tensor], sizes: Sizes) -> Adapter:
    saved = _virtual(folder, weights, 2 * sizes.num_layers * sizes.num_kv_heads * sizes.head_dim)
    split = saved.view(len(saved), sizes.num_layers, 2, sizes.num_kv_heads, sizes.head_dim)
    prefix = split.permute(1, 2, 3, 0, 4).contiguous()
    return Adapter([prefix], prefix=prefix)


def _read_prompt(folder: Path, config: Any, weights: Mapping[str, torch.Tensor], sizes: Sizes) -> Adapter:
    embeddings = _virtual(folder, weights, sizes.hidden)
    return Adapter([embeddings], embeddings=embeddings)


def _virtual(folder: Path, weights: Mapping[str, torch.Tensor], width: int) -> torch.Tensor:
    """The virtual tokens, (tokens, width)."""
    saved = weights.get("prompt_embeddings")
    if saved is None or saved.dim() != 2 or saved.shape[1] != width:
        found = "nothing of that name" if saved is None else str(tuple(saved.shape))
        raise ModelError(
            f"{folder}: prompt_embeddings are expected with {width} numbers for each virtual token, found {found}; the adapter was "
            "made for another model"
        )
    return saved.float().contiguous()


_READERS: Mapping[str, Callable[[Path, Any, Mapping[str, torch.Tensor], Sizes], Adapter]] = {
    "LORA": _read_lora,
    "PREFIX_TUNING": _read_prefix,
    "PROMPT_TUNING": _read_prompt,
    "P_TUNING": _read_prompt,
}


def _place(folder: Path, name: str, sizes: Sizes) -> tuple[int, str, str]:
    parts = name.split(".")
    if "layers" in parts and parts[-1] == "weight" and parts[-2] in ("lora_A", "lora_B") and parts[-3] in MODULES:
        layer = int(parts[parts.index("layers") + 1])
        if layer < sizes.num_layers:
            return layer, parts[-3], parts[-2][-1]
    raise ModelError(f"{folder}: {name} belongs to no layer of this model; the adapter was made for another one")


def _padded(values: torch.Tensor, multiple: int) -> torch.Tensor:
    return torch.nn.functional.pad(values, (0, padded(values.shape[1], multiple) - values.shape[1])).contiguous()


@njit(nogil=True, cache=True)
def field_of(table, layer, module, field):  # type: ignore[no-untyped-def]
    """A number of an adapter's table."""
    return load_int(table + ((layer * 7 + module) * 3 + field) * 8)


@njit(nogil=True, cache=True)
def shrink(table, layer, module, x, num_vectors, inner):  # type: ignore[no-untyped-def]
    """inner = A x; returns the rank, 0 where the adapter leaves this module alone."""
    rank = field_of(table, layer, module, 2)
    for number in range(rank):
        row = field_of(table, layer, module, 0) + number * num_vectors * 4 * LANES
        store_float(inner + number * 4, dot_rows(row, x, num_vectors))
    return rank


@njit(nogil=True, cache=True)
def grow(table, layer, module, rank, inner, first, y, num_vectors, stride):  # type: ignore[no-untyped-def]
    """y += B inner, for `num_vectors` vectors of outputs from vector `first` on; rows of B are `stride` vectors long."""
    for number in range(rank):
        row = field_of(table, layer, module, 1) + (number * stride + first) * 4 * LANES
        add_row(row, y, load_float(inner + number * 4), num_vectors)
