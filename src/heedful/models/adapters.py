"""LoRA adapters (Hu et al., arXiv:2106.09685) on every linear layer, and checkpoints that plain peft can load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from heedful.errors import ModelError
from heedful.models._libraries import without_future_warnings
from heedful.models.info import CheckpointInfo, write_info
from heedful.models.loading import LoadedModel
from heedful.models.names import file_sha256
from heedful.project import write_json


def add_lora(loaded: LoadedModel, *, rank: int, alpha: float, dropout: float, seed: int) -> LoadedModel:
    """Put fresh adapters into the model, in place; only they are trainable. Equal seeds give equal adapters.

    The new model answers as its base until it is trained: one of each adapter's two matrices starts at zero.
    """
    check_bare(loaded)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        bias="none",
        task_type="SEQ_2_SEQ_LM" if loaded.is_encoder_decoder else "CAUSAL_LM",
    )
    return replace(loaded, model=wrapped(loaded.model, config, seed=seed))


def check_bare(loaded: LoadedModel) -> None:
    """Raise ModelError for a model that carries an adapter, since it can take no other."""
    if isinstance(loaded.model, PeftModel):
        raise ModelError(f"{loaded.name} already carries an adapter; load its base and train that")


def wrapped(base: Any, config: Any, *, seed: int) -> Any:
    """`base` with an adapter of peft's `config`; `seed` decides its first weights."""
    # peft draws from torch's global state, which must look untouched afterwards.
    with torch.random.fork_rng(), without_future_warnings():
        torch.manual_seed(seed)
        return get_peft_model(base, config)


def save_checkpoint(loaded: LoadedModel, folder: Path, *, template_hash: str, extra: Mapping[str, Any]) -> None:
    """Write weights, tokenizer (chat template included) and `heedful.json`; equal weights give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    is_adapter = isinstance(loaded.model, PeftModel)
    with without_future_warnings():
        loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    if is_adapter:
        _tidy_adapter(folder, loaded.name)
    weights = sorted(folder.glob("*.safetensors"))
    info = CheckpointInfo(
        base_model=loaded.name,
        base_identity=loaded.identity,
        template_hash=template_hash,
        weights_sha256={path.name: file_sha256(path) for path in weights},
        adapter=is_adapter,
        extra=dict(extra),
    )
    write_info(folder, info)


def _tidy_adapter(folder: Path, base: str) -> None:
    # peft writes sets in an order that changes from process to process, a path of this machine, and an empty card.
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            config[key] = sorted(value)
    write_json(path, dict(sorted(config.items())))
    (folder / "README.md").unlink(missing_ok=True)
