"""Rows of a task -> prompts that say the task by its definition, by examples, or by both; which, is set, and may be mixed.

Where tasks are handed in, theirs are definition and examples (positive, negative, with reasons). A task without a record
is known by its rows: their instruction, and other training rows of it as examples. A row is never among its own examples.
All rows of a task see the same examples in the same order, so that packing reads them once for all rows of a batch.

A prompt is given the tokens that the longest row may have: what does not fit loses examples, the negative ones first and
then the last positive one, one by one, and is counted; no example is cut in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from heedful.project import stream, stream_seed
from heedful.records import Example, Message, Task, TaskExample
from heedful.task_prompts import task_prompt
from heedful.train.rows.mixing import apportion, task_of
from heedful.train.task_settings import EncodingSettings, Form

CountTokens = Callable[[Sequence[Message]], int]
"""Of a whole conversation, as it is trained."""


@dataclass(frozen=True, slots=True)
class EncodingReport:
    """What became of the rows."""

    forms: Mapping[Form, int]
    """Rows by form."""
    unknown_task: int
    """Rows left as they are: no definition or input is known of them, or they are longer conversations."""
    examples_shown: int
    examples_dropped: int
    """To fit."""
    without_examples: int
    """Rows whose form shows examples, and which show none: there were none, or none fitted."""

    def as_dict(self) -> dict[str, Any]:
        """As it is written to ledger.json."""
        return asdict(self)

    def describe(self) -> str:
        """In words, on one line."""
        forms = ", ".join(f"{form} {count:,}" for form, count in self.forms.items() if count)
        return (
            f"prompts: {forms}; left as they are, their task unknown: {self.unknown_task:,}; examples shown "
            f"{self.examples_shown:,}, dropped to fit {self.examples_dropped:,}; rows that found none "
            f"{self.without_examples:,}"
        )


@dataclass(frozen=True, slots=True)
class _Encoded:
    example: Example
    num_shown: int
    num_dropped: int


def encode(
    examples: Sequence[Example],
    settings: EncodingSettings,
    *,
    tasks: Iterable[Task] = (),
    count_tokens: CountTokens,
    max_tokens: int,
    seed: int,
) -> tuple[list[Example], EncodingReport]:
    """Rows in the same order, with the same ids and answers. Forms are shared out exactly, by rows' ids and the seed."""
    known = {task.name: task for task in tasks}
    inputs = [_input_of(example) for example in examples]
    made = tasks_of(examples, settings.num_positive + 1, seed=seed)
    places = [place for place, input in enumerate(inputs) if input is not None]
    forms = _shared_out([examples[place] for place in places], settings.forms, seed)
    result, encoded = list(examples), []
    for place, form in zip(places, forms, strict=True):
        example, input = examples[place], inputs[place]
        assert input is not None
        if form != "as_is":
            task = known.get(example.task) or made[_key(example)]
            encoded.append((form, _fitted(example, input, task, form, settings, count_tokens, max_tokens)))
            result[place] = encoded[-1][1].example
    counts = {form: forms.count(form) for form in settings.forms}
    counts["as_is"] = counts.get("as_is", 0) + len(examples) - len(places)
    report = EncodingReport(
        forms=counts,
        unknown_task=len(examples) - len(places),
        examples_shown=sum(one.num_shown for _, one in encoded),
        examples_dropped=sum(one.num_dropped for _, one in encoded),
        without_examples=sum(form != "definition" and not one.num_shown for form, one in encoded),
    )
    return result, report


def tasks_of(examples: Iterable[Example], num_examples: int, *, seed: int) -> dict[tuple[str, str], Task]:
    """Tasks as their training rows show them, by `(task, instruction)`; examples are drawn among their inputs."""
    rows: dict[tuple[str, str], list[TaskExample]] = {}
    for example in examples:
        if (input := _input_of(example)) is not None:
            own = rows.setdefault(_key(example), [])
            if example.split in ("", "train") and input:
                own.append(TaskExample(input, example.answer))
    tasks = {}
    for (name, instruction), own in rows.items():
        unique = list({one.input: one for one in own}.values())
        drawn = stream(seed, "encoding", name, instruction).sample(unique, min(num_examples, len(unique)))
        tasks[name, instruction] = Task(id="", name=name, definition=instruction, positive=tuple(drawn))
    return tasks


def _fitted(
    example: Example,
    input: str,
    task: Task,
    form: Form,
    settings: EncodingSettings,
    count_tokens: CountTokens,
    max_tokens: int,
) -> _Encoded:
    """With as many examples as fit."""
    positive: list[TaskExample] = []
    negative: list[TaskExample] = []
    if form != "definition":
        positive = [one for one in task.positive if one.input.strip() != input.strip()][: settings.num_positive]
    if form == "definition_and_examples":
        negative = [one for one in task.negative if one.input.strip() != input.strip()][: settings.num_negative]
    num = len(positive) + len(negative)
    # Examples alone say what the task is; without any, the definition has to.
    while True:
        definition = "" if form == "examples" and positive else task.definition
        text = task_prompt(definition, input, positive, negative, explanations=settings.explanations)
        messages = tuple(Message("user", text) if one.role == "user" else one for one in example.messages)
        num_shown = len(positive) + len(negative)
        if not num_shown or count_tokens(messages) <= max_tokens:
            return _Encoded(replace(example, messages=messages), num_shown, num - num_shown)
        (negative or positive).pop()


def _input_of(example: Example) -> str | None:
    """What the task is done for; None where no task can be told from its input, as in longer conversations."""
    input, instruction = example.meta_value("input"), example.meta_value("instruction")
    roles = [message.role for message in example.messages if message.role != "system"]
    is_known = isinstance(input, str) and bool(input) and isinstance(instruction, str)
    return str(input) if is_known and roles == ["user", "assistant"] else None


def _key(example: Example) -> tuple[str, str]:
    return task_of(example), str(example.meta_value("instruction"))


def _shared_out(examples: Sequence[Example], shares: Mapping[Form, float], seed: int) -> list[Form]:
    """A form for each row: exact shares, and a row's own place in the order depends on nothing but its id."""
    order = sorted(range(len(examples)), key=lambda place: stream_seed(seed, "form", examples[place].id))
    counts = apportion(len(examples), shares)
    names: list[Form] = [form for form in shares for _ in range(counts[form])]
    forms = list(names)
    for place, form in zip(order, names, strict=True):
        forms[place] = form
    return forms
