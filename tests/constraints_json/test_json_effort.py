"""What a check costs is bounded before there is an answer: bounds against steps that were counted."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from heedful.constraints.json import JsonMachine
from heedful.constraints.json.effort import Effort, num_marks
from heedful.constraints.json.parts import Document
from heedful.requirements import schemas

TREE = {
    "$defs": {"tree": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"}}, "additionalProperties": {"type": "integer"}}]}},
    "$ref": "#/$defs/tree",
}  # fmt: skip
DOUBLED = {"allOf": [{"items": {"$ref": "#/$defs/x"}}, {"items": {"$ref": "#/$defs/x"}}], "$defs": {"x": {"items": {"type": ["integer", "array"]}, "type": "array"}}}  # fmt: skip
NAMED = {
    "type": "object",
    "patternProperties": {"^a": {"type": "integer", "minimum": 1}, "b$": {"enum": list(range(40))}},
    "propertyNames": {"maxLength": 9, "minLength": 1},
    "additionalProperties": {
        "oneOf": [{"type": "string"}, {"type": "null"}, {"type": "array", "contains": {"const": 1}}]
    },
}
LISTED = {"type": "array", "prefixItems": [{"enum": list(range(100))}], "items": {"if": {"type": "string"}, "then": {"maxLength": 3}, "else": {"not": {"const": 7}}}}  # fmt: skip
SCHEMAS: list[Any] = [TREE, DOUBLED, NAMED, LISTED, {"type": "object", "properties": {"a": {"type": "string"}}}]


def any_value(draw: random.Random, levels: int) -> Any:
    """Values of all kinds, valid or not."""
    if levels == 0 or draw.random() < 0.3:
        return draw.choice([None, True, 0, 1, 7, 3.5, "", "ab", "abcd"])
    inner = [any_value(draw, levels - 1) for _ in range(draw.randint(0, 4))]
    if draw.random() < 0.4:
        return inner
    keys = draw.sample(["left", "right", "a", "ab", "b", "xb", "x"], len(inner))
    return dict(zip(keys, inner, strict=True))


def steps_of(document: Document, value: Any) -> int:
    """As many as a check that looks at everything counts."""
    schemas._BUDGET.set(schemas._Budget(schemas.MAX_STEPS, 1.0))
    list(document.validator.iter_errors(value))
    return schemas.MAX_STEPS - schemas._BUDGET.get().steps


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:40])
def test_no_check_takes_more_steps_than_its_bound(schema: Any) -> None:
    document = Document(schema)
    effort, draw = Effort(document), random.Random(0)
    most = 0.0
    for _ in range(200):
        value = any_value(draw, 4)
        bound = 2 * (1 + num_marks(json.dumps(value))) * effort.per_value
        most = max(most, steps_of(document, value) / bound)
    # The bound is one, and not far away: a tenth is reached by some value.
    assert 0.05 < most <= 1


def test_references_that_multiply_are_never_small() -> None:
    names = [f"x{number}" for number in range(20)]
    doubling = {
        name: {"allOf": [{"$ref": f"#/$defs/{after}"}] * 2}
        for name, after in zip(names, [*names[1:], "last"], strict=True)
    }
    schema = {"$ref": "#/$defs/x0", "$defs": {**doubling, "last": {"type": "integer"}}}
    assert not Effort(Document(schema)).is_small("1", "")
    grown = {"$defs": {"t": {"anyOf": [{"items": {"$ref": "#/$defs/t"}}] * 3}}, "$ref": "#/$defs/t"}
    assert not Effort(Document(grown)).is_small("[", "]")


@pytest.mark.parametrize(
    ("pattern", "is_small"),
    [("^[a-z]+$", True), (r"^\d{4}-\d\d$", True), ("^a+b*$", True), ("(a+)+$", False), ("^(a|a)*$", False), ("a+b+c+", False), ("a*b*", False), (r"(a)\1", False)],
)  # fmt: skip
def test_patterns_that_may_take_long_are_not_trusted(pattern: str, is_small: bool) -> None:
    assert Effort(Document({"type": "string", "pattern": pattern})).is_small('"aa', '"') == is_small


def test_long_answers_are_checked_before_they_are_believed() -> None:
    effort = Effort(Document({"type": "array", "items": {"type": "integer"}}))
    assert effort.is_small("[1" + ",1" * 1000, "]")
    assert not effort.is_small("[1" + ",1" * 10_000, "]")


@pytest.mark.parametrize(
    ("schema", "texts"),
    [
        (SCHEMAS[-1], ["", "{", '{"', '{"a', '{"a"', '{"a": "so', '{"a": "so"', '{"any', '{"any": [1, {"x', '{"\\']),
        ({"type": "string", "minLength": 3}, ['"', '"a', '"abc', '"abcdef', '"ab\\']),
        ({"type": "array", "items": {"type": "integer", "minimum": 20, "maximum": 900}, "minItems": 2}, ["[", "[2", "[20", "[20,", "[20,9"]),
        (TREE, ["", "n", '{"left', '{"left": {"zz": 1']),
    ],
)  # fmt: skip
def test_endings_that_are_certain_are_the_first_completions(schema: Any, texts: list[str]) -> None:
    # Twice: the second time around everything is remembered.
    machine = JsonMachine(schema)
    for text in [*texts, *texts]:
        state = machine.step(machine.start(), text)
        if state is None:
            assert text == '{"\\'
            continue
        certain = machine.ending(state)
        assert certain is not None
        ended = machine.step(state, certain)
        assert ended is not None
        assert machine.accepts(ended)
        assert certain == next(JsonMachine(schema).completions(state)).before


def test_nothing_is_certain_where_finished_values_are_checked() -> None:
    machine = JsonMachine({"type": "array", "items": {"type": "integer"}, "uniqueItems": True})
    state = machine.step(machine.start(), "[1,")
    assert state is not None
    assert machine.ending(state) is None
