"""What training never saw, what leaked, and which rows belong together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from heedful.evaluate.slices import clusters, leakage, slices


def named(test: Any, train: Any) -> dict[str, tuple[int, ...]]:
    return {part.name: part.rows for part in slices(test, train)}


def test_slices_follow_from_the_data(make_example: Any) -> None:
    train = [make_example("t1", template="seen", document="json"), make_example("t2", method="import", seed="s1")]
    test = [
        make_example("a", template="new", document="json"),
        make_example("b", template="seen", document="csv"),
        make_example("c", template="new", document="csv"),
        make_example("d", method="import", language="zh", seed="s2"),
        make_example("e", method="document_qa", language="", document="csv"),
    ]
    assert named(test, train) == {
        "held-out templates": (0, 2),
        "held-out documents": (1, 2, 4),
        "hand-written tasks": (3,),
        "language: en": (0, 1, 2),
        "language: unknown": (4,),
        "language: zh": (3,),
        "method: document_qa": (4,),
        "method: templates": (0, 1, 2),
    }


def test_an_empty_held_out_slice_is_shown_not_hidden(make_example: Any) -> None:
    test, train = [make_example("a", template="t")], [make_example("b", template="t")]
    assert named(test, train)["held-out templates"] == ()


def test_nothing_is_called_held_out_when_training_is_unknown(make_example: Any) -> None:
    test = [make_example("a", template="t")]
    assert "held-out templates" not in named(test, [])
    assert leakage(test, [])["checked"] is False
    assert "nobody checked" in leakage(test, [])["text"]


def test_leakage_is_counted_by_kind(make_example: Any) -> None:
    train = [make_example("t1", document="json", template="x"), make_example("t2", seed="s1")]
    repeated = replace(make_example("d"), messages=train[0].messages)
    test = [
        make_example("a", document="json", template="x"),
        make_example("b", document="csv", template="y"),
        make_example("c", seed="s1"),
        repeated,
    ]
    found = leakage(test, train)
    assert found["by"] == {"document": 1, "prompt": 1, "seed": 1, "template": 1}
    assert (found["rows"], found["ids"]) == (3, ["a", "c", "d"])
    assert found["text"].startswith("3 of 4 test rows share something with training: document (1), prompt (1)")
    clean = leakage(test[1:2], train)
    assert (clean["rows"], clean["ids"], clean["checked"]) == (0, [], True)


def test_a_value_of_another_kind_is_no_leak(make_example: Any) -> None:
    # A template called "json" has nothing to do with a document called "json".
    assert leakage([make_example("a", template="json")], [make_example("b", document="json")])["rows"] == 0


def test_rows_connected_through_others_are_resampled_together(make_example: Any) -> None:
    # a and c share nothing, but both share something with b.
    chain = [
        make_example("a", document="1"),
        make_example("b", document="1", template="t"),
        make_example("c", template="t"),
    ]
    single = [make_example(f"s{i}", seed=str(i)) for i in range(9)]
    found = clusters([*chain, *single])
    assert (found.by, found.num) == ("connected rows", 10)
    assert found.labels is not None
    assert found.labels[:3] == ("a", "a", "a")
    assert "10 groups" in found.text


def test_too_few_groups_fall_back_to_documents_then_rows(make_example: Any) -> None:
    # One template connects everything, yet there are twelve documents of two rows each.
    rows = [make_example(f"r{i}", document=str(i // 2), template="t") for i in range(24)]
    found = clusters(rows)
    assert (found.by, found.num) == ("documents and seeds", 12)
    assert found.labels is not None
    assert found.labels[0] == found.labels[1] != found.labels[2]
    assert "do not cover the choice of templates" in found.text
    few = clusters(rows[:8])
    assert (few.by, few.num, few.labels) == ("rows", 8, None)
    assert "may be too narrow" in few.text


def test_independent_rows_are_resampled_alone(make_example: Any) -> None:
    found = clusters([make_example(f"r{i}", seed=str(i)) for i in range(30)])
    assert (found.by, found.num, found.labels) == ("rows", 30, None)
