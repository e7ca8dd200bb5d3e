"""The split: what belongs together stays together, every method is tested, shares are met as far as they can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.curate import CurateSettings, curate
from heedful.curate.near_duplicates import Pair
from heedful.curate.split import TOLERANCE, SplitPlan, crossings, plan_split
from heedful.errors import SettingsError
from heedful.project.progress import Silent
from heedful.project.settings import parse_settings
from heedful.records import Example, canonical_json, conversation, example_to_row

SETTINGS = CurateSettings()


def plan(
    examples: Sequence[Example], pairs: Sequence[Pair] = (), settings: CurateSettings = SETTINGS, seed: int = 1
) -> SplitPlan:
    rows = [{**example_to_row(e), "position": i, "dropped_because": ""} for i, e in enumerate(examples)]
    return plan_split(rows, pairs, settings, seed)


def placed(examples: Sequence[Example], result: SplitPlan) -> list[Example]:
    return [replace(example, split=result.assignment[i]) for i, example in enumerate(examples)]  # type: ignore[arg-type]


@st.composite
def corpora(draw: st.DrawFn) -> list[Example]:
    """Rows with groups, parents, repeated prompts and given splits, all drawn at random."""
    groups = st.dictionaries(
        st.sampled_from(["document", "template", "seed"]), st.sampled_from(["a", "b", "c", "d", "e"]), max_size=2
    )
    rows = []
    for index in range(draw(st.integers(0, 40))):
        parents = draw(st.lists(st.sampled_from([f"row{i}" for i in range(50)]), max_size=1))
        rows.append(
            Example(
                id=f"row{index}",
                messages=conversation(f"question {draw(st.integers(0, 60))}", f"answer {index}"),
                method=draw(st.sampled_from(["import", "templates", "document_qa"])),
                source="test",
                language=draw(st.sampled_from(["en", "zh"])),
                parents=tuple(parents),
                split=draw(st.sampled_from(["", "", "", "", "train", "test"])),
                meta=canonical_json({"groups": draw(groups)}),
            )
        )
    return rows


@settings(max_examples=25, deadline=None)
@given(corpora(), st.integers(0, 5))
def test_nothing_that_belongs_together_is_separated(examples: list[Example], seed: int) -> None:
    result = plan(examples, seed=seed)
    assert set(result.assignment) == set(range(len(examples)))
    assert set(result.assignment.values()) <= {"train", "validation", "test"}
    assert crossings(placed(examples, result)) == []
    assert plan(examples, seed=seed) == result


@settings(max_examples=25, deadline=None)
@given(corpora(), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=10))
def test_similar_rows_stay_together(examples: list[Example], drawn: list[tuple[int, int]]) -> None:
    pairs = [Pair(a, b, 0.7) for a, b in drawn if a < b < len(examples)]
    assignment = plan(examples, pairs).assignment
    assert all(assignment[pair.left] == assignment[pair.right] for pair in pairs)


def rows_in_components(sizes: Sequence[int], method: str = "import", language: str = "en") -> list[Example]:
    """One document for each of `sizes`, with so many rows."""
    rows = []
    for number, size in enumerate(sizes):
        for index in range(size):
            name = f"{method} {language} {number} {index}"
            rows.append(
                Example(
                    id=name, messages=conversation(f"question {name}", "answer"), method=method, source="test",
                    language=language, meta=canonical_json({"groups": {"document": f"{method} {language} {number}"}}),
                )
            )  # fmt: skip
    return rows


def test_crossings_sees_each_kind_of_link() -> None:
    one, other = rows_in_components([1, 1])
    one, other = replace(one, split="train"), replace(other, split="test")
    assert crossings([one, other]) == []
    assert crossings([one, replace(other, parents=(one.id,))]) == [f"row {one.id}"]
    assert crossings([one, replace(other, meta=one.meta)]) == ["document import en 0"]
    assert len(crossings([one, replace(other, messages=one.messages)])) == 1


@pytest.mark.parametrize("sizes", [[1] * 300, [3] * 100, [40, 30, 30, 25, 20, 15, 12, 10, 9, 9]])
def test_shares_are_met(sizes: list[int]) -> None:
    result = plan(rows_in_components(sizes))
    for name, share in SETTINGS.shares.items():
        assert result.groups["reached"][name] == pytest.approx(share, abs=0.02)
    assert result.note == ""


def test_every_method_and_language_with_two_components_is_tested_and_trained() -> None:
    examples = [
        *rows_in_components([60, 50, 40], "templates"),
        *rows_in_components([9, 2], "document_qa"),
        *rows_in_components([1] * 50, "import", "en"),
        *rows_in_components([1, 1], "import", "zh"),
    ]
    found = placed(examples, plan(examples))
    for method, language in [("templates", "en"), ("document_qa", "en"), ("import", "en"), ("import", "zh")]:
        splits = {e.split for e in found if (e.method, e.language) == (method, language)}
        assert {"train", "test"} <= splits, method


def test_shares_hold_within_each_method() -> None:
    examples = [*rows_in_components([1] * 200, "import"), *rows_in_components([4] * 50, "templates")]
    found = placed(examples, plan(examples))
    for method in ("import", "templates"):
        splits = Counter(e.split for e in found if e.method == method)
        assert splits["test"] / splits.total() == pytest.approx(0.27, abs=0.03)
        assert splits["validation"] / splits.total() == pytest.approx(0.1, abs=0.03)


def test_component_too_large_is_said() -> None:
    result = plan(rows_in_components([90, 10]))
    assert result.assignment[0] == "train"
    assert result.groups["largest"] == 90
    assert "90% / 0% / 10% instead of 63% / 10% / 27%" in result.note
    assert "the largest has 90 rows" in result.note


def test_one_component_goes_to_training_and_is_said() -> None:
    result = plan(rows_in_components([20]))
    assert set(result.assignment.values()) == {"train"}
    assert "100% / 0% / 0%" in result.note


def test_share_of_zero_stays_empty() -> None:
    settings = CurateSettings(validation_share=0.0, test_share=0.5)
    result = plan(rows_in_components([1] * 40), settings=settings)
    assert Counter(result.assignment.values()) == {"train": 20, "test": 20}


def test_given_split_stays_and_pulls_its_component_along() -> None:
    examples = rows_in_components([2] * 30)
    examples[0] = replace(examples[0], split="test")
    examples[4] = replace(examples[4], split="train")
    result = plan(examples)
    assert [result.assignment[i] for i in (0, 1, 4, 5)] == ["test", "test", "train", "train"]
    assert result.groups["conflicts"] == 0
    assert abs(result.groups["reached"]["test"] - 0.27) <= TOLERANCE


def test_given_splits_that_disagree_become_held_out_and_are_said() -> None:
    examples = rows_in_components([3] + [1] * 60)
    examples[:3] = [replace(row, split=name) for row, name in zip(examples, ("train", "test", "train"), strict=False)]  # type: ignore[arg-type]
    result = plan(examples)
    assert [result.assignment[i] for i in range(3)] == ["test"] * 3
    assert result.groups["conflicts"] == 2
    assert "2 rows came with a split" in result.note


def test_dropped_duplicate_still_links(make_row: Any) -> None:
    """The kept row says what the dropped one said, so it belongs to the dropped one's document, too."""
    kept = make_row("Name a colour of the sea.", "Blue.")
    copy = make_row("Name a colour of the sea.", "Blue.", groups={"document": "sea"})
    sibling = make_row("How deep is the sea?", "Four thousand metres.", groups={"document": "sea"})
    others = [make_row(f"Add one to {number}.", f"It is {number + 1}.") for number in range(30)]
    for seed in range(4):
        result = curate([kept, copy, sibling, *others], SETTINGS, seed=seed)
        by_id = {example.id: example for example in result.kept}
        assert copy.id not in by_id
        assert by_id[kept.id].split == by_id[sibling.id].split


def test_seeds_differ() -> None:
    examples = rows_in_components([1] * 60)
    assert plan(examples, seed=1).assignment != plan(examples, seed=2).assignment


def test_warning_reaches_the_watcher() -> None:
    class Listener(Silent):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def say(self, text: str) -> None:
            self.lines.append(text)

    listener = Listener()
    curate(rows_in_components([9]), SETTINGS, seed=1, watcher=listener)
    assert len(listener.lines) == 1
    assert "100% / 0% / 0% instead of" in listener.lines[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split_threshold": 0.9}, "split_threshold 0.9 is above near_duplicate_threshold"),
        ({"test_share": 0.6, "validation_share": 0.4}, "leave no row for training"),
        ({"test_shares": 0.2}, "did you mean 'test_share'"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings(CurateSettings, values, where="heedful.toml [curate]")
