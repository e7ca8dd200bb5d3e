"""Attacks: patterns, schemas and answers made to hang, to crash, to fetch. Each ends soon, with a verdict or a clear error.

The limits of `soon` are loose, so that a busy machine does not fail them; without the defence each attack takes
minutes, or forever. The limits on patterns and steps are a tenth of the real ones, to save time.
"""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import Verdict, parse, patterns, schemas


@contextmanager
def soon(seconds: float = 10.0) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 0.1)
    monkeypatch.setattr(schemas, "MAX_STEPS", 3000)


def check_json(schema: Any, text: str) -> Verdict:
    return parse(RequirementSpec("json_schema", {"schema": schema})).check(text)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to reach another machine is noted and fails."""
    attempts: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        attempts.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return attempts


# -- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("(?R)|a", "b" * 30), ("(a{1,1000}){1,1000}b", "a" * 2000)],
)
def test_backtracking_without_end_counts_as_not_matched(pattern: str, text: str) -> None:
    with soon():
        verdict = parse(RequirementSpec("regex", {"pattern": pattern, "match": "full"})).check(text)
    assert not verdict.satisfied
    assert "took longer than 0.1 s on this answer; counted as not matched" in verdict.reason


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("(a+)+$", "a" * 5000 + "b"), ("(x+x+)+y", "x" * 5000), (r"^(\w+\s?)*$", "ab " * 3000 + "!")],
)
@pytest.mark.parametrize("match", ["full", "search"])
def test_the_classical_catastrophes_end(pattern: str, text: str, match: str) -> None:
    with soon():
        assert (
            not parse(RequirementSpec("regex", {"pattern": rf"(?:{pattern})\Z", "match": match})).check(text).satisfied
        )


@pytest.mark.parametrize(
    "pattern",
    ["((a{1000}){1000}){1000}", "(?:(?:a{999}){999}){999,}", "[(){9}]{99999}(b{9}){9999}", "a{99999999999}",
     "a" * 20_000, "(" * 9000 + ")" * 9000, "(?P<x>a)(?P<x", "[", "a**", r"\p{Nonsense}"],
)  # fmt: skip
def test_patterns_too_large_or_broken_are_refused(pattern: str) -> None:
    with soon(), pytest.raises(RequirementError, match="requirement 'regex': pattern = "):
        parse(RequirementSpec("regex", {"pattern": pattern, "match": "full"}))


@pytest.mark.parametrize(
    "pattern",
    [r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", r"(\d{3}){3}", r"[{}]{2}\{{3}", r"[]a]{500}", "[[a]"],
)  # fmt: skip
def test_ordinary_patterns_are_taken(pattern: str) -> None:
    parse(RequirementSpec("regex", {"pattern": pattern, "match": "full"}))


def test_patterns_inside_schemas_have_the_same_limits() -> None:
    slow = "(a{1,1000}){1,1000}b"
    for schema, text in (
        ({"pattern": slow}, json.dumps("a" * 2000)),
        ({"patternProperties": {slow: {}}}, json.dumps({"a" * 2000: 1})),
        ({"patternProperties": {slow: {}}, "additionalProperties": False}, json.dumps({"a" * 2000: 1})),
        ({"propertyNames": {"pattern": slow}}, json.dumps({"a" * 2000: 1})),
    ):
        with soon():
            verdict = check_json(schema, text)
        assert not verdict.satisfied
        assert verdict.reason.endswith("schema: its patterns take longer than 0.1 s on this answer")
    with pytest.raises(RequirementError, match="not a valid regular expression"):
        check_json({"properties": {"a": {"pattern": "("}}}, "1")
    with pytest.raises(RequirementError, match="too large"):
        check_json({"patternProperties": {"((a{1000}){1000}){1000}": {}}}, "1")
    # The library searches these patterns itself, without a limit.
    with pytest.raises(RequirementError, match="unevaluatedProperties with patternProperties is not supported"):
        check_json({"unevaluatedProperties": False, "allOf": [{"patternProperties": {"(a+)+$": {}}}]}, "1")


# -- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "nested more than 64 levels deep"),
        ("[" * 500 + "]" * 500, "nested more than 64 levels deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested more than 64 levels deep"),
        ("NaN", "NaN is not a JSON value"),
        ("[-Infinity]", "-Infinity is not a JSON value"),
        ("1e999", "a number too large to be read"),
        ("1" * 6000, "a number of 6000 digits, at most 1000 are read"),
        ('{"a": {"b": 1, "b": 1}}', 'the key "b" occurs more than once'),
        ('{"a": 1} {"a": 1}', "Extra data"),
        ("{'a': 1}", "Expecting property name enclosed in double quotes"),
        ('"\x00"', "Invalid control character"),
        ("\ufeff1", "Unexpected UTF-8 BOM"),
        ('"' + "a" * 1_000_000 + '"', "characters long, at most 1000000 are read"),
        ("", "Expecting value"),
    ],
)
def test_what_is_not_plain_json_is_refused_with_the_reason(text: str, problem: str) -> None:
    with soon():
        verdict = check_json(True, text)
    assert not verdict.satisfied
    assert verdict.fraction == 0.0
    assert problem in verdict.reason


def test_the_deepest_json_that_is_read() -> None:
    schema = {"items": {"$ref": "#"}, "type": "array"}
    assert check_json(schema, "[" * 64 + "]" * 64).satisfied
    assert not check_json(schema, "[" * 63 + "1" + "]" * 63).satisfied


def test_numbers_that_overflow_arithmetic() -> None:
    assert not check_json({"multipleOf": 0.1}, "1" * 999).satisfied
    assert not check_json({"multipleOf": 1e-300}, "1e300").satisfied
    assert check_json({"maximum": 0}, "-1" + "0" * 500).satisfied


def test_many_distinct_items_are_compared_quickly() -> None:
    # The library compares each with each where they cannot be sorted: 15,000 objects would take a minute.
    items = [{"a": number} for number in range(15_000)]
    with soon():
        assert check_json({"uniqueItems": True}, json.dumps(items)).satisfied
        assert not check_json({"uniqueItems": True}, json.dumps([*items, {"a": 0.0}])).satisfied


@pytest.mark.parametrize(
    "text",
    [" " * 50_000 + "x", "- a" + " " * 50_000 + "b", "a" * 50_000, "\n" * 50_000, "```json\n" * 5_000, "\u0301" * 20_000,
     "好。" * 5_000, "\ud800", "\x00" * 1000, "\u202e" * 5000],
)  # fmt: skip
@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("words", {"maximum": 3}),
        ("sentences", {"maximum": 3}),
        ("bullets", {"minimum": 3}),
        ("keywords", {"all": ["a a", "aaaa"]}),
        ("forbidden", {"words": ["aaaaaaaaaaaa"]}),
        ("starts_with", {"text": "aaaaaaaaab"}),
        ("ends_with", {"text": "baaaaaaaaaa"}),
        ("choice", {"options": ["a", "b"]}),
        ("json_schema", {"schema": True, "allow_code_fence": True}),
        ("language", {"language": "en"}),
    ],
)
def test_monotonous_answers_are_checked_soon(kind: str, parameters: dict[str, Any], text: str) -> None:
    with soon():
        verdict = parse(RequirementSpec(kind, parameters)).check(text)
    assert len(verdict.reason) < 300


# -- schemas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["https://example.com/schema.json", "file:///etc/passwd", "other.json", "//example.com/a",
                                       "https://json-schema.org/draft/2020-12/schema", "#/nowhere", "#nowhere", "#/%zz"])  # fmt: skip
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("place", ["at the top", "in a property", "behind another"])
def test_references_out_of_the_schema_are_never_followed(
    reference: str, keyword: str, place: str, no_network: list[Any]
) -> None:
    schema = {
        "at the top": {keyword: reference},
        "in a property": {"properties": {"a": {keyword: reference}}},
        "behind another": {"properties": {"a": {"$ref": "#/hidden/b"}}, "hidden": {"b": {keyword: reference}}},
    }[place]
    with pytest.raises(RequirementError, match="leads nowhere within the schema, and nothing is fetched"):
        check_json(schema, '{"a": 1}')
    assert no_network == []


def test_references_within_the_schema_are_followed(no_network: list[Any]) -> None:
    by_pointer = {"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
    by_id = {
        "$id": "https://example.com/root.json",
        "properties": {"a": {"$ref": "number.json"}},
        "$defs": {"n": {"$id": "number.json", "type": "integer"}},
    }
    by_anchor = {"properties": {"a": {"$ref": "#n"}}, "$defs": {"n": {"$anchor": "n", "type": "integer"}}}
    for schema in (by_pointer, by_id, by_anchor):
        assert check_json(schema, '{"a": 1}').satisfied
        assert not check_json(schema, '{"a": "1"}').satisfied
    assert no_network == []


def test_what_only_looks_like_a_reference(no_network: list[Any]) -> None:
    assert check_json({"const": {"$ref": "http://example.com"}}, '{"$ref": "http://example.com"}').satisfied
    assert check_json({"properties": {"$ref": {"type": "string"}}}, '{"$ref": "http://example.com"}').satisfied
    assert no_network == []


def test_work_that_multiplies_is_cut_off() -> None:
    definitions: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 3} for n in range(40)}
    definitions["d40"] = {}
    with soon():
        verdict = check_json({"$defs": definitions, "properties": {"a": {"$ref": "#/$defs/d0"}}}, '{"a": 1}')
    unchecked = Verdict(False, "the JSON cannot be checked against the schema: it takes more than 3000 steps", 0.5)
    assert verdict == unchecked
    with soon():
        assert (
            check_json({"items": {"enum": [f"x{n}" for n in range(5000)]}}, json.dumps(["x4999"] * 50_000)) == unchecked
        )
    with pytest.raises(RequirementError, match="not even the answer null can be checked"):
        check_json({"$defs": definitions, "$ref": "#/$defs/d0"}, "1")


def test_schemas_that_refer_to_themselves() -> None:
    with pytest.raises(RequirementError, match="the schema refers to itself"):
        check_json({"$ref": "#"}, "1")
    loop = {
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
        "properties": {"p": {"$ref": "#/$defs/a"}},
    }
    verdict = check_json(loop, '{"p": 1}')
    assert not verdict.satisfied
    assert verdict.reason.endswith("nested too deeply, or the schema refers to itself")


@pytest.mark.parametrize(
    "schema",
    [{"properties": {"a": {"$ref": "#/x"}}, "x": 3}, {"properties": {"a": {"$ref": "#/x"}}, "x": {"type": 5, "patternProperties": 3}},
     {"properties": {"a": {"$ref": "#/enum"}}, "enum": [1]}, {"$ref": "#/items/x", "items": []}, {"items": 3}, {"$schema": 3},
     {"$schema": ["x"]}, {"required": "a"}],
)  # fmt: skip
def test_references_to_what_is_no_schema(schema: Any) -> None:
    with pytest.raises(RequirementError, match=r"not a JSON Schema|unknown \$schema"):
        check_json(schema, '{"a": 1}')


def test_a_schema_nested_beyond_reason() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"items": schema}
    with soon(), pytest.raises(RequirementError, match="nested more than 128 levels deep"):
        check_json(schema, "[]")


def test_older_drafts_keep_their_meaning() -> None:
    # Beside $ref, draft 7 ignores everything; draft 2020-12 does not.
    schema = {"definitions": {"n": {}}, "properties": {"a": {"$ref": "#/definitions/n", "maximum": 3}}}
    assert check_json({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, '{"a": 5}').satisfied
    assert not check_json(schema, '{"a": 5}').satisfied


def test_real_schemas_are_taken(shared_data: Path) -> None:
    refused, number = [], 0
    with gzip.open(shared_data / "jsonschemabench" / "schemas.jsonl.gz", "rt", encoding="utf-8") as file:
        for index, line in enumerate(file):
            if index % 150 or len(line) > 20_000:
                continue
            row, number = json.loads(line), number + 1
            try:
                requirement = parse(RequirementSpec("json_schema", {"schema": row["schema"]}))
            except RequirementError as error:
                refused.append(f"{row['name']}: {str(error)[-200:]}")
                continue
            assert requirement.check("{}").reason
            assert requirement.spec.parameters["schema"] == row["schema"]
    assert number > 50
    assert refused == []
