"""A model of the Llama family -> one GGUF file for llama.cpp and everything built on it: f32, f16 or q8_0.

Inside: weights, tokenizer, chat template, and the token that ends an answer. llama.cpp rotates neighbouring pairs of a
head's numbers where transformers rotates the first half against the second, so rows of q and k change places here.
Reading the f32 file back gives exactly the weights that went in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, LlamaFileType

from heedful.errors import ModelError
from heedful.models.gguf_tokenizer import GgufTokenizer, gguf_tokenizer
from heedful.models.loading import LoadedModel
from heedful.project import Silent, Watcher, atomic_write, steps

TYPES: Mapping[str, tuple[GGMLQuantizationType, LlamaFileType]] = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
# Their frequencies are the same for every length of text; those of the other kinds are not, or scale attention too.
_ROPE_TYPES = ("default", "linear", "llama3")


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What the file says about the model beside its weights."""

    name: str
    chat_template: str
    """Jinja text."""
    end_of_turn: int
    """The token that training taught to end an answer."""
    base_model: str = ""
    license: str = ""
    """SPDX identifier; empty when unknown."""
    languages: tuple[str, ...] = field(default=())


def check_gguf(loaded: LoadedModel) -> GgufTokenizer:
    """Raises ModelError when this model cannot be written as GGUF; cheap, to be asked before the work."""
    config = loaded.model.config
    architecture = (config.architectures or [type(loaded.model).__name__])[0]
    if config.model_type != "llama":
        raise _refused(f"its architecture is {architecture}")
    if config.hidden_act != "silu":
        raise _refused(f"its activation is {config.hidden_act}, where llama.cpp's Llama has silu")
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    if rope not in _ROPE_TYPES:
        raise _refused(f"its rotary positions are of type {rope!r}, not one of {', '.join(_ROPE_TYPES)}")
    return gguf_tokenizer(loaded.tokenizer, loaded.model.get_input_embeddings().weight.shape[0])


def write_gguf(loaded: LoadedModel, path: Path, *, type: str, facts: GgufFacts, watcher: Watcher | None = None) -> None:
    """Write `path` atomically; the model must carry no adapter any more. `type` is one of `TYPES`."""
    tokenizer = check_gguf(loaded)
    wanted, file_type = TYPES[type]
    with atomic_write(path) as temporary:
        writer = gguf.GGUFWriter(temporary, arch="llama")
        _say_general(writer, facts, file_type)
        _say_architecture(writer, loaded.model.config)
        _say_tokenizer(writer, tokenizer, facts)
        tensors = dict(_tensors(loaded.model))
        with steps(watcher or Silent(), f"write {path.name}", len(tensors), "tensors") as progress:
            for name, values in tensors.items():
                _add(writer, name, values, wanted)
                progress.advance()
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


# -- metadata --------------------------------------------------------------------------------------------------


def _say_general(writer: Any, facts: GgufFacts, file_type: LlamaFileType) -> None:
    writer.add_type("model")
    writer.add_name(facts.name)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if facts.license:
        writer.add_license(facts.license)
    if facts.languages:
        writer.add_languages(list(facts.languages))
    if facts.base_model:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, facts.base_model)


def _say_architecture(writer: Any, config: Any) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def _say_tokenizer(writer: Any, tokenizer: GgufTokenizer, facts: GgufFacts) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.types)
    writer.add_token_merges(tokenizer.merges)
    add_id = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "unk": writer.add_unk_token_id,
        "pad": writer.add_pad_token_id,
    }
    for name, index in tokenizer.special.items():
        add_id[name](index)
    writer.add_eot_token_id(facts.end_of_turn)
    writer.add_add_bos_token(tokenizer.adds_bos)
    writer.add_add_eos_token(tokenizer.adds_eos)
    writer.add_chat_template(facts.chat_template)


# -- weights ---------------------------------------------------------------------------------------------------


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """(GGUF's name, values in 32 bits) of every weight."""
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    factors = _rope_factors(model)
    if factors is not None:
        yield "rope_freqs.weight", factors
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # llama.cpp takes the embeddings when there is no `output`
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise _refused(f"it has a weight called {name}, which llama.cpp's Llama has not")
        values = tensor.detach().to("cpu", torch.float32).numpy()
        if not np.isfinite(values).all():
            raise ModelError(f"weight {name} holds numbers that are not finite; the model is broken: train it again")
        if ".self_attn.q_proj." in name:
            values = _pairs_side_by_side(values, config.num_attention_heads)
        elif ".self_attn.k_proj." in name:
            values = _pairs_side_by_side(values, config.num_key_value_heads)
        yield known, values


def _pairs_side_by_side(values: Any, num_heads: int) -> Any:
    """Within each head, row i of the first half and row i of the second become neighbours."""
    halves = values.reshape(num_heads, 2, values.shape[0] // num_heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _rope_factors(model: Any) -> Any:
    """By how much each rotary frequency is slowed down; None when none is."""
    config = model.config
    frequencies = model.model.rotary_emb.inv_freq.detach().to("cpu", torch.float64).numpy()
    if 2 * len(frequencies) != config.head_dim:
        raise _refused(f"it rotates {2 * len(frequencies)} of {config.head_dim} numbers of each head, not all of them")
    exponents = np.arange(0, config.head_dim, 2) / config.head_dim
    factors = config.rope_parameters["rope_theta"] ** -exponents / frequencies
    return None if np.allclose(factors, 1, rtol=1e-5) else factors.astype(np.float32)


def _add(writer: Any, name: str, values: Any, wanted: GGMLQuantizationType) -> None:
    """Vectors stay in 32 bits as everywhere in GGUF; rows that blocks do not divide become f16 in a q8_0 file."""
    kind = wanted if values.ndim > 1 else GGMLQuantizationType.F32
    if kind == GGMLQuantizationType.Q8_0 and values.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = GGMLQuantizationType.F16
    if kind != GGMLQuantizationType.F32 and np.abs(values).max() > np.finfo(np.float16).max:
        raise ModelError(f"weight {name} holds numbers too large for 16 bits; export with --type f32")
    writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)


def _refused(reason: str) -> ModelError:
    return ModelError(
        f"this model cannot be written as GGUF: {reason}. Possible are models of the Llama family (LlamaForCausalLM) with "
        "a byte-level BPE tokenizer; `heedful export --what model` writes any model as a folder that every other tool "
        "loads, llama.cpp's own converter among them"
    )
