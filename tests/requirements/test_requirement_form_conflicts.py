"""Contradictions with the kinds about letters, marks, paragraphs and scripts; each names both sides.

Pairs that only look like one have an answer that keeps both.
"""

from __future__ import annotations

from typing import Any

import pytest

from heedful.records import RequirementSpec
from heedful.requirements import conflicts, satisfied

Pair = list[tuple[str, dict[str, Any]]]

LOWER = ("case", {"case": "lower"})
UPPER = ("case", {"case": "upper"})
TWO_KEYS = {"type": "object", "required": ["a", "b"]}
TWELVE = [f"word{number}" for number in range(12)]
REQUEST = "Name two things, please."


def specs_of(pairs: Pair) -> list[RequirementSpec]:
    return [RequirementSpec(kind, parameters) for kind, parameters in pairs]


@pytest.mark.parametrize(
    ("pairs", "conflict"),
    [
        # -- case
        ([LOWER, ("keywords", {"all": ["NASA"]})], 'all letters in lower case and keywords "NASA"'),
        ([LOWER, ("keywords", {"any": ["NASA"]})], 'all letters in lower case and keywords "NASA"'),
        ([LOWER, ("starts_with", {"text": "Dear"})], 'all letters in lower case and starts_with "Dear"'),
        ([UPPER, ("ends_with", {"text": "Bye"})], 'all letters in upper case and ends_with "Bye"'),
        ([UPPER, ("keywords", {"all": ["NASA", "iPhone"], "match": "exact"})], 'all letters in upper case and keywords "iPhone"'),
        ([LOWER, ("sections", {"splitter": "PART", "minimum": 2})], 'all letters in lower case and sections "PART"'),
        ([LOWER, UPPER], "all letters in upper case and all in lower case"),
        ([LOWER, ("capitals", {"minimum": 1})], "all letters in lower case and at least 1 word in capital letters"),
        ([UPPER, ("json_schema", {"schema": TWO_KEYS})], 'all letters in upper case and JSON with the key "a"'),
        # -- room
        ([("words", {"maximum": 10}), ("keywords", {"all": TWELVE})],
         'keywords "word0", "word1", "word2", "word3", "word4", "word5", "word6", "word7", "word8", "word9", "word10" and "word11" (12 words, not joined by hyphens) do not fit into at most 10 words'),
        ([("words", {"exactly": 2}), ("keywords", {"all": ["sun", "wind"]}), ("ends_with", {"text": "Bye"})], 'ends_with and keywords "Bye", "sun" and "wind" (3 words, not joined by hyphens) do not fit into at most 2 words'),
        # "a-b c" counts as two words and has all three; nobody who asks for three words in two wants that.
        ([("words", {"maximum": 2}), ("keywords", {"all": ["a", "b", "c"]})], 'keywords "a", "b" and "c" (3 words, not joined by hyphens) do not fit into at most 2 words'),
        ([("words", {"maximum": 1}), ("keywords", {"all": ["solar"], "times": 2})], '"solar" twice (not joined by hyphens) does not fit into at most 1 word'),
        ([("words", {"maximum": 2, "definition": "runs"}), ("keywords", {"all": ["a", "b", "c"]})], 'keywords "a", "b" and "c" (3 words, not joined by hyphens) do not fit into at most 2 words (each run of letters or digits is one)'),
        ([("words", {"maximum": 2}), ("keywords", {"all": ["New York", "York", "Rome"]})], 'keywords "New York", "York" and "Rome" (3 words, not joined by hyphens) do not fit into at most 2 words'),
        ([("words", {"maximum": 3}), ("keywords", {"all": ["太阳", "月亮"]})], 'keywords "太阳" and "月亮" (4 words) do not fit into at most 3 words'),
        ([("words", {"maximum": 3}), ("repeats", {"text": REQUEST})], '"Name two things, please." does not fit into at most 3 words'),
        ([("words", {"maximum": 3, "definition": "runs"}), ("repeats", {"text": REQUEST})], '"Name two things, please." does not fit into at most 3 words (each run of letters or digits is one)'),
        ([("characters", {"maximum": 10}), ("repeats", {"text": REQUEST})], '"Name two things, please." does not fit into at most 10 characters (not counting spaces)'),
        ([("characters", {"maximum": 11}), ("sections", {"splitter": "PART", "minimum": 3})], '"PART" 3 times does not fit into at most 11 characters (not counting spaces)'),
        ([("paragraphs", {"minimum": 5}), ("words", {"maximum": 4})], "at least 5 paragraphs do not fit into at most 4 words"),
        ([("paragraphs", {"exactly": 5}), ("sentences", {"exactly": 4})], "at least 5 paragraphs do not fit into at most 4 sentences"),
        ([("paragraphs", {"minimum": 3, "separator": "stars"}), ("characters", {"maximum": 2})], "at least 3 paragraphs (separated by ***) do not fit into at most 2 characters (not counting spaces)"),
        ([("capitals", {"minimum": 5}), ("words", {"maximum": 4})], "at least 5 words in capital letters do not fit into at most 4 words"),
        ([("letters", {"letter": "e", "minimum": 40}), ("characters", {"maximum": 30})], 'at least 40 times the letter "e" do not fit into at most 30 characters (not counting spaces)'),
        ([("bullets", {"minimum": 3}), ("characters", {"maximum": 2})], "at least 3 bullet points do not fit into at most 2 characters (not counting spaces)"),
        # -- ranges
        ([("letters", {"letter": "E", "minimum": 4}), ("letters", {"letter": "e", "maximum": 3})], 'at least 4 and at most 3 times the letter "e"'),
        ([("tokens", {"minimum": 4}), ("tokens", {"maximum": 3})], "at least 4 and at most 3 tokens"),
        ([("paragraphs", {"exactly": 4}), ("paragraph_start", {"paragraphs": 3, "paragraph": 1, "word": "a"})], "3 paragraphs of which 1 begins with a word, and exactly 4 paragraphs"),
        ([("paragraph_start", {"paragraphs": 2, "paragraph": 1, "word": "a"}), ("paragraph_start", {"paragraphs": 3, "paragraph": 2, "word": "b"})], "exactly 2 and exactly 3 paragraphs"),
        ([("paragraph_start", {"paragraphs": 5, "paragraph": 1, "word": "a"}), ("sentences", {"maximum": 4})], "5 paragraphs of which 1 begins with a word do not fit into at most 4 sentences"),
        # -- words that must and must not occur
        ([("keywords", {"all": ["sun"], "times": 3}), ("keywords", {"all": ["Sun"], "times": 0, "maximum": 2})], 'keywords "sun" 3 times and keywords "Sun" at most twice'),
        ([("starts_with", {"text": "The sun"}), ("keywords", {"all": ["sun"], "times": 0, "maximum": 0})], 'starts_with "The sun" once and keywords "sun" never'),
        ([("keywords", {"all": ["category"]}), ("keywords", {"all": ["cat"], "times": 0, "maximum": 0, "match": "substring"})], 'keywords "category" once and keywords "cat" never'),
        ([("repeats", {"text": "Is it so?"}), ("forbidden", {"words": ["it"]})], 'repeats "Is it so?" and forbidden "it"'),
        ([("paragraph_start", {"paragraphs": 2, "paragraph": 1, "word": "sun"}), ("forbidden", {"words": ["sun"]})], 'paragraph_start "sun" and forbidden "sun"'),
        ([("keywords", {"all": ["US"], "match": "exact"}), ("forbidden", {"words": ["US"], "match": "exact"})], 'keywords "US" and forbidden "US"'),
        # -- letters, commas
        ([("letters", {"letter": "e", "maximum": 0}), ("keywords", {"all": ["tree"]})], 'keywords "tree" and Do not use the letter "e".'),
        ([("letters", {"letter": "e", "maximum": 5}), ("keywords", {"all": ["tree"], "times": 3})], 'keywords "tree" 3 times and at most 5 times the letter "e"'),
        ([("no_commas", {}), ("keywords", {"all": ["one, two"]})], 'no_commas and keywords "one, two"'),
        ([("no_commas", {}), ("starts_with", {"text": "亲爱的，"})], 'no_commas and starts_with "亲爱的，"'),
        ([("no_commas", {}), ("repeats", {"text": REQUEST})], 'no_commas and repeats "Name two things, please."'),
        ([("no_commas", {}), ("letters", {"letter": ",", "minimum": 1})], 'no_commas and at least 1 time the character ","'),
        ([("no_commas", {}), ("json_schema", {"schema": TWO_KEYS, "allow_code_fence": True})], "no_commas and JSON with two properties or more"),
        ([("no_commas", {}), ("json_schema", {"schema": {"type": "object", "required": ["x"], "properties": {"x": {"type": "array", "minItems": 2}}}})], "no_commas and JSON with two items or more"),
        # -- scripts
        ([("script", {"script": "Han"}), ("keywords", {"all": ["solar"]})], 'all letters in Han script and keywords "solar"'),
        ([("script", {"script": "Latin"}), ("starts_with", {"text": "亲爱的"})], 'all letters in Latin script and starts_with "亲爱的"'),
        ([("script", {"script": "Han"}), ("postscript", {"marker": "P.S."})], 'all letters in Han script and postscript "P.S."'),
        ([("script", {"script": "Latin"}), ("language", {"language": "zh"})], "the answer in Chinese and in Latin script only"),
        # -- beginning, end, quotation marks
        ([("ends_with", {"text": "Peace!"}), ("ends_with", {"text": "Bye!", "loose": True})], 'ends_with both "Peace!" and "Bye!"'),
        ([("repeats", {"text": "Why?"}), ("starts_with", {"text": "Because"})], 'starts_with "Because" and repeats "Why?"'),
        ([("repeats", {"text": "Why?"}), ("repeats", {"text": "How?"})], 'repeats both "Why?" and "How?"'),
        ([("quoted", {}), ("starts_with", {"text": "Dear"})], 'the whole answer quoted and starts_with "Dear"'),
        ([("quoted", {}), ("ends_with", {"text": "Bye."})], 'the whole answer quoted and ends_with "Bye."'),
        ([("quoted", {}), ("repeats", {"text": "Why?"})], 'the whole answer quoted and repeats "Why?"'),
        ([("quoted", {}), ("json_schema", {"schema": {"type": ["object", "array"]}})], 'the whole answer quoted and JSON of type "array" or "object"'),
        ([("repeats", {"text": "Why?"}), ("json_schema", {"schema": True})], 'JSON cannot begin with "Why?"'),
        # U+2028 may stand in a JSON string, but begins no line there.
        ([("json_schema", {"schema": True}), ("bullets", {"minimum": 1})], "at least 1 bullet point and JSON, whose lines cannot begin with such a mark"),
        # -- languages: "42" passes for both, and is an answer in neither
        ([("language", {"language": "de"}), ("language", {"language": "fr"})], "the answer in German and in French"),
        # -- choice
        ([("choice", {"options": ["yes", "no"]}), ("title", {})], 'no option of "yes", "no" satisfies: Give your answer a title in double angle brackets, like <<title>>.'),
        ([("choice", {"options": ["yes", "no"]}), ("letters", {"letter": "q", "minimum": 1})], 'no option of "yes", "no" satisfies: Use the letter "q" at least once.'),
    ],
)  # fmt: skip
def test_found(pairs: Pair, conflict: str) -> None:
    assert conflicts(specs_of(pairs)) == [conflict]
    assert len(conflicts(specs_of(pairs[::-1]))) == 1


