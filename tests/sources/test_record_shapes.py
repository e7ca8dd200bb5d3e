"""Every shape of row, in every format, by hand-written files in English and Chinese."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heedful.records import Message, RequirementSpec, origin_id
from heedful.sources import ReadResult, read_records


def write(folder: Path, name: str, *rows: Any) -> Path:
    """Rows as JSON Lines."""
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def said(result: ReadResult, index: int = 0) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in result.examples[index].messages]


ALPACA = {"instruction": "Add the numbers.", "input": "1 2", "output": "3"}
AS_READ = [("user", "Add the numbers.\n\n1 2"), ("assistant", "3")]


# -- formats --------------------------------------------------------------------------------------------------


def test_every_format_gives_the_same_messages(tmp_path: Path) -> None:
    line = json.dumps(ALPACA)
    pq.write_table(pa.Table.from_pylist([ALPACA]), tmp_path / "p.parquet")
    (tmp_path / "a.jsonl").write_text(line)
    (tmp_path / "b.json").write_text(json.dumps([ALPACA], indent=2))
    (tmp_path / "c.json").write_text(json.dumps({"version": 1, "data": [ALPACA]}))
    (tmp_path / "d.csv").write_text('instruction,input,output\n"Add the numbers.",1 2,3\n')
    (tmp_path / "e.tsv").write_text("instruction\tinput\toutput\nAdd the numbers.\t1 2\t3\n")
    (tmp_path / "f.txt").write_text("Instruction: Add the numbers.\nInput: 1 2\nOutput: 3\n")
    (tmp_path / "g.jsonl.gz").write_bytes(gzip.compress(line.encode()))
    (tmp_path / "h.csv").write_text("instruction;input;output\r\nAdd the numbers.;1 2;3\r\n")
    result = read_records(tmp_path)
    assert [said(result, index) for index in range(9)] == [AS_READ] * 9
    assert [(report.file, report.format) for report in result.report] == [
        ("a.jsonl", "jsonl"),
        ("b.json", "json"),
        ("c.json", "json"),
        ("d.csv", "csv"),
        ("e.tsv", "tsv"),
        ("f.txt", "text"),
        ("g.jsonl.gz", "jsonl"),
        ("h.csv", "csv"),
        ("p.parquet", "parquet"),
    ]
    assert len({example.id for example in result.examples}) == 9


@pytest.mark.parametrize("name", ["data.bin", "data.json", "data.csv", "data"])
def test_content_counts_not_the_extension(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, ALPACA, ALPACA)
    assert read_records(path).report[0].format == "jsonl"
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert len(read_records(path).examples) == 2


def test_csv_cells_may_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('question,answer\n"One, ""two""\nthree?","a\n\nb"\nFour?,\n', encoding="utf-8")
    result = read_records(path)
    assert said(result) == [("user", 'One, "two"\nthree?'), ("assistant", "a\n\nb")]
    # An empty answer is an answer; it is counted, for nobody wants to train on it unawares.
    assert said(result, 1) == [("user", "Four?"), ("assistant", "")]
    assert result.report[0].num_empty_answers == 1


def test_a_table_written_by_pandas_has_a_nameless_column(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(",question,answer\n0,Why?,Because.\n", encoding="utf-8")
    assert said(read_records(path)) == [("user", "Why?"), ("assistant", "Because.")]


def test_a_cell_larger_than_the_csv_modules_limit(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(f"question,answer\nWhy?,{'x' * 200_000}\n", encoding="utf-8")
    assert len(read_records(path).examples[0].answer) == 200_000


# -- shapes ---------------------------------------------------------------------------------------------------


def test_alpaca_with_system_and_history(tmp_path: Path) -> None:
    row = {**ALPACA, "system": "Be brief.", "history": [["Hello", "Hi!"], ["How are you?", "Well."]]}
    result = read_records(write(tmp_path, "a.jsonl", row, {"instruction": "Say hi", "output": "hi"}))
    assert said(result) == [
        ("system", "Be brief."),
        ("user", "Hello"),
        ("assistant", "Hi!"),
        ("user", "How are you?"),
        ("assistant", "Well."),
        *AS_READ,
    ]
    report = result.report[0]
    assert (report.shape, report.num_rows, report.num_with_input) == ("alpaca", 2, 1)
    assert (report.num_with_system, report.num_multi_turn) == (1, 1)


@pytest.mark.parametrize("colon", ["", ":", "："])
def test_chinese_columns(tmp_path: Path, colon: str) -> None:
    row = {f"指令{colon}": "翻译成英文。", f"输入{colon}": "你好", f"输出{colon}": "Hello"}
    result = read_records(write(tmp_path, "甲.jsonl", row))
    assert said(result) == [("user", "翻译成英文。\n\n你好"), ("assistant", "Hello")]
    assert result.report[0].columns == {
        f"指令{colon}": "instruction",
        f"输入{colon}": "input",
        f"输出{colon}": "output",
    }


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("prompt", "completion"),
        ("question", "answer"),
        ("instruction", "response"),
        ("问题", "答案"),
        ("Query", "Response"),
    ],
)
def test_pairs(tmp_path: Path, question: str, answer: str) -> None:
    result = read_records(write(tmp_path, "a.jsonl", {question: "Why?", answer: "Because."}))
    assert said(result) == [("user", "Why?"), ("assistant", "Because.")]


def test_dolly_calls_its_input_context(tmp_path: Path) -> None:
    row = {"instruction": "Who wrote it?", "context": "Hamlet", "response": "Shakespeare", "category": "closed_qa"}
    result = read_records(write(tmp_path, "a.jsonl", row))
    assert said(result) == [("user", "Who wrote it?\n\nHamlet"), ("assistant", "Shakespeare")]
    assert result.examples[0].task == "closed_qa"


def test_a_placeholder_for_no_input_is_no_input(tmp_path: Path) -> None:
    rows = [
        {"instruction": "写诗", "input": "<无输入>", "output": "春"},
        {"instruction": "Hi", "input": "<noinput>", "output": "a"},
    ]
    result = read_records(write(tmp_path, "a.jsonl", *rows))
    assert [example.messages[0].content for example in result.examples] == ["写诗", "Hi"]


def test_sharegpt_with_tools(tmp_path: Path) -> None:
    turns = [
        ("system", "Use tools."),
        ("human", "Weather?"),
        ("function_call", '{"name": "weather"}'),
        ("observation", "sunny"),
        ("gpt", "It is sunny."),
    ]
    row = {"id": "w1", "conversations": [{"from": a, "value": b} for a, b in turns], "tools": '[{"name": "weather"}]'}
    result = read_records(write(tmp_path, "a.jsonl", row))
    assert said(result) == [
        ("system", "Use tools."),
        ("user", "Weather?"),
        ("assistant", '{"name": "weather"}'),
        ("tool", "sunny"),
        ("assistant", "It is sunny."),
    ]
    example = result.examples[0]
    assert example.meta_value("tools") == '[{"name": "weather"}]'
    assert example.id == origin_id("a.jsonl", "w1")
    assert result.report[0].shape == "sharegpt"


def test_openai_messages_with_parts_calls_and_developer(tmp_path: Path) -> None:
    messages = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "done"},
        {"role": "assistant", "content": "Bye"},
    ]
    result = read_records(write(tmp_path, "a.jsonl", {"messages": messages}))
    assert said(result) == [
        ("system", "Be kind."),
        ("user", "Hello there"),
        ("assistant", '[{"id":"1"}]'),
        ("tool", "done"),
        ("assistant", "Bye"),
    ]


def test_messages_in_a_csv_cell_are_json_text(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        'messages,language\n"[{""role"": ""user"", ""content"": ""Hi""}, {""role"": ""assistant"", ""content"": ""Yo""}]",en\n'
    )
    assert said(read_records(path)) == [("user", "Hi"), ("assistant", "Yo")]


def test_kto_labels_a_bad_answer_with_weight_zero(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go away"}]
    rows = [{"messages": messages, "label": False}, {"messages": messages, "label": True}]
    result = read_records(write(tmp_path, "a.jsonl", *rows))
    assert [example.weight for example in result.examples] == [0.0, 1.0]
    assert [example.meta_value("label") for example in result.examples] == ["undesirable", "desirable"]
    assert result.report[0].num_undesirable == 1


def test_self_instruct_instances_share_their_seed(tmp_path: Path) -> None:
    row = {
        "id": "seed_task_3",
        "name": "sum",
        "instruction": "Add.",
        "instances": [{"input": "1 2", "output": "3"}, {"input": "", "output": "0"}],
        "is_classification": False,
    }
    result = read_records(write(tmp_path, "a.jsonl", row))
    assert said(result, 0) == [("user", "Add.\n\n1 2"), ("assistant", "3")]
    assert said(result, 1) == [("user", "Add."), ("assistant", "0")]
    first, second = result.examples
    assert first.id != second.id
    assert first.groups == second.groups == {"seed": origin_id("a.jsonl", "seed_task_3")}
    assert first.task == "sum"
    assert [example.meta_value("extra") for example in result.examples] == [{"is_classification": False}] * 2


def test_our_seeds(tmp_path: Path) -> None:
    row = {
        "id": "zh-07",
        "task": "rewriting",
        "language": "zh",
        "instruction": "把下面的话说得更礼貌。",
        "input": "快点给我。",
        "output": "请您尽快给我，谢谢。",
        "requirements": [{"kind": "characters", "maximum": 20}],
        "wrong_output": "好的。",
        "wrong_reason": "没有改写原句。",
        "license": "Apache-2.0",
    }
    result = read_records(write(tmp_path, "seeds.jsonl", row))
    example = result.examples[0]
    assert result.report[0].shape == "seeds"
    assert example.id == origin_id("seeds.jsonl", "zh-07")
    assert (example.task, example.language, example.license, example.method) == (
        "rewriting",
        "zh",
        "Apache-2.0",
        "import",
    )
    assert example.requirements == (RequirementSpec("characters", {"maximum": 20}),)
    assert json.loads(example.meta) == {
        "groups": {"seed": example.id},
        "wrong": [{"output": "好的。", "reason": "没有改写原句。"}],
        "instruction": "把下面的话说得更礼貌。",
        "input": "快点给我。",
    }


def test_preferences_in_their_many_clothes(tmp_path: Path) -> None:
    user, good, bad = ({"role": r, "content": c} for r, c in (("user", "2+2?"), ("assistant", "4"), ("assistant", "5")))
    rows = {
        "texts.jsonl": {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
        "triple.jsonl": {"instruction": "2+2?", "input": "", "chosen": "4", "rejected": "5"},
        "messages.jsonl": {"messages": [user], "chosen": good, "rejected": bad},
        "prompt_messages.jsonl": {"prompt": [user], "chosen": [good], "rejected": [bad]},
        "whole.jsonl": {"chosen": [user, good], "rejected": [user, bad]},
        "whole_renamed.jsonl": {"chosen_messages": [user, good], "rejected_messages": [user, bad]},
        "transcripts.jsonl": {
            "chosen": "\n\nHuman: 2+2?\n\nAssistant: 4",
            "rejected": "\n\nHuman: 2+2?\n\nAssistant: 5",
        },
        "sharegpt.jsonl": {
            "conversations": [{"from": "human", "value": "2+2?"}],
            "chosen": {"from": "gpt", "value": "4"},
            "rejected": {"from": "gpt", "value": "5"},
        },
        "ranked.jsonl": {"instruction": "2+2?", "input": "", "output": ["4", "5"]},
    }
    for name, row in rows.items():
        write(tmp_path, name, row)
    result = read_records([tmp_path / name for name in rows])
    assert result.examples == []
    assert [(p.prompt, p.chosen, p.rejected) for p in result.preferences] == [
        ((Message("user", "2+2?"),), "4", "5")
    ] * len(rows)
    assert {p.decided_by for p in result.preferences} == {"human"}


def test_four_ranked_answers_make_three_preferences(tmp_path: Path) -> None:
    result = read_records(write(tmp_path, "a.jsonl", {"instruction": "Q", "output": ["best", "b", "c", "d"]}))
    assert [(p.chosen, p.rejected) for p in result.preferences] == [("best", "b"), ("best", "c"), ("best", "d")]
    assert len({p.id for p in result.preferences}) == 3


def test_a_transcript_of_several_turns(tmp_path: Path) -> None:
    begin = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nmore\n\nAssistant: "
    result = read_records(write(tmp_path, "a.jsonl", {"chosen": begin + "good", "rejected": begin + "bad"}))
    assert [(m.role, m.content) for m in result.preferences[0].prompt] == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c\n\nmore"),
    ]


# -- identity, languages, leftovers -----------------------------------------------------------------------------


def test_ids_come_from_the_name_of_the_file_and_the_row(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    second.mkdir()
    a = read_records(write(first, "rows.jsonl", ALPACA, ALPACA)).examples
    b = read_records(write(second, "rows.jsonl", {**ALPACA, "output": "edited"}, ALPACA)).examples
    # Another folder and edited content: still the same rows.
    assert [example.id for example in a] == [example.id for example in b] == [origin_id("rows.jsonl", k) for k in "12"]
    assert a[0].content_hash != b[0].content_hash
    assert a[0].source == "rows.jsonl"


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, "rows.jsonl", ALPACA)
    result = read_records([tmp_path / "one" / "rows.jsonl", tmp_path / "two" / "rows.jsonl"])
    assert [report.file for report in result.report] == ["one/rows.jsonl", "two/rows.jsonl"]
    assert len({example.id for example in result.examples}) == 2


def test_languages_are_detected_or_taken_at_their_word(tmp_path: Path) -> None:
    rows = [
        {"instruction": "请写一首关于春天的短诗，要求押韵。", "output": "春风拂面来，百花次第开。"},
        {
            "instruction": "Write a short poem about the spring in the mountains.",
            "output": "The snow has gone from all the hills.",
        },
        {"instruction": "x", "output": "y", "language": "zh-CN"},
        {"instruction": "x", "output": "y", "language": "English"},
    ]
    result = read_records(write(tmp_path, "a.jsonl", *rows))
    assert [example.language for example in result.examples] == ["zh", "en", "zh", "en"]


def test_columns_that_nobody_knows_are_kept(tmp_path: Path) -> None:
    row = {**ALPACA, "rating": 4.5, "tags": ["a", "b"], "empty": None, "source": "a book"}
    result = read_records(write(tmp_path, "a.jsonl", row))
    assert result.examples[0].meta_value("extra") == {"rating": 4.5, "tags": ["a", "b"], "source": "a book"}
    assert result.report[0].columns["rating"] == "meta.extra.rating"


def test_dates_and_decimals_of_a_parquet_file_are_kept_as_text(tmp_path: Path) -> None:
    import datetime

    rows = [{**ALPACA, "day": datetime.date(2024, 2, 29)}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read_records(tmp_path / "a.parquet").examples[0].meta_value("extra") == {"day": "2024-02-29"}


def test_the_report_reads_well(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ALPACA, {"instruction": "b", "output": ""})
    write(tmp_path, "b.jsonl", {"prompt": "2+2?", "chosen": "4", "rejected": "5"})
    (tmp_path / "notes.md").write_text("# Notes")
    text = read_records(tmp_path).describe()
    assert text.splitlines() == [
        "a.jsonl: 2 rows read as alpaca (jsonl, UTF-8)",
        "  instruction -> instruction, input -> input, output -> output",
        "  1 with an input, 1 with an empty answer",
        text.splitlines()[3],
        "b.jsonl: 1 row read as preferences (jsonl, UTF-8)",
        "  chosen -> chosen, rejected -> rejected, prompt -> instruction",
        text.splitlines()[6],
        "notes.md: not read: files ending in .md hold no records; name the file itself to read it",
        "2 examples, 1 preference from 2 files",
    ]
    assert text.splitlines()[3].startswith("  languages: ")
