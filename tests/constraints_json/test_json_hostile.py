"""Schemas made to take for ever: they are followed or refused, soon."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from heedful.constraints.json import JsonMachine
from heedful.errors import RequirementError

LAUGHS: dict[str, Any] = {
    "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {"type": "string"}},
    "$ref": "#/$defs/d0",
}
PRODUCT = {
    "type": "object",
    "allOf": [
        {"anyOf": [{"properties": {f"k{i}": {"const": j}}, "required": [f"k{i}"]} for j in range(10)]}
        for i in range(10)
    ],
}
CONTRADICTION = {**PRODUCT, "properties": {"k9": {"const": 99}}}
MANY_ONE_OF = {"type": "object", "oneOf": [{"properties": {f"p{n}": {"type": "integer"}}} for n in range(60)]}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        LAUGHS, PRODUCT, CONTRADICTION, MANY_ONE_OF, deep(60), deep(40), {"type": "array", "minItems": 10**9}, {"type": "string", "minLength": 10**9},
        {"type": "object", "minProperties": 10**9}, {"type": "number", "minimum": 10**400}, {"type": "number", "minimum": float("inf")},
        {"type": "number", "multipleOf": 1e-300, "minimum": 5}, {"type": "integer", "multipleOf": 10**299}, {"enum": list(range(20_000))},
        {"enum": list(range(20_000)), "not": {"maximum": 19_998}}, {"type": "string", "pattern": "^(a|b)*a(a|b){100}$"},
        {"type": "string", "pattern": "^(a|b)*a(a|b){12}$", "not": {"pattern": "a"}}, {"type": "string", "pattern": r"^(.+)\1\1x$"},
        {"type": "string", "allOf": [{"pattern": f"^(?:.{{{n}}})*$"} for n in (2, 3, 5, 7, 11, 13)], "minLength": 1},
        {"type": "array", "uniqueItems": True, "items": {"enum": [1, 2, 3]}, "minItems": 4}, {"type": "array", "items": {"$ref": "#"}, "minItems": 3},
        {"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": 3}, {"const": 0}], "not": {"const": 0}, "minItems": 2},
    ],
    ids=lambda schema: str(schema)[:60],
)  # fmt: skip
def test_it_ends_soon(schema: Any) -> None:
    start = time.thread_time()
    with contextlib.suppress(RequirementError):
        machine = JsonMachine(schema)
        rest = next(machine.completions(machine.start())).before
        assert machine.accepts(machine.step(machine.start(), rest))
    assert time.thread_time() - start < 3


def test_an_optional_part_that_is_hostile_is_refused_when_it_is_begun() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "minItems": 10**9}, "b": {"type": "string", "pattern": "(?<=x)y\\1()"}}, "additionalProperties": False}  # fmt: skip
    try:
        machine = JsonMachine(schema)
    except RequirementError:
        return
    assert machine.step(machine.start(), "{}") is not None
    assert machine.step(machine.start(), '{"a"') is None