@pytest.mark.parametrize(
    ("pairs", "answer"),
    [
        ([UPPER, ("keywords", {"all": ["solar"]})], "SOLAR POWER"),
        ([LOWER, ("ends_with", {"text": "Peace!", "loose": True})], "so: peace!"),
        ([LOWER, ("keywords", {"any": ["NASA", "esa"]})], "the esa"),
        ([LOWER, ("postscript", {"marker": "P.S."})], "p.s. yes"),
        ([LOWER, ("capitals", {"maximum": 3})], "none"),
        ([("words", {"maximum": 2}), ("keywords", {"all": ["solar", "panel", "solar panel"]})], "solar panel"),
        ([("words", {"maximum": 3}), ("keywords", {"all": ["a b", "b c"]})], "a b c"),
        ([("words", {"maximum": 1}), ("keywords", {"all": ["sun", "flower"], "match": "substring"})], "sunflower"),
        ([("words", {"maximum": 1}), ("keywords", {"any": ["sun", "wind"]})], "wind"),
        ([("words", {"maximum": 1}), ("keywords", {"all": ["Sun", "flower"], "match": "exact"})], "Sunflower"),
        ([("words", {"maximum": 3}), ("keywords", {"all": ["New York", "York", "Rome"]})], "New York, Rome"),
        # Joined by hyphens because a phrase itself is.
        ([("words", {"maximum": 1}), ("keywords", {"all": ["well-known", "known"]})], "well-known"),
        ([("words", {"maximum": 1}), ("keywords", {"all": ["bye"], "times": 2}), ("starts_with", {"text": "bye-bye"})], "bye-bye"),
        ([("words", {"maximum": 1}), ("starts_with", {"text": "well-"}), ("ends_with", {"text": "known"})], "well-known"),
        ([("words", {"maximum": 1}), ("keywords", {"all": ["sun", "wind"]}), ("choice", {"options": ["sun-wind", "no"]})], "sun-wind"),
        ([("words", {"maximum": 1}), ("keywords", {"all": ["sun", "wind"]}), ("regex", {"pattern": "[a-z]+-[a-z]+", "match": "full"})], "sun-wind"),
        ([("words", {"maximum": 1}), ("keywords", {"all": ["sun", "wind"]}), ("json_schema", {"schema": {"const": "sun_wind"}})], '"sun_wind"'),
        ([("words", {"maximum": 3}), ("repeats", {"text": "Sing a so"}), ("keywords", {"all": ["song"]})], "sing a song"),
        ([("words", {"maximum": 1, "definition": "runs"}), ("keywords", {"all": ["太阳", "月亮"]})], "太阳月亮"),
        ([("json_schema", {"schema": True}), ("bullets", {"maximum": 0})], "[1]"),
        ([("json_schema", {"schema": True}), ("bullets", {"minimum": 1, "definition": "markdown"})], "[\n-1]"),
        ([("words", {"exactly": 1}), ("words", {"exactly": 2, "definition": "runs"})], "don't"),
        ([("paragraphs", {"exactly": 1}), ("paragraphs", {"exactly": 2, "separator": "stars"})], "a\n***\nb"),
        ([("paragraphs", {"minimum": 3, "separator": "stars"}), ("words", {"maximum": 1})], "a *** ! *** ?"),
        ([("letters", {"letter": "e", "minimum": 2}), ("letters", {"letter": "a", "maximum": 1})], "tree"),
        ([("letters", {"letter": "e", "maximum": 0}), ("keywords", {"all": ["take"], "inflections": True})], "taking"),
        ([("keywords", {"all": ["cat"], "match": "substring"}), ("keywords", {"all": ["cat"], "times": 0, "maximum": 0})], "a category"),
        ([("keywords", {"all": ["us"]}), ("forbidden", {"words": ["us"], "match": "exact"})], "Us"),
        ([("keywords", {"all": ["sun"], "times": 2}), ("keywords", {"all": ["sun"], "maximum": 2})], "sun sun"),
        ([("keywords", {"all": ["one", "one two"], "maximum": 1})], "one two"),
        ([("sections", {"splitter": "Part", "minimum": 1}), ("forbidden", {"words": ["part"]})], "Part1"),
        ([("no_commas", {}), ("json_schema", {"schema": {"type": "object", "required": ["a"]}})], '{"a": 1}'),
        ([("no_commas", {}), ("json_schema", {"schema": {"required": ["a", "b"]}})], "1"),
        ([("script", {"script": "Han"}), ("keywords", {"all": ["3"]})], "第 3 天"),
        ([("script", {"script": "Katakana"}), ("language", {"language": "ja"})], "コーヒーデス"),
        ([("language", {"language": "zh"}), ("keywords", {"all": ["solar"]})], "太阳能的英文是 solar，它很便宜，也很干净，大家都喜欢。"),
        ([("repeats", {"text": "Why?"}), ("starts_with", {"text": "WHY"})], "WHY? Because."),
        ([("quoted", {}), ("starts_with", {"text": "Dear", "loose": True})], '"Dear all"'),
        ([("quoted", {}), ("starts_with", {"text": "“Dear"})], "“Dear all”"),
        ([("quoted", {}), ("json_schema", {"schema": True})], '"text"'),
        ([("quoted", {}), ("title", {})], '"<<Title>> text"'),
        ([("ends_with", {"text": '!"'}), ("ends_with", {"text": "Peace!", "loose": True})], '"Peace!"'),
        ([("ends_with", {"text": '"'}), ("ends_with", {"text": "Peace!", "loose": True})], '"Peace!"'),
        ([("json_schema", {"schema": True}), ("starts_with", {"text": "Sure", "loose": True})], '"Sure"'),
        ([("responses", {}), ("paragraphs", {"exactly": 2})], "a\n\n******b"),
        ([("choice", {"options": ["yes", "no"]}), UPPER], "YES"),
        ([("choice", {"options": ["yes", "no"]}), ("ends_with", {"text": "no."})], "no."),
        ([("choice", {"options": ["yes", "no"]}), ("tokens", {"minimum": 2})], "yes"),
        ([("characters", {"maximum": 6}), ("ends_with", {"text": '"Peace!"', "loose": True})], "Peace!"),
    ],
)  # fmt: skip
def test_not_invented(pairs: Pair, answer: str) -> None:
    assert conflicts(specs_of(pairs)) == []
    assert satisfied(specs_of(pairs), answer)


def test_requirements_of_any_kind_can_stand_together() -> None:
    specs = specs_of(
        [
            ("words", {"minimum": 10, "maximum": 80}),
            ("tokens", {"maximum": 200}),
            ("paragraphs", {"minimum": 2}),
            ("keywords", {"all": ["solar", "panel"], "in_order": True}),
            ("keywords", {"all": ["cheap"], "times": 0, "maximum": 2}),
            ("letters", {"letter": "e", "minimum": 3}),
            ("capitals", {"minimum": 1}),
            ("no_commas", {}),
            ("placeholders", {"minimum": 1}),
            ("highlights", {"minimum": 1}),
            ("sections", {"splitter": "PART", "minimum": 2}),
            ("title", {}),
            ("postscript", {"marker": "P.S."}),
            ("script", {"script": "Latin"}),
            ("language", {"language": "en"}),
        ]
    )
    assert conflicts(specs) == []
    answer = (
        "<<On the sun>>\n\nPART 1\nThe solar roof of NASA is *cheap* and clean and quiet.\n\n"
        "PART 2\nEach panel is built by [name].\n\nP.S. It works at noon."
    )
    assert satisfied(specs, answer)
