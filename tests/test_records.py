"""Records: the identity rule, round trips through dictionaries and Arrow, hashes that do not drift."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.errors import InputError
from heedful.records import (
    Document,
    Example,
    Message,
    RequirementSpec,
    Section,
    canonical_json,
    conversation,
    derived_id,
    digest,
    example_from_row,
    example_to_row,
    origin_id,
    read_documents,
    read_examples,
    write_documents,
    write_examples,
)

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
examples = st.builds(
    Example,
    id=texts,
    messages=st.lists(
        st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), texts), max_size=4
    ).map(tuple),
    method=texts,
    source=texts,
    parents=st.lists(texts, max_size=3).map(tuple),
    requirements=st.lists(
        st.builds(
            RequirementSpec,
            texts,
            st.dictionaries(
                texts.filter(lambda key: key != "kind"), st.integers() | texts | st.lists(texts, max_size=2), max_size=2
            ),
        ),
        max_size=2,
    ).map(tuple),
    split=st.sampled_from(["", "train", "validation", "test"]),
    weight=st.floats(0, 10),
)


def example(**changes: object) -> Example:
    base = Example(origin_id("seeds.jsonl", "1"), conversation("Add.", "4", input="2 + 2"), "import", "seeds.jsonl")
    return replace(base, **changes)  # type: ignore[arg-type]


@given(examples)
def test_rows_round_trip(value: Example) -> None:
    assert example_from_row(example_to_row(value)) == value


def test_files_round_trip_and_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    rows = [example(), example(id="b", requirements=(RequirementSpec("words", {"maximum": 3}),), split="train")]
    write_examples(tmp_path / "a.parquet", rows)
    write_examples(tmp_path / "b.parquet", rows)
    assert read_examples(tmp_path / "a.parquet") == rows
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_documents_round_trip(tmp_path: Path) -> None:
    document = Document(
        "d",
        "json",
        (Section("json.dumps", "Serialise.", "function", '{"signature":"(obj)"}'),),
        "python-docs:json",
        "en",
        "PSF-2.0",
    )
    write_documents(tmp_path / "d.parquet", [document])
    assert read_documents(tmp_path / "d.parquet") == [document]
    assert document.sections[0].meta_value("signature") == "(obj)"


def test_identity_rule() -> None:
    row = example()
    edited = replace(row, messages=conversation("Add.", "four", input="2 + 2"))
    assert edited.id == row.id
    assert edited.content_hash != row.content_hash
    assert replace(row, split="train", weight=2.0).content_hash == row.content_hash
    assert replace(row, requirements=(RequirementSpec("words", {"maximum": 1}),)).content_hash != row.content_hash


def test_ids_depend_on_every_part_and_do_not_run_together() -> None:
    assert origin_id("a", "bc") != origin_id("ab", "c")
    assert derived_id("m", ["p", "q"], 1) != derived_id("m", ["pq"], 1)
    assert derived_id("m", ["p"], 1) != derived_id("m", ["p"], 2)


def test_hashes_stay_what_they_were() -> None:
    # If this changes, every project's artefacts and cached answers are orphaned: raise stage versions knowingly.
    assert digest({"b": 1, "a": ["指令", 2.5, None]}) == digest({"a": ["指令", 2.5, None], "b": 1})
    assert canonical_json({"b": 1, "a": "指"}) == '{"a":"指","b":1}'
    assert origin_id("seeds.jsonl", "1") == "845cbfd7a5e857d66714f3b9d147bbd4"


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest(float("nan"))


def test_views() -> None:
    row = example(meta='{"groups":{"seed":"s1"},"k":1}')
    assert row.answer == "4"
    assert [m.content for m in row.prompt] == ["Add.\n\n2 + 2"]
    assert row.groups == {"seed": "s1"}
    changed = row.with_meta(k=2, z="字")
    assert (changed.meta_value("k"), changed.meta_value("z"), changed.groups) == (2, "字", {"seed": "s1"})
    assert example(messages=(Message("user", "hi"),)).answer == ""


def test_requirement_without_kind_is_refused() -> None:
    with pytest.raises(InputError, match='"kind"'):
        RequirementSpec.from_dict({"maximum": 3})
