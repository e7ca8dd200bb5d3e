"""Rows of instruction, input and output -> Example; with a list of outputs, best first, -> Preferences.

Alpaca and its Chinese twin (指令 / 输入 / 输出), with `system` and `history` where present; pairs such as prompt and
completion or question and answer; our seeds files, which add task, requirements and a wrong output with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from heedful.records import Example, Message, Preference
from heedful.sources.rows import Row, canonical_column, known_fields, message_input, shown, without_placeholder

_SEED_FIELDS = ("requirements", "wrong", "wrong_output")


def shape(columns: Sequence[str]) -> str:
    """The shape's name for a file with these columns; empty when it is none of ours."""
    fields = known_fields(columns)
    if not {"instruction", "output"} <= fields.keys():
        return ""
    if any(name in fields for name in _SEED_FIELDS):
        return "seeds"
    names = (canonical_column(fields["instruction"]), canonical_column(fields["output"]))
    known = {("instruction", "output"): "alpaca", ("指令", "输出"): "指令/输入/输出"}
    return known.get(names, f"pairs {'/'.join(names)}")


def read(row: Row) -> list[Example] | list[Preference]:
    """The row's one record, or its preferences; raises InputError naming the field that is wrong."""
    instruction = row.text("instruction")
    input = without_placeholder(row.text("input", ""))
    if isinstance(row.take("output"), list):
        return _ranked(row, message_input(instruction, input))
    output = row.text("output")
    last = (Message("user", message_input(instruction, input)), Message("assistant", output))
    messages = [*row.system(), *history(row), *last]
    # Kept apart as well: prompts that show examples write instruction and input on lines of their own.
    parts = {"instruction": instruction, "input": input} if instruction and input else {}
    return [row.example(messages, more=parts)]


def history(row: Row) -> list[Message]:
    """Earlier turns, given as pairs of what the user said and what was answered."""
    messages = []
    for pair in row.structured("history", list, []):
        if not isinstance(pair, list) or len(pair) != 2:
            raise row.error("history", f"holds {shown(pair)}, expected pairs", 'write [["question", "answer"], ...]')
        question, answer = pair
        messages += [
            Message("user", row.as_text(question, "history")),
            Message("assistant", row.as_text(answer, "history")),
        ]
    return messages


def _ranked(row: Row, prompt: str) -> list[Preference]:
    """Answers from best to worst: the best is preferred to each of the others."""
    outputs = [row.as_text(output, "output") for output in row.take("output")]
    if len(outputs) < 2:
        raise row.error(
            "output", f"is a list of {len(outputs)}, expected text, or answers from best to worst", "write text"
        )
    messages = [*row.system(), *history(row), Message("user", prompt)]
    parts = [""] if len(outputs) == 2 else [str(index) for index in range(1, len(outputs))]
    return [
        row.preference(messages, outputs[0], other, part=part) for other, part in zip(outputs[1:], parts, strict=True)
    ]
