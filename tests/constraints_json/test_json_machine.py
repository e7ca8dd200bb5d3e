"""What a machine for a schema takes, refuses and knows, case by case."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heedful.constraints.json import JsonMachine
from heedful.errors import RequirementError

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 20},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {"tree": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"}}, "required": ["left", "right"]}]}},
    "$ref": "#/$defs/tree",
}  # fmt: skip
RADIUS_OR_SIDES = {"type": "object", "oneOf": [{"required": ["radius"]}, {"required": ["width", "height"]}]}
DEPENDENT = {
    "type": "object",
    "dependentRequired": {"card": ["address"]},
    "dependentSchemas": {"a": {"properties": {"b": {"const": 1}}}},
}
BRANCHES = {
    "type": "object",
    "if": {"properties": {"kind": {"const": 1}}, "required": ["kind"]},
    "then": {"required": ["size"]},
}
NAMED = {
    "type": "object",
    "patternProperties": {"^x\\d+$": {"type": "integer"}},
    "additionalProperties": False,
    "minProperties": 2,
}


def rest_of(schema: Any, text: str) -> str | None:
    """What would end an answer that begins with `text`; None where it is refused."""
    machine = JsonMachine(schema)
    state = machine.step(machine.start(), text)
    if state is None:
        return None
    first = next(machine.completions(state))
    assert (first.after, first.room) == ("", 0)
    ended = machine.step(state, first.before)
    assert ended is not None
    assert machine.accepts(ended), (text, first.before)
    assert machine.accepts(state) == (first.before == "")
    return first.before


@pytest.mark.parametrize(
    ("schema", "text", "rest"),
    [
        # Nothing asked.
        (True, "", "0"), (True, "[1, ", "0]"), (True, '{"a": "b', '"}'), (True, "tr", "ue"), (True, "12", ""), (True, '"\\', '""'), (True, "1e", "0"),
        (True, '"\\u00', '00"'), (True, '"\\ud', '000"'), (True, "-", "0"),
        # Objects.
        (PERSON, "", '{"name":"aaa","age":18}'), (PERSON, '{"a', 'ge":18,"name":"aaa"}'), (PERSON, '{"age": 7', '0,"name":"aaa"}'),
        (PERSON, '{\n  "name": "Li', 'a","age":18}'), (PERSON, '{"age": 20, "tags": ["x"', '],"name":"aaa"}'),
        (NAMED, "{", '"x0":0,"x00":0}'), (NAMED, '{"x1": 1, "x', '0":0}'), (DEPENDENT, '{"card": 1', ',"address":0}'), (DEPENDENT, '{"a": 0, "b": ', "1}"),
        ({"type": "object", "propertyNames": {"enum": ["p", "q"]}, "minProperties": 2}, '{"q"', ':0,"p":0}'),
        ({"properties": {'say "hi"': True}, "required": ['say "hi"'], "type": "object"}, '{"say \\"', 'hi\\"":0}'),
        # Several schemas at once.
        (TREE, '{"left": {"right": ', 'null,"left":null},"right":null}'), (RADIUS_OR_SIDES, '{"radius": 1', "}"), (RADIUS_OR_SIDES, '{"width": 1, "h', 'eight":0}'),
        (BRANCHES, '{"kind": 1', ',"size":0}'), (BRANCHES, '{"kind": 2', "}"), ({"type": ["string", "integer"], "not": {"type": "string"}}, "", "0"),
        ({"allOf": [{"minimum": 3}, {"type": "integer", "maximum": 40}]}, "", "3"), ({"allOf": [{"enum": [1, 2, "x"]}, {"type": "string"}]}, "", '"x"'),
        ({"type": "object", "properties": {"a": {}}, "unevaluatedProperties": False}, '{"', 'a":0}'),
        # Lists.
        ({"prefixItems": [{"const": "a"}, {"type": "null"}], "items": False, "type": "array", "minItems": 2}, "[", '"a",null]'),
        ({"type": "array", "contains": {"const": "hit"}, "items": {"type": "string"}}, '["a"', ',"hit"]'),
        ({"type": "array", "contains": {"type": "integer"}, "minContains": 2, "maxContains": 2}, "[1", ",0]"),
        ({"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 4}, "uniqueItems": True, "minItems": 3}, "[2,", "1,3]"),
        ({"type": "array", "items": {"type": "string", "pattern": "^[ab]{2}$"}, "uniqueItems": True, "minItems": 4}, '["ab', '","aa","ba","bb"]'),
        # Numbers.
        ({"type": "number", "minimum": 2.5, "exclusiveMaximum": 3}, "2", ".5"), ({"type": "integer", "multipleOf": 7, "minimum": 100}, "1", "05"),
        ({"type": "number", "maximum": -10}, "-", "10"), ({"type": "integer", "exclusiveMinimum": 9, "exclusiveMaximum": 11}, "", "10"),
        ({"type": "number", "multipleOf": 0.01, "minimum": 0.015, "maximum": 0.029}, "", "0.02"),
        # Strings.
        ({"type": "string", "format": "date"}, '"2024-02-2', '0"'), ({"type": "string", "format": "ipv4"}, '"10.', '0.0.0"'),
        ({"type": "string", "pattern": r"^\d{3}-\d{4}$"}, '"55', '0-0000"'), ({"type": "string", "pattern": "^[a-c]+$", "minLength": 4}, '"b', 'aaa"'),
        ({"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "z$"}]}, '"a', 'z"'), ({"type": "string", "pattern": '^"$'}, '"', '\\""'),
        ({"type": "string", "pattern": r"^(?=.*\d)(?=.*[A-Z])[\w]{4,}$"}, '"ab', '0A"'), ({"type": "string", "pattern": r"^(?!a)..$"}, '"', 'ba"'),
    ],
)  # fmt: skip
def test_the_way_to_an_end(schema: Any, text: str, rest: str) -> None:
    assert rest_of(schema, text) == rest


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        # No JSON.
        (True, "x"), (True, "{'a'"), (True, "[1,]"), (True, "01"), (True, "NaN"), (True, '"\t'), (True, "+1"), (True, "1."[:2] + "]"), (True, '{"a": 1, "a"'), (True, '"\\x'),
        (True, '"\\ud8'), (True, "// "), (True, "1 2"), (True, "[" * 60), (True, "tru,"),
        # White space that could go on for ever.
        (True, "  "), (True, "\n\n"), (True, "[\n\n"), (True, "[\n" + " " * 33), (True, '{"a":\n'), (True, '{"a" '), (True, "[1  "), (True, '{"a": 1 ,'),
        # Not what the schema asks for.
        (PERSON, "["), (PERSON, '{"x'), (PERSON, '{"age": 17'), (PERSON, '{"age": 100'), (PERSON, '{"age": 20}'), (PERSON, '{"name": "Li"'),
        (PERSON, '{"name": "' + "a" * 21), (PERSON, '{"age": 2.'), (PERSON, '{"age": 20, "tags": [1'), (PERSON, '{"age": 20 '),
        (NAMED, '{"y'), (NAMED, '{"x1": 1}'), (DEPENDENT, '{"card": 1}'), (DEPENDENT, '{"a": 0, "b": 2'), (TREE, "1"), (RADIUS_OR_SIDES, '{"radius": 1, "width": 1, "height"'),
        (BRANCHES, '{"kind": 1}'), ({"enum": ["ab", "ac", 1]}, '"b'), ({"enum": ["ab", "ac", 1]}, "12"), ({"const": None}, '"'),
        ({"type": "array", "uniqueItems": True, "items": {"enum": [1, 2]}, "minItems": 2}, "[1,1"), ({"type": "array", "maxItems": 1}, "[1,"),
        ({"type": "number", "minimum": 2.5, "exclusiveMaximum": 3}, "3"), ({"type": "integer", "multipleOf": 7, "maximum": 20}, "15"),
        ({"type": "string", "format": "date"}, '"2023-02-29'), ({"type": "string", "pattern": "^a+$"}, '"b'), ({"type": "string", "pattern": "^a+$"}, '"a\\n'),
        ({"type": "object", "not": {"required": ["a"]}}, '{"a"'), ({"type": "object", "maxProperties": 1}, '{"a": 1,'),
        ({"properties": {"text": {"type": "string"}}, "required": ["text"], "type": "object", "not": {"properties": {"text": {"const": "bad"}}}}, '{"text": "bad"}'),
    ],
)  # fmt: skip
def test_what_cannot_become_valid_is_refused_at_once(schema: Any, text: str) -> None:
    machine = JsonMachine(schema)
    assert machine.step(machine.start(), text) is None


D3, D4, D7 = (f"http://json-schema.org/draft-0{number}/schema#" for number in (3, 4, 7))
D2019 = "https://json-schema.org/draft/2019-09/schema"


@pytest.mark.parametrize(
    ("schema", "text", "rest"),
    [
        ({"$schema": D3, "type": "object", "properties": {"a": {"type": "integer", "required": True, "divisibleBy": 5, "minimum": 1}}}, "{", '"a":5}'),
        ({"$schema": D3, "extends": [{"type": "string"}], "minLength": 2}, "", '"aa"'), ({"$schema": D3, "type": ["string", "integer"], "disallow": "integer"}, "", '""'),
        ({"$schema": D3, "type": "object", "dependencies": {"a": "b"}}, '{"a": 1', ',"b":0}'),
        ({"$schema": D4, "type": "integer", "minimum": 3, "exclusiveMinimum": True}, "", "4"), ({"$schema": D4, "const": 5, "type": "null"}, "", "null"),
        ({"$schema": D4, "type": "array", "items": [{"type": "null"}], "additionalItems": False}, "[", "]"),
        ({"$schema": D4, "type": "array", "items": [{"type": "null"}], "additionalItems": False}, "[null", "]"),
        ({"$schema": D4, "type": "object", "dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, '{"a": 1, "c": 2', ',"d":0,"b":0}'),
        # Up to draft 7 what stands beside a reference is ignored.
        ({"$schema": D7, "definitions": {"n": {"type": "null"}}, "properties": {"a": {"$ref": "#/definitions/n", "type": "string"}}, "required": ["a"], "type": "object"}, "{", '"a":null}'),
        ({"$schema": D2019, "$ref": "#/$defs/n", "maximum": 7, "$defs": {"n": {"type": "integer", "minimum": 7}}}, "", "7"),
        ({"$schema": D2019, "$recursiveAnchor": True, "type": "object", "properties": {"a": {"$recursiveRef": "#"}}, "unevaluatedProperties": False}, '{"a": {', "}}"),
    ],
)  # fmt: skip
def test_each_draft_in_its_own_way(schema: Any, text: str, rest: str) -> None:
    assert rest_of(schema, text) == rest


def test_order_and_white_space_are_free_within_limits() -> None:
    machine = JsonMachine(PERSON)
    for value in ({"age": 30, "name": "Li Wei"}, {"name": "李小龙", "tags": ["a", "é"], "age": 44}):
        for indent, separators in ((None, None), (2, None), (None, (",", ":")), (4, None)):
            text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
            state = machine.step(machine.start(), text)
            assert state is not None, text
            assert machine.accepts(state)
            assert machine.step(state, "\n") is not None


def test_escapes_are_read_as_what_they_mean() -> None:
    machine = JsonMachine({"type": "string", "maxLength": 2})
    state = machine.step(machine.start(), '"\\u4e2d\\"')
    assert state is not None
    assert machine.step(state, "a") is None
    assert machine.accepts(machine.step(state, '"'))


def test_a_code_fence_where_it_is_allowed() -> None:
    machine = JsonMachine(PERSON, allow_code_fence=True)
    text = '```json\n{"age": 30, "name": "Li Wei"}\n```'
    state = machine.start()
    for character in text:
        assert not machine.accepts(state)
        following = machine.step(state, character)
        assert following is not None
        state = following
        rest = next(machine.completions(state)).before
        assert machine.accepts(machine.step(state, rest))
    assert machine.accepts(state)
    assert machine.step(machine.start(), '{"age": 30') is not None
    assert machine.step(machine.start(), "```python") is None
    without = JsonMachine(PERSON)
    assert without.step(without.start(), "`") is None


def test_states_are_values() -> None:
    machine = JsonMachine(PERSON)
    text = '{"tags": ["a\\n", "中"], "age": 33'
    whole = machine.step(machine.start(), text)
    state = machine.start()
    for character in text:
        following = machine.step(state, character)
        assert following is not None
        state = following
    assert state == whole
    assert hash(state) == hash(whole)
    # What was read from a state does not change it.
    assert machine.step(state, "}") is None
    assert machine.step(state, ', "name": "Wei"}') is not None
    assert state == whole


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (False, "no document that satisfies the schema was found"), ({"enum": [1], "type": "string"}, "no document"), ({"minimum": 3, "maximum": 2, "type": "number"}, "no document"),
        ({"type": "object", "required": ["a"], "properties": {"a": False}}, "no document"), ({"type": "string", "pattern": "^a$", "minLength": 2}, "no document"),
        ({"$defs": {"a": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/a"}}}}, "$ref": "#/$defs/a"}, "no document"),
        ({"type": "nonsense"}, "not a JSON Schema"), ({"$ref": "#/nowhere"}, "leads nowhere"), ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "leads back to itself"),
        ({"pattern": "("}, "not a valid regular expression"),
    ],
)  # fmt: skip
def test_schemas_that_cannot_be_followed_are_refused_in_words(schema: Any, words: str) -> None:
    with pytest.raises(RequirementError, match=words):
        JsonMachine(schema)
