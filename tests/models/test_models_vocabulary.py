"""Tokens of every kind of tokenizer: the bytes that they add join to what decoding all of them together gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from heedful.models import LoadedModel
from heedful.models.scratch import byte_tokenizer
from heedful.models.vocabulary import Vocabulary

BYTES = byte_tokenizer().backend_tokenizer


def sentencepiece(*, prefix: bool) -> Tokenizer:
    """As Llama 2 has it: pieces with marked spaces, bytes for what is no piece."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", "▁the", "▁tea", "茶", "t", "h", "e", "a", "▁▁", "你好"]
    tokenizer = Tokenizer(
        models.BPE({piece: place for place, piece in enumerate(pieces)}, [], byte_fallback=True, unk_token="<unk>")
    )
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<unk>", "<s>", "</s>")])
    return tokenizer


def metaspace() -> Tokenizer:
    """As T5 has it."""
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -2.0),
        ("▁the", -3.0),
        ("▁tea", -3.0),
        ("a", -4.0),
        ("茶", -4.0),
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<pad>", "</s>", "<unk>")])
    return tokenizer


def joined(vocabulary: Vocabulary, ids: Sequence[int]) -> bytes:
    return b"".join(vocabulary.token(index, is_first=place == 0).data or b"" for place, index in enumerate(ids))


@given(st.lists(st.integers(0, BYTES.get_vocab_size() + 3), max_size=30))
def test_any_ids_of_a_byte_level_tokenizer(ids: list[int]) -> None:
    expected = BYTES.decode(ids, skip_special_tokens=True)
    assert joined(Vocabulary(BYTES), ids).decode("utf-8", "replace") == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_of_a_byte_level_tokenizer(text: str) -> None:
    ids = BYTES.encode(text, add_special_tokens=False).ids
    if not any(special in text for special in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")):
        assert joined(Vocabulary(BYTES), ids) == text.encode()


@pytest.mark.parametrize("tokenizer", [sentencepiece(prefix=True), sentencepiece(prefix=False), metaspace()])
@pytest.mark.parametrize("text", [" the tea", "茶a", " tea茶", "你好", "  the", "é茶🍵"])
def test_pieces_with_marked_spaces(tokenizer: Tokenizer, text: str) -> None:
    marked = text.replace(" ", "▁")
    vocabulary = tokenizer.get_vocab()
    ids: list[int] = []
    while marked:
        length = next((n for n in range(len(marked), 0, -1) if marked[:n] in vocabulary), 0)
        if length:
            ids.append(vocabulary[marked[:length]])
        elif "<0x00>" in vocabulary:
            ids += [vocabulary[f"<0x{byte:02X}>"] for byte in marked[0].encode()]
        marked = marked[max(length, 1) :]
    expected = tokenizer.decode(ids, skip_special_tokens=True)
    assert joined(Vocabulary(tokenizer), ids).decode() == expected
    control: Any = vocabulary["</s>"]
    assert (Vocabulary(tokenizer).token(control).text, Vocabulary(tokenizer).token(control).data) == ("</s>", b"")


def test_a_tokenizer_that_does_not_tell_bytes() -> None:
    tokenizer = Tokenizer(models.WordPiece({"tea": 0, "##s": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    assert (Vocabulary(tokenizer).token(0).text, Vocabulary(tokenizer).token(0).data) == ("tea", None)


def test_words_that_were_added_are_text() -> None:
    tokenizer = byte_tokenizer().backend_tokenizer
    tokenizer.add_tokens([AddedToken("Ġtea 茶", special=False, normalized=False)])
    (index,) = tokenizer.encode("Ġtea 茶", add_special_tokens=False).ids
    token = Vocabulary(tokenizer).token(index)
    assert token.data == "Ġtea 茶".encode()
    assert tokenizer.decode([index]) == token.text


def test_it_reads_what_it_writes() -> None:
    vocabulary = Vocabulary(BYTES)
    text = "Once upon a time, 从前"
    assert joined(vocabulary, vocabulary.encode(text)) == text.encode()


@pytest.mark.model
def test_the_real_model(smollm2: LoadedModel) -> None:
    tokenizer = smollm2.tokenizer.backend_tokenizer
    vocabulary = Vocabulary(tokenizer)
    for text in ("Tea, 茶, чай, 🍵 and  spaces\n\ttabs", "今天天气怎么样？", "naïve café"):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert joined(vocabulary, ids) == text.encode()
    for start in range(0, tokenizer.get_vocab_size(), 997):
        ids = list(range(start, min(start + 40, tokenizer.get_vocab_size())))
        assert joined(vocabulary, ids).decode("utf-8", "replace") == tokenizer.decode(ids, skip_special_tokens=True)
