"""The n-gram model: against numbers by hand, a plain reference, its own ARPA file, and the axioms of probability."""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.errors import InputError, ModelError, SettingsError
from heedful.models.ngram import NGramModel, NGramSettings, fit, write_arpa
from heedful.project import Silent, parse_settings

BEGIN, END, UNKNOWN = -1, -2, -3
"""The reference's names for words that are no ids."""

Documents = list[list[int]]


class Listener(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def reference(documents: Documents, order: int, num_ids: int) -> Callable[[int, Sequence[int]], float]:
    """p(word | context) straight from the definition, with dictionaries and no thought of speed."""
    seen: Counter[tuple[int, ...]] = Counter()
    for document in documents:
        words = [BEGIN, *document, END]
        for length in range(1, order + 1):
            seen.update(tuple(words[start : start + length]) for start in range(len(words) - length + 1))
    del seen[(BEGIN,)]

    def adjusted(gram: tuple[int, ...]) -> int:
        if len(gram) == order or gram[0] == BEGIN:
            return seen[gram]
        return sum(1 for longer in seen if longer[1:] == gram)

    counts = {gram: adjusted(gram) for gram in seen}
    discounts = {}
    for length in range(1, order + 1):
        n = Counter(count for gram, count in counts.items() if len(gram) == length)
        discounts[length] = [0.0, 0.5, 1.0, 1.5]
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            d = [0.0, 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
            if all(0 < d[number] <= number for number in (1, 2, 3)):
                discounts[length] = d

    def probability(word: int, context: tuple[int, ...]) -> float:
        lower = probability(word, context[1:]) if context else 1 / (num_ids + 2)
        after = [count for gram, count in counts.items() if gram[:-1] == context]
        if not after:
            return lower
        d = discounts[len(context) + 1]
        count = counts.get((*context, word), 0)
        kept = (count - d[min(count, 3)]) / sum(after)
        return kept + sum(d[min(other, 3)] for other in after) / sum(after) * lower

    return lambda word, context: probability(word, tuple(context)[len(context) - min(order - 1, len(context)) :])


def fitted(documents: Documents, order: int, num_ids: int) -> NGramModel:
    return fit(documents, NGramSettings(order=order), num_ids=num_ids, watcher=Silent())


corpora = st.lists(st.lists(st.integers(0, 4), max_size=25), min_size=1, max_size=12)


def test_two_short_documents_by_hand() -> None:
    # Bigrams: (<s> 0) twice; (0 1), (1 </s>), (0 0), (0 </s>) once. Nothing has a count of 3: D = 0.5, 1, 1.5.
    model = fitted([[0, 1], [0, 0]], 2, 2)
    # Words by what may precede them: 0 after <s> and 0; 1 after 0; </s> after 1 and 0. They are 5, discounts 2.5, and
    # chance is one of 4: 0, 1, </s>, <unk>.
    p0, p1, p_end, p_unknown = 1 / 5 + 0.125, 0.5 / 5 + 0.125, 1 / 5 + 0.125, 0.125
    expected = [
        (2 - 1) / 2 + 1 / 2 * p0,  # 0 after <s>
        (1 - 0.5) / 3 + 1.5 / 3 * p1,  # 1 after 0, which three words follow
        (1 - 0.5) / 1 + 0.5 / 1 * p_end,  # </s> after 1
    ]
    np.testing.assert_allclose(np.exp(model.logprobs([0, 1])), expected, rtol=1e-14)
    # 2 stands for unknown words: after <s> backed off to, and itself a context that was never seen.
    np.testing.assert_allclose(np.exp(model.logprobs([2, 1], ends=False)), [1 / 2 * p_unknown, p1], rtol=1e-14)
    np.testing.assert_allclose(np.exp(model.logprobs([0], starts=False, ends=False)), [p0], rtol=1e-14)


@settings(deadline=None, max_examples=60)
@given(corpora, st.lists(st.integers(0, 6), max_size=12), st.integers(1, 4))
def test_equals_the_reference(documents: Documents, text: list[int], order: int) -> None:
    # Ids 5 and 6: one that never occurs, and the unknown word.
    model, expected = fitted(documents, order, 6), reference(documents, order, 6)
    words = [BEGIN, *(UNKNOWN if word == 6 else word for word in text), END]
    ours = model.logprobs(text)
    theirs = [math.log(expected(words[place], words[:place])) for place in range(1, len(words))]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def test_perplexity_equals_the_reference_where_discounts_are_estimated() -> None:
    # Zipf's law, as in texts: all counts of counts are there.
    draw = np.random.default_rng(0)
    documents = [np.minimum(draw.zipf(1.6, 12), 30).tolist() for _ in range(60)]
    model, expected = fitted(documents, 3, 31), reference(documents, 3, 31)
    assert [one.because for one in model.discounts] == ["", "", ""]
    text = np.minimum(draw.zipf(1.6, 40), 30).tolist()
    words = [BEGIN, *text, END]
    theirs = [math.log(expected(words[place], words[:place])) for place in range(1, len(words))]
    assert math.exp(-model.logprobs(text).mean()) == pytest.approx(math.exp(-sum(theirs) / len(theirs)), rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(corpora, st.lists(st.integers(0, 6), max_size=6), st.integers(1, 5), st.booleans())
def test_probabilities_sum_to_one(documents: Documents, context: list[int], order: int, starts: bool) -> None:
    model = fitted(documents, order, 6)
    following = model.next_logprobs(context, starts=starts)
    assert np.exp(following).sum() == pytest.approx(1, abs=1e-12)
    assert following[model.words.begin] == -math.inf
    each = [model.logprobs([*context, word], starts=starts, ends=False)[-1] for word in range(7)]
    np.testing.assert_allclose(following[:7], each, rtol=0, atol=1e-12)
    assert following[model.words.end] == pytest.approx(model.logprobs(context, starts=starts)[-1], abs=1e-12)


def arpa_logprobs(path: Path, words: list[str]) -> list[float]:
    """Base-10 logarithms by backing off through an ARPA file, read as its format says."""
    table: dict[str, tuple[float, float]] = {}
    sizes: Counter[int] = Counter()
    declared = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("ngram "):
            length, number = line.removeprefix("ngram ").split("=")
            declared[int(length)] = int(number)
        fields = line.split("\t")
        if len(fields) >= 2:
            table[fields[1]] = (float(fields[0]), float(fields[2]) if len(fields) == 3 else 0.0)
            sizes[len(fields[1].split(" "))] += 1
    assert sizes == declared

    def logprob(context: list[str], word: str) -> float:
        if (gram := " ".join([*context, word])) in table:
            return table[gram][0]
        return table.get(" ".join(context), (0.0, 0.0))[1] + logprob(context[1:], word)

    order = max(declared)
    return [logprob(words[max(0, place - order + 1) : place], words[place]) for place in range(1, len(words))]


def test_an_arpa_file_says_the_same(tmp_path: Path) -> None:
    documents = [[0, 1, 2, 0, 1, 3], [3, 3, 0, 1, 2], [], [4]]
    model = fitted(documents, 4, 6)
    # A token may look like what stands for log 0.
    names = ["a", "b", "好", "-inf", "e", "never"]
    path = write_arpa(model, tmp_path / "model.arpa", tokens=names)
    for text in ([0, 1, 2, 0], [3, 3, 3], [], [5, 0], [6, 2, 0, 1, 2], [0, 1, 2, 0, 1, 3]):
        words = ["<s>", *([*names, "<unk>"][number] for number in text), "</s>"]
        ours = model.logprobs(text) / math.log(10)
        np.testing.assert_allclose(arpa_logprobs(path, words), ours, rtol=0, atol=1e-7)


@pytest.mark.parametrize("tokens", [["a b", "c"], ["", "c"], ["a", "a"], ["<s>", "c"], ["a"]])
def test_arpa_refuses_names_that_it_cannot_hold(tokens: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_arpa(fitted([[0, 1]], 2, 2), tmp_path / "model.arpa", tokens=tokens)
    assert not list(tmp_path.iterdir())


def test_saved_and_loaded_it_says_the_same_bits(tmp_path: Path) -> None:
    model = fitted([[0, 1, 2, 0, 1, 3], [3, 3, 0, 1, 2]], 4, 5)
    loaded = NGramModel.load(model.save(tmp_path / "model"))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "model.safetensors"]
    assert (loaded.order, loaded.num_ids, loaded.discounts) == (4, 5, model.discounts)
    assert np.array_equal(loaded.logprobs([0, 1, 2, 4, 5, 0]), model.logprobs([0, 1, 2, 4, 5, 0]))


def test_a_folder_that_is_no_ngram_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a folder that an n-gram model was saved to"):
        NGramModel.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ModelError, match="type 'llama', expected 'heedful-ngram'"):
        NGramModel.load(tmp_path)
    folder = fitted([[0, 1]], 2, 2).save(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no complete n-gram model"):
        NGramModel.load(folder)


def test_fallback_discounts_are_said_kept_and_refused_on_request() -> None:
    listener = Listener()
    model = fit([[0, 1]], NGramSettings(order=2), num_ids=2, watcher=listener)
    assert len(listener.said) == 2
    assert listener.said[0].startswith("1-grams: fallback discounts 0.5, 1.0 and 1.5, as no 1-gram has an adjusted")
    assert all(one.because for one in model.discounts)
    with pytest.warns(UserWarning, match="fallback discounts"):
        fit([[0, 1]], NGramSettings(order=2), num_ids=2)
    with pytest.raises(InputError, match="cannot estimate discounts: no 1-gram has an adjusted count of 2"):
        fit([[0, 1]], NGramSettings(order=2, discount_fallback=False), num_ids=2)


def test_estimated_discounts_are_silent() -> None:
    draw = np.random.default_rng(0)
    documents = [np.minimum(draw.zipf(1.6, 12), 30) for _ in range(60)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(documents, NGramSettings(order=2, discount_fallback=False), num_ids=31)


def test_documents_do_not_see_each_other() -> None:
    apart, one = fitted([[0, 1], [2, 3]], 3, 4), fitted([[0, 1, 2, 3]], 3, 4)
    assert apart.logprobs([0, 1, 2], ends=False)[-1] < one.logprobs([0, 1, 2], ends=False)[-1]
    # Order does not matter either.
    again = fitted([[2, 3], [0, 1]], 3, 4)
    assert np.array_equal(apart.logprobs([0, 1, 2, 3]), again.logprobs([0, 1, 2, 3]))


def test_an_order_beyond_the_longest_document_has_no_ngrams_of_that_length() -> None:
    model = fitted([[0], [1]], 6, 2)
    assert len(model.tables[3].keys) == 0
    np.testing.assert_array_equal(model.logprobs([0, 1, 0, 1, 0]), fitted([[0], [1]], 3, 2).logprobs([0, 1, 0, 1, 0]))


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "no documents"),
        ([[0, 9]], "document 0 has the token id 9; this vocabulary's are 0 to 3"),
        ([[0], [-1]], "document 1 has the token id -1"),
        ([[0.5]], "expected a list of token ids"),
        ([[[0]]], "expected a list of token ids"),
    ],
)
def test_wrong_documents_are_named(documents: Documents, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fitted(documents, 2, 4)


def test_wrong_ids_and_settings_are_named() -> None:
    with pytest.raises(InputError, match="token id 6; this model's are 0 to 4, and 5 for an unknown token"):
        fitted([[0, 1]], 2, 5).logprobs([0, 6])
    with pytest.raises(SettingsError, match="unknown setting 'ordre'; did you mean 'order'"):
        parse_settings(NGramSettings, {"ordre": 3}, where="ngram")
