"""What people said, exported by the store, comes back as Examples and Preferences, the same ones from every export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heedful.errors import InputError, StorageError
from heedful.feedback import Store, write_feedback
from heedful.records import Example, Message, Preference, canonical_json, origin_id
from heedful.sources import ReadResult, read_records


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path / 'feedback.sqlite'}")) as opened:
        yield opened


def answered(store: Store, question: str, answer: str, *, system: str = "", conversation: str = "") -> str:
    """The id of an answer to rate."""
    conversation = conversation or store.new_conversation(system=system).id
    asked = store.add_message(conversation, "user", question, parent=None)
    told = store.add_message(conversation, "assistant", answer, parent=asked.id, model="tiny", sampling={"top_p": 0.5})
    return told.id


def exported(store: Store, path: Path) -> ReadResult:
    write_feedback(store, path)
    return read_records(path)


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


ROW = {
    "feedback": "f1",
    "conversation": "c1",
    "message": "m1",
    "prompt": [{"role": "system", "content": "用中文。"}, {"role": "user", "content": "一加一等于几？"}],
    "answer": "三",
    "model": "tiny",
    "rating": -1,
    "reason": "算错了",
    "correction": "一加一等于二。",
    "who": "李雷",
    "when": "2030-01-02T03:04:05.000006Z",
    "sampling": {"temperature": 0.5},
}
PROMPT = (Message("system", "用中文。"), Message("user", "一加一等于几？"))
ABOUT = {
    "conversation": "c1",
    "message": "m1",
    "model": "tiny",
    "rating": -1,
    "reason": "算错了",
    "who": "李雷",
    "when": "2030-01-02T03:04:05.000006Z",
    "sampling": {"temperature": 0.5},
}


def test_a_correction_is_an_example_and_is_preferred_to_the_answer(tmp_path: Path) -> None:
    result = read_records(write(tmp_path / "anything.jsonl", ROW))
    assert result.examples == [
        Example(
            id=origin_id("feedback", "f1"),
            messages=(*PROMPT, Message("assistant", "一加一等于二。")),
            method="feedback",
            source="feedback",
            language="zh",
            meta=canonical_json(
                {
                    "groups": {"seed": origin_id("feedback", "conversation/c1")},
                    "wrong": [{"output": "三", "reason": "算错了"}],
                    "feedback": ABOUT,
                }
            ),
        )
    ]
    assert result.preferences == [
        Preference(
            id=origin_id("feedback", "f1/preference"),
            prompt=PROMPT,
            chosen="一加一等于二。",
            rejected="三",
            decided_by="human",
            method="feedback",
            source="feedback",
            language="zh",
            meta=canonical_json({"feedback": ABOUT}),
        )
    ]
    (report,) = result.report
    assert (report.shape, report.num_rows, report.num_records, report.num_rating_only) == ("feedback", 1, 2, 0)
    assert report.columns.keys() == ROW.keys()


def test_a_mere_rating_gives_no_record_and_is_counted(tmp_path: Path) -> None:
    liked = [
        {**ROW, "feedback": f"r{n}", "rating": 1, "correction": correction}
        for n, correction in enumerate(("", " \n", ""))
    ]
    result = read_records(write(tmp_path / "f.jsonl", liked[0], ROW, *liked[1:]))
    assert (len(result.examples), len(result.preferences)) == (1, 1)
    assert result.report[0].num_rating_only == 3
    assert "  3 rows say only a rating\n" in result.describe()
    alone = read_records(write(tmp_path / "g.jsonl", liked[0]))
    assert (alone.examples, alone.preferences) == ([], [])
    assert "  1 row says only a rating\n" in alone.describe()


def test_a_correction_that_repeats_the_answer_prefers_nothing(tmp_path: Path) -> None:
    result = read_records(write(tmp_path / "f.jsonl", {**ROW, "correction": "三", "rating": 1}))
    assert [example.answer for example in result.examples] == ["三"]
    assert result.preferences == []
    assert result.examples[0].meta_value("wrong") is None


def test_round_trip_through_the_store(store: Store, tmp_path: Path) -> None:
    first = answered(store, "一加一等于几？", "三", system="用中文。")
    store.rate(first, rating=-1, reason="算错了", correction="一加一等于二。", who="李雷")
    second = answered(store, "Name a colour.", "Seven")
    store.rate(second, rating=-1, correction="Blue")
    store.rate(answered(store, "Say hello.", "Hello"), rating=1)
    result = exported(store, tmp_path / "a.jsonl")
    assert [example.messages for example in result.examples] == [
        (*PROMPT, Message("assistant", "一加一等于二。")),
        (Message("user", "Name a colour."), Message("assistant", "Blue")),
    ]
    assert [(each.prompt, each.chosen, each.rejected, each.decided_by) for each in result.preferences] == [
        (PROMPT, "一加一等于二。", "三", "human"),
        ((Message("user", "Name a colour."),), "Blue", "Seven", "human"),
    ]
    assert result.report[0].num_rating_only == 1

    # A deleted conversation, another file, another place: the same records.
    store.delete_conversation(store.message(first).conversation)
    (tmp_path / "elsewhere").mkdir()
    again = exported(store, tmp_path / "elsewhere" / "b.jsonl")
    assert (again.examples, again.preferences) == (result.examples, result.preferences)


def test_a_changed_mind_keeps_the_id(store: Store, tmp_path: Path) -> None:
    answer = answered(store, "Name a colour.", "Seven")
    store.rate(answer, correction="Blue")
    before = exported(store, tmp_path / "a.jsonl").examples[0]
    store.rate(answer, correction="Red")
    after = exported(store, tmp_path / "b.jsonl").examples[0]
    assert after.id == before.id
    assert (before.answer, after.answer) == ("Blue", "Red")
    assert after.content_hash != before.content_hash


def test_rows_of_one_conversation_stay_on_one_side_of_a_split(store: Store, tmp_path: Path) -> None:
    conversation = store.new_conversation().id
    for question in ("one", "two"):
        store.rate(answered(store, question, "x", conversation=conversation), correction="y")
    store.rate(answered(store, "three", "x"), correction="y")
    groups = [example.groups["seed"] for example in exported(store, tmp_path / "a.jsonl").examples]
    assert groups[0] == groups[1] != groups[2]


def test_what_two_people_say_about_one_answer_are_two_records(store: Store, tmp_path: Path) -> None:
    answer = answered(store, "Name a colour.", "Seven")
    store.rate(answer, correction="Blue", who="a")
    store.rate(answer, correction="Blue", who="b")
    result = exported(store, tmp_path / "a.jsonl")
    assert len({record.id for record in (*result.examples, *result.preferences)}) == 4


def test_any_text_survives_the_whole_way(store: Store, tmp_path: Path) -> None:
    answer = answered(store, "<script>alert(1)</script>", "\u2028\r\n'; --")
    text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)

    @settings(suppress_health_check=list(HealthCheck), max_examples=30, deadline=None, database=None)
    @given(text.filter(str.strip), text)
    def check(correction: str, reason: str) -> None:
        store.rate(answer, correction=correction, reason=reason)
        result = exported(store, tmp_path / "a.jsonl")
        assert result.examples[0].prompt == (Message("user", "<script>alert(1)</script>"),)
        assert (result.preferences[0].chosen, result.preferences[0].rejected) == (correction, "\u2028\r\n'; --")
        assert result.examples[0].meta_value("wrong") == [{"output": "\u2028\r\n'; --", "reason": reason}]

    check()


def test_exported_twice_is_the_same_file(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        store.rate(answered(store, f"问 {number}", "x"), rating=1, correction=f"答 {number}")
    assert [write_feedback(store, tmp_path / name) for name in ("a.jsonl", "b.jsonl")] == [3, 3]
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == list(store.export_rows())
    assert "问 0" in (tmp_path / "a.jsonl").read_text(encoding="utf-8")


def test_no_place_to_write(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write_feedback(store, tmp_path / "file" / "a.jsonl")


def test_other_formats_of_the_same_rows(tmp_path: Path) -> None:
    as_jsonl = read_records(write(tmp_path / "a.jsonl", ROW))
    (tmp_path / "a.json").write_text(json.dumps([ROW]), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist([ROW]), tmp_path / "a.parquet")
    for name in ("a.json", "a.parquet"):
        result = read_records(tmp_path / name)
        assert (result.examples, result.preferences) == (as_jsonl.examples, as_jsonl.preferences)


def test_a_column_that_somebody_added_is_kept(tmp_path: Path) -> None:
    row = {**ROW, "note": "看过", "license": "CC0-1.0", "language": "zh-CN"}
    result = read_records(write(tmp_path / "a.jsonl", row))
    for record in (*result.examples, *result.preferences):
        assert (record.license, record.language) == ("CC0-1.0", "zh")
        assert json.loads(record.meta)["extra"] == {"note": "看过"}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"feedback": ""}, "field 'feedback' is empty"),
        ({"feedback": 7}, "field 'feedback' is a number (7), expected text"),
        ({"answer": None}, "field 'answer' is null"),
        ({"correction": ["x"]}, "field 'correction' is a list"),
        ({"correction": "\ud800"}, "field 'correction' holds half a character"),
        ({"reason": "\ud800"}, "field 'reason' holds half a character"),
        ({"prompt": "Hi"}, "field 'prompt' is text ('Hi'), expected a list of messages"),
        ({"prompt": [{"role": "boss", "content": "x"}]}, "field 'prompt[0].role' is text ('boss')"),
        ({"prompt": []}, "is empty; write what the answer replies to"),
        ({"rating": 5}, "field 'rating' is a number (5); write 1, -1, or 0 for none"),
        ({"rating": True}, "field 'rating' is a truth value"),
        ({"rating": "1"}, "field 'rating' is text"),
        ({"sampling": [1]}, "field 'sampling' is a list"),
        ({"who": 3}, "field 'who' is a number"),
    ],
)
def test_an_export_edited_by_hand_is_checked(tmp_path: Path, change: dict[str, Any], part: str) -> None:
    (tmp_path / "f.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "feedback": "f2", **change}))
    with pytest.raises(InputError) as caught:
        read_records(tmp_path / "f.jsonl")
    assert str(caught.value).startswith("f.jsonl, line 2: ")
    assert part in str(caught.value)
    skipped = read_records(tmp_path / "f.jsonl", on_error="skip")
    assert (len(skipped.examples), len(skipped.preferences), len(skipped.report[0].skipped)) == (1, 1, 1)


def test_one_row_in_two_files_is_said_to_be_a_duplicate(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, ROW)
    with pytest.raises(InputError, match=r"was already read from a\.jsonl, line 1"):
        read_records(tmp_path)
