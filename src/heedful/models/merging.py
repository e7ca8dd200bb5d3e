"""Adapter + base -> one model with full weights, and the ordinary Hugging Face folder that every other tool loads.

The sum is computed in the precision that the base was loaded in. It answers as base and adapter do, but for rounding:
adding first and multiplying once rounds otherwise than multiplying twice and adding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft import PeftModel

from heedful.errors import ModelError
from heedful.models._libraries import without_future_warnings
from heedful.models.adapters import save_checkpoint
from heedful.models.loading import LoadedModel
from heedful.models.virtual import virtual_kind


def merged(loaded: LoadedModel) -> LoadedModel:
    """`loaded` with its adapter added into the weights, in place; as it is when it carries none."""
    if not isinstance(loaded.model, PeftModel):
        return loaded
    if kind := virtual_kind(loaded.model):
        raise ModelError(
            f"{loaded.name} carries a {kind}, which stands before what is read and cannot be added into the weights: use it as "
            'the adapter that it is, or tune with tune.adapter = "lora"'
        )
    with without_future_warnings():
        try:
            model = loaded.model.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise ModelError(f"{loaded.folder}: the adapter cannot be merged ({error}); train it again") from error
    return replace(loaded, model=model.eval())


def save_merged(
    loaded: LoadedModel,
    folder: Path,
    *,
    base: str,
    end_of_turn_ids: Sequence[int],
    template_hash: str,
    extra: Mapping[str, Any],
) -> None:
    """Write a tuned model with full weights; `base` is how the folder names what it was trained from.

    Other tools stop at the ends of turn that training taught: they stand in `generation_config.json`.
    """
    assert not isinstance(loaded.model, PeftModel), "merge the adapter first"
    assert loaded.info is not None, "only a model that Heedful trained has a template to prove"
    ends = list(end_of_turn_ids)
    model, tokenizer = loaded.model, loaded.tokenizer
    for config in (model.config, model.generation_config):
        config.eos_token_id = ends[0] if len(ends) == 1 else ends
        config.bos_token_id = tokenizer.bos_token_id
        # Batches need something to pad with; what it is does not matter, it is masked.
        config.pad_token_id = ends[-1] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    # Else "derived from the model's configuration", and tools may derive it again.
    model.generation_config._from_model_config = False
    # Where the base lay on this machine is nobody else's business.
    model.config.name_or_path = ""
    named = replace(loaded, name=base, identity=loaded.info.base_identity)
    save_checkpoint(named, folder, template_hash=template_hash, extra=extra)
