"""The gate decides as the plain definition does, and sees Chinese."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heedful.construct.novelty import NoveltyGate
from heedful.text import tokenize

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "写", "诗", "一"]), max_size=9).map(" ".join)


def rouge_l(left: list[str], right: list[str]) -> float:
    """F of ROUGE-L, from the textbook's table."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, one in enumerate(left):
        for j, other in enumerate(right):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    length = table[-1][-1]
    if not length:
        return 0.0
    precision, recall = length / len(left), length / len(right)
    return 2 * precision * recall / (precision + recall)


@given(TEXTS, st.lists(TEXTS, max_size=8), st.sampled_from([0.3, 0.5, 0.65, 0.7, 1.0]))
def test_pruning_changes_no_decision(text: str, pool: list[str], threshold: float) -> None:
    tokens = tokenize(text)
    highest = max((rouge_l(tokens, tokenize(other)) for other in pool), default=0.0)
    # Exactly at the threshold the last bit of a product may decide; the gate divides once.
    if abs(highest - threshold) > 1e-9:
        assert NoveltyGate(threshold, pool).is_novel(text) == (bool(tokens) and highest <= threshold)


def test_chinese_is_seen() -> None:
    gate = NoveltyGate(0.7, ["请写一首关于秋天的诗。"])
    assert not gate.is_novel("请写一首关于冬天的诗。")
    assert gate.is_novel("把下面的句子翻译成英文。")


def test_what_was_added_is_not_new_whatever_its_case_and_punctuation() -> None:
    gate = NoveltyGate(0.7)
    assert gate.is_novel("Write a short poem about autumn.")
    gate.add("Write a short poem about autumn.")
    assert not gate.is_novel("write a SHORT poem about autumn!")


def test_a_text_without_words_is_not_new() -> None:
    assert not NoveltyGate(0.7).is_novel("???")
