"""Rows of files as prompts: every shape, requirements said once, ids kept, and what is wrong named by file, line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful import sources
from heedful.errors import InputError
from heedful.generate.engine import Sampling
from heedful.pipeline.answering import prompt_of
from heedful.pipeline.asking import Asked
from heedful.pipeline.prompt_rows import BadPrompt, PromptRow, read_prompts
from heedful.records import Message, RequirementSpec
from heedful.sources.own_export import to_jsonl

SHORT = RequirementSpec("words", {"maximum": 5})
TEA = RequirementSpec("keywords", {"all": ["tea"]})


def written(path: Path, *rows: dict[str, Any] | str) -> str:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return str(path)


def read(path: str, *common: RequirementSpec) -> list[PromptRow]:
    rows, bad = read_prompts([path], Asked(Sampling(seed=3), common))
    assert bad == []
    return rows


def asked(path: Path, row: dict[str, Any]) -> tuple[Message, ...]:
    (found,) = read(written(path, row))
    return found.messages


def user(text: str) -> Message:
    return Message("user", text)


SYSTEM = Message("system", "Be brief.")
TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": " Why? "},
]
SHAPES: list[tuple[dict[str, Any], list[Message]]] = [
    ({"instruction": "Name a fruit."}, [user("Name a fruit.")]),
    ({"instruction": "Translate.", "input": "tea", "id": "a"}, [user("Translate.\n\ntea")]),
    ({"instruction": "Translate.", "input": "<noinput>"}, [user("Translate.")]),
    ({"prompt": "Once upon a time"}, [user("Once upon a time")]),
    ({"prompt": TURNS}, [user("Hi"), Message("assistant", "Hello!"), user(" Why? ")]),
    ({"指令": "翻译成英文。", "输入": "茶", "输出": ""}, [user("翻译成英文。\n\n茶")]),
    ({"question": "Why?", "answer": "Because."}, [user("Why?")]),
    ({"system": "Be brief.", "instruction": "Why?", "history": [["Hi", "Hello!"]]}, [SYSTEM, user("Hi"), Message("assistant", "Hello!"), user("Why?")]),
    ({"messages": TURNS}, [user("Hi"), Message("assistant", "Hello!"), user(" Why? ")]),
    ({"messages": TURNS[:2]}, [user("Hi")]),
    ({"messages": [{"role": "system", "content": "Be brief."}, TURNS[0]]}, [SYSTEM, user("Hi")]),
    ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}, [user("Hi")]),
    ({"prompt": "Why?", "chosen": "Because.", "rejected": "No."}, [user("Why?")]),
    ({"chosen": TURNS[:2], "rejected": [TURNS[0], {"role": "assistant", "content": "No."}]}, [user("Hi")]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "expected"), SHAPES, ids=[" ".join(row) for row, _ in SHAPES])
def test_what_is_asked(tmp_path: Path, row: dict[str, Any], expected: list[Message]) -> None:
    assert list(asked(tmp_path / "rows.jsonl", row)) == expected


def test_a_row_that_holds_several_tasks_gives_several_prompts(tmp_path: Path) -> None:
    instances = [{"input": "tea", "output": "茶"}, {"input": "cup", "output": "杯"}]
    path = written(tmp_path / "rows.jsonl", {"instruction": "Translate.", "instances": instances})
    assert [row.messages[-1].content for row in read(path)] == ["Translate.\n\ntea", "Translate.\n\ncup"]
    assert [row.number for row in read(path)] == [0, 1]


def test_our_own_examples_keep_ids_and_texts_and_lose_their_answers(tmp_path: Path) -> None:
    source = written(
        tmp_path / "seeds.jsonl",
        {"instruction": "Say it in at most five words.", "output": "Tea.", "requirements": [SHORT.as_dict()]},
        {"instruction": "Say yes.", "output": "yes"},
    )
    examples = sources.read_records(source).examples
    exported = tmp_path / "own.jsonl"
    exported.write_text(to_jsonl(examples), encoding="utf-8")
    for path in (source, str(exported)):
        rows = read(path)
        assert [row.messages for row in rows] == [example.prompt for example in examples]
        assert [row.requirements for row in rows] == [(SHORT,), ()]
    assert [row.id for row in read(str(exported))] == [example.id for example in examples]


def test_requirements_are_said_where_no_answer_shows_that_they_are_said_already(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Praise tea.", "requirements": [SHORT.as_dict()]},
        {"instruction": "Praise tea.", "requirements": [SHORT.as_dict()], "output": "Tea is good."},
        {"messages": [{"role": "user", "content": "Praise tea."}], "requirements": [SHORT.as_dict()]},
        {"messages": [{"role": "user", "content": "Praise tea."}, {"role": "assistant", "content": "Good."}]},
        {"messages": [*TURNS, {"role": "tool", "content": "42"}]},
    ]
    path = written(tmp_path / "rows.jsonl", *rows)
    plain, said = user("Praise tea."), user(prompt_of("Praise tea.", "", (SHORT,), seed=3))
    assert plain != said
    assert [row.messages[-1] for row in read(path)] == [said, plain, said, plain, Message("tool", "42")]
    # Those of the command hold for all, and are said to all, by the user.
    both = user(prompt_of("Praise tea.", "", (SHORT, TEA), seed=3))
    one = user(prompt_of("Praise tea.", "", (TEA,), seed=3))
    found = read(path, TEA)
    assert [row.messages[-1] for row in found] == [both, one, both, one, Message("tool", "42")]
    assert found[4].messages[2] == user(prompt_of(" Why? ", "", (TEA,), seed=3))
    assert [row.requirements for row in found] == [(SHORT, TEA), (SHORT, TEA), (SHORT, TEA), (TEA,), (TEA,)]


def test_ids_are_kept_or_say_where_the_row_stands(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "a", "id": "x"},
        {"prompt": "b"},
        {"prompt": "c", "id": 3},
        {"prompt": "d", "id": ""},
    ]
    assert [row.id for row in read(written(tmp_path / "rows.jsonl", *rows))] == [
        "x",
        "rows.jsonl:2",
        "3",
        "rows.jsonl:4",
    ]


def test_formats_are_those_of_import(tmp_path: Path) -> None:
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.csv").write_text('id,prompt\n1,"Hi, you"\n2,Why?\n', encoding="utf-8")
    pq.write_table(pa.table({"prompt": ["Hi, you", "Why?"]}), tmp_path / "b.parquet")
    (tmp_path / "c.json").write_text('[{"prompt": "Hi, you"},\n {"prompt": "Why?"}]', encoding="utf-8")
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "Hi, you"}\n{"prompt": "Why?"}\n'))
    (tmp_path / "readme.md").write_text("not rows", encoding="utf-8")
    rows, bad = read_prompts([str(tmp_path)], Asked())
    assert bad == []
    assert [row.messages[0].content for row in rows] == ["Hi, you", "Why?"] * 4
    assert [row.place for row in rows[::2]] == [
        "a.csv, line 2",
        "b.parquet, row 1",
        "c.json, line 1",
        "d.jsonl.gz, line 1",
    ]


BAD: list[tuple[dict[str, Any] | str, str]] = [
    ('{"instruction": "Sa', "not valid JSON"),
    ("[1, 2]", "expected an object"),
    ({"text": "Hi"}, "field 'instruction' is missing; the row has 'text'"),
    ({"instruction": "  "}, "field 'instruction' is empty"),
    ({"instruction": 7}, "field 'instruction' is a number (7), expected text"),
    ({"prompt": "a\ud800"}, "field 'instruction' holds half a character"),
    ({"prompt": "a", "id": [1]}, "field 'id' is a list"),
    ({"messages": []}, "field 'messages' holds nothing to answer"),
    ({"messages": [{"role": "assistant", "content": "Hello!"}]}, "field 'messages' holds nothing to answer"),
    ({"messages": [{"role": "user", "content": "Hi"}, {"role": "system", "content": "x"}]}, "holds nothing to answer"),
    ({"messages": [{"role": "robot", "content": "Hi"}]}, "field 'messages[0].role' is text ('robot')"),
    ({"prompt": "a", "requirements": [{"kind": "wrods"}]}, "did you mean 'words'?"),
    ({"prompt": "a", "requirements": [{"kind": "words", "minimum": 9, "maximum": 3}]}, "field 'requirements'"),
    ({"prompt": "a", "requirements": [SHORT.as_dict(), {"kind": "words", "minimum": 9}]}, "cannot be kept together"),
]


def test_bad_rows_are_named_and_the_others_read(tmp_path: Path) -> None:
    lines: list[dict[str, Any] | str] = []
    for number, (row, _) in enumerate(BAD):
        lines += [{"prompt": f"good {number}"}, row]
    rows, bad = read_prompts([written(tmp_path / "rows.jsonl", *lines)], Asked())
    assert [row.messages[0].content for row in rows] == [f"good {number}" for number in range(len(BAD))]
    assert [row.number for row in rows] == list(range(0, len(lines), 2))
    assert [row.number for row in bad] == list(range(1, len(lines), 2))
    for number, (found, (given_row, expected)) in enumerate(zip(bad, BAD, strict=True)):
        assert found.reason.startswith(f"rows.jsonl, line {2 * number + 2}: "), found.reason
        assert expected in found.reason, found.reason
        assert "on_error" not in found.reason
        assert found.values == (None if isinstance(given_row, str) else given_row)


def test_a_conflict_with_the_command_is_the_rows(tmp_path: Path) -> None:
    path = written(
        tmp_path / "rows.jsonl", {"prompt": "a"}, {"prompt": "b", "requirements": [{"kind": "words", "minimum": 9}]}
    )
    rows, bad = read_prompts([path], Asked(requirements=(SHORT,)))
    assert [row.id for row in rows] == ["rows.jsonl:1"]
    assert "line 2" in bad[0].reason
    assert "cannot be kept together" in bad[0].reason


def test_files_that_hold_no_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="no rows there"):
        read_prompts([str(tmp_path / "empty.json")], Asked())
    with pytest.raises(InputError, match="no such file"):
        read_prompts([str(tmp_path / "none.jsonl")], Asked())
    with pytest.raises(InputError, match="no file matches"):
        read_prompts([str(tmp_path / "*.parquet")], Asked())
    (tmp_path / "empty.json").rename(tmp_path / "empty.md")
    with pytest.raises(InputError, match="no file there ends in one of"):
        read_prompts([str(tmp_path)], Asked())


def test_what_is_written_must_not_be_read(tmp_path: Path) -> None:
    written(tmp_path / "rows.jsonl", {"prompt": "a"})
    out = Path(written(tmp_path / "answers.jsonl", {"prompt": "b"}))
    with pytest.raises(InputError, match=r"answers\.jsonl would be read and written"):
        read_prompts([str(tmp_path / "*.jsonl")], Asked(), forbidden=(out,))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.one_of(st.text(max_size=12), st.none(), st.integers(0, 3)), min_size=1, max_size=12))
def test_every_row_is_read_or_named_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
) -> None:
    path = written(tmp_path_factory.mktemp("rows") / "rows.jsonl", *({"prompt": value} for value in rows))
    good, bad = read_prompts([path], Asked())
    numbered: dict[int, PromptRow | BadPrompt] = {row.number: row for row in (*good, *bad)}
    assert sorted(numbered) == list(range(len(rows)))
    for number, value in enumerate(rows):
        found = numbered[number]
        if isinstance(value, str) and value.strip() and value.isprintable():
            assert isinstance(found, PromptRow)
            assert found.messages == (user(value.strip()),)
        elif not isinstance(value, str) or not value.strip():
            assert isinstance(found, BadPrompt)
