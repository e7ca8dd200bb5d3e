"""What Heedful writes, Heedful reads: equal rows, with ids, parents and splits as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heedful.errors import InputError
from heedful.records import Example, Message, RequirementSpec, canonical_json, write_examples
from heedful.sources import read_records, to_jsonl

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT, lambda inner: st.lists(inner, max_size=2), max_leaves=4
)
MESSAGES = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), TEXT), max_size=4).map(
    tuple
)
EXAMPLES = st.builds(
    Example,
    id=st.uuids().map(str),
    messages=MESSAGES,
    method=TEXT,
    source=TEXT,
    task=TEXT,
    language=st.sampled_from(["", "en", "zh"]),
    license=TEXT,
    parents=st.lists(TEXT, max_size=2).map(tuple),
    requirements=st.integers(1, 99).map(lambda n: (RequirementSpec("words", {"maximum": n}),)) | st.just(()),
    split=st.sampled_from(["", "train", "validation", "test"]),
    weight=st.floats(0, 10),
    meta=st.dictionaries(TEXT, VALUES, max_size=3).map(canonical_json),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(st.lists(EXAMPLES, min_size=1, max_size=4, unique_by=lambda example: example.id))
def test_round_trip(tmp_path: Path, examples: list[Example]) -> None:
    (tmp_path / "a.jsonl").write_text(to_jsonl(examples), encoding="utf-8", newline="")
    write_examples(tmp_path / "a.parquet", examples)
    for name in ("a.jsonl", "a.parquet"):
        result = read_records(tmp_path / name)
        assert result.examples == examples
        assert result.report[0].shape == "heedful"


ROW = json.loads(to_jsonl([Example("i", (Message("user", "a"), Message("assistant", "b")), "import", "s")]))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"meta": "[1]"}, "field 'meta'"),
        ({"meta": "{"}, "field 'meta'"),
        ({"split": "exam"}, "field 'split' is 'exam'; write one of train"),
        ({"weight": "1"}, "field 'weight' is text"),
        ({"id": None}, "field 'id' is missing"),
        ({"parents": "x"}, "field 'parents' is text"),
        ({"messages": [{"role": "boss", "content": ""}]}, "field 'messages[0]'"),
        ({"requirements": '[{"kind": "nonsense"}]'}, "field 'requirements'"),
    ],
)
def test_an_export_edited_by_hand_is_checked(tmp_path: Path, change: dict[str, object], part: str) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({**ROW, **change}))
    with pytest.raises(InputError) as caught:
        read_records(tmp_path / "a.jsonl")
    assert str(caught.value).startswith("a.jsonl, line 1: ")
    assert part in str(caught.value)


def test_an_id_in_two_exports_is_a_duplicate(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(json.dumps(ROW))
    with pytest.raises(
        InputError, match=r"b.jsonl, line 1: field 'id' names a record that was already read from a.jsonl, line 1"
    ):
        read_records(tmp_path)


def test_lists_and_objects_are_as_good_as_their_text(tmp_path: Path) -> None:
    row = {**ROW, "requirements": [{"kind": "words", "maximum": 5}], "meta": {"a": 1}}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    example = read_records(tmp_path / "a.jsonl").examples[0]
    assert example.requirements == (RequirementSpec("words", {"maximum": 5}),)
    assert example.meta == '{"a":1}'
