"""Super-NaturalInstructions task files: the Task, the encodings, the instances."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heedful.errors import InputError
from heedful.records import Task, TaskExample, origin_id
from heedful.sources import TaskEncoding, encode_task, read_records

TASK = Task(
    "t",
    "task1",
    "Say the opposite.",
    positive=(
        TaskExample("hot", "cold", "They are opposites."),
        TaskExample("up", "down", "Also."),
        TaskExample("in", "out"),
    ),
    negative=(TaskExample("big", "large", "It means the same."),),
)

OFFICIAL = {
    "Contributors": ["Somebody"],
    "Source": ["made up"],
    "URL": [""],
    "Categories": ["Word Semantics"],
    "Reasoning": [],
    "Definition": ["Say the opposite."],
    "Input_language": ["English"],
    "Output_language": ["English"],
    "Instruction_language": ["English"],
    "Domains": ["Dictionary"],
    "Positive Examples": [{"input": "hot", "output": "cold", "explanation": "They are opposites."}],
    "Negative Examples": [{"input": "big", "output": "large", "explanation": "It means the same."}],
    "Instances": [
        {"id": "task1-a", "input": "wet", "output": ["dry"]},
        {"id": "task1-b", "input": "fast", "output": ["slow", "sluggish"]},
    ],
    "Instance License": ["CC BY 4.0"],
}


def test_definition_alone() -> None:
    assert encode_task(TASK, "wet", num_positive=0) == "Task: Say the opposite.\n\nInput: wet\nOutput:"


def test_definition_and_two_positive() -> None:
    assert encode_task(TASK, "wet") == (
        "Task: Say the opposite.\n\n"
        "Good example 1\nInput: hot\nOutput: cold\n\n"
        "Good example 2\nInput: up\nOutput: down\n\n"
        "Now do the task for this input.\nInput: wet\nOutput:"
    )


def test_positive_negative_and_explanations() -> None:
    assert encode_task(TASK, "wet", num_positive=1, num_negative=2, explanations=True) == (
        "Task: Say the opposite.\n\n"
        "Good example 1\nInput: hot\nOutput: cold\nWhy it is good: They are opposites.\n\n"
        "Bad example 1\nInput: big\nOutput: large\nWhat is wrong with it: It means the same.\n\n"
        "Now do the task for this input.\nInput: wet\nOutput:"
    )


def test_an_example_never_gives_the_answer_away() -> None:
    prompt = encode_task(TASK, "hot", num_positive=2)
    assert "cold" not in prompt
    assert "Input: up" in prompt
    assert "Input: in" in prompt


def test_braces_in_the_task_are_only_text() -> None:
    prompt = encode_task(Task("t", "n", "Fill {0} and {name}."), "{}", num_positive=0)
    assert prompt == "Task: Fill {0} and {name}.\n\nInput: {}\nOutput:"


def test_a_chinese_definition_speaks_chinese() -> None:
    task = Task("t", "n", "说出这个词的反义词，只写一个词。", positive=(TaskExample("热", "冷"),))
    assert encode_task(task, "大") == (
        "任务：说出这个词的反义词，只写一个词。\n\n正确示例1\n输入：热\n输出：冷\n\n现在请完成下面这一条。\n输入：大\n输出："
    )


def test_an_official_file(tmp_path: Path) -> None:
    (tmp_path / "task001_opposites.json").write_text(json.dumps(OFFICIAL, indent=4))
    result = read_records(tmp_path / "task001_opposites.json", task_encoding=TaskEncoding(num_positive=0))
    task = result.tasks[0]
    assert (task.name, task.definition, task.category) == ("task001_opposites", "Say the opposite.", "Word Semantics")
    assert (task.input_language, task.output_language, task.license) == ("en", "en", "CC BY 4.0")
    assert task.positive == (TaskExample("hot", "cold", "They are opposites."),)
    assert task.negative == (TaskExample("big", "large", "It means the same."),)
    first, second = result.examples
    assert first.messages[0].content == "Task: Say the opposite.\n\nInput: wet\nOutput:"
    assert (first.answer, first.task, first.license, first.language) == ("dry", "task001_opposites", "CC BY 4.0", "en")
    assert second.meta_value("references") == ["slow", "sluggish"]
    assert second.answer == "slow"
    assert first.groups == second.groups == {"seed": task.id}
    assert task.id == origin_id("task001_opposites.json", "task001_opposites")
    report = result.report[0]
    assert (report.shape, report.num_rows, report.num_records) == ("super-natural-instructions", 1, 3)
    assert report.columns["Reasoning"] == "(not kept)"


def test_one_task_a_line(tmp_path: Path) -> None:
    row = {
        "task": "task7",
        "definition": ["Say the opposite."],
        "positive_examples": OFFICIAL["Positive Examples"],
        "negative_examples": [],
        "instances": OFFICIAL["Instances"],
    }
    (tmp_path / "tasks.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "task": "task8"}) + "\n")
    result = read_records(tmp_path / "tasks.jsonl")
    assert [task.name for task in result.tasks] == ["task7", "task8"]
    assert len({example.id for example in result.examples}) == 4


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"Definition": []}, "'definition' is empty"),
        ({"Definition": [3]}, "'definition' is a number"),
        ({"Instances": {}}, "'instances' is an object ({}), expected a list"),
        ({"Instances": [{"id": "a", "input": "b"}]}, "'instances[0]'"),
        ({"Instances": [{"id": "a", "input": "b", "output": []}]}, "'instances[0].output' holds no output"),
        ({"Instances": OFFICIAL["Instances"] * 2}, "'id' names a record that was already read"),  # type: ignore[operator]
        ({"Positive Examples": ["x"]}, "'positive_examples[0]'"),
    ],
)
def test_broken_task_files(tmp_path: Path, change: dict[str, object], part: str) -> None:
    (tmp_path / "t.json").write_text(json.dumps({**OFFICIAL, **change}))
    with pytest.raises(InputError) as caught:
        read_records(tmp_path / "t.json")
    assert str(caught.value).startswith("t.json, line 1: field ")
    assert part in str(caught.value)
