"""Where words can be put into an answer that is still to be finished."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.constraints.json import JsonMachine
from heedful.constraints.machine import Completion

WORDS = "Some words, 一些文字 and more of them: really. "
REVIEW = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 30},
        "comment": {"type": "string"},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "date": {"type": "string", "format": "date"},
        "kind": {"enum": ["short", "long"]},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 2, "maxLength": 9}},
    },
    "required": ["stars", "comment"],
    "additionalProperties": False,
}


def completions(schema: Any, text: str, *, limit: int = 30) -> list[Completion]:
    """All of them hold: the answer is accepted with as few words as may be, and with as many as there is room for."""
    machine = JsonMachine(schema)
    state = machine.step(machine.start(), text)
    assert state is not None
    found = [each for each, _ in zip(machine.completions(state), range(limit), strict=False)]
    for each in found:
        room = 200 if each.room is None else each.room
        for count in {each.least, max(each.least, min(5, room)), room}:
            words = (WORDS * 10)[:count]
            ended = machine.step(state, each.before + words + each.after)
            assert ended is not None, each
            assert machine.accepts(ended), each
    return found


def test_the_string_being_written_comes_first_then_required_then_possible_ones() -> None:
    found = completions(REVIEW, '{"stars": 3, "title": "Go')
    assert found[0] == Completion('","comment":""}')
    assert found[1] == Completion("", '","comment":""}', 28)
    assert found[2] == Completion('","comment":"', '"}', None)
    assert found[3] == Completion('","tags":["', '"],"comment":""}', 9, least=2)
    # No words in a date, an enum or a number.
    assert len(found) == 4


def test_before_anything_is_written() -> None:
    first, required, *possible = completions(REVIEW, "")
    assert first == Completion('{"stars":1,"comment":""}')
    assert required == Completion('{"stars":1,"comment":"', '"}', None)
    assert [each.before for each in possible] == ['{"title":"', '{"tags":["']


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("{", '"stars":1,"comment":"'), ('{"comment": ', '"'), ('{"com', 'ment":"'), ('{"comment"', ':"'), ('{"stars": 2', ',"comment":"'),
        ('{"comment": "a", "tags": [', '"'), ('{"comment": "a", "tags": ["xy"', ',"'), ('{"comment": "a", "tags": ["xy",', '"'), ('{"comment": "a\\', '"'),
        ('{"comment": "a\\u00', '00'), ('{"comment": "done"', ',"title":"'),
    ],
)  # fmt: skip
def test_from_every_place(text: str, before: str) -> None:
    assert before in [each.before for each in completions(REVIEW, text)]


def test_a_key_is_made_up_where_nothing_else_has_room() -> None:
    closed = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    assert all(each.room == 0 for each in completions(closed, ""))
    opened = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert Completion('{"text":"', '","n":0}', None) in completions(opened, "")
    assert Completion('"', '"', None) in completions(True, "")


def test_words_that_a_check_would_not_take_are_not_offered() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "not": {"minLength": 5}}}, "required": ["a"], "additionalProperties": False}  # fmt: skip
    assert [each.room for each in completions(schema, "")] == [0]
    harmless = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "not": {"required": ["b"], "minProperties": 2}}  # fmt: skip
    assert Completion('{"a":"', '"}', None) in completions(harmless, "")
