"""Bits per byte of texts: the same measure for n-gram, LSTM and Transformer models, characters, bytes and tokens."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, BertConfig, BertForMaskedLM, BertTokenizerFast

from heedful.errors import InputError, ModelError
from heedful.metrics.bits import NUM_CHARACTERS, TextScore, TextScorer, text_bits_per_byte
from heedful.models.characters import ByteIds, CharacterIds, TextIds
from heedful.models.lstm import LstmConfig, LstmLanguageModel
from heedful.models.ngram import NGramSettings, fit
from heedful.models.scratch import byte_tokenizer, tiny_llama, tiny_t5
from heedful.models.text_scorers import CausalScorer, LstmScorer, NGramScorer, TokenizerIds
from heedful.project import Silent

TEXT = "The cat sat on the mat. 猫坐在垫子上。"


def ngram_scorer(texts: list[str], ids: TextIds, order: int) -> NGramScorer:
    documents = [ids.encode(text) for text in texts]
    return NGramScorer(fit(documents, NGramSettings(order=order), num_ids=ids.num_ids, watcher=Silent()), ids)


def uniform_lstm(num_ids: int, bos: int) -> LstmLanguageModel:
    model = LstmLanguageModel(LstmConfig(num_ids, 4, 4, 1, 0.0, bos_token_id=bos)).eval()
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    return model


def test_bits_of_a_corpus_by_hand() -> None:
    # 8 bits for 4 bytes and 2 bits for 1 byte: 10 bits for 5 bytes.
    result = text_bits_per_byte([TextScore(-8 * math.log(2), 3, 4), TextScore(-2 * math.log(2), 1, 1)])
    assert result.value == pytest.approx(2)
    assert result.per_item == pytest.approx((2, 2))
    assert not result.higher_is_better
    assert result.signature.startswith("text_bits_per_byte|begin:model|end:not-scored|average:bytes|")
    # A long text weighs more than a short one.
    assert text_bits_per_byte([TextScore(-math.log(2), 1, 1), TextScore(0.0, 1, 9)]).value == pytest.approx(0.1)


@pytest.mark.parametrize("score", [TextScore(-1.0, 1, 0), TextScore(0.5, 1, 1), TextScore(math.nan, 1, 1)])
def test_likelihoods_that_make_no_sense_are_refused(score: TextScore) -> None:
    with pytest.raises(InputError, match="expected a finite number"):
        text_bits_per_byte([score])
    with pytest.raises(InputError, match="no texts"):
        text_bits_per_byte([])


def test_a_model_that_knows_nothing_needs_eight_bits_per_byte() -> None:
    # 256 bytes, one of which also serves as begin: each byte is one of 256.
    (score,) = LstmScorer(uniform_lstm(256, 0), ByteIds()).score([TEXT])
    assert score.num_tokens == score.num_bytes == len(TEXT.encode())
    assert score.bits_per_byte == pytest.approx(8, abs=1e-6)


def test_an_unknown_character_is_spelled_out() -> None:
    ids = CharacterIds("ab")
    # Ids a, b and unknown, and a begin: one of four each.
    scorer = LstmScorer(uniform_lstm(4, 3), ids)
    known, unknown = scorer.score(["abab", "ab好b"])
    assert known.logprob == pytest.approx(-4 * math.log(4), abs=1e-5)
    assert unknown.logprob == pytest.approx(-4 * math.log(4) - math.log(NUM_CHARACTERS), abs=1e-5)
    assert unknown.num_bytes == 6
    ngrams = ngram_scorer(["abab", "abba"], ids, 2)
    (score,) = ngrams.score(["好"])
    model = fit([[0, 1, 0, 1], [0, 1, 1, 0]], NGramSettings(order=2), num_ids=2, watcher=Silent())
    assert score.logprob == pytest.approx(float(model.logprobs([2])[0]) - math.log(NUM_CHARACTERS))


def test_the_end_is_scored_by_none() -> None:
    ids = ByteIds()
    scorer = ngram_scorer(["ab", "ab"], ids, 3)
    (score,) = scorer.score(["ab"])
    model = fit([[97, 98]] * 2, NGramSettings(order=3), num_ids=256, watcher=Silent())
    assert score.logprob == pytest.approx(float(model.logprobs([97, 98])[:2].sum()))
    # A text and its first half: the longer one can only be less likely.
    first, whole = scorer.score(["a", "ab"])
    assert whole.logprob < first.logprob


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_llama(tmp_path_factory.mktemp("llama"), seed=0)).eval()


def expected_logprob(model: Any, ids: list[int], context: int, stride: int) -> float:
    """Token by token: each after exactly the tokens that its window holds before it."""
    total = 0.0
    for place in range(1, len(ids)):
        if place < context:
            start = 0
        else:
            number = (place - context) // stride
            start = min(len(ids), context + (number + 1) * stride) - context
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[start:place]])).logits[0, -1]
        total += float(logits.double().log_softmax(-1)[ids[place]])
    return total


@pytest.mark.parametrize(("context", "stride"), [(2048, 1024), (8, 4), (8, 1), (9, 5), (2, 1)])
def test_a_window_gives_each_token_the_context_that_is_stated(llama: Any, context: int, stride: int) -> None:
    tokenizer = byte_tokenizer()
    scorer = CausalScorer(llama, tokenizer, context=context, stride=stride)
    (score,) = scorer.score([TEXT])
    ids = tokenizer.encode(TEXT, add_special_tokens=False)
    assert score.num_tokens == len(ids) < score.num_bytes
    assert score.logprob == pytest.approx(
        expected_logprob(llama, [tokenizer.bos_token_id, *ids], context, stride), rel=1e-5
    )


def test_windows_that_cannot_be_are_refused(llama: Any) -> None:
    for context, stride in ((8, 8), (1, 1), (4096, 8), (8, 0)):
        with pytest.raises(InputError, match="expected 2 to 2048 tokens"):
            CausalScorer(llama, byte_tokenizer(), context=context, stride=stride)


def test_models_that_give_texts_no_likelihood_are_refused(llama: Any, tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises(ModelError, match="BertForMaskedLM looks at what comes after a token"):
        CausalScorer(BertForMaskedLM(config).eval(), byte_tokenizer())
    t5 = AutoModelForSeq2SeqLM.from_pretrained(tiny_t5(tmp_path / "t5", seed=0))
    with pytest.raises(ModelError, match="encoder-decoder"):
        CausalScorer(t5, byte_tokenizer())
    with pytest.raises(ModelError, match="no output layer"):
        CausalScorer(llama.model, byte_tokenizer())
    with pytest.raises(ModelError, match=r"call .eval\(\) first"):
        CausalScorer(AutoModelForCausalLM.from_config(llama.config).train(), byte_tokenizer())
    with pytest.raises(ModelError, match="no bos_token_id"):
        LstmScorer(LstmLanguageModel(LstmConfig(256)), ByteIds())
    with pytest.raises(ModelError, match="of 2 ids cannot read a vocabulary of 256"):
        NGramScorer(fit([[0, 1]], NGramSettings(order=2), num_ids=2, watcher=Silent()), ByteIds())


def test_a_tokenizer_that_loses_text_is_refused(llama: Any) -> None:
    words = {word: number for number, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "the", "cat"])}
    lossy = TokenizerIds(BertTokenizerFast(vocab=words).backend_tokenizer)
    with pytest.raises(InputError, match="does not give back the text 'The cat'"):
        lossy.spelling("The cat")
    assert TokenizerIds(byte_tokenizer().backend_tokenizer).spelling(TEXT) == 0


def test_all_scorers_read_the_same_bytes(llama: Any) -> None:
    texts = [TEXT, "Once more.", "再来一次"]
    characters = CharacterIds.of(texts)
    scorers: list[TextScorer] = [
        ngram_scorer(texts, characters, 3),
        ngram_scorer(texts, ByteIds(), 3),
        ngram_scorer(texts, TokenizerIds(byte_tokenizer().backend_tokenizer), 3),
        LstmScorer(uniform_lstm(characters.num_ids + 2, characters.num_ids + 1), characters),
        CausalScorer(llama, byte_tokenizer()),
    ]
    for scorer in scorers:
        scores = scorer.score(texts)
        assert [score.num_bytes for score in scores] == [len(text.encode()) for text in texts]
        assert text_bits_per_byte(scores).value > 0


def test_tiny_shakespeare_needs_at_most_2_3_bits(shared_data: Path) -> None:
    with gzip.open(shared_data / "corpus_tinyshakespeare" / "input.txt.gz", "rt", encoding="utf-8") as file:
        text = file.read()
    train, held_out = text[: len(text) * 9 // 10], text[len(text) * 95 // 100 :]
    scorer = ngram_scorer([train], CharacterIds.of([train]), 6)
    assert text_bits_per_byte(scorer.score([held_out])).value < 2.30
