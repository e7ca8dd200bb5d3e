"""A Llama model's weights in the order in which the kernels read them, made from a transformers model once.

8-bit weights are kept in a file beside other conversions: making them takes seconds, reading them a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from heedful.generate.local.kernels.tiles import COLUMNS, GROUP
from heedful.generate.local.opening import Precision
from heedful.project.atomic import atomic_write

_LARGEST = 127
# Rows are padded to this many numbers: whole groups, and whole panels where they are outputs.
_UNIT = 64
# Raised by hand when the order of the numbers in the file changes.
_LAYOUT = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a model, in numbers; rows are padded with zeros to whole groups."""

    num_layers: int
    hidden: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    epsilon: float

    @property
    def qkv(self) -> int:
        return (self.num_heads + 2 * self.num_kv_heads) * self.head_dim


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything that the kernels read; `tensors` owns the memory."""

    precision: Precision
    sizes: Sizes
    embeddings: torch.Tensor
    """(vocabulary, hidden)."""
    tensors: Mapping[str, torch.Tensor]
    """By name: "0.qkv", "0.qkv.scales" ..., "norm", "head"."""

    def address(self, name: str) -> int:
        """Of a tensor; 0 when there is none of this name."""
        return self.tensors[name].data_ptr() if name in self.tensors else 0


def padded(size: int, multiple: int = _UNIT) -> int:
    """`size`, or the next multiple."""
    return -(-size // multiple) * multiple


def sizes_of(config: Any) -> Sizes:
    """Read from a transformers configuration."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Sizes(
        num_layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_dim=head_dim,
        intermediate=config.intermediate_size,
        vocabulary=config.vocab_size,
        epsilon=config.rms_norm_eps,
    )


def pack(model: Any, precision: Precision, cache: Path | None = None) -> Weights:
    """Pack a Llama-like causal language model, adapters that peft put on it added in.

    `cache` is a file for the packed numbers: read when it is there, else written. It must be named after the weights.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    embeddings = inner.get_input_embeddings().weight.detach()
    sizes = sizes_of(inner.config)
    tensors = _read(cache) if cache else None
    if tensors is None:
        tensors = _packed(inner, precision)
        if cache:
            with atomic_write(cache) as path:
                save_file(tensors, path)
    return Weights(precision, sizes, embeddings, tensors)


def cache_name(identity: str, precision: Precision) -> str:
    """What the file of packed weights is called."""
    return f"{identity}-{precision}-{_LAYOUT}.safetensors"


def _read(path: Path) -> dict[str, torch.Tensor] | None:
    try:
        return load_file(path) if path.is_file() else None
    except (OSError, SafetensorError):
        return None  # Made anew, and overwritten.


def _packed(model: Any, precision: Precision) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}

    def keep(name: str, parts: list[torch.Tensor]) -> None:
        tensors.update(_panels(name, parts, precision))

    for number, layer in enumerate(model.model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        keep(f"{number}.qkv", [torch.cat([_weight(part) for part in projections])])
        biases = [part.bias for part in projections]
        if biases[0] is not None:
            tensors[f"{number}.qkv.bias"] = _row(torch.cat([bias.detach().float() for bias in biases]), COLUMNS)
        keep(f"{number}.out", [_weight(attention.o_proj)])
        keep(f"{number}.gate_up", [_weight(mlp.gate_proj), _weight(mlp.up_proj)])
        keep(f"{number}.down", [_weight(mlp.down_proj)])
        tensors[f"{number}.norm"] = _row(layer.input_layernorm.weight)
        tensors[f"{number}.mlp_norm"] = _row(layer.post_attention_layernorm.weight)
    tensors["norm"] = _row(model.model.norm.weight)
    keep("head", [_weight(model.get_output_embeddings())])
    return tensors


def _weight(module: Any) -> torch.Tensor:
    """(outputs, inputs) floats, with what active LoRA adapters add."""
    base: torch.Tensor = getattr(module, "base_layer", module).weight.detach().float()
    for adapter in getattr(module, "active_adapters", []):
        if adapter in getattr(module, "lora_A", {}):
            base = base + module.get_delta_weight(adapter).detach().float()
    return base


def _row(values: torch.Tensor, multiple: int = _UNIT) -> torch.Tensor:
    values = values.detach().float()
    return torch.nn.functional.pad(values, (0, padded(len(values), multiple) - len(values))).contiguous()


def _panels(name: str, parts: list[torch.Tensor], precision: Precision) -> dict[str, torch.Tensor]:
    """Panels of each of `parts` (outputs, inputs), by turns: (panels, parts, inputs, 16) before the numbers' own form."""
    made: list[dict[str, torch.Tensor]] = []
    for part in parts:
        # Outputs are padded so that the next layer finds whole groups, too.
        outputs, inputs = part.shape
        weights = torch.nn.functional.pad(part, (0, padded(inputs) - inputs, 0, padded(outputs) - outputs))
        made.append(_FORMS[precision](weights.view(-1, COLUMNS, weights.shape[1])))
    return {name + key: torch.stack([part[key] for part in made], dim=1).contiguous() for key in made[0]}


def _as_floats(weights: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"": weights.transpose(1, 2)}


def _as_bf16(weights: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"": _pairs(weights.to(torch.bfloat16))}


def _as_int8(weights: torch.Tensor) -> dict[str, torch.Tensor]:
    panels, _, inputs = weights.shape
    groups = weights.view(panels, COLUMNS, inputs // GROUP, GROUP)
    scales = (groups.abs().amax(dim=-1) / _LARGEST).half()  # (panels, 16, groups)
    steps = (groups / scales.float().clamp(min=torch.finfo(torch.float16).tiny)[..., None]).round()
    return {"": _pairs(steps.clamp(-128, 127).to(torch.int8)), ".scales": scales.transpose(1, 2)}


def _pairs(weights: torch.Tensor) -> torch.Tensor:
    """(panels, inputs / 2, 16, 2) of (panels, 16, inputs, ...)."""
    return weights.reshape(len(weights), COLUMNS, -1, 2).transpose(1, 2)


_FORMS: Mapping[Precision, Callable[[torch.Tensor], dict[str, torch.Tensor]]] = {
    "float32": _as_floats,
    "bfloat16": _as_bf16,
    "int8": _as_int8,
}
