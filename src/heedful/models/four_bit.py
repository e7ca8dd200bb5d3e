"""Weights of four bits on a GPU, over which adapters are trained (QLoRA, Dettmers et al., arXiv:2305.14314)."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from heedful.errors import ModelError
from heedful.models.loading import LoadedModel


def why_not_four_bit() -> str:
    """Why this machine holds no weights of four bits; empty when it does."""
    if not torch.cuda.is_available():
        return "tune.four_bit needs a GPU, and torch finds none here: leave it out"
    if importlib.util.find_spec("bitsandbytes") is None:
        return "tune.four_bit needs bitsandbytes, which is not installed: pip install 'heedful[fourbit]'"
    return ""


def in_four_bit(loaded: LoadedModel) -> LoadedModel:
    """The same model on the GPU, its linear layers in 4-bit NormalFloat; raises ModelError where that cannot be."""
    if why_not := why_not_four_bit():
        raise ModelError(why_not)
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    kind: Any = type(loaded.model)
    model = kind.from_pretrained(
        loaded.folder,
        quantization_config=config,
        device_map={"": torch.cuda.current_device()},
        dtype=torch.bfloat16,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    return replace(loaded, model=model.eval().requires_grad_(False))
