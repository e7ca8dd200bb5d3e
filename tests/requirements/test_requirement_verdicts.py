"""Expected verdicts, written by hand, for every kind, in English and Chinese."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.records import RequirementSpec
from heedful.requirements import Verdict, check_all, parse, satisfied

TWO_SENTENCES = "Solar panels, e.g. on roofs, cost $3.14 per unit. Are they worth it?"
CHINESE = "太阳能很便宜。它值得吗？"
LIST = "Three reasons:\n- cheap\n- clean\n- quiet"

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def check(kind: str, text: str, /, **parameters: Any) -> Verdict:
    return parse(RequirementSpec(kind, parameters)).check(text)


@pytest.mark.parametrize(
    ("kind", "parameters", "text", "expected"),
    [
        ("words", {"maximum": 3}, "one two three", True),
        ("words", {"maximum": 3}, "one two three four", False),
        ("words", {"minimum": 3}, "one two", False),
        ("words", {"minimum": 2, "maximum": 3}, "one two", True),
        ("words", {"exactly": 4}, "don't well-known 3.14 json.dumps", True),
        ("words", {"exactly": 10}, CHINESE, True),  # 太阳能很便宜 + 它值得吗
        ("words", {"exactly": 5}, "Python编程3.5天", True),
        ("words", {"minimum": 1}, "", False),
        ("characters", {"exactly": 4}, "a b\n c!", True),
        ("characters", {"maximum": 11}, CHINESE, False),  # ten characters and two marks
        ("characters", {"maximum": 12}, CHINESE, True),
        ("sentences", {"exactly": 2}, TWO_SENTENCES, True),
        ("sentences", {"exactly": 2}, CHINESE, True),
        ("sentences", {"maximum": 1}, CHINESE, False),
        ("bullets", {"exactly": 3}, LIST, True),
        ("bullets", {"exactly": 2}, "1. 便宜\n2. 干净", True),
        ("bullets", {"maximum": 0}, LIST, False),
        ("bullets", {"maximum": 0}, "No list here.", True),
        ("keywords", {"all": ["solar", "roofs"]}, TWO_SENTENCES, True),
        ("keywords", {"all": ["Solar Panels"]}, "solar\n  panels", True),
        ("keywords", {"all": ["solar", "wind"]}, TWO_SENTENCES, False),
        ("keywords", {"any": ["wind", "roofs"]}, TWO_SENTENCES, True),
        ("keywords", {"any": ["wind", "water"]}, TWO_SENTENCES, False),
        ("keywords", {"all": ["cat"]}, "One category.", False),
        ("keywords", {"all": ["cat"], "match": "substring"}, "One category.", True),
        ("keywords", {"all": ["cat"]}, "A cat, a cat-flap.", True),
        ("keywords", {"all": ["cat"], "times": 3}, "Cat. cat-flap, CAT!", True),
        ("keywords", {"all": ["cat"], "times": 3}, "Cat. category, CAT!", False),
        ("keywords", {"any": ["cat", "dog"], "times": 2}, "cat dog", False),
        ("keywords", {"any": ["cat", "dog"], "times": 2}, "cat dog dog", True),
        ("keywords", {"all": ["太阳"]}, CHINESE, True),  # no spaces, so 太阳 is in 太阳能
        ("keywords", {"all": ["太阳", "风"]}, CHINESE, False),
        ("keywords", {"all": ["亲爱的　朋友"]}, "亲爱的 朋友", True),  # an ideographic space is a space
        ("keywords", {"all": ["👨‍👩‍👧"]}, "A 👨‍👩‍👧.", True),
        ("keywords", {"all": ["می‌روم"]}, "من می‌روم.", True),  # joiners spell words in Persian
        ("keywords", {"all": ["C++"]}, "I like C++, really", True),
        ("keywords", {"all": ["café"]}, "CAFE\u0301 Noir", True),  # composed and decomposed accents
        ("keywords", {"all": ["don't"]}, "I don’t know", True),  # typographic apostrophe
        ("keywords", {"all": ["3"]}, "It is 3.14.", False),  # a part of a number is another number
        ("keywords", {"all": ["3"]}, "It is 3.", True),
        ("keywords", {"all": ["aba"], "match": "substring", "times": 2}, "ababa", False),  # no overlap
        ("forbidden", {"words": ["very"]}, "Every one", True),
        ("forbidden", {"words": ["very"]}, "VERY good", False),
        ("forbidden", {"words": ["very"], "match": "substring"}, "Every one", False),
        ("forbidden", {"words": ["便宜"]}, CHINESE, False),
        ("starts_with", {"text": "Yes"}, "\n Yes, of course.", True),
        ("starts_with", {"text": "Yes"}, "Yesterday", False),
        ("starts_with", {"text": "Yes"}, "yes", False),
        ("starts_with", {"text": "亲爱的"}, "亲爱的朋友：", True),
        ("ends_with", {"text": "Bye."}, "See you. Bye.\n", True),
        ("ends_with", {"text": "bye"}, "goodbye", False),
        ("ends_with", {"text": "谢谢！"}, "非常谢谢！", True),
        ("choice", {"options": ["positive", "negative"]}, " Positive.\n", True),
        ("choice", {"options": ["positive", "negative"]}, "It is positive", False),
        ("choice", {"options": ["正面", "负面"]}, "正面。", True),
        ("choice", {"options": ["正面", "负面"]}, "正面和负面", False),
        ("json_schema", {"schema": PERSON}, ' {"name": "Ann", "age": 3}\n', True),
        ("json_schema", {"schema": PERSON}, '{"name": "安", "age": -1}', False),
        ("json_schema", {"schema": PERSON}, '{"name": "Ann", "age": 3, "x": 1}', False),
        ("json_schema", {"schema": PERSON}, '{"name": "Ann", "age": 3,}', False),
        ("json_schema", {"schema": True}, "[1, null]", True),
        ("json_schema", {"schema": True}, "```json\n[1]\n```", False),
        ("json_schema", {"schema": True, "allow_code_fence": True}, "```json\n[1]\n```", True),
        ("json_schema", {"schema": True, "allow_code_fence": True}, "Here:\n```json\n[1]\n```", False),
        ("json_schema", {"schema": {"uniqueItems": True}}, "[1, true, 1.5]", True),
        ("json_schema", {"schema": {"uniqueItems": True}}, '[{"a": 1, "b": 2}, {"b": 2.0, "a": 1}]', False),
        ("json_schema", {"schema": {"format": "date"}}, '"2024-02-30"', False),
        ("json_schema", {"schema": {"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}}, '{"x1": 2}', True),
        ("json_schema", {"schema": {"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}}, '{"y1": 2}', False),
        ("json_schema", {"schema": {"patternProperties": {"^x": {"type": "integer"}}}}, '{"x1": "2"}', False),
        ("regex", {"pattern": r"[A-Z]{2}-\d+", "match": "full"}, "AB-12\n", True),
        ("regex", {"pattern": r"[A-Z]{2}-\d+", "match": "full"}, "see AB-12", False),
        ("regex", {"pattern": r"[A-Z]{2}-\d+", "match": "search"}, "see AB-12", True),
        ("regex", {"pattern": r"\d{4}年", "match": "search"}, "写于2024年", True),
        ("language", {"language": "en"}, "The weather is fine and everybody is out in the park today.", True),
        ("language", {"language": "en"}, "今天天气很好，大家都在公园里。", False),
        ("language", {"language": "zh"}, "今天天气很好，大家都在公园里玩 Python。", True),
        ("language", {"language": "de"}, "The weather is fine and everybody is out in the park today.", False),
        ("language", {"language": "en"}, "Yes.", True),  # too short to be told from other languages
        ("language", {"language": "zh"}, "Yes.", False),
        ("language", {"language": "zh"}, "42", True),
        ("language", {"language": "en"}, " \n", False),
    ],
)  # fmt: skip
def test_verdicts(kind: str, parameters: dict[str, Any], text: str, expected: bool) -> None:
    verdict = check(kind, text, **parameters)
    assert verdict.satisfied is expected, verdict.reason
    assert (verdict.fraction == 1.0) is expected
    assert 0.0 <= verdict.fraction <= 1.0
    assert verdict.reason


@pytest.mark.parametrize(
    ("kind", "parameters", "text", "reason"),
    [
        ("words", {"maximum": 3}, "a b c d", "4 words, at most 3 expected"),
        ("words", {"minimum": 2, "maximum": 3}, "a", "1 word, 2 to 3 expected"),
        ("sentences", {"exactly": 3}, "One.", "1 sentence, exactly 3 expected"),
        ("bullets", {"maximum": 0}, "- a", "1 bullet point, none expected"),
        ("characters", {"minimum": 3}, "a", "1 character (not counting spaces), at least 3 expected"),
        ("keywords", {"all": ["sun", "wind"]}, "sun", 'does not mention "wind"'),
        ("keywords", {"all": ["sun", "wind"], "times": 2}, "sun sun wind", 'mentions "wind" once; at least twice expected'),
        ("keywords", {"any": ["sun", "wind"]}, "rain", 'mentions none of "sun", "wind"'),
        ("forbidden", {"words": ["very", "bad"]}, "Very, very bad", 'contains "very" twice, "bad" once, which is forbidden'),
        ("starts_with", {"text": "Dear"}, "Hello you", 'starts with "Hello you", "Dear" expected'),
        ("ends_with", {"text": "Bye"}, "Hello", 'ends with "Hello", "Bye" expected'),
        ("choice", {"options": ["yes", "no"]}, "maybe", 'the answer is "maybe", one of "yes", "no" expected'),
        ("choice", {"options": ["yes", "no"]}, "", 'the answer is nothing, one of "yes", "no" expected'),
        ("json_schema", {"schema": True}, "{", "the answer is not JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        ("json_schema", {"schema": True}, '{"a": 1, "a": 2}', 'the answer is not JSON: the key "a" occurs more than once in one object'),
        ("json_schema", {"schema": PERSON}, '{"name": 1, "age": 2}', "the JSON does not follow the schema: at $.name: 1 is not of type 'string'"),
        ("regex", {"pattern": "a+", "match": "full"}, "b", '"b" does not match a+'),
        ("language", {"language": "zh"}, "The weather is fine and everybody is out.", "the answer is in English, Chinese expected"),
    ],
)  # fmt: skip
def test_reasons_are_in_the_words_of_who_asked(kind: str, parameters: dict[str, Any], text: str, reason: str) -> None:
    assert check(kind, text, **parameters).reason == reason


def test_long_answers_are_shortened_in_reasons() -> None:
    assert len(check("choice", "word " * 500, options=["yes", "no"]).reason) < 130
    assert len(check("json_schema", '["' + "a" * 500 + '"]', schema={"type": "object"}).reason) < 300


@pytest.mark.parametrize(
    ("kind", "parameters", "better", "worse"),
    [
        ("words", {"maximum": 3}, "a b c d", "a b c d e f"),
        ("words", {"minimum": 4}, "a b c", "a b"),
        ("keywords", {"all": ["sun", "wind"]}, "sun", "rain"),
        ("forbidden", {"words": ["sun"]}, "sun", "sun sun"),
        ("starts_with", {"text": "Dear Ann"}, "Dear Bob", "Hello"),
        ("ends_with", {"text": "Dear Ann"}, "Hello Ann", "Hello"),
        ("choice", {"options": ["yes", "no"]}, "I say yes", "maybe"),
        ("choice", {"options": ["yes", "no"]}, "I say yes", "yes and no"),
        ("json_schema", {"schema": PERSON}, '{"name": 1, "age": 2}', '{"name": 1, "age": "2"}'),
        ("json_schema", {"schema": PERSON}, "{}", "Ann is 2"),
        ("language", {"language": "zh"}, "The weather is fine and everybody is out. 今天天气很好。" , "The weather is fine and everybody is out."),
    ],
)  # fmt: skip
def test_the_fraction_grows_as_the_answer_comes_nearer(
    kind: str, parameters: dict[str, Any], better: str, worse: str
) -> None:
    near, far = check(kind, better, **parameters), check(kind, worse, **parameters)
    assert not near.satisfied
    assert not far.satisfied
    assert 0.0 <= far.fraction < near.fraction < 1.0


def test_fractions_of_counts_by_hand() -> None:
    assert check("words", "a b", minimum=4).fraction == 0.5  # 2 of 4
    assert check("words", "a b c d e", maximum=2).fraction == 0.5  # (2 + 1) / (5 + 1)
    assert check("keywords", "sun wind", all=["sun", "wind"], times=2).fraction == 0.5  # half of each


def test_several_at_once() -> None:
    specs = [RequirementSpec("words", {"maximum": 2}), RequirementSpec("keywords", {"all": ["sun"]})]
    assert [verdict.satisfied for verdict in check_all(specs, "the bright sun")] == [False, True]
    assert not satisfied(specs, "the bright sun")
    assert satisfied(specs, "bright sun")
    assert satisfied([], "anything")


def test_every_kind_here_is_tried_both_ways() -> None:
    mark = next(mark for mark in test_verdicts.pytestmark if mark.name == "parametrize")
    outcomes = {(case[0], case[3]) for case in mark.args[1]}
    assert outcomes == {(kind, outcome) for kind, _ in outcomes for outcome in (True, False)}
