"""Which runner serves a model: our kernels where they can, transformers' own code everywhere else.

The kernels serve Llama-like models on x86 processors with AVX2. `HEEDFUL_KERNELS=0` switches them off.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from heedful.generate.local.rows import Answer
from heedful.models.loading import LoadedModel
from heedful.models.names import cache_folder

# What a Llama-like model may be called; the arithmetic is the same.
_FAMILY = frozenset({"llama", "mistral", "qwen2"})
_FEATURES = ("avx2", "fma", "f16c")
# Tokens in one pass of the kernels: a longer one makes those who are being answered wait.
_ROWS_PER_PASS = 256


Precision = Literal["float32", "bfloat16", "int8"]


class Runner(Protocol):
    """Writes answers. Used by one thread at a time."""

    @property
    def rows(self) -> Sequence[Answer]:
        """Answers that are being written."""

    @property
    def num_tokens_kept(self) -> int:
        """Room that running answers hold, in tokens."""

    def why_never(self, answer: Answer) -> str:
        """Why there can never be room for `answer`; empty when there can."""

    def step(self, queue: deque[Answer]) -> None:
        """Take from the queue what fits, and write the next tokens."""

    def score(self, items: Sequence[tuple[Sequence[int], int]]) -> list[float]:
        """For each (ids, how many of the last are scored) their log-likelihood."""

    def tidy(self) -> None:
        """Free what ended answers hold."""

    def abandon(self) -> None:
        """End all answers with the reason "error"."""

    def close(self) -> None:
        """Let go of the model."""


def why_not_kernels(model: Any) -> str:
    """Why our kernels do not serve `model` here; empty when they do."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = inner.config
    head_dim = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // max(
        getattr(config, "num_attention_heads", 1), 1
    )
    is_sliding = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    adapters = getattr(model, "peft_config", {}).values()
    reasons = {
        "HEEDFUL_KERNELS=0": os.environ.get("HEEDFUL_KERNELS") == "0",
        f"the model is a {config.model_type}, not like Llama": config.model_type not in _FAMILY,
        f"the model is on {inner.device}": inner.device.type != "cpu",
        f"its activation is {getattr(config, 'hidden_act', '')}": getattr(config, "hidden_act", "silu") != "silu",
        f"its heads have {head_dim} numbers, not a multiple of 16": head_dim % 16 != 0,
        "its attention slides": bool(is_sliding),
        f"its positions are {rope}": rope not in ("default", "linear", "llama3"),
        "its output layers have biases": bool(getattr(config, "mlp_bias", False))
        or (config.model_type == "llama" and bool(getattr(config, "attention_bias", False))),
        "its adapter is not LoRA": any(str(adapter.peft_type.value) != "LORA" for adapter in adapters),
    }
    found = next((reason for reason, holds in reasons.items() if holds), "")
    return found or _machine_lacks()


def _machine_lacks() -> str:
    try:
        from llvmlite import binding
    except ImportError:
        return "numba is not installed"
    features = binding.get_host_cpu_features()
    missing = [name for name in _FEATURES if not features.get(name)]
    return f"this processor lacks {', '.join(missing)}" if missing else ""


def open_kernels(
    loaded: LoadedModel,
    precision: Precision,
    *,
    max_batch: int,
    max_length: int,
    max_memory: int,
    key: str,
    shares: bool,
    adapters: Mapping[str, Path],
    max_adapter_memory: int,
) -> Runner:
    """A runner on our kernels; `key` names the packed weights in the cache."""
    from heedful.generate.local.kernels.attention import BLOCK
    from heedful.generate.local.kernels.model import KernelModel, block_bytes
    from heedful.generate.local.kernels.weights import cache_name, pack
    from heedful.generate.local.paged import PagedRunner
    from heedful.generate.local.shelf import Shelf

    inner = loaded.model.get_base_model() if hasattr(loaded.model, "get_base_model") else loaded.model
    cache = cache_folder() / "packed" / cache_name(key, precision) if precision == "int8" else None
    weights = pack(loaded.model, precision, cache)
    shelf = Shelf(adapters, weights.sizes, max_adapter_memory)
    positions = torch.arange(max_length + shelf.max_virtual)[None]
    num_blocks = max(max_memory // block_bytes(weights), 2 * -(-positions.shape[1] // BLOCK))
    cosines, sines = inner.model.rotary_emb(torch.zeros(1, 1), positions)
    half = cosines.shape[-1] // 2
    model = KernelModel(
        weights,
        (cosines[0, :, :half], sines[0, :, :half]),
        num_blocks=num_blocks,
        max_rows=_ROWS_PER_PASS,
        threads=torch.get_num_threads(),
    )
    return PagedRunner(model, shelf, max_batch=max_batch, shares=shares)
