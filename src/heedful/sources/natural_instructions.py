"""Task files of Super-NaturalInstructions (arXiv:2204.07705) -> Task, and an Example for each instance.

The official files (one JSON object a task) and the same fields one task a line. Prompts are those of `task_prompts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from heedful.records import Example, Message, Task, TaskExample, origin_id
from heedful.sources.rows import Row, canonical_column, language_code, shown
from heedful.task_prompts import task_prompt


@dataclass(frozen=True, slots=True)
class TaskEncoding:
    """What a prompt shows beside the definition and the input."""

    num_positive: int = 2
    num_negative: int = 0
    explanations: bool = False
    """Say why each example is good, or what is wrong with it."""


_FIELDS = (
    "definition",
    "positive_examples",
    "negative_examples",
    "instances",
    "categories",
    "category",
    "input_language",
    "output_language",
    "source",
    "instance_license",
    "task",
)
_NOT_KEPT = "(not kept)"


def encode_task(
    task: Task, instance: str, num_positive: int = 2, num_negative: int = 0, explanations: bool = False
) -> str:
    """The prompt that asks for the output of the input `instance`, in the language of the definition.

    A task with fewer examples than asked for shows those it has; an example equal to the instance is never shown.
    """
    positive = [example for example in task.positive if example.input != instance][:num_positive]
    negative = [example for example in task.negative if example.input != instance][:num_negative]
    return task_prompt(task.definition, instance, positive, negative, explanations=explanations)


def shape(columns: Sequence[str]) -> str:
    """The shape's name for a file with these columns; empty when it is none of ours."""
    names = {canonical_column(column) for column in columns}
    return "super-natural-instructions" if {"definition", "positive_examples", "instances"} <= names else ""


def read(row: Row, encoding: TaskEncoding) -> list[Task | Example]:
    """The Task, then an Example for each instance. An instance's first output is the answer, all are references."""
    fields = _fields(row)
    name = _joined(row, fields, "task") or PurePosixPath(row.file).name.split(".")[0]
    task = Task(
        id=origin_id(row.file, name),
        name=name,
        definition=_joined(row, fields, "definition", separator="\n"),
        positive=_demonstrations(row, fields, "positive_examples"),
        negative=_demonstrations(row, fields, "negative_examples"),
        category=_joined(row, fields, "categories") or _joined(row, fields, "category"),
        input_language=_language(_joined(row, fields, "input_language")),
        output_language=_language(_joined(row, fields, "output_language")),
        source=row.file,
        license=_joined(row, fields, "instance_license"),
    )
    if not task.definition.strip():
        raise row.error("definition", "is empty", "write what the task asks for")
    instances = _list(row, fields, "instances")
    return [task, *(_example(row, task, instance, index, encoding) for index, instance in enumerate(instances))]


def _example(row: Row, task: Task, instance: Any, index: int, encoding: TaskEncoding) -> Example:
    name = f"instances[{index}]"
    if not isinstance(instance, Mapping) or not {"input", "output"} <= instance.keys():
        raise row.error(name, f"is {shown(instance)}, expected an input and an output", "complete or remove it")
    outputs = instance["output"] if isinstance(instance["output"], list) else [instance["output"]]
    references = [row.as_text(output, f"{name}.output") for output in outputs]
    if not references:
        raise row.error(f"{name}.output", "holds no output", "add one or remove the instance")
    input = row.as_text(instance["input"], f"{name}.input")
    prompt = encode_task(task, input, encoding.num_positive, encoding.num_negative, encoding.explanations)
    example = row.example(
        [Message("user", prompt), Message("assistant", references[0])],
        part=row.as_text(instance.get("id", f"{task.name}/{index}"), f"{name}.id"),
        group=task.id,
        language=task.output_language if language_code(task.output_language) else "",
        more={
            "instruction": task.definition,
            "input": input,
            "references": references if len(references) > 1 else None,
        },
    )
    return replace(example, task=task.name, license=task.license)


def _fields(row: Row) -> dict[str, Any]:
    """Canonical name -> value; what a Task has no place for is reported as not kept."""
    fields = {}
    for column, value in row.values.items():
        name = canonical_column(column)
        row.taken[column] = name if name in _FIELDS else _NOT_KEPT
        fields[name] = value
    return fields


def _list(row: Row, fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise row.error(name, f"is {shown(value)}, expected a list", "write the field as in the official task files")
    return value


def _joined(row: Row, fields: Mapping[str, Any], name: str, *, separator: str = ", ") -> str:
    """A field that the official files write as a list with one text, mostly."""
    value = fields.get(name) or []
    return separator.join(row.as_text(item, name) for item in (value if isinstance(value, list) else [value]))


def _demonstrations(row: Row, fields: Mapping[str, Any], name: str) -> tuple[TaskExample, ...]:
    found = []
    for index, item in enumerate(_list(row, fields, name)):
        if not isinstance(item, Mapping) or not {"input", "output"} <= item.keys():
            raise row.error(f"{name}[{index}]", f"is {shown(item)}, expected input and output", "complete or remove it")
        parts = (item["input"], item["output"], item.get("explanation") or item.get("reason") or "")
        found.append(TaskExample(*(row.as_text(part, f"{name}[{index}]") for part in parts)))
    return tuple(found)


def _language(name: str) -> str:
    """A code where we know it, else the name that the file gives (`Hindi`)."""
    return language_code(name) or name
