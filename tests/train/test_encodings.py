"""Prompts that say the task by definition, by examples or by both: written out, exact shares, and a budget that holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.errors import SettingsError
from heedful.project.settings import parse_settings
from heedful.records import Example, Message, Task, TaskExample
from heedful.train.rows.encodings import encode
from heedful.train.task_settings import EncodingSettings, Form

TASK = Task(
    id="t",
    name="opposites",
    definition="Write the opposite.",
    positive=(
        TaskExample("hot", "cold", "cold is not hot"),
        TaskExample("big", "small"),
        TaskExample("old", "young"),
    ),
    negative=(TaskExample("wet", "water", "water is wet"),),
)


def words(messages: Sequence[Message]) -> int:
    return sum(len(message.content.split()) for message in messages)


def row(input: str, answer: str = "x", *, task: str = "opposites", name: str = "", **values: Any) -> Example:
    messages = (Message("system", "Be brief."), Message("user", f"as is: {input}"), Message("assistant", answer))
    example = Example(name or f"id {input}", messages, "import", "test", task=task, split="train", **values)
    return example.with_meta(input=input, instruction="Say the opposite!")


def prompts(
    examples: Sequence[Example], form: Form, *, max_tokens: int = 1000, tasks: Any = (TASK,), **values: Any
) -> Any:
    settings = EncodingSettings(forms={form: 1.0}, **values)
    encoded, report = encode(examples, settings, tasks=tasks, count_tokens=words, max_tokens=max_tokens, seed=3)
    for before, after in zip(examples, encoded, strict=True):
        assert (after.id, after.answer, after.meta, after.messages[0]) == (
            before.id,
            before.answer,
            before.meta,
            before.messages[0],
        )
    return [example.messages[1].content for example in encoded], report


def test_definition_alone() -> None:
    texts, report = prompts([row("dark")], "definition")
    assert texts == ["Task: Write the opposite.\n\nInput: dark\nOutput:"]
    assert report.as_dict() == {
        "forms": {"definition": 1, "as_is": 0},
        "unknown_task": 0,
        "examples_shown": 0,
        "examples_dropped": 0,
        "without_examples": 0,
    }


def test_definition_and_examples_with_reasons() -> None:
    texts, report = prompts([row("dark")], "definition_and_examples", num_positive=1, num_negative=1, explanations=True)
    assert texts == [
        "Task: Write the opposite.\n\n"
        "Good example 1\nInput: hot\nOutput: cold\nWhy it is good: cold is not hot\n\n"
        "Bad example 1\nInput: wet\nOutput: water\nWhat is wrong with it: water is wet\n\n"
        "Now do the task for this input.\nInput: dark\nOutput:"
    ]
    assert report.examples_shown == 2


def test_few_shot_without_definition() -> None:
    texts, _ = prompts([row("dark")], "examples", num_positive=2, num_negative=1)
    assert texts == [
        "Good example 1\nInput: hot\nOutput: cold\n\nGood example 2\nInput: big\nOutput: small\n\n"
        "Now do the task for this input.\nInput: dark\nOutput:"
    ]


def test_as_is_changes_nothing() -> None:
    assert prompts([row("dark")], "as_is")[0] == ["as is: dark"]


def test_a_row_is_never_among_its_own_examples() -> None:
    texts, _ = prompts([row("hot "), row("dark")], "examples", num_positive=2)
    assert texts[0].count("hot") == 1  # only what is asked
    assert "Good example 2\nInput: old\nOutput: young" in texts[0]
    assert "Good example 1\nInput: hot" in texts[1]


def test_tasks_without_a_record_show_other_training_rows() -> None:
    rows = [row(f"word{n}", f"answer{n}", task="made") for n in range(6)]
    validation = Example("v", rows[0].messages, "import", "test", task="made", split="validation")
    validation = validation.with_meta(input="held back", instruction="Say the opposite!")
    texts, report = prompts([*rows, validation], "definition_and_examples", tasks=())
    for number, text in enumerate(texts[:6]):
        assert text.startswith("Task: Say the opposite!\n\nGood example 1\nInput: word")
        assert text.count(f"word{number}\n") == 1, "only what is asked"
        assert f"Output: answer{number}" not in text
        assert "held back" not in text, "a validation row is nobody's example"
    assert report.examples_shown == 14


def test_all_rows_begin_alike_so_that_packing_reads_it_once() -> None:
    texts, _ = prompts([row("dark"), row("light")], "definition_and_examples")
    assert len({text.split("Now do")[0] for text in texts}) == 1


@given(st.integers(0, 60))
def test_examples_are_dropped_whole_and_counted(max_tokens: int) -> None:
    texts, report = prompts(
        [row("dark")], "definition_and_examples", max_tokens=max_tokens, num_positive=3, num_negative=1
    )
    shown = texts[0].count("Good example") + texts[0].count("Bad example")
    assert (report.examples_shown, report.examples_dropped) == (shown, 4 - shown)
    assert report.without_examples == (shown == 0)
    # Dropped one by one: what is shown fits, or nothing is shown; and one more would not have fitted.
    sizes = {count: words(written(count)) for count in range(5)}
    assert texts[0] == written(shown)[1].content
    assert shown == 0 or sizes[shown] <= max_tokens
    assert shown == 4 or sizes[shown + 1] > max_tokens


def written(count: int) -> tuple[Message, ...]:
    from heedful.task_prompts import task_prompt

    text = task_prompt(TASK.definition, "dark", TASK.positive[: min(count, 3)], TASK.negative[: max(count - 3, 0)])
    return (Message("system", "Be brief."), Message("user", text), Message("assistant", "x"))


def test_without_room_for_an_example_the_definition_says_the_task() -> None:
    texts, report = prompts([row("dark")], "examples", max_tokens=3)
    assert texts == ["Task: Write the opposite.\n\nInput: dark\nOutput:"]
    assert (report.examples_dropped, report.without_examples) == (2, 1)


def test_forms_are_shared_out_exactly_and_by_id() -> None:
    rows = [row(f"word{n}") for n in range(20)]
    settings = EncodingSettings(forms={"as_is": 1.0, "definition": 2.0, "examples": 1.0})

    def forms(examples: Sequence[Example]) -> dict[str, str]:
        encoded, report = encode(examples, settings, tasks=[TASK], count_tokens=words, max_tokens=1000, seed=3)
        assert report.forms == {"as_is": 5, "definition": 10, "examples": 5}
        return {example.id: example.messages[1].content.split()[0] for example in encoded}

    first = forms(rows)
    assert Counter(first.values()) == {"as": 5, "Task:": 10, "Good": 5}
    assert forms(rows[::-1]) == first, "where a row stands does not matter"


def test_conversations_and_unknown_inputs_stay_as_they_are() -> None:
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))
    longer = Example("long", turns, "import", "test", task="opposites").with_meta(input="a", instruction="b")
    bare = Example("bare", turns[:2], "import", "test", task="opposites")
    settings = EncodingSettings(forms={"definition": 1.0})
    encoded, report = encode([longer, bare], settings, tasks=[TASK], count_tokens=words, max_tokens=99, seed=3)
    assert encoded == [longer, bare]
    assert report.unknown_task == report.forms["as_is"] == 2
    assert "left as they are, their task unknown: 2" in report.describe()


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"forms": {"definition": 0.0}}, "no form has a share"),
        ({"forms": {"examples": 1.0}, "num_positive": 0}, "above 0"),
        ({"forms": {"few": 1.0}}, "forms"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, object], wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong):
        parse_settings(EncodingSettings, values, where="here")
