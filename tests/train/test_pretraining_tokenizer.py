"""A learned tokenizer gives every text back, reads text as text, and learns words rather than clauses."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers
from transformers import AutoTokenizer

from heedful.records import Message
from heedful.render import Renderer
from heedful.train.pretraining import corpus as corpus_module
from heedful.train.pretraining.corpus import Texts, blocks
from heedful.train.pretraining.tokenizer import (
    NUM_SENTINELS,
    PATTERN,
    Kind,
    bytes_of_tokens,
    encode_blocks,
    encoder_of,
    special_ids,
    train_tokenizer,
)

CORPUS = Texts(
    [
        "the cat sat on the mat, the dog sat on the log, and the hat is on the cat.\n" * 20,
        "今天天气很好，我们去公园散步。今天天气不好，我们在家里看书。\n" * 20,
        "def f(x):\n    return x + 10\n" * 20,
    ]
)
KINDS: tuple[Kind, ...] = ("decoder", "encoder_decoder", "encoder")


@pytest.fixture(scope="module", params=KINDS)
def any_tokenizer(request: pytest.FixtureRequest) -> Any:
    return train_tokenizer(CORPUS, request.param, vocabulary_size=700, max_length=64)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(CORPUS, "decoder", vocabulary_size=700, max_length=64)


def pieces(text: str) -> list[str]:
    return [piece for piece, _ in pre_tokenizers.Split(Regex(PATTERN), "isolated").pre_tokenize_str(text)]


def test_what_is_never_merged() -> None:
    assert pieces("Hello  world 2026年11月, 我们喜欢 Python编程。真的！\n\n    return x_1\r\n") == [
        "Hello", " ", " world", " ", "2", "0", "2", "6", "年", "1", "1", "月", ",", " ", "我们喜欢", " Python", "编程", "。",
        "真的", "！", "\n\n", "   ", " return", " x", "_", "1", "\r\n",
    ]  # fmt: skip


TEXTS = st.one_of(
    st.text(),
    # What looks special, and what byte-level tokenizers stumble over.
    st.lists(
        st.sampled_from(
            [
                "<|endoftext|>",
                "<|im_end|>",
                "<extra_id_3>",
                "[MASK]",
                "</s>",
                "Ġ",
                " ",
                "  ",
                "\n",
                "\r\n",
                "\t",
                "今天",
                "é",
                "🙂",
                "a",
                "7",
            ]
        )
    ).map("".join),
)


@given(text=TEXTS)
def test_round_trip_of_any_text(any_tokenizer: Any, text: str) -> None:
    encoder = encoder_of(any_tokenizer)
    ids = encoder.encode(text, add_special_tokens=False).ids
    assert any_tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    # Text is text: nobody can write a special token into a document.
    assert all(index >= special_ids(any_tokenizer).first_ordinary for index in ids)
    assert sum(bytes_of_tokens(any_tokenizer)[ids]) == len(text.encode())


def test_saved_folder_reads_alike(any_tokenizer: Any, tmp_path: Path) -> None:
    any_tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "the cat 今天天气 <x>  10\n"
    assert again(text).input_ids == any_tokenizer(text).input_ids
    assert special_ids(again) == special_ids(any_tokenizer)
    assert again.model_max_length == 64


def test_learning_twice_gives_the_same(any_tokenizer: Any) -> None:
    kind = "encoder" if any_tokenizer.mask_token else "decoder" if any_tokenizer.bos_token else "encoder_decoder"
    again = train_tokenizer(CORPUS, kind, vocabulary_size=700, max_length=64)
    assert again.backend_tokenizer.to_str() == any_tokenizer.backend_tokenizer.to_str()


def test_words_are_learned_and_clauses_are_not(tokenizer: Any) -> None:
    tokens = set(tokenizer.get_vocab())
    spelled = {tokenizer.decode([index]) for index in range(special_ids(tokenizer).first_ordinary, len(tokenizer))}
    assert {" the", " sat", "天气", "    return"[3:]} <= spelled
    # The clause 我们在家里看书 is repeated twenty times, and would be one token of 21 bytes; a longer one cannot be.
    assert max(len(token) for token in tokens - set(tokenizer.all_special_tokens)) <= 24
    assert not any(len(word) > 1 and word[0].isdigit() for word in spelled)
    assert not any("。" in word and len(word) > 1 for word in spelled)


def test_special_tokens_have_their_places() -> None:
    decoder, pair, encoder = (train_tokenizer(CORPUS, kind, vocabulary_size=700, max_length=64) for kind in KINDS)
    assert decoder("a").input_ids == decoder("a", add_special_tokens=False).input_ids
    assert pair.convert_ids_to_tokens(pair("a").input_ids) == ["a", "</s>"]
    assert encoder.convert_ids_to_tokens(encoder("a", "b").input_ids) == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert encoder("a", "b", return_token_type_ids=True).token_type_ids == [0, 0, 0, 1, 1]
    assert len(set(special_ids(pair).sentinels)) == NUM_SENTINELS
    assert special_ids(encoder).mask == encoder.mask_token_id
    assert pair.unk_token is None


def test_a_pretrained_model_can_be_tuned(tokenizer: Any) -> None:
    rendered = Renderer(tokenizer).render([Message("user", "the cat?"), Message("assistant", "the mat <|im_end|>")])
    trained = [index for index, is_trained in zip(rendered.input_ids, rendered.loss_mask, strict=True) if is_trained]
    assert tokenizer.decode(trained[:-1]) == "the mat <|im_end|>"
    assert trained[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>")


LONG = "the cat, the  dog\n\n  10 mats。今天天气很好，我们去公园。 \n x" * 40


@given(cuts=st.lists(st.integers(0, len(LONG)), max_size=5), size=st.integers(20, 300))
def test_blocks_change_no_token_and_do_not_depend_on_parts(tokenizer: Any, cuts: list[int], size: int) -> None:
    class Parts(Texts):
        def documents(self) -> Any:
            edges = [0, *sorted(cuts), len(LONG)]
            yield [LONG[start:end] for start, end in pairwise(edges)]

    before = corpus_module.BLOCK
    corpus_module.BLOCK = size
    try:
        found = list(blocks(Parts([LONG])))
        assert found == list(blocks(Texts([LONG])))
    finally:
        corpus_module.BLOCK = before
    assert "".join(block.text for block in found) == LONG
    assert len(found) > 1
    assert [block.is_first for block in found] == [True] + [False] * (len(found) - 1)
    assert [block.is_last for block in found] == [False] * (len(found) - 1) + [True]
    encoder = encoder_of(tokenizer)
    ids = [int(index) for block in encode_blocks(encoder, found) for index in block]
    assert ids == encoder.encode(LONG, add_special_tokens=False).ids
