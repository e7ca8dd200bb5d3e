"""Each objective hides, shows and trains exactly what it says, and its loss is transformers' own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from heedful.train.objectives.pretraining import TextBatch, corrupted, corrupted_lengths, noise_spans, objective
from heedful.train.pretraining.rows import TextRow
from heedful.train.pretraining.tokenizer import SpecialIds

# Ids 0 to 9 are special here: 0 pads, 1 ends, 2 hides, 3 begins, 4 to 9 are sentinels.
SPECIAL = SpecialIds(end=1, pad=0, mask=2, classify=3, sentinels=(4, 5, 6, 7, 8, 9), first_ordinary=10, num_ids=60)
WHOLE = SpecialIds(end=1, pad=0, mask=2, classify=3, sentinels=tuple(range(4, 104)), first_ordinary=104, num_ids=400)


def row(tokens: Any, seed: int = 1, other: Any = None) -> TextRow:
    return TextRow(f"row {seed}", np.array(tokens, dtype=np.uint16), seed, None if other is None else np.array(other))


def texts(*lengths: int, seed: int = 3) -> list[TextRow]:
    random = np.random.default_rng(seed)
    return [
        row(random.integers(10, 60, length), seed=index, other=random.integers(10, 60, length))
        for index, length in enumerate(lengths)
    ]


def made(model: type, config: Any) -> Any:
    torch.manual_seed(5)
    return model(config).double().eval()


@pytest.fixture(scope="module")
def llama() -> Any:
    return made(
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=60,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            initializer_range=0.2,
            tie_word_embeddings=True,
        ),
    )


@pytest.fixture(scope="module")
def t5() -> Any:
    return made(
        T5ForConditionalGeneration,
        T5Config(
            vocab_size=60,
            d_model=32,
            d_kv=16,
            d_ff=48,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            decoder_start_token_id=0,
        ),
    )


def bert(model: type) -> Any:
    return made(
        model,
        BertConfig(
            vocab_size=60,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            initializer_range=0.2,
        ),
    )


def summed(name: str, model: Any, rows: list[TextRow]) -> tuple[float, TextBatch]:
    chosen = objective(name, SPECIAL)
    batch = chosen.build(rows)
    factors = batch.factors.double()
    total, _ = chosen.loss(model, TextBatch(**{**_fields(batch), "factors": factors}))
    return float(total.detach()), batch


def _fields(batch: TextBatch) -> dict[str, Any]:
    return {name: getattr(batch, name) for name in TextBatch.__dataclass_fields__}


def labels_of(batch: TextBatch) -> torch.Tensor:
    labels = torch.full(batch.predicts.shape, -100)
    labels[batch.predicts] = batch.targets
    return labels


@pytest.mark.parametrize("name", ["causal", "prefix", "span_corruption", "masked", "masked_next_sentence"])
def test_a_batch_is_the_sum_of_its_rows(name: str, llama: Any, t5: Any) -> None:
    model = {"span_corruption": t5, "masked": bert(BertForMaskedLM)}.get(name, llama)
    model = bert(BertForPreTraining) if name == "masked_next_sentence" else model
    rows = [*texts(12, 7, 20, 3), row([1, 12, 13, 1, 14, 15, 16, 1, 17])][: 5 if name == "causal" else 4]
    together, batch = summed(name, model, rows)
    alone = [summed(name, model, [one]) for one in rows]
    assert together == pytest.approx(sum(total for total, _ in alone), rel=1e-6)
    assert batch.weight == sum(one.weight for _, one in alone)
    assert batch.num_tokens == sum(one.num_tokens for _, one in alone)


# -- causal -----------------------------------------------------------------------------------------------------------


def test_causal_mask_ends_with_documents() -> None:
    batch = objective("causal", SPECIAL).build([row([1, 20, 21, 1, 22, 1, 23])])
    assert batch.inputs["input_ids"].tolist() == [[1, 20, 21, 1, 22, 1]]
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0]]
    assert batch.inputs["attention_mask"].int().tolist()[0][0] == [
        [1, 0, 0, 0, 0, 0],  # the end before the first document, predicts 20
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],  # 21, predicts the end of its document
        [0, 0, 0, 1, 0, 0],  # that end begins the second document
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]
    assert batch.targets.tolist() == [20, 21, 1, 22, 1, 23]
    assert batch.predicts.tolist() == [[True] * 6]


def test_causal_needs_no_mask_within_a_document() -> None:
    batch = objective("causal", SPECIAL).build([row([1, 20, 21]), row([22, 23])])
    assert set(batch.inputs) == {"input_ids"}
    assert batch.predicts.tolist() == [[True, True], [True, False]]
    assert batch.targets.tolist() == [20, 21, 23]


def test_causal_loss_is_that_of_each_document_alone(llama: Any) -> None:
    documents = [[1, 20, 21, 22, 1], [1, 23, 24, 1], [1, 25, 26, 27, 28, 29]]
    packed = [20, 21, 22, 1, 23, 24, 1, 25, 26, 27, 28, 29]
    total, batch = summed("causal", llama, [row([1, *packed])])
    expected = 0.0
    for document in documents:
        ids = torch.tensor([document])
        expected += float(llama(input_ids=ids, labels=ids).loss.detach()) * (len(document) - 1)
    assert total == pytest.approx(expected, rel=1e-6)
    assert batch.weight == sum(len(document) - 1 for document in documents)


# -- prefix -----------------------------------------------------------------------------------------------------------


@given(length=st.integers(2, 30), seed=st.integers(0, 2**40))
def test_prefix_sees_itself_and_only_the_rest_is_trained(length: int, seed: int) -> None:
    tokens = np.arange(10, 10 + length)
    batch = objective("prefix", SPECIAL).build([row(tokens, seed), row([10, 11], seed)])
    seen = batch.inputs["attention_mask"][0, 0].numpy()
    prefix = length - int(batch.predicts[0].sum())
    assert 1 <= prefix <= length - 1
    for query in range(length - 1):
        for key in range(length - 1):
            assert seen[query, key] == (key <= query or key < prefix)
    assert batch.targets[: length - prefix].tolist() == list(tokens[prefix:])
    assert batch.targets[length - prefix :].tolist() == [11]


def test_nothing_predicted_is_seen(llama: Any) -> None:
    built = [objective("prefix", SPECIAL).build([one]) for one in texts(*[20] * 9)]
    batch, first = next((one, at) for one in built if 2 < (at := int(one.predicts[0].int().argmax())) < 15)
    read = llama.base_model(**batch.inputs, use_cache=False).last_hidden_state

    def changed_at(place: int) -> torch.Tensor:
        ids = batch.inputs["input_ids"].clone()
        ids[0, place] = (ids[0, place] - 9) % 50 + 10
        again = llama.base_model(**{**batch.inputs, "input_ids": ids}, use_cache=False).last_hidden_state
        return (again - read).abs().amax(-1)[0] > 1e-9

    # A token after the prefix is seen from itself on; the last one of the prefix from everywhere.
    assert changed_at(first + 2).tolist() == [False] * (first + 2) + [True] * (19 - first - 2)
    assert changed_at(first).all()


def test_prefixes_are_of_every_length() -> None:
    build = objective("prefix", SPECIAL).build
    found = [int(build([row(range(10, 15), seed)]).predicts.sum()) for seed in range(400)]
    assert {number: 60 < found.count(number) < 140 for number in set(found)} == dict.fromkeys([1, 2, 3, 4], True)


# -- span corruption --------------------------------------------------------------------------------------------------


def put_back(given_ids: list[int], wanted: list[int], special: SpecialIds) -> list[int]:
    """The text: spans of the target in the places of their sentinels."""
    assert given_ids[-1] == wanted[-1] == special.end
    spans: dict[int, list[int]] = {}
    for token in wanted[:-1]:
        if token in special.sentinels:
            current = spans[token] = []
        else:
            current.append(token)
    text = [one for token in given_ids[:-1] for one in (spans.pop(token) if token in special.sentinels else [token])]
    assert not spans
    return text


@given(length=st.integers(2, 600), seed=st.integers(0, 2**40))
def test_input_and_target_give_the_text_back(length: int, seed: int) -> None:
    tokens = np.random.default_rng(seed).integers(104, 400, length)
    given_ids, wanted = corrupted(tokens, WHOLE, np.random.default_rng(seed))
    assert put_back(given_ids.tolist(), wanted.tolist(), WHOLE) == tokens.tolist()
    used = [token for token in wanted.tolist() if token in WHOLE.sentinels]
    assert used == list(WHOLE.sentinels[: len(used)])
    assert (len(given_ids), len(wanted)) == corrupted_lengths(length)


@given(length=st.integers(2, 600), seed=st.integers(0, 2**40), most=st.integers(1, 100))
def test_share_and_spans_are_as_in_the_paper(length: int, seed: int, most: int) -> None:
    hidden = noise_spans(length, most, np.random.default_rng(seed))
    number = max(1, round(0.15 * length))
    assert hidden.sum() == min(number, length - 1)
    num_spans = int((np.diff(hidden.astype(int), prepend=0) == 1).sum())
    assert num_spans == min(max(1, round(number / 3)), most)
    assert not hidden[0]
    assert hidden[-1]


def test_spans_have_every_place() -> None:
    hidden = np.mean([noise_spans(200, 100, np.random.default_rng(seed)) for seed in range(2000)], axis=0)
    # Each token is as likely to be hidden as any other, but for those at the ends.
    assert abs(hidden[30:170] - 0.15).max() < 0.035


def test_too_few_sentinels_make_spans_longer() -> None:
    given_ids, wanted = corrupted(np.arange(10, 60), SPECIAL, np.random.default_rng(1))
    assert put_back(given_ids.tolist(), wanted.tolist(), SPECIAL) == list(range(10, 60))


def test_span_loss_is_that_of_transformers(t5: Any) -> None:
    total, batch = summed("span_corruption", t5, texts(20, 9))
    expected = t5(
        input_ids=batch.inputs["input_ids"], attention_mask=batch.inputs["attention_mask"], labels=labels_of(batch)
    )
    assert total / batch.weight == pytest.approx(float(expected.loss.detach()), rel=1e-6)
    shifted = t5._shift_right(torch.where(batch.predicts, labels_of(batch), 0))
    assert shifted.tolist() == batch.inputs["decoder_input_ids"].tolist()


# -- masked -----------------------------------------------------------------------------------------------------------


def test_masked_shares() -> None:
    # Tokens 10 to 59 in turn, so that an exchanged one is known.
    rows = [row(np.arange(200) % 50 + 10, seed) for seed in range(300)]
    batch = objective("masked", SPECIAL).build(rows)
    ids = batch.inputs["input_ids"]
    original = torch.tensor([[3, *(np.arange(200) % 50 + 10), 1]]).expand(300, -1)
    assert (batch.predicts.sum(1) == 30).all()
    assert batch.targets.tolist() == original[batch.predicts].tolist()
    assert (ids == original)[~batch.predicts].all(), "what is not predicted is not changed"
    assert not batch.predicts[:, [0, -1]].any()
    chosen = ids[batch.predicts]
    is_hidden, is_kept = chosen == 2, chosen == batch.targets
    # 9000 draws: three standard deviations are about 1.3 and 1 points; one random token in fifty is the old one.
    assert float(is_hidden.double().mean()) == pytest.approx(0.8, abs=0.013)
    assert float(is_kept.double().mean()) == pytest.approx(0.102, abs=0.01)
    others = chosen[~is_hidden & ~is_kept]
    assert others.min() >= 10
    assert set(others.tolist()) == set(range(10, 60))
    assert (batch.predicts.double().mean(0)[1:-1] > 0.05).all(), "every place can be chosen"


def test_masked_loss_is_that_of_transformers() -> None:
    model = bert(BertForMaskedLM)
    total, batch = summed("masked", model, texts(20, 9, 2))
    expected = model(**batch.inputs, labels=labels_of(batch))
    assert total / batch.weight == pytest.approx(float(expected.loss.detach()), rel=1e-6)


def test_pairs_follow_or_do_not() -> None:
    rows = [row(range(10, 30), seed, other=range(30, 60)) for seed in range(400)]
    whole = objective("masked_next_sentence", SPECIAL).build(rows)
    ids = whole.inputs["input_ids"].clone()
    ids[whole.predicts] = whole.targets
    assert 160 < int(whole.follows.sum()) < 240
    for tokens, kinds, label in zip(
        ids.tolist(), whole.inputs["token_type_ids"].tolist(), whole.follows.tolist(), strict=True
    ):
        first = tokens.index(1)
        second = tokens.index(1, first + 1)
        one, other = tokens[1:first], tokens[first + 1 : second]
        assert tokens[0] == 3
        assert len(one) + len(other) == 20
        assert one == list(range(10, 10 + len(one)))
        assert other == (list(range(10 + len(one), 30)) if label == 0 else list(range(60 - len(other), 60)))
        assert kinds[: second + 1] == [0] * (first + 1) + [1] * (second - first)


def test_pair_loss_is_that_of_transformers() -> None:
    model = bert(BertForPreTraining)
    # Rows of one length hide equally many tokens: then a mean of rows is a mean of tokens.
    total, batch = summed("masked_next_sentence", model, texts(20, 20, 20))
    expected = model(**batch.inputs, labels=labels_of(batch), next_sentence_label=batch.follows)
    assert batch.weight == 3
    assert total / 3 == pytest.approx(float(expected.loss.detach()), rel=1e-6)


def test_a_single_place_gives_true_pairs_only() -> None:
    rows = [row(range(10, 30), seed) for seed in range(20)]
    assert objective("masked_next_sentence", SPECIAL).build(rows).follows.tolist() == [0] * 20
