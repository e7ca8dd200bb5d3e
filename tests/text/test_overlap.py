"""n-grams, common subsequences, similarity, repetition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful import text

_TOKENS = st.lists(st.sampled_from(["a", "b", "cat", "好"]), max_size=12)


def _lcs_by_table(left: list[str], right: list[str]) -> int:
    """The textbook table, to compare with."""
    row = [0] * (len(right) + 1)
    for token in left:
        diagonal = 0
        for j, other in enumerate(right, start=1):
            diagonal, row[j] = row[j], diagonal + 1 if token == other else max(row[j], row[j - 1])
    return row[-1]


def test_ngrams_and_shingles() -> None:
    assert text.ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert text.ngrams(["a"], 2) == []
    assert text.shingles("A b, a b A", 2) == {"a b", "b a"}
    assert text.shingles("我爱你", 2) == {"我 爱", "爱 你"}
    assert text.shingles("One", 5) == {"one"}
    assert text.shingles("!?", 2) == set()
    with pytest.raises(ValueError, match="n=0"):
        text.ngrams(["a"], 0)


def test_measures_by_hand() -> None:
    assert text.lcs_length(["the", "cat", "sat"], ["the", "dog", "sat"]) == 2
    assert text.edit_distance(["the", "cat", "sat"], ["the", "dog", "sat", "down"]) == 2
    assert text.similarity(["the", "cat", "sat"], ["the", "sat"]) == pytest.approx(4 / 5)
    assert text.jaccard({"a", "b"}, {"b", "c"}) == pytest.approx(1 / 3)
    assert text.jaccard(set(), set()) == 1.0
    assert text.repetition(["a", "b", "a", "b", "a"], 2) == pytest.approx(0.5)  # ab ba ab ba: two of four came before
    assert text.repetition([], 2) == 0.0
    assert text.most_similar(["a", "b"], [["c"], ["a", "b", "c"], ["a", "b", "d"]]) == (1, pytest.approx(0.8))
    assert text.most_similar(["a"], []) == (-1, 0.0)
    assert text.most_similar(["a"], [["b"]]) == (0, 0.0)


@given(_TOKENS, _TOKENS)
def test_measures_agree_with_the_textbook_and_are_symmetric(left: list[str], right: list[str]) -> None:
    common = _lcs_by_table(left, right)
    assert text.lcs_length(left, right) == text.lcs_length(right, left) == common
    total = len(left) + len(right)
    assert text.similarity(left, right) == pytest.approx(2 * common / total if total else 1.0)
    assert text.edit_distance(left, right) == text.edit_distance(right, left) <= max(len(left), len(right))
    assert text.similarity(left, left) == 1.0
    assert 0.0 <= text.repetition(left, 2) < 1.0
