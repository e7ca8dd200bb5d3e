"""Load a model by name: a package, a local folder (full weights or an adapter), or the hub.

Only safetensors and GGUF weights are read, and no code that comes with a model is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from heedful.errors import ModelError, SettingsError
from heedful.models._libraries import silence, without_future_warnings
from heedful.models.convert import converted
from heedful.models.devices import chosen_device
from heedful.models.info import CheckpointInfo, read_info
from heedful.models.names import file_sha256, identity_of, locate, stable_name
from heedful.project import Silent, Watcher
from heedful.project.settings import nearest

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ENCODER_DECODERS = ("t5", "mt5", "umt5")
"""Kinds of encoder-decoders that are known to answer here as in transformers: positions are relative, nothing is forced."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready for use, with the tokenizer that belongs to it."""

    model: Any
    """A transformers language model, or the peft model around it; in evaluation mode."""
    tokenizer: Any
    name: str
    """As it was asked for; a local folder's is its absolute path."""
    identity: str
    """Hash of the weights on disk. Training in memory does not change it: saving gives the result its own."""
    folder: Path
    """The ordinary Hugging Face folder that was read."""
    info: CheckpointInfo | None
    """None for a model that Heedful did not train."""

    @property
    def is_encoder_decoder(self) -> bool:
        """An encoder reads the prompt and a decoder writes the answer (T5), rather than one decoder doing both."""
        return bool(self.model.config.is_encoder_decoder)


def load(
    name: str | Path, *, dtype: str = "float32", device: str | None = None, watcher: Watcher | None = None
) -> LoadedModel:
    """Load `name` to `device`, or to where this machine computes; the first use of a GGUF converts it, which takes a minute and is
    reported to `watcher`.
    """
    if dtype not in DTYPES:
        raise SettingsError(f"unknown dtype {dtype!r}; {nearest(dtype, list(DTYPES))}")
    silence()
    location = locate(name)
    if location.kind == "gguf":
        folder, info = converted(location.path, watcher or Silent()), None
    else:
        folder, info = location.path, read_info(location.path)
    if info is not None:
        _check_weights(folder, info)
    elif (folder / "adapter_config.json").is_file():
        raise ModelError(f"{folder} is an adapter without heedful.json, so its base is unknown; merge it into its base")
    loader = _load_adapter if info is not None and info.adapter else _load_full
    model = loader(folder, info, DTYPES[dtype], watcher)
    model.eval().requires_grad_(False)
    return LoadedModel(
        model=model.to(device or chosen_device()),
        tokenizer=_read(folder, AutoTokenizer.from_pretrained, folder, local_files_only=True, trust_remote_code=False),
        name=stable_name(name),
        identity=identity_of(name),
        folder=folder,
        info=info,
    )


def _load_full(folder: Path, info: CheckpointInfo | None, dtype: torch.dtype, watcher: Watcher | None) -> Any:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is not a model folder: it has no config.json")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} holds no *.safetensors weights; other formats, pickles above all, are never loaded")
    model, report = _read(
        folder,
        _model_class(folder).from_pretrained,
        folder,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{folder} lacks weights that a {type(model).__name__} needs, {missing[0]} for one, and would answer at random; "
            "it may be an encoder or a classifier, or incomplete: name a folder with a whole language model"
        )
    return model


def _model_class(folder: Path) -> Any:
    """Which class of transformers reads the folder; raises ModelError for models that do not write text."""
    config = _read(folder, AutoConfig.from_pretrained, folder, local_files_only=True, trust_remote_code=False)
    kind = config.model_type
    if config.is_encoder_decoder:
        if kind not in ENCODER_DECODERS:
            raise ModelError(
                f"{folder} is an encoder-decoder of the kind {kind!r}; of those Heedful runs the T5 family "
                f"({', '.join(ENCODER_DECODERS)}): name one of them, or a decoder-only model"
            )
        return AutoModelForSeq2SeqLM
    is_encoder = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if is_encoder or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        what = "an encoder: it reads text and cannot write any" if is_encoder else "no language model that writes text"
        raise ModelError(f"{folder} is a {kind} model, {what}; name a model that generates, like Llama, GPT-2 or T5")
    return AutoModelForCausalLM


def _load_adapter(folder: Path, info: CheckpointInfo | None, dtype: torch.dtype, watcher: Watcher | None) -> Any:
    from peft import PeftModel

    assert info is not None
    actual = identity_of(info.base_model)
    if actual != info.base_identity:
        raise ModelError(
            f"{folder} was trained on {info.base_model!r} with identity {info.base_identity}, but that name now stands "
            f"for {actual}; bring back the base that it was trained on, or train again"
        )
    base = load(info.base_model, watcher=watcher)
    with without_future_warnings():
        model = _read(folder, PeftModel.from_pretrained, base.model, folder, local_files_only=True)
    return model.to(dtype)


def _check_weights(folder: Path, info: CheckpointInfo) -> None:
    for file, expected in info.weights_sha256.items():
        path = folder / Path(file).name
        if not path.is_file():
            raise ModelError(f"{folder} is incomplete: {path.name} is missing; train this checkpoint again")
        if file_sha256(path) != expected:
            raise ModelError(
                f"{path} is damaged or was exchanged: its hash is not the one in heedful.json; train again"
            )


def _read(folder: Path, function: Any, *arguments: Any, **keywords: Any) -> Any:
    """Call a library's loader; what it cannot read becomes a ModelError that names the folder."""
    try:
        return function(*arguments, **keywords)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{folder} cannot be loaded: {first}; the files may be damaged: restore them, or, "
            "if the folder lies in Heedful's cache, delete it and run again"
        ) from error
