"""Public data in the shapes that people have: detected, and read to the last row."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from heedful.errors import InputError
from heedful.sources import ReadResult, TaskEncoding, read_records


@cache
def read(path: Path) -> ReadResult:
    """Several tests look at the same files."""
    return read_records(path)


@pytest.mark.parametrize(
    ("file", "shape", "examples", "preferences"),
    [
        ("belle/zh_seed_tasks.json", "self-instruct", 175, 0),
        ("self_instruct/seed_tasks.jsonl", "self-instruct", 175, 0),
        ("self_instruct/user_oriented_instructions.jsonl", "self-instruct", 252, 0),
        ("llama_factory_demos/dpo_en_demo.json.gz", "preferences", 0, 300),
        ("llama_factory_demos/dpo_zh_demo.json.gz", "preferences", 0, 300),
        ("llama_factory_demos/kto_en_demo.json.gz", "messages with labels", 300, 0),
        ("llama_factory_demos/glaive_toolcall_en_demo.json.gz", "sharegpt", 300, 0),
        ("llama_factory_demos/alpaca_zh_demo.json.gz", "alpaca", 1000, 0),
        ("llama_factory_demos/identity.json.gz", "alpaca", 91, 0),
        ("fastchat_dummy_conversations/dummy_conversation.json.gz", "sharegpt", 500, 0),
        ("oasst_zh/oaast_sft_zh.json.gz", "alpaca", 689, 0),
    ],
)
def test_counts(shared_data: Path, file: str, shape: str, examples: int, preferences: int) -> None:
    result = read(shared_data / file)
    report = result.report[0]
    assert (report.shape, len(result.examples), len(result.preferences)) == (shape, examples, preferences)
    assert report.skipped == ()
    assert len({record.id for record in [*result.examples, *result.preferences]}) == examples + preferences


def test_details(shared_data: Path) -> None:
    demos = shared_data / "llama_factory_demos"
    kto = read(demos / "kto_en_demo.json.gz").report[0]
    assert (kto.num_undesirable, kto.num_multi_turn) == (150, 77)
    assert read(shared_data / "oasst_zh" / "oaast_sft_zh.json.gz").report[0].num_multi_turn == 390
    tools = read(demos / "glaive_toolcall_en_demo.json.gz")
    assert sum(message.role == "tool" for example in tools.examples for message in example.messages) == 211
    assert read(shared_data / "belle" / "zh_seed_tasks.json").report[0].languages["zh"] >= 165


def test_ranked_answers(shared_data: Path) -> None:
    result = read(shared_data / "oasst_zh" / "oaast_rm_zh.json.gz")
    assert result.report[0].num_rows == 775
    assert len(result.preferences) >= 775
    assert result.examples == []


def test_transcripts(shared_data: Path) -> None:
    path = shared_data / "hh_rlhf" / "harmless_base_first_1500.jsonl.gz"
    # One pair of the set differs before its last answer; by default that stops the import.
    with pytest.raises(InputError, match="line 1255: field 'rejected' does not begin with the same messages"):
        read_records(path)
    result = read_records(path, on_error="skip")
    assert result.report[0].num_rows == 1500
    assert len(result.preferences) + len(result.report[0].skipped) == 1500
    assert len(result.report[0].skipped) <= 5


def test_super_natural_instructions(shared_data: Path) -> None:
    path = shared_data / "super_natural_instructions" / "tasks.jsonl.gz"
    result = read_records(path, task_encoding=TaskEncoding(1, 1, True))
    assert (len(result.tasks), len(result.examples)) == (10, 1919)
    assert all("Good example 1" in example.messages[0].content for example in result.examples)
    assert {example.task for example in result.examples} == {task.name for task in result.tasks}
    assert len({example.groups["seed"] for example in result.examples}) == 10


@pytest.mark.slow
def test_large_sets(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mathematics = read_records(shared_data / "gsm8k" / "train.jsonl.gz")
    assert len(mathematics.examples) == 7473
    assert mathematics.report[0].languages["en"] > 0.98 * 7473
    # Two thirds of the time goes into telling languages; once is enough for that.
    monkeypatch.setattr("heedful.sources.rows.detect_language", lambda text: "und")
    alpaca = read_records(shared_data / "alpaca" / "alpaca_data.json.gz").report[0]
    assert (alpaca.num_rows, alpaca.num_records, alpaca.num_empty_answers) == (52_002, 52_002, 28)


@pytest.mark.parametrize(
    "file", ["ifeval/input_data.jsonl", "humaneval/HumanEval.jsonl.gz", "corpus_wiki_c4_demo/c4_demo.jsonl.gz"]
)
def test_what_holds_no_answers_is_refused_with_the_shapes_that_would_do(shared_data: Path, file: str) -> None:
    with pytest.raises(
        InputError, match=r"line 1: the columns .* fit no known shape; expected one of: instruction/output"
    ):
        read_records(shared_data / file)


def test_a_real_file_cut_in_half(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / "self_instruct" / "seed_tasks.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "seeds.jsonl").write_text("\n".join([*lines[:99], lines[99][: len(lines[99]) // 2]]), encoding="utf-8")
    with pytest.raises(InputError, match=r"seeds.jsonl, line 100: not valid JSON \("):
        read_records(tmp_path / "seeds.jsonl")
    assert len(read_records(tmp_path / "seeds.jsonl", on_error="skip").examples) == sum(
        len(json.loads(line)["instances"]) for line in lines[:99]
    )
