"""The kinds about letters, marks, paragraphs, grammars and scripts: specs, flags, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import REQUIREMENTS, from_flags, parse, parse_flag, parse_text
from heedful.requirements.flags import FLAGS
from heedful.requirements.matching import fold

words = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)
numbers = st.integers(1, 9)
bounds = st.one_of(
    st.builds(lambda number: {"minimum": number}, numbers),
    st.builds(lambda number: {"maximum": number}, numbers),
    st.builds(lambda number: {"exactly": number}, numbers),
)
letters = st.sampled_from("eEß#好é")
keywords = st.lists(words, min_size=2, max_size=4, unique_by=fold)


def specs_of(kind: str, **parameters: st.SearchStrategy[Any]) -> st.SearchStrategy[RequirementSpec]:
    return st.builds(lambda **drawn: RequirementSpec(kind, drawn), **parameters)


some_spec = st.one_of(
    st.builds(lambda kind, b: RequirementSpec(kind, b), st.sampled_from(["tokens", "capitals", "paragraphs"]), bounds),
    st.builds(lambda b: RequirementSpec("words", {**b, "definition": "runs"}), bounds),
    st.builds(lambda b: RequirementSpec("bullets", {**b, "definition": "markdown"}), bounds),
    st.builds(lambda b: RequirementSpec("paragraphs", {**b, "separator": "stars"}), bounds),
    st.builds(lambda b, letter: RequirementSpec("letters", {**b, "letter": letter}), bounds, letters),
    specs_of("paragraph_start", paragraphs=st.just(9), paragraph=numbers, word=words),
    specs_of("keywords", all=keywords, in_order=st.just(True), match=st.sampled_from(["word", "substring", "exact"])),
    specs_of("keywords", all=keywords, inflections=st.just(True)),
    specs_of("keywords", all=keywords, times=st.integers(0, 2), maximum=st.integers(2, 4)),
    specs_of("forbidden", words=keywords, match=st.just("exact")),
    specs_of("starts_with", text=words, loose=st.just(True)),
    specs_of("ends_with", text=words, loose=st.just(True)),
    specs_of("repeats", text=st.builds("\n".join, st.lists(words, min_size=1))),
    specs_of("responses", number=st.integers(2, 4)),
    specs_of("case", case=st.sampled_from(["upper", "lower"])),
    specs_of("placeholders", minimum=numbers),
    specs_of("highlights", minimum=numbers),
    specs_of("sections", splitter=words, minimum=numbers),
    specs_of("postscript", marker=st.sampled_from(["P.S.", "P.P.S", "附：", "."])),
    specs_of("script", script=st.sampled_from(["Latin", "Han", "Katakana"])),
    st.sampled_from([RequirementSpec(kind) for kind in ("no_commas", "title", "quoted", "responses")]),
    specs_of("grammar", grammar=st.sampled_from(['start: "a"+', "start: /.*/", 'start: a\na: a a | "x" |'])),
)
some_text = st.one_of(st.text(), st.text('aA1 \n*[]<>"“”.,P.S#-é，', max_size=60))


@settings(max_examples=100, deadline=None)
@given(some_spec)
def test_a_spec_survives_parsing_and_json(spec: RequirementSpec) -> None:
    assert parse(spec).spec == spec
    again = RequirementSpec.from_dict(json.loads(json.dumps(spec.as_dict())))
    assert again == spec
    assert parse(again) == parse(spec)
    assert [parse(again).say("zh", number) for number in range(3)] == [parse(spec).say("zh", n) for n in range(3)]


@settings(max_examples=200, deadline=None)
@given(some_text, some_spec)
def test_any_text_gets_a_verdict(text: str, spec: RequirementSpec) -> None:
    verdict = parse(spec).check(text)
    assert 0.0 <= verdict.fraction <= 1.0
    assert (verdict.fraction == 1.0) is verdict.satisfied
    assert verdict.reason


@settings(max_examples=50, deadline=None)
@given(numbers, keywords)
def test_a_text_built_to_satisfy_does(number: int, phrases: list[str]) -> None:
    word = phrases[0]
    for kind, parameters, text in (
        ("paragraphs", {"exactly": number}, f"{word}\n\n" * number),
        ("paragraphs", {"exactly": number, "separator": "stars"}, f"{word}\n***\n" * number),
        ("paragraph_start", {"paragraphs": 9, "paragraph": number, "word": word}, f"“{word} more\n\n" * 9),
        ("letters", {"letter": "q", "exactly": number}, "qQ" * (number // 2) + "q" * (number % 2)),
        ("capitals", {"exactly": number}, "OK, " * number),
        ("placeholders", {"minimum": number}, f"[{word}]" * number),
        ("highlights", {"minimum": number}, f"*{word}* " * number),
        ("sections", {"splitter": word, "minimum": number}, f"{word} 1\n" * number),
        ("keywords", {"all": phrases, "in_order": True}, " and ".join(phrases)),
        ("keywords", {"all": phrases, "times": 1, "maximum": number}, " ".join(phrases)),
        ("repeats", {"text": " ".join(phrases)}, f" {' '.join(phrases)}. More."),
        ("responses", {"number": number + 1}, "******".join(f"{word}{n}" for n in range(number + 1))),
    ):
        verdict = parse(RequirementSpec(kind, parameters)).check(text)
        assert verdict.satisfied, (kind, text, verdict.reason)


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("words", {"maximum": 3, "definition": "nltk"}, "definition = 'nltk': Input should be 'words' or 'runs'"),
        ("keywords", {"all": ["a"], "times": 0}, "times 0 asks for nothing"),
        ("keywords", {"any": ["a", "b"], "maximum": 1}, "maximum goes with all"),
        ("keywords", {"all": ["a"], "times": 3, "maximum": 2}, "times 3 is larger than maximum 2"),
        ("keywords", {"all": ["a"], "in_order": True}, "in_order needs two keywords or more"),
        ("keywords", {"all": ["a", "b"], "in_order": True, "times": 2}, "in_order needs two keywords or more"),
        ("keywords", {"all": ["a"], "inflections": True, "match": "exact"}, "inflections are of whole words"),
        ("keywords", {"all": ["a"], "inflections": 1}, "inflections = 1: give true or false"),
        ("ends_with", {"text": '"', "loose": True}, "it has quotation marks only"),
        ("letters", {"minimum": 3}, "letter is missing; give it"),
        ("letters", {"letter": "ab", "minimum": 3}, "it is one letter, for example \"e\"; got 'ab'"),
        ("letters", {"letter": "e"}, "it asks for nothing"),
        ("capitals", {"minimum": 0}, "it asks for nothing"),
        ("case", {"case": "title"}, "case = 'title': Input should be 'upper' or 'lower'"),
        ("paragraph_start", {"paragraphs": 2, "paragraph": 3, "word": "a"}, "paragraph 3 is not among 2 paragraphs"),
        ("paragraph_start", {"paragraphs": 2, "paragraph": 1, "word": '"'}, "it is a quotation mark only"),
        ("placeholders", {"minimum": 0}, "minimum = 0: Input should be greater than or equal to 1"),
        ("responses", {"number": 1}, "number = 1: Input should be greater than or equal to 2"),
        ("repeats", {"text": " a"}, "it begins or ends with white space"),
        ("title", {"text": "x"}, "unknown parameter 'text'"),
        ("script", {"script": "latin"}, "did you mean 'Latin'?"),
        ("grammar", {"grammar": "start: nothing"}, "not a grammar that can be used"),
        ("grammar", {"grammar": "Sentence -> word"}, "not a grammar that can be used"),
        ("grammar", {"grammar": " "}, "it is empty"),
    ],
)
def test_a_spec_that_is_wrong_says_what_would_be_right(kind: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(RequirementError) as caught:
        parse(RequirementSpec(kind, parameters), "seeds.jsonl, line 3")
    assert str(caught.value).startswith("seeds.jsonl, line 3: ")
    assert message in str(caught.value)


# -- flags ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "kind", "parameters"),
    [
        ("tokens", ":200", "tokens", {"maximum": 200}),
        ("paragraphs", "3", "paragraphs", {"exactly": 3}),
        ("capitals", "2:", "capitals", {"minimum": 2}),
        ("letters", "e 3:5", "letters", {"letter": "e", "minimum": 3, "maximum": 5}),
        ("letters", ": :2", "letters", {"letter": ":", "maximum": 2}),
        ("case", "upper", "case", {"case": "upper"}),
        ("no-commas", "", "no_commas", {}),
        ("no_commas", "true", "no_commas", {}),
        ("title", "", "title", {}),
        ("quoted", "yes", "quoted", {}),
        ("responses", "", "responses", {}),
        ("responses", "3", "responses", {"number": 3}),
        ("placeholders", "3", "placeholders", {"minimum": 3}),
        ("highlights", "3:", "highlights", {"minimum": 3}),
        ("sections", "Part A 3", "sections", {"splitter": "Part A", "minimum": 3}),
        ("postscript", "P.P.S", "postscript", {"marker": "P.P.S"}),
        ("postscript", "", "postscript", {"marker": "P.S."}),
        ("repeats", "Why?", "repeats", {"text": "Why?"}),
        ("paragraph-start", "2/4 Weekend", "paragraph_start", {"paragraphs": 4, "paragraph": 2, "word": "Weekend"}),
        ("grammar", 'start: "a=b"', "grammar", {"grammar": 'start: "a=b"'}),
        ("script", "Han", "script", {"script": "Han"}),
    ],
)
def test_flags_and_texts(name: str, value: str, kind: str, parameters: dict[str, Any]) -> None:
    assert parse_flag(name, value) == RequirementSpec(kind, parameters)
    assert parse_text(f"{name}={value}") == RequirementSpec(kind, parameters)


def test_each_kind_has_a_flag() -> None:
    assert set(FLAGS.values()) == set(REQUIREMENTS)


def test_what_takes_no_value_needs_no_equals_sign() -> None:
    assert parse_text("no-commas") == parse_text(" no_commas ") == RequirementSpec("no_commas")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("letters", "e", 'letters \'e\': expected a letter, a space and a number or a range: "e 3:" or "e :5"'),
        ("letters", "e many", "expected a number or a range"),
        ("placeholders", ":3", "expected the least number: 3"),
        ("sections", "3", 'expected the word before each number, and the least number: "SECTION 3"'),
        ("sections", "SECTION three", "expected the least number: 3"),
        ("paragraph-start", "2 Weekend", '"2/4 Weekend"'),
        ("paragraph-start", "4/2 Weekend", "paragraph 4 is not among 2 paragraphs"),
        ("title", "Dogs", "title 'Dogs': it takes no value"),
        ("responses", "many", "it takes no value"),
        ("scrpt", "Han", "did you mean 'script'?"),
    ],
)
def test_flags_that_are_wrong(name: str, value: str, message: str) -> None:
    with pytest.raises(RequirementError) as caught:
        parse_flag(name, value)
    assert message in str(caught.value)


def test_flags_of_a_command() -> None:
    assert from_flags(paragraphs="2", no_commas="", must=["sun"], title=None) == (
        RequirementSpec("paragraphs", {"exactly": 2}),
        RequirementSpec("no_commas"),
        RequirementSpec("keywords", {"all": ["sun"]}),
    )
    with pytest.raises(RequirementError, match="unknown requirement 'titel'; did you mean 'title'"):
        from_flags(titel="")
