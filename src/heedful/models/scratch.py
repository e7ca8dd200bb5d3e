"""Models made from nothing: a tiny Llama, GPT-2 and T5 with a byte-level tokenizer, saved as ordinary Hugging Face folders.

Everything that works with a real model must work with these, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from heedful.models._libraries import silence

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Padding, start of turn, end of turn: ids 0, 1, 2 as in SmolLM2."""
# A few merges, so that a token is not always a byte; Ġ is the space of byte-level tokenizers.
_MERGES = (
    ("t", "h"), ("th", "e"), ("i", "n"), ("a", "n"), ("e", "r"), ("Ġ", "t"), ("Ġ", "a"), ("o", "n"), ("Ġ", "the"),
    ("an", "d"), ("o", "u"), ("Ġ", "w"), ("u", "s"), ("us", "er"), ("in", "g"), ("l", "l"), ("Ġ", "and"),
)  # fmt: skip


def byte_tokenizer(*, chat_template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 3 special tokens, 256 bytes and a few merges; any text round-trips."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*SPECIAL_TOKENS, *alphabet, *(left + right for left, right in _MERGES)]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(_MERGES)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", bos_token="<|im_start|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = chat_template
    return fast


def tiny_llama(
    folder: Path,
    *,
    seed: int,
    hidden_size: int = 64,
    num_layers: int = 2,
    num_heads: int = 4,
    num_key_value_heads: int = 2,
    chat_template: str | None = CHATML,
) -> Path:
    """Write a Llama with random weights and its tokenizer to `folder`; equal seeds give equal files."""
    silence()
    tokenizer = byte_tokenizer(chat_template=chat_template)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=num_key_value_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        # Ten times the usual spread: likelihoods then differ clearly, so that greedy choices are not ties.
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return _save(folder, tokenizer, lambda: LlamaForCausalLM(config), seed)


def tiny_gpt2(
    folder: Path,
    *,
    seed: int,
    hidden_size: int = 64,
    num_layers: int = 2,
    num_heads: int = 4,
    chat_template: str | None = CHATML,
) -> Path:
    """The same as a GPT-2: learned positions, biases everywhere."""
    silence()
    tokenizer = byte_tokenizer(chat_template=chat_template)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=hidden_size,
        n_layer=num_layers,
        n_head=num_heads,
        n_positions=2048,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return _save(folder, tokenizer, lambda: GPT2LMHeadModel(config), seed)


def tiny_t5(
    folder: Path,
    *,
    seed: int,
    hidden_size: int = 64,
    num_layers: int = 3,
    num_decoder_layers: int = 2,
    num_heads: int = 4,
    feed_forward: str = "relu",
    tied: bool = True,
) -> Path:
    """The same as a T5, with no chat template. T5 1.0 is "relu" and tied; 1.1 is "gated-gelu", with a head of its own."""
    silence()
    tokenizer = byte_tokenizer(chat_template=None)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=hidden_size,
        d_kv=hidden_size // num_heads,
        d_ff=2 * hidden_size,
        num_layers=num_layers,
        num_decoder_layers=num_decoder_layers,
        num_heads=num_heads,
        feed_forward_proj=feed_forward,
        tie_word_embeddings=tied,
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=0,
    )
    return _save(folder, tokenizer, lambda: _t5(config, tied), seed)


def _t5(config: T5Config, tied: bool) -> T5ForConditionalGeneration:
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        # Embeddings as small, and positions as loud, as after training: else every token would only repeat itself.
        model.shared.weight.mul_(0.2)
        for stack in (model.encoder, model.decoder):
            stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight.mul_(config.d_model**0.5)
    if not tied:
        # transformers ties the head whatever the configuration says, unless a checkpoint holds one of its own.
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * config.d_model**-0.5)
    return model


def _save(folder: Path, tokenizer: PreTrainedTokenizerFast, make: Callable[[], Any], seed: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
