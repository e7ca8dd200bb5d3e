"""Virtual tokens, the cheapest adapters: what is trained stands before the prompt, and the model stays as it is.

Prefix tuning (Li & Liang, arXiv:2101.00190) trains the keys and values of virtual tokens in every layer, prompt tuning (Lester
et al., arXiv:2104.08691) only their embeddings. Both begin as real tokens do: the first answers as if it had read them
just before the prompt, and so does the second. Saved, they are ordinary peft folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig
from transformers.cache_utils import DynamicCache

from heedful.errors import ModelError
from heedful.models.adapters import check_bare, wrapped
from heedful.models.loading import LoadedModel

Kind = Literal["prefix", "prompt", ""]
_KINDS: dict[str, Kind] = {"PREFIX_TUNING": "prefix", "PROMPT_TUNING": "prompt"}


def virtual_kind(model: Any) -> Kind:
    """Which of the two `model` carries; empty for none."""
    config = model.active_peft_config if isinstance(model, PeftModel) else None
    return "" if config is None else _KINDS.get(str(config.peft_type.value), "")


def num_virtual(model: Any) -> int:
    """How many virtual tokens stand before a prompt."""
    return int(model.active_peft_config.num_virtual_tokens) if virtual_kind(model) else 0


def add_prefix(loaded: LoadedModel, ids: Sequence[int]) -> LoadedModel:
    """Put a prefix into the model: keys and values of the real tokens `ids`, trainable from there.

    They are trained themselves, without the network that Li & Liang put before them: what that is for, a good beginning, real
    keys and values are.
    """
    _check(loaded, ids)
    if loaded.is_encoder_decoder:
        raise ModelError(
            f"{loaded.name} is an encoder-decoder, which takes no prefix: set tune.adapter to lora or prompt"
        )
    base = loaded.model
    with torch.no_grad():
        layers = base(input_ids=torch.tensor([list(ids)], device=base.device), use_cache=True).past_key_values.layers
    states = torch.stack([torch.stack([layer.keys[0], layer.values[0]]) for layer in layers])  # (L, 2, K, V, D)
    model = _wrapped(base, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=len(ids)))
    config = model.active_peft_config
    num_heads, size = config.num_attention_heads, config.token_dim // config.num_attention_heads
    if states.shape != (config.num_layers, 2, num_heads, len(ids), size):
        raise ModelError(
            f"{loaded.name} keeps keys and values of the shape {tuple(states.shape[2:])} in {len(states)} layers, which peft "
            f"expects to be {(num_heads, len(ids), size)} in {config.num_layers}: set tune.adapter to lora or prompt"
        )
    _weight(model).data.copy_(states.permute(3, 0, 1, 2, 4).reshape(len(ids), -1))
    return replace(loaded, model=model)


def add_prompt(loaded: LoadedModel, ids: Sequence[int]) -> LoadedModel:
    """Put a prompt into the model: the embeddings of the real tokens `ids`, trainable from there. Encoders read it, too."""
    _check(loaded, ids)
    base = loaded.model
    with torch.no_grad():
        embedded = base.get_input_embeddings()(torch.tensor(list(ids), device=base.device))  # (V, H)
    config = PromptTuningConfig(
        task_type="SEQ_2_SEQ_LM" if loaded.is_encoder_decoder else "CAUSAL_LM",
        num_virtual_tokens=len(ids),
        num_transformer_submodules=1,
    )
    model = _wrapped(base, config)
    _weight(model).data.copy_(embedded)
    return replace(loaded, model=model)


def embedded_virtual(model: Any) -> torch.Tensor:
    """The virtual tokens of a prompt, (V, H), as the first layer reads them."""
    return _weight(model).to(model.get_base_model().dtype)


def embedded_behind(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """The virtual tokens of a prompt and `ids` (B, T) behind them in each row, (B, V + T, H)."""
    embedded = model.get_base_model().get_input_embeddings()(ids)
    return torch.cat([embedded_virtual(model).expand(len(ids), -1, -1), embedded], dim=1)


def prefix_cache(model: Any, num_rows: int, cache: DynamicCache | None = None) -> DynamicCache:
    """The keys and values of a prefix, the same for each of `num_rows`, put into an empty cache. Gradients reach them."""
    config, base = model.active_peft_config, model.get_base_model()
    cache = DynamicCache(config=base.config.get_text_config()) if cache is None else cache
    size = config.token_dim // config.num_attention_heads
    states = _weight(model).to(base.dtype).view(-1, config.num_layers, 2, config.num_attention_heads, size)
    for layer, (keys, values) in enumerate(states.permute(1, 2, 3, 0, 4)):  # (L, 2, K, V, D)
        cache.update(keys.expand(num_rows, -1, -1, -1), values.expand(num_rows, -1, -1, -1), layer)
    return cache


def _check(loaded: LoadedModel, ids: Sequence[int]) -> None:
    check_bare(loaded)
    assert ids, "virtual tokens begin as real ones"


def _wrapped(base: Any, config: Any) -> Any:
    """What is drawn is overwritten at once, so any seed does."""
    return wrapped(base, config, seed=0)


def _weight(model: Any) -> torch.nn.Parameter:
    parameter: torch.nn.Parameter = model.prompt_encoder[model.active_adapter].embedding.weight
    return parameter
