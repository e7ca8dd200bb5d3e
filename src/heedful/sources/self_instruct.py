"""Seed tasks in the shape of Self-Instruct (arXiv:2212.10560): one instruction with several instances -> Examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heedful.records import Example, conversation
from heedful.sources.rows import Row, known_fields, message_input, shown, without_placeholder


def shape(columns: Sequence[str]) -> str:
    """The shape's name for a file with these columns; empty when it is none of ours."""
    fields = known_fields(columns)
    return "self-instruct" if {"instruction", "instances"} <= fields.keys() else ""


def read(row: Row) -> list[Example]:
    """One Example for each instance; they share the row's seed group."""
    instruction = row.text("instruction")
    instances = row.structured("instances", list)
    if not instances:
        raise row.error("instances", "is empty", 'add at least one {"input": ..., "output": ...}')
    examples = []
    for index, instance in enumerate(instances):
        name = f"instances[{index}]"
        if not isinstance(instance, Mapping) or "output" not in instance:
            raise row.error(name, f"is {shown(instance)}, expected an input and an output", "complete or remove it")
        input = without_placeholder(row.as_text(instance.get("input") or "", f"{name}.input"))
        output = row.as_text(instance["output"], f"{name}.output")
        messages = conversation(message_input(instruction, input), output)
        parts = {"instruction": instruction, "input": input} if input else {}
        examples.append(row.example(messages, part=str(index), more=parts))
    return examples
