"""Whatever way an answer takes, it can be ended, and is valid then: random ways through made-up schemas and real ones."""

from __future__ import annotations

import gzip
import json
import random
import time
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import llguidance
import pytest
from jsonschema import validators

from heedful.constraints.json import JsonMachine
from heedful.errors import RequirementError

LETTERS = '{}[]",:\\/ \n0123456789.-+eEabcdefghijklmnopqrstuvwxyzABCXYZ_#@$中文的é'
WORDS = "Some words, 一些文字 and more of them"
FORMATS = jsonschema.FormatChecker(formats=("date", "email", "ipv4", "ipv6", "uuid"))


def walk(machine: JsonMachine, is_valid: Callable[[Any], bool], draw: random.Random, num_characters: int) -> None:
    """Takes characters at random, then ends in the ways that the machine knows."""
    state, text = machine.start(), ""
    for _ in range(num_characters):
        ahead = (machine.step(state, letter) for letter in draw.sample(LETTERS, len(LETTERS)))
        following = next((each for each in ahead if each is not None), None)
        if following is None:
            # What comes next is a letter that is not among those tried, or nothing.
            rest = next(machine.completions(state)).before
            if rest == "":
                break
            following = machine.step(state, rest[0])
            assert following is not None, (text, rest)
        state, text = following, following.text
    assert machine.step(machine.start(), text) == state
    first, *others = islice(machine.completions(state), 8)
    assert first.room == 0
    # What is believed without a check is the first of the ways that are checked below.
    assert machine.ending(state) in (None, first.before), text
    ends = [first.before]
    for each in others:
        few, many = WORDS * (1 + each.least // len(WORDS)), WORDS * (2 + each.least // len(WORDS))
        ends += [each.before + few[: each.least] + each.after, each.before + many[: each.room] + each.after]
    for end in ends:
        assert is_valid(json.loads(text + end)), (text, end)
        ended = machine.step(state, end)
        assert ended is not None, (text, end)
        assert machine.accepts(ended), (text, end)


# -- real schemas ---------------------------------------------------------------------------------------------------


def sample(shared_data: Path, count: int) -> list[Any]:
    with gzip.open(shared_data / "jsonschemabench" / "schemas.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = random.Random("walks").sample(file.readlines(), count)
    return [json.loads(line)["schema"] for line in lines]


def is_taken_by_llguidance(schema: Any) -> bool:
    try:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
    except ValueError:
        return False
    return not llguidance.LLMatcher.validate_grammar(grammar, None)


def check_real_schemas(schemas: list[Any]) -> None:
    taken, by_llguidance, seconds = 0, 0, []
    draw = random.Random(0)
    for schema in schemas:
        by_llguidance += is_taken_by_llguidance(schema)
        start = time.perf_counter()
        try:
            machine = JsonMachine(schema)
        except RequirementError:
            continue
        finally:
            seconds.append(time.perf_counter() - start)
        taken += 1
        # The plain validator, not ours: what we accept is valid for everyone.
        plain = validators.validator_for(schema, default=jsonschema.Draft202012Validator)(schema)
        with warnings.catch_warnings():
            # Python's `re` warns of patterns such as `[[a]`, which the validator hands to it.
            warnings.simplefilter("ignore", FutureWarning)
            walk(machine, plain.is_valid, draw, 60)
    seconds.sort()
    median, slow = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    print(
        f"{len(schemas)} schemas: {taken} followed, {by_llguidance} by llguidance; "
        f"{median * 1e3:.1f} ms each in the middle, {slow * 1e3:.1f} ms at the 99th of 100"
    )
    assert taken >= by_llguidance
    # Some in a thousand hold no valid document, or are no schemas.
    assert taken >= 0.99 * len(schemas)


@pytest.mark.slow
def test_real_schemas(shared_data: Path) -> None:
    check_real_schemas(sample(shared_data, 300))


@pytest.mark.long
def test_many_real_schemas(shared_data: Path) -> None:
    check_real_schemas(sample(shared_data, 1500))


# -- made-up schemas ------------------------------------------------------------------------------------------------

KEYS = ["a", "b", "c"]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    2,
    -1,
    1.5,
    "",
    "a",
    "b",
    "ab",
    [],
    [1],
    [1, 2],
    {},
    {"a": 1},
    {"a": "x", "b": 2},
    {"c": None},
]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
PATTERNS = ["^a", "b$", "^[ab]{1,3}$", r"\d", "^(x|yz)+$", r"\bab\b", r"^\w+ \w+$", "^.$", "^(?=.*[0-9]).{3}$"]
BOUNDS = [-5, 0, 3, 1.5, 10]


class Maker:
    """Makes schemas of all keywords, most of them strange."""

    def __init__(self, seed: str) -> None:
        self.draw = random.Random(seed)

    def document(self) -> Any:
        schema = self.schema(3)
        return {**schema, "$defs": {"x": self.schema(2), "y": self.schema(1)}} if isinstance(schema, dict) else schema

    def schema(self, levels: int) -> Any:
        if levels == 0:
            simple: list[Any] = [{}, True, {"type": self.draw.choice(TYPES)}, {"const": self.draw.choice(VALUES)}]
            return self.draw.choice([*simple, {"type": "integer", "minimum": 1}, {"type": "string", "minLength": 2}])
        schema: dict[str, Any] = {}
        for _ in range(self.draw.randint(1, 3)):
            makers = [self.kind, self.members, self.objects, self.lists, self.numbers, self.strings, self.together]
            schema |= self.draw.choice(makers)(levels - 1)
        return schema

    def kind(self, levels: int) -> dict[str, Any]:
        kinds: list[Any] = [*TYPES, "object", "object", "array", "string", self.draw.sample(TYPES, 2)]
        chosen: list[dict[str, Any]] = [{"type": self.draw.choice(kinds)}] * 3
        return self.draw.choice([*chosen, {"enum": self.draw.sample(VALUES, 4)}, {"const": self.draw.choice(VALUES)}])

    def members(self, levels: int) -> dict[str, Any]:
        inner = self.draw.choice([self.schema(levels), {"$ref": self.draw.choice(["#", "#/$defs/x", "#/$defs/y"])}])
        properties = {key: self.schema(levels) for key in self.draw.sample(KEYS, self.draw.randint(1, 3))}
        return {"properties": properties | {self.draw.choice(KEYS): inner}}

    def objects(self, levels: int) -> dict[str, Any]:
        names: list[Any] = [{"enum": KEYS[:2]}, {"pattern": "^[a-c]$"}, {"maxLength": 2}, {"minLength": 2}]
        key = self.draw.choice(KEYS)
        return self.draw.choice([
            {"required": self.draw.sample(KEYS, 2)}, {"additionalProperties": False}, {"additionalProperties": self.schema(levels)},
            {"patternProperties": {self.draw.choice(["^a", "b$", r"^x\d"]): self.schema(levels)}}, {"minProperties": self.draw.randint(1, 3)},
            {"maxProperties": self.draw.randint(0, 3)}, {"propertyNames": self.draw.choice(names)}, {"dependentRequired": {key: self.draw.sample(KEYS, 1)}},
            {"dependentSchemas": {key: self.schema(levels)}}, {"required": self.draw.sample(KEYS, 1)},
        ])  # fmt: skip

    def lists(self, levels: int) -> dict[str, Any]:
        some = self.draw.choice(
            [{}, {"minContains": self.draw.randint(0, 2)}, {"maxContains": self.draw.randint(1, 2)}]
        )
        return self.draw.choice([
            {"items": self.schema(levels)}, {"items": {"$ref": "#/$defs/x"}}, {"prefixItems": [self.schema(levels)]}, {"minItems": self.draw.randint(1, 3)},
            {"maxItems": self.draw.randint(0, 3)}, {"uniqueItems": True}, {"contains": self.schema(levels), **some},
        ])  # fmt: skip

    def numbers(self, levels: int) -> dict[str, Any]:
        name = self.draw.choice(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
        return self.draw.choice(
            [{name: self.draw.choice(BOUNDS)}, {"multipleOf": self.draw.choice([2, 3, 0.5, 0.1, 7])}]
        )

    def strings(self, levels: int) -> dict[str, Any]:
        names = ["date", "email", "ipv4", "ipv6", "uuid", "uri"]
        return self.draw.choice([
            {"minLength": self.draw.randint(1, 4)}, {"maxLength": self.draw.randint(0, 4)}, {"pattern": self.draw.choice(PATTERNS)},
            {"format": self.draw.choice(names)},
        ])  # fmt: skip

    def together(self, levels: int) -> dict[str, Any]:
        several = [self.schema(levels) for _ in range(self.draw.randint(1, 3))]
        other = self.draw.choice(["then", "else"])
        return self.draw.choice([
            {"anyOf": several}, {"oneOf": several}, {"allOf": several}, {"not": several[0]}, {"if": several[0], other: several[-1]},
        ])  # fmt: skip


def check_made_up_schemas(count: int) -> None:
    refused = 0
    for number in range(count):
        schema = Maker(f"made up {number}").document()
        plain = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
        try:
            machine = JsonMachine(schema)
        except RequirementError:
            # Either nothing is valid, or hardly anything: no simple value is.
            refused += any(plain.is_valid(value) for value in VALUES)
            continue
        try:
            walk(machine, plain.is_valid, random.Random(number), 30)
        except AssertionError as error:
            raise AssertionError(f"schema {number}: {json.dumps(schema)}: {error}") from error
    assert refused <= 0.01 * count


def test_made_up_schemas() -> None:
    check_made_up_schemas(150)


@pytest.mark.long
def test_many_made_up_schemas() -> None:
    check_made_up_schemas(4000)
