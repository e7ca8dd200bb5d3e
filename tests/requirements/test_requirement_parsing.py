"""Specs, flags and texts become requirements, or an error that says what to write instead."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import from_flags, parse, parse_flag, parse_text
from heedful.requirements.keywords import fold

COUNTED = ("words", "characters", "sentences", "bullets")
SCHEMA = {"type": "object", "properties": {"名": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "string"}}}

phrases = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)


def distinct(least: int) -> st.SearchStrategy[list[str]]:
    return st.lists(phrases, min_size=least, max_size=4, unique_by=fold)


@st.composite
def counted_specs(draw: st.DrawFn) -> RequirementSpec:
    low, high = sorted((draw(st.integers(1, 60)), draw(st.integers(1, 60))))
    parameters = draw(st.sampled_from([{"minimum": low}, {"maximum": high}, {"exactly": low}, {"minimum": low, "maximum": high}]))  # fmt: skip
    return RequirementSpec(draw(st.sampled_from(COUNTED)), parameters)


some_spec = st.one_of(
    counted_specs(),
    st.builds(lambda words: RequirementSpec("keywords", {"all": words}), distinct(1)),
    st.builds(lambda words: RequirementSpec("keywords", {"any": words, "times": 2}), distinct(1)),
    st.builds(lambda words: RequirementSpec("forbidden", {"words": words, "match": "substring"}), distinct(1)),
    st.builds(lambda text: RequirementSpec("starts_with", {"text": text}), phrases),
    st.just(RequirementSpec("json_schema", {"schema": SCHEMA, "allow_code_fence": True})),
    st.just(RequirementSpec("json_schema", {"schema": True})),
    st.just(RequirementSpec("regex", {"pattern": r"\d+", "match": "search"})),
    st.just(RequirementSpec("language", {"language": "zh"})),
    st.just(RequirementSpec("choice", {"options": ["yes", "no"]})),
)


@settings(max_examples=50, deadline=None)
@given(some_spec)
def test_a_spec_survives_parsing_and_json(spec: RequirementSpec) -> None:
    assert parse(spec).spec == spec
    again = RequirementSpec.from_dict(json.loads(json.dumps(spec.as_dict())))
    assert again == spec
    assert parse(again) == parse(spec)


@settings(max_examples=50, deadline=None)
@given(counted_specs())
def test_a_text_built_to_satisfy_a_count_does(spec: RequirementSpec) -> None:
    number = spec.parameters.get("exactly") or spec.parameters.get("minimum") or spec.parameters["maximum"]
    english, chinese = {
        "words": ("word ", "字"),
        "characters": ("a ", "字"),
        "sentences": ("One went. ", "他走了。"),
        "bullets": ("- one\n", "1、一\n"),
    }[spec.kind]
    for text in (english * number, chinese * number):
        assert parse(spec).check(text).satisfied, parse(spec).check(text).reason


@settings(max_examples=50, deadline=None)
@given(distinct(1), st.integers(1, 3))
def test_a_text_built_of_keywords_mentions_them(words: list[str], times: int) -> None:
    text = " ".join(words * times)
    assert parse(RequirementSpec("keywords", {"all": words, "times": times})).check(text).satisfied
    assert not parse(RequirementSpec("forbidden", {"words": words[:1]})).check(text).satisfied


@settings(max_examples=50, deadline=None)
@given(st.text(), some_spec)
def test_any_text_gets_a_verdict(text: str, spec: RequirementSpec) -> None:
    verdict = parse(spec).check(text)
    assert 0.0 <= verdict.fraction <= 1.0
    assert (verdict.fraction == 1.0) is verdict.satisfied
    assert verdict.reason


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("wrods", {"maximum": 3}, "unknown requirement 'wrods'; did you mean 'words'?"),
        ("words", {"maximun": 3}, "requirement 'words': unknown parameter 'maximun'; did you mean 'maximum'?"),
        ("json_schema", {"schma": {}}, "unknown parameter 'schma'; did you mean 'schema'?"),
        ("words", {}, "requirement 'words': it asks for nothing; give minimum (1 or more), maximum or exactly"),
        ("words", {"minimum": 0}, "it asks for nothing"),
        ("words", {"minimum": 5, "maximum": 3}, "minimum 5 is larger than maximum 3"),
        ("words", {"minimum": 5, "exactly": 5}, "exactly stands alone"),
        ("words", {"maximum": "30"}, "maximum = '30': give a whole number"),
        ("words", {"maximum": True}, "maximum = True: give a whole number"),
        ("words", {"maximum": -1}, "maximum = -1: Input should be greater than or equal to 0"),
        ("words", {"maximum": float("nan")}, "maximum = nan"),
        ("words", {"maximum": 10**5000}, "maximum = a very large number"),
        ("keywords", {}, "give one of all or any"),
        ("keywords", {"all": ["a"], "any": ["b"]}, "give one of all or any"),
        ("keywords", {"all": "solar"}, "all = 'solar': give a list, for example [\"solar\"]"),
        ("keywords", {"all": []}, "all = []"),
        ("keywords", {"all": ["a", "A"]}, "'a' and 'A' are the same to the check"),
        ("keywords", {"all": [" "]}, "it is empty"),
        ("keywords", {"all": [3]}, "all.0 = 3: give a text"),
        ("forbidden", {"words": ["a\nb"]}, "it holds a line break"),
        ("forbidden", {"words": ["a "]}, "begins or ends with white space"),
        ("forbidden", {}, "words is missing; give it"),
        ("starts_with", {"text": "a\x1b[2J"}, "it holds a line break, tab or invisible character"),
        ("forbidden", {"words": ["a\u202eb"]}, "it holds a line break, tab or invisible character"),
        ("forbidden", {"words": ["a\ud800"]}, "it holds a line break, tab or invisible character"),
        ("choice", {"options": ["yes"]}, "options = ['yes']"),
        ("choice", {"options": ["yes", "Yes."]}, "'yes' and 'Yes.' are the same to the check"),
        ("regex", {"pattern": "(", "match": "full"}, "not a valid regular expression: missing )"),
        ("regex", {"pattern": "a"}, "match is missing; give it"),
        ("regex", {"pattern": "a", "match": "start"}, "match = 'start': Input should be 'full' or 'search'"),
        ("language", {"language": "English"}, "did you mean 'en'?"),
        ("json_schema", {"schema": {"type": "strin"}}, "not a JSON Schema: at $.type"),
        ("json_schema", {"schema": "true"}, "schema = 'true': a JSON Schema is an object"),
        ("json_schema", {"schema": {"$schema": "draft-99"}}, "unknown $schema 'draft-99'"),
    ],
)  # fmt: skip
def test_a_spec_that_is_wrong_says_what_would_be_right(kind: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(RequirementError) as caught:
        parse(RequirementSpec(kind, parameters), "seeds.jsonl, line 3")
    assert str(caught.value).startswith("seeds.jsonl, line 3: ")
    assert message in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(RequirementError) as caught:
        parse(RequirementSpec("regex", {"pattern": "(", "mtach": "full"}), "row 1")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["row 1"] * 3


@pytest.mark.parametrize(
    ("name", "value", "kind", "parameters"),
    [
        ("words", "40", "words", {"exactly": 40}),
        ("words", "30:50", "words", {"minimum": 30, "maximum": 50}),
        ("sentences", "3:", "sentences", {"minimum": 3}),
        ("bullets", ":0", "bullets", {"maximum": 0}),
        ("must", "solar", "keywords", {"all": ["solar"]}),
        ("keywords", "solar", "keywords", {"all": ["solar"]}),
        ("forbid", "very", "forbidden", {"words": ["very"]}),
        ("starts-with", "Dear", "starts_with", {"text": "Dear"}),
        ("starts_with", "Dear", "starts_with", {"text": "Dear"}),
        ("choice", "yes| no", "choice", {"options": ["yes", "no"]}),
        ("json", '{"type": "array"}', "json_schema", {"schema": {"type": "array"}}),
        ("regex", "a=b+", "regex", {"pattern": "a=b+", "match": "full"}),
        ("language", "zh", "language", {"language": "zh"}),
    ],
)
def test_flags_and_texts(name: str, value: str, kind: str, parameters: dict[str, Any]) -> None:
    assert parse_flag(name, value) == RequirementSpec(kind, parameters)
    assert parse_text(f"{name}={value}") == RequirementSpec(kind, parameters)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("words", "many", "words 'many': expected a number or a range: 40, 30:50, 30: or :50"),
        ("words", "", "expected a number or a range"),
        ("words", ":", "expected a number or a range"),
        ("words", "-3", "expected a number or a range"),
        ("words", "1:2:3", "expected a number or a range"),
        ("words", "٣", "expected a number or a range"),
        ("words", "9" * 5000, "expected a number or a range"),
        ("words", "50:30", "minimum 50 is larger than maximum 30"),
        ("wrds", "3", "unknown requirement 'wrds'; did you mean 'words'?"),
        ("json", "{", "the JSON Schema is not JSON: Expecting property name"),
        ("json", "[" * 100_000, "the JSON Schema is not JSON: it is nested more than"),
    ],
)
def test_flags_that_are_wrong(name: str, value: str, message: str) -> None:
    with pytest.raises(RequirementError) as caught:
        parse_flag(name, value)
    assert message in str(caught.value)


def test_a_text_without_an_equals_sign() -> None:
    with pytest.raises(RequirementError, match="for example words=30:50; got 'short'"):
        parse_text("short")


def test_all_flags_of_a_command() -> None:
    assert from_flags() == ()
    specs = from_flags(words="30:50", must=["solar", "wind"], forbid=["very"], language="en")
    assert specs == (
        RequirementSpec("words", {"minimum": 30, "maximum": 50}),
        RequirementSpec("language", {"language": "en"}),
        RequirementSpec("keywords", {"all": ["solar", "wind"]}),
        RequirementSpec("forbidden", {"words": ["very"]}),
    )
    assert from_flags(json_schema_text='{"type": "array"}') == (
        RequirementSpec("json_schema", {"schema": {"type": "array"}}),
    )


def test_flags_that_contradict_each_other() -> None:
    with pytest.raises(RequirementError, match=r'together: keywords "solar" and forbidden "solar"; drop one'):
        from_flags(must=["solar"], forbid=["solar"])
