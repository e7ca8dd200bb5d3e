"""Byte-level BPE learned from texts (Sennrich et al., arXiv:1508.07909), saved as an ordinary transformers tokenizer.

Merges happen on bytes, so every text in UTF-8 has tokens and they give it back exactly. What may be merged is decided by
PATTERN first: a word with the space before it, a run of Chinese characters, one digit, punctuation, line breaks, the
spaces of an indentation but the last. Chinese runs end at punctuation, spaces and other scripts, and a token holds at
most eight of their characters: words are learned, clauses are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from heedful.errors import InputError
from heedful.models.scratch import CHATML
from heedful.train.pretraining.corpus import Block, Corpus, blocks

Kind = Literal["decoder", "encoder_decoder", "encoder"]

PATTERN = (
    r"\p{Han}+"
    r"| ?[\p{L}\p{M}&&[^\p{Han}]]+"
    # One digit at a time: a number reads the same wherever it stands in a longer one.
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)
NUM_SENTINELS = 100
"""`<extra_id_0>` to `<extra_id_99>`, as T5 has them."""
MOST_CHARACTERS = 50_000_000
"""Tokens are learned from at most so much text, taken evenly from all of it: more changes few merges."""

_MOST_BYTES = 24  # of one token: 8 Chinese characters
_NUM_BYTES = 256
_SPECIAL: dict[Kind, tuple[str, ...]] = {
    "decoder": ("<|endoftext|>", "<|padding|>", "<|im_start|>", "<|im_end|>"),
    "encoder_decoder": ("<pad>", "</s>", *(f"<extra_id_{number}>" for number in range(NUM_SENTINELS))),
    "encoder": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
}
_ROLES: dict[Kind, dict[str, str]] = {
    # A document begins after the end of the one before, as GPT-2's do.
    "decoder": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|padding|>"},
    "encoder_decoder": {"eos_token": "</s>", "pad_token": "<pad>"},
    "encoder": {
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
        "pad_token": "[PAD]",
    },
}


def least_vocabulary(kind: Kind) -> int:
    """Special tokens and bytes: what a vocabulary cannot do without."""
    return len(_SPECIAL[kind]) + _NUM_BYTES


def train_tokenizer(corpus: Corpus, kind: Kind, *, vocabulary_size: int, max_length: int) -> PreTrainedTokenizerFast:
    """Learn at most `vocabulary_size` tokens, fewer where the text is too small to merge so often."""
    if vocabulary_size < least_vocabulary(kind):
        raise InputError(
            f"a vocabulary of {vocabulary_size}; 256 bytes and what is special are {least_vocabulary(kind)}"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in _SPECIAL[kind]]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=_MOST_BYTES,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_evenly(corpus), trainer)
    tokenizer.post_processor = _post_processor(tokenizer, kind)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        model_max_length=max_length,
        additional_special_tokens=[token for token in _SPECIAL[kind] if token not in _ROLES[kind].values()],
        **_ROLES[kind],
    )
    fast.chat_template = CHATML if kind == "decoder" else None
    return fast


def _evenly(corpus: Corpus) -> Iterator[str]:
    """Every n-th block, so that about MOST_CHARACTERS are read."""
    step = max(1, round(corpus.num_bytes / MOST_CHARACTERS))
    return (block.text for number, block in enumerate(blocks(corpus)) if number % step == 0)


def _post_processor(tokenizer: Tokenizer, kind: Kind) -> Any:
    """What is put around a text when nothing else is said; nothing for a decoder, as chat templates write it all."""
    if kind == "encoder":
        ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        return processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
        )
    if kind == "encoder_decoder":
        end = [("</s>", tokenizer.token_to_id("</s>"))]
        return processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=end)
    return processors.ByteLevel(trim_offsets=False)


def encoder_of(fast: PreTrainedTokenizerFast) -> Tokenizer:
    """Encodes texts from outside: what looks like a special token is read as the characters that it is."""
    encoder = Tokenizer.from_str(fast.backend_tokenizer.to_str())
    encoder.encode_special_tokens = True
    encoder.no_truncation()
    encoder.no_padding()
    return encoder


def encode_blocks(encoder: Tokenizer, texts: Iterable[Block]) -> list[np.ndarray]:
    """Ids of each block, without special tokens."""
    encoded = encoder.encode_batch_fast([block.text for block in texts], add_special_tokens=False)
    return [np.asarray(item.ids, dtype=np.int64) for item in encoded]


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Ids with a meaning; those that a kind of model does not have are None."""

    end: int
    """Stands after each document, and, for a decoder, before the first."""
    pad: int
    mask: int | None
    classify: int | None
    sentinels: tuple[int, ...]
    first_ordinary: int
    """Ids from here to the end are text."""
    num_ids: int


def special_ids(fast: PreTrainedTokenizerFast) -> SpecialIds:
    """Read from a tokenizer that `train_tokenizer` made."""
    kind: Kind = "encoder" if fast.mask_token else "decoder" if fast.bos_token else "encoder_decoder"
    sentinels = [f"<extra_id_{number}>" for number in range(NUM_SENTINELS)] if kind == "encoder_decoder" else []
    return SpecialIds(
        end=fast.sep_token_id if kind == "encoder" else fast.eos_token_id,
        pad=fast.pad_token_id,
        mask=fast.mask_token_id if kind == "encoder" else None,
        classify=fast.cls_token_id if kind == "encoder" else None,
        sentinels=tuple(fast.convert_tokens_to_ids(sentinels)),
        first_ordinary=len(_SPECIAL[kind]),
        num_ids=len(fast),
    )


def bytes_of_tokens(fast: PreTrainedTokenizerFast) -> np.ndarray:
    """(V,) how many bytes of UTF-8 each token stands for; a special one for one, as the end of a text counts in metrics."""
    special = set(fast.all_special_ids)
    tokens = fast.convert_ids_to_tokens(list(range(len(fast))))
    # In the byte-level alphabet a character is a byte.
    return np.array([1 if index in special else len(token) for index, token in enumerate(tokens)], dtype=np.int64)
