"""Near-duplicates: what is planted is found, what is removed is verified, and Chinese counts as much as English."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

import pytest

from heedful import text
from heedful.curate import CurateSettings, curate
from heedful.curate._frame import frame_of
from heedful.curate.near_duplicates import (
    BUCKET_WINDOW,
    MAX_MISS,
    NUM_HASHES,
    banding,
    similar_pairs,
    token_text,
)
from heedful.records import Example

SETTINGS = CurateSettings()


def similarity(one: Example, other: Example) -> float:
    """Jaccard similarity of token 3-grams, by hand."""
    left, right = (set(text.ngrams(token_text(example).split(), 3)) for example in (one, other))
    return len(left & right) / len(left | right)


def invented(rng: random.Random, num_words: int) -> list[str]:
    return ["".join(rng.choices("abcdefghij", k=3)) for _ in range(num_words)]


def planted(make_row: Any, num: int, seed: int) -> list[Example]:
    """`num` rows of invented words, each followed by a copy with one word changed."""
    rng = random.Random(seed)
    rows = []
    for _ in range(num):
        words = invented(rng, 60)
        changed = list(words)
        changed[rng.randrange(60)] = "changed"
        rows += [make_row("Read this aloud.", " ".join(words)), make_row("Read this aloud.", " ".join(changed))]
    return rows


def test_planted_near_duplicates_are_found(make_row: Any) -> None:
    rows = planted(make_row, 150, seed=1)
    # One word of 63 changed touches at most three of 61 shingles: the similarity is at least 58 / 64.
    assert all(similarity(one, other) >= 58 / 64 for one, other in zip(rows[::2], rows[1::2], strict=True))
    result = curate(rows, SETTINGS, seed=1)
    assert [example.id for example in result.kept] == [row.id for row in rows[::2]]
    assert {reason for _, reason in result.dropped} == {"near_duplicate"}


def test_pairs_are_those_of_comparing_everything(make_row: Any) -> None:
    """Two ways must agree: locality-sensitive hashing, and exact similarity of all pairs."""
    rng = random.Random(2)
    words = invented(rng, 30)
    rows = []
    for _ in range(80):
        mixed = [word if rng.random() < 0.85 else "".join(rng.choices("klmnop", k=3)) for word in words]
        rows.append(make_row("Say it.", " ".join(mixed)))
    exact = {(a, b): similarity(rows[a], rows[b]) for a, b in combinations(range(len(rows)), 2)}
    wanted = {pair for pair, value in exact.items() if value >= 0.5}
    found = {(pair.left, pair.right): pair.similarity for pair in similar_pairs(frame_of(rows), 0.5)}
    assert len(wanted) > 50
    assert found.keys() <= wanted
    # A miss has a chance of at most one in a thousand at the threshold; of these few hundred pairs, none is missed.
    assert found.keys() == wanted
    assert all(found[pair] == pytest.approx(exact[pair]) for pair in found)


def test_chinese_near_duplicates_are_found(make_row: Any) -> None:
    one = "清晨，老人推着小车来到河边，把昨夜捞起的菱角一篮一篮摆好，等着第一班渡船靠岸。"
    other = one.replace("老人", "大婶")
    different = "图书馆的二楼很安静，靠窗的位子总是最早坐满，学生们在那里准备期末考试的材料。"
    rows = [make_row("朗读这段话。", said, language="zh") for said in (one, other, different)]
    result = curate(rows, SETTINGS, seed=1)
    assert [example.id for example in result.kept] == [rows[0].id, rows[2].id]
    assert [reason for _, reason in result.dropped] == ["near_duplicate"]


def test_rows_of_one_template_about_different_passages_stay(make_row: Any) -> None:
    instruction = "Read the passage and answer the question in one complete sentence, using only what the passage says."
    passages = {
        "The mill by the river was built in 1820 by two brothers.": "It was built in 1820.",
        "Swifts sleep in the air and land only to raise their young.": "They land to raise their young.",
        "Salt was once so dear that soldiers were paid with it.": "They were paid with salt.",
    }
    rows = [make_row(instruction, answer, input=passage) for passage, answer in passages.items()]
    assert len(curate(rows, SETTINGS, seed=1).kept) == 3


def test_one_stays_of_each_cluster_and_imported_rows_go_first(make_row: Any) -> None:
    words = invented(random.Random(3), 50)
    derived = make_row("Say it.", " ".join(words), method="templates", parents=("document",))
    imported = make_row("Say it.", " ".join([*words[:-1], "end"]))
    later = make_row("Say it.", " ".join([*words[:-1], "stop"]))
    result = curate([derived, imported, later], SETTINGS, seed=1)
    assert [example.id for example in result.kept] == [imported.id]
    assert {example.meta_value("dropped")["detail"] for example, _ in result.dropped} == {f"of {imported.id}"}


def test_every_removal_has_a_similar_row(make_row: Any) -> None:
    rows = planted(make_row, 25, seed=4)
    result = curate(rows, SETTINGS, seed=1)
    for example, _ in result.dropped:
        others = [row for row in rows if row.id != example.id]
        assert max(similarity(example, other) for other in others) >= SETTINGS.near_duplicate_threshold


def test_crowd_of_equal_rows_ends_as_one(make_row: Any) -> None:
    """Buckets larger than the window are linked through neighbours, without forming all pairs."""
    words = " ".join(invented(random.Random(5), 60))
    rows = [make_row("Say it.", f"{words} {number}") for number in range(6 * BUCKET_WINDOW)]
    num_all_pairs = len(rows) * (len(rows) - 1) // 2
    assert len(similar_pairs(frame_of(rows), 0.8)) < num_all_pairs / 2
    assert [example.id for example in curate(rows, SETTINGS, seed=1).kept] == [rows[0].id]


def test_rows_without_tokens_are_not_alike(make_row: Any) -> None:
    rows = [make_row("== ?", "!="), make_row("&& ?", "||"), make_row("😀 ?", "😐")]
    assert len(curate(rows, SETTINGS, seed=1).kept) == 3


@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_bands_miss_little_and_are_the_most_selective(threshold: float) -> None:
    num_bands, size = banding(threshold)
    assert num_bands * size <= NUM_HASHES
    assert (1 - threshold**size) ** num_bands <= MAX_MISS
    assert size == 16 or (1 - threshold ** (size + 1)) ** (NUM_HASHES // (size + 1)) > MAX_MISS


def test_bands_by_hand() -> None:
    # At 0.6: 64 bands of 4 miss (1 - 0.1296)^64 = 0.00014; 51 bands of 5 would miss (1 - 0.0778)^51 = 0.016.
    assert banding(0.6) == (64, 4)
    # At 0.8: 36 bands of 7 miss (1 - 0.2097)^36 = 0.0002; 32 bands of 8 would miss (1 - 0.1678)^32 = 0.0028.
    assert banding(0.8) == (36, 7)
