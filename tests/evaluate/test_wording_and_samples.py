"""How numbers are said, and which answers are shown."""

from __future__ import annotations

import pytest

from heedful.evaluate.samples import choose
from heedful.evaluate.wording import difference_in_words, listed, value_in_words


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.3141, "score", "0.314"), (14.23, "score", "14.2"), (9.876, "perplexity", "9.88"), (1234.5, "perplexity", "1234"),
        (0.6213, "share", "62.1%"), (0.0, "share", "0.0%"), (None, "score", "–"),
    ],
)  # fmt: skip
def test_values(value: float | None, unit: str, said: str) -> None:
    assert value_in_words(value, unit) == said


@pytest.mark.parametrize(
    ("numbers", "unit", "said"),
    [
        ((0.211, 0.152, 0.27), "score", "+0.211 [+0.152, +0.270]"),
        ((-14.44, -17.5, -11.3), "perplexity", "-14.4 [-17.5, -11.3]"),
        ((0.041, -0.004, 0.086), "share", "+4.1 points [-0.4, +8.6]"),
        # No sign where the digits show no direction.
        ((0.0, -0.0001, 0.0001), "score", "0.000 [0.000, 0.000]"),
        ((0.5, None, None), "score", "+0.500"),
    ],
)  # fmt: skip
def test_differences(numbers: tuple[float, float | None, float | None], unit: str, said: str) -> None:
    assert difference_in_words(*numbers, unit) == said


def test_lists() -> None:
    assert [listed(list(text)) for text in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


def test_samples_are_the_largest_gains_the_largest_losses_and_some_others() -> None:
    gains = [0.0, 0.5, -0.2, 0.9, -0.7, 0.1, 0.0, 0.3, -0.1]
    chosen = choose(gains, list("abcdefghi"), 9, seed=1)
    assert [row for row, rule in chosen if rule == "gain"] == [3, 1, 7]
    assert [row for row, rule in chosen if rule == "loss"] == [4, 2, 8]
    assert sorted(row for row, _ in chosen) == list(range(9)), "nobody twice"


def test_nobody_counts_as_a_loss_who_did_not_lose() -> None:
    chosen = choose([0.2, 0.0, 0.1, 0.0], list("abcd"), 3, seed=1)
    assert [rule for _, rule in chosen] == ["gain", "random", "random"]
    assert choose([0.2], ["a"], 12, seed=1) == [(0, "gain")]
    assert choose([0.2, 0.1], ["a", "b"], 0, seed=1) == []


def test_ties_are_broken_by_id_not_by_place() -> None:
    assert choose([0.5, 0.5], ["b", "a"], 3, seed=1)[0] == (1, "gain")
