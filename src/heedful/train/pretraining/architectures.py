"""Models of a chosen size with random weights: Llama, T5 1.1, BERT, LSTM; all dimensions follow from layers and width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from heedful.models._libraries import silence
from heedful.models.lstm import LstmConfig, LstmLanguageModel
from heedful.project import stream_seed
from heedful.train.pretraining.settings import Architecture, PretrainSettings
from heedful.train.pretraining.tokenizer import Kind

KINDS: dict[Architecture, Kind] = {"llama": "decoder", "lstm": "decoder", "t5": "encoder_decoder", "bert": "encoder"}
"""What tokenizer each needs."""


def build(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> Any:
    """A model in training mode; equal seeds give equal weights. Output layers are tied: small models are mostly words."""
    silence()
    make = {"llama": _llama, "t5": _t5, "bert": _bert, "lstm": _lstm}[settings.architecture]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "pretraining", "weights"))
        return make(settings, tokenizer).train()


def save(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the folder that transformers (or `LstmLanguageModel.load`) reads."""
    if isinstance(model, LstmLanguageModel):
        model.save(folder)
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _heads(hidden: int) -> int:
    """Of 64 each where that divides, else of 32 or 16."""
    size = next(size for size in (64, 32, 16) if (hidden % size == 0 and hidden // size > 1) or size == 16)
    return hidden // size


def _gated(hidden: int) -> int:
    """Width of a gated feed-forward layer: with its third matrix as many weights as four times `hidden` with two."""
    return -(-hidden * 8 // 3 // 32) * 32


def _llama(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    layers, hidden = settings.dimensions
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=_gated(hidden),
        num_hidden_layers=layers,
        num_attention_heads=_heads(hidden),
        max_position_embeddings=settings.context_length,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def _t5(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> T5ForConditionalGeneration:
    layers, hidden = settings.dimensions
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=hidden,
        d_kv=hidden // _heads(hidden),
        d_ff=_gated(hidden),
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=_heads(hidden),
        # As in T5 1.1: gated, and nothing is left out in pretraining.
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    return T5ForConditionalGeneration(config)


def _bert(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> BertForMaskedLM | BertForPreTraining:
    layers, hidden = settings.dimensions
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=_heads(hidden),
        intermediate_size=4 * hidden,
        max_position_embeddings=settings.context_length,
        # With one or two passes over a text there is nothing to be left out.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (BertForPreTraining if settings.chosen_objective == "masked_next_sentence" else BertForMaskedLM)(config)


def _lstm(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> LstmLanguageModel:
    layers, hidden = settings.dimensions
    return LstmLanguageModel(
        LstmConfig(
            vocab_size=len(tokenizer),
            embedding_size=hidden,
            hidden_size=hidden,
            num_layers=layers,
            tie_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
        )
    )
