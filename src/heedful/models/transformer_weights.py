"""A Llama, T5 or BERT of transformers -> the same model as a `Transformer`, whose logits are equal. Weights are copied.

What a model has and a `Transformer` does not (stretched rotary positions, other activations) is a ModelError, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from heedful.errors import ModelError
from heedful.models.transformer import FeedForwardKind, Transformer, TransformerConfig

Names = Sequence[tuple[str, str]]
"""Patterns of transformers' names and what they become. The first that fits from the start applies; "" leaves a copy out."""

LLAMA_NAMES: Names = (
    (r"model\.embed_tokens\.", "embedding.tokens."),
    (r"model\.layers\.(\d+)\.self_attn\.q_proj\.", r"decoder.blocks.\1.self_attention.query."),
    (r"model\.layers\.(\d+)\.self_attn\.k_proj\.", r"decoder.blocks.\1.self_attention.key."),
    (r"model\.layers\.(\d+)\.self_attn\.v_proj\.", r"decoder.blocks.\1.self_attention.value."),
    (r"model\.layers\.(\d+)\.self_attn\.o_proj\.", r"decoder.blocks.\1.self_attention.output."),
    (r"model\.layers\.(\d+)\.input_layernorm\.", r"decoder.blocks.\1.self_attention_norm."),
    (r"model\.layers\.(\d+)\.post_attention_layernorm\.", r"decoder.blocks.\1.feed_forward_norm."),
    (r"model\.layers\.(\d+)\.mlp\.(gate|up|down)_proj\.", r"decoder.blocks.\1.feed_forward.\2."),
    (r"model\.norm\.", "decoder.final_norm."),
    (r"lm_head\.", "head."),
)
T5_NAMES: Names = (
    (r"shared\.", "embedding.tokens."),
    (r"(encoder|decoder)\.embed_tokens\.", ""),
    (r"(encoder|decoder)\.block\.0\.layer\.0\.SelfAttention\.relative_attention_bias\.", r"\1.relative."),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.0\.SelfAttention\.q\.", r"\1.blocks.\2.self_attention.query."),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.0\.SelfAttention\.k\.", r"\1.blocks.\2.self_attention.key."),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.0\.SelfAttention\.v\.", r"\1.blocks.\2.self_attention.value."),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.0\.SelfAttention\.o\.", r"\1.blocks.\2.self_attention.output."),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.0\.layer_norm\.", r"\1.blocks.\2.self_attention_norm."),
    (r"decoder\.block\.(\d+)\.layer\.1\.EncDecAttention\.q\.", r"decoder.blocks.\1.cross_attention.query."),
    (r"decoder\.block\.(\d+)\.layer\.1\.EncDecAttention\.k\.", r"decoder.blocks.\1.cross_attention.key."),
    (r"decoder\.block\.(\d+)\.layer\.1\.EncDecAttention\.v\.", r"decoder.blocks.\1.cross_attention.value."),
    (r"decoder\.block\.(\d+)\.layer\.1\.EncDecAttention\.o\.", r"decoder.blocks.\1.cross_attention.output."),
    (r"decoder\.block\.(\d+)\.layer\.1\.layer_norm\.", r"decoder.blocks.\1.cross_attention_norm."),
    # The last sublayer: number 1 in the encoder, 2 in the decoder.
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.[12]\.layer_norm\.", r"\1.blocks.\2.feed_forward_norm."),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.[12]\.DenseReluDense\.wi_0\.", r"\1.blocks.\2.feed_forward.gate."),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.[12]\.DenseReluDense\.wi(_1)?\.", r"\1.blocks.\2.feed_forward.up."),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.[12]\.DenseReluDense\.wo\.", r"\1.blocks.\2.feed_forward.down."),
    (r"(encoder|decoder)\.final_layer_norm\.", r"\1.final_norm."),
    (r"lm_head\.", "head."),
)
BERT_NAMES: Names = (
    (r"bert\.embeddings\.word_embeddings\.", "embedding.tokens."),
    (r"bert\.embeddings\.position_embeddings\.", "embedding.positions."),
    (r"bert\.embeddings\.token_type_embeddings\.", "embedding.segments."),
    (r"bert\.embeddings\.LayerNorm\.", "embedding.norm."),
    (r"bert\.encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.", r"encoder.blocks.\1.self_attention.\2."),
    (r"bert\.encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"encoder.blocks.\1.self_attention.output."),
    (r"bert\.encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"encoder.blocks.\1.self_attention_norm."),
    (r"bert\.encoder\.layer\.(\d+)\.intermediate\.dense\.", r"encoder.blocks.\1.feed_forward.up."),
    (r"bert\.encoder\.layer\.(\d+)\.output\.dense\.", r"encoder.blocks.\1.feed_forward.down."),
    (r"bert\.encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"encoder.blocks.\1.feed_forward_norm."),
    (r"cls\.predictions\.transform\.dense\.", "head.transform."),
    (r"cls\.predictions\.transform\.LayerNorm\.", "head.norm."),
    (r"cls\.predictions\.decoder\.", "head."),
    (r"cls\.predictions\.bias$", ""),
    # The pooler and the head for the next sentence have nothing to do with logits.
    (r"(bert\.pooler|cls\.seq_relationship)\.", ""),
)
T5_FEED_FORWARD: dict[tuple[bool, str], FeedForwardKind] = {
    (False, "relu"): "relu",
    (True, "gelu_new"): "gated_gelu",
    (True, "silu"): "swiglu",
}


def from_llama(model: Any) -> Transformer:
    """The decoder that a `LlamaForCausalLM` is; raises ModelError where it is not quite one."""
    theirs = _config(model, "LlamaForCausalLM")
    rotary = theirs.rope_parameters
    if rotary["rope_type"] != "default":
        raise ModelError(
            f"rotary positions of the kind {rotary['rope_type']!r}; a Transformer knows the plain kind, 'default'"
        )
    if theirs.hidden_act != "silu":
        raise ModelError(f"a feed-forward layer with {theirs.hidden_act!r}; a Llama's is 'silu'")
    config = TransformerConfig(
        vocabulary_size=theirs.vocab_size,
        width=theirs.hidden_size,
        num_encoder_layers=0,
        num_decoder_layers=theirs.num_hidden_layers,
        num_heads=theirs.num_attention_heads,
        num_key_value_heads=theirs.num_key_value_heads,
        head_width=theirs.head_dim,
        attention_bias=theirs.attention_bias,
        feed_forward="swiglu",
        feed_forward_width=theirs.intermediate_size,
        feed_forward_bias=theirs.mlp_bias,
        norm="rms",
        norm_place="before",
        norm_epsilon=theirs.rms_norm_eps,
        positions="rotary",
        rotary_base=rotary["rope_theta"],
        scaled_embeddings=False,
        tied_head=model.lm_head.weight is model.model.embed_tokens.weight,
    )
    return _filled(config, model.state_dict(), LLAMA_NAMES)


def from_t5(model: Any) -> Transformer:
    """The encoder-decoder that a `T5ForConditionalGeneration` is, 1.0 or 1.1; raises ModelError where it is not quite one."""
    theirs = _config(model, "T5ForConditionalGeneration")
    kind = theirs.is_gated_act, theirs.dense_act_fn
    if kind not in T5_FEED_FORWARD:
        raise ModelError(
            f"a feed-forward layer {theirs.feed_forward_proj!r}; expected 'relu', 'gated-gelu' or 'gated-silu'"
        )
    config = TransformerConfig(
        vocabulary_size=theirs.vocab_size,
        width=theirs.d_model,
        num_encoder_layers=theirs.num_layers,
        num_decoder_layers=theirs.num_decoder_layers,
        num_heads=theirs.num_heads,
        head_width=theirs.d_kv,
        scaled_scores=False,
        feed_forward=T5_FEED_FORWARD[kind],
        feed_forward_width=theirs.d_ff,
        feed_forward_bias=False,
        norm="rms",
        norm_place="before",
        norm_epsilon=theirs.layer_norm_epsilon,
        positions="relative",
        num_buckets=theirs.relative_attention_num_buckets,
        max_distance=theirs.relative_attention_max_distance,
        scaled_embeddings=False,
        # transformers writes "tied" into every configuration of a T5; only the weights themselves tell.
        tied_head=model.lm_head.weight is model.shared.weight,
        scaled_logits=theirs.scale_decoder_outputs,
        dropout=theirs.dropout_rate,
    )
    return _filled(config, model.state_dict(), T5_NAMES)


def from_bert(model: Any) -> Transformer:
    """The encoder with a head that a `BertForMaskedLM` or `BertForPreTraining` is; raises ModelError where it is not quite one."""
    theirs = _config(model, "BertForMaskedLM", "BertForPreTraining")
    if theirs.hidden_act != "gelu" or theirs.is_decoder:
        what = "a decoder" if theirs.is_decoder else f"made with {theirs.hidden_act!r}"
        raise ModelError(f"a BERT that is {what}; a Transformer knows the encoder with 'gelu'")
    config = TransformerConfig(
        vocabulary_size=theirs.vocab_size,
        width=theirs.hidden_size,
        num_encoder_layers=theirs.num_hidden_layers,
        num_decoder_layers=0,
        num_heads=theirs.num_attention_heads,
        attention_bias=True,
        feed_forward="gelu",
        feed_forward_width=theirs.intermediate_size,
        norm="layer",
        norm_place="after",
        norm_epsilon=theirs.layer_norm_eps,
        positions="learned",
        max_positions=theirs.max_position_embeddings,
        scaled_embeddings=False,
        num_segments=theirs.type_vocab_size,
        normed_embeddings=True,
        tied_head=model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight,
        head_transform=True,
        dropout=theirs.hidden_dropout_prob,
    )
    return _filled(config, model.state_dict(), BERT_NAMES)


def _config(model: Any, *expected: str) -> Any:
    kind = type(model).__name__
    if kind not in expected:
        raise ModelError(
            f"a {kind} came where a {' or '.join(expected)} of transformers was expected; merge adapters first"
        )
    return model.config


def _filled(config: TransformerConfig, weights: Mapping[str, Tensor], names: Names) -> Transformer:
    """A Transformer of `config` in evaluation mode, with copies of `weights`, whose types they keep."""
    renamed = {_renamed(name, names): tensor.clone() for name, tensor in weights.items()}
    renamed.pop("", None)
    if config.tied_head:
        renamed.pop("head.weight", None)
    # Without memory at first: random numbers that are overwritten at once take longer than the copies.
    with torch.device("meta"):
        transformer = Transformer(config, seed=0)
    transformer.load_state_dict(renamed, strict=True, assign=True)
    return transformer.eval()


def _renamed(name: str, names: Names) -> str:
    for pattern, replacement in names:
        if match := re.match(pattern, name):
            return replacement and match.expand(replacement) + name[match.end() :]
    raise ModelError(f"a weight {name!r} that a Transformer has no place for; merge adapters into their base first")
