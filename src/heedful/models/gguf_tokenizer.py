"""A fast tokenizer -> the tokens, types, merges and pre-tokenizer name of a GGUF file.

llama.cpp has no tokenizer files: it knows a fixed set of ways to cut text into words, each by a name, and merges inside
the words. So a tokenizer is either one of those ways exactly, or it is refused: one that is nearly right would give the
model other ids than it was trained on, without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gguf import TokenType

from heedful.errors import ModelError

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {
    # (the pattern, whether whole words of the vocabulary are taken without merging) -> llama.cpp's name
    (rf"{_CONTRACTIONS}|{_WORD}|\p{{N}}{{1,3}}|{_REST}", True): "llama-bpe",
    (rf"{_CONTRACTIONS}|{_WORD}|\p{{N}}|{_REST}", False): "qwen2",
}


@dataclass(frozen=True, slots=True)
class GgufTokenizer:
    """What `tokenizer.ggml.*` says."""

    pre: str
    """llama.cpp's name for the way in which text is cut into words."""
    tokens: list[str]
    types: list[TokenType]
    merges: list[str]
    special: Mapping[str, int]
    """`bos`, `eos`, `unk`, `pad`: those that there are."""
    adds_bos: bool
    adds_eos: bool


def gguf_tokenizer(tokenizer: Any, num_embeddings: int) -> GgufTokenizer:
    """Raises ModelError for a tokenizer that llama.cpp could not repeat exactly."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    pre = _pre_tokenizer(content)
    tokens, types = _tokens(tokenizer, num_embeddings)
    ids = tokenizer("a").input_ids
    special = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk", "pad")}
    return GgufTokenizer(
        pre=pre,
        tokens=tokens,
        types=types,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]],
        special={name: index for name, index in special.items() if index is not None},
        adds_bos=ids[0] == special["bos"],
        adds_eos=ids[-1] == special["eos"],
    )


def _pre_tokenizer(content: Mapping[str, Any]) -> str:
    model = content["model"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise _refused("it is not a byte-level BPE tokenizer (as GPT-2, Llama 3 and SmolLM have)")
    unknown = [key for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix") if model.get(key)]
    if content.get("normalizer"):
        unknown.append("normalizer")
    if unknown:
        raise _refused(f"it uses {', '.join(unknown)}, for which GGUF has no place")
    name = _known(content.get("pre_tokenizer") or {}, bool(model.get("ignore_merges")))
    if name is None:
        raise _refused("it cuts text into words in a way that llama.cpp has no name for")
    return name


def _known(pre: Mapping[str, Any], ignore_merges: bool) -> str | None:
    """llama.cpp's name for what stands under `pre_tokenizer` in a tokenizer.json."""
    parts = pre["pretokenizers"] if pre.get("type") == "Sequence" else [pre]
    *first, last = parts
    if last.get("type") != "ByteLevel" or last["add_prefix_space"]:
        return None
    if last["use_regex"] and not ignore_merges:
        if not first:
            return "gpt-2"
        if len(first) == 1 and first[0]["type"] == "Digits" and first[0]["individual_digits"]:
            return "smollm"
    if not last["use_regex"] and len(first) == 1 and first[0]["type"] == "Split":
        split = first[0]
        if split["behavior"] == "Isolated" and not split["invert"]:
            return _SPLITS.get((split["pattern"].get("Regex"), ignore_merges))
    return None


def _tokens(tokenizer: Any, num_embeddings: int) -> tuple[list[str], list[TokenType]]:
    """By id; rows of the embedding that no token uses become tokens of type UNUSED, for the numbers must agree."""
    by_id = {index: text for text, index in tokenizer.get_vocab().items()}
    if max(by_id) >= num_embeddings:
        raise _refused(f"it has ids up to {max(by_id)}, the model has {num_embeddings} embeddings")
    added = tokenizer.added_tokens_decoder
    trimming = [token.content for token in added.values() if token.lstrip or token.rstrip or token.single_word]
    if trimming:
        raise _refused(f"its tokens {', '.join(trimming)} swallow spaces or want to stand alone")
    tokens, types = [], []
    for index in range(num_embeddings):
        tokens.append(by_id.get(index, f"[PAD{index}]"))
        if index not in by_id:
            types.append(TokenType.UNUSED)
        elif index in added:
            types.append(TokenType.CONTROL if added[index].special else TokenType.USER_DEFINED)
        else:
            types.append(TokenType.NORMAL)
    return tokens, types


def _refused(reason: str) -> ModelError:
    return ModelError(
        f"this model's tokenizer cannot be written as GGUF: {reason}. `heedful export --what model` writes a folder that "
        "every other tool loads, llama.cpp's own converter among them"
    )
