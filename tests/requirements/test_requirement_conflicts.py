"""Contradictions that are found, and pairs that only look like one, each with an answer that keeps both."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import conflicts, satisfied

Pair = list[tuple[str, dict[str, Any]]]


def specs_of(pairs: Pair) -> list[RequirementSpec]:
    return [RequirementSpec(kind, parameters) for kind, parameters in pairs]


@pytest.mark.parametrize(
    ("pairs", "conflict"),
    [
        ([("words", {"minimum": 50}), ("words", {"maximum": 30})], "at least 50 and at most 30 words"),
        ([("words", {"exactly": 2}), ("words", {"exactly": 3})], "at least 3 and at most 2 words"),
        ([("words", {"minimum": 9}), ("characters", {"maximum": 8})], "at least 9 words do not fit into at most 8 characters (not counting spaces)"),
        ([("sentences", {"minimum": 3}), ("words", {"maximum": 2})], "at least 3 sentences do not fit into at most 2 words"),
        ([("keywords", {"all": ["very"]}), ("forbidden", {"words": ["Very"]})], 'keywords "very" and forbidden "Very"'),
        ([("keywords", {"all": ["太阳能"]}), ("forbidden", {"words": ["太阳"]})], 'keywords "太阳能" and forbidden "太阳"'),
        ([("keywords", {"any": ["a b", "b c"]}), ("forbidden", {"words": ["b"]})], 'keywords "a b" and "b c" and forbidden "b"'),
        ([("keywords", {"all": ["category"]}), ("forbidden", {"words": ["cat"], "match": "substring"})], 'keywords "category" and forbidden "cat"'),
        ([("starts_with", {"text": "The cat"}), ("forbidden", {"words": ["cat"]})], 'starts_with "The cat" and forbidden "cat"'),
        ([("ends_with", {"text": "谢谢"}), ("forbidden", {"words": ["谢谢"]})], 'ends_with "谢谢" and forbidden "谢谢"'),
        ([("starts_with", {"text": "Yes"}), ("starts_with", {"text": "No"})], 'starts_with both "Yes" and "No"'),
        ([("starts_with", {"text": "one two three"}), ("words", {"maximum": 2})], '"one two three" does not fit into at most 2 words'),
        ([("keywords", {"all": ["abcd"], "times": 3}), ("characters", {"maximum": 11})], '"abcd" 3 times does not fit into at most 11 characters (not counting spaces)'),
        ([("language", {"language": "en"}), ("language", {"language": "zh"})], "the answer in English and in Chinese"),
        ([("json_schema", {"schema": True}), ("starts_with", {"text": "Sure"})], 'JSON cannot begin with "Sure"'),
        ([("json_schema", {"schema": True}), ("ends_with", {"text": "!"})], 'JSON cannot end with "!"'),
        ([("choice", {"options": ["yes", "no"]}), ("words", {"minimum": 5})], 'no option of "yes", "no" satisfies: Use at least 5 words.'),
        ([("choice", {"options": ["yes", "no"]}), ("keywords", {"all": ["maybe"]})], 'no option of "yes", "no" satisfies: Mention "maybe".'),
    ],
)  # fmt: skip
def test_found(pairs: Pair, conflict: str) -> None:
    assert conflicts(specs_of(pairs)) == [conflict]
    assert len(conflicts(specs_of(pairs[::-1]))) == 1


@pytest.mark.parametrize(
    ("pairs", "answer"),
    [
        ([("words", {"minimum": 2}), ("words", {"maximum": 2})], "one two"),
        ([("words", {"minimum": 3}), ("characters", {"maximum": 3})], "a b c"),
        ([("keywords", {"all": ["category"]}), ("forbidden", {"words": ["cat"]})], "a category"),
        ([("keywords", {"all": ["cat"], "match": "substring"}), ("forbidden", {"words": ["cat"]})], "a category"),
        ([("keywords", {"any": ["cat", "dog"]}), ("forbidden", {"words": ["cat"]})], "a dog"),
        ([("keywords", {"all": ["solar"], "times": 2, "match": "substring"}), ("words", {"maximum": 1})], "solarsolar"),
        ([("starts_with", {"text": "Yes"}), ("starts_with", {"text": "Yes, sir"})], "Yes, sir!"),
        ([("json_schema", {"schema": True}), ("starts_with", {"text": "{"}), ("ends_with", {"text": "}"})], '{"a": 1}'),
        ([("json_schema", {"schema": True, "allow_code_fence": True}), ("ends_with", {"text": "```"})], "```json\n1\n```"),
        ([("choice", {"options": ["yes", "no"]}), ("choice", {"options": ["no", "maybe"]})], "no"),
        ([("choice", {"options": ["是", "否"]}), ("language", {"language": "zh"})], "是"),
    ],
)  # fmt: skip
def test_not_invented(pairs: Pair, answer: str) -> None:
    assert conflicts(specs_of(pairs)) == []
    assert satisfied(specs_of(pairs), answer)


def test_a_spec_that_cannot_be_parsed_is_an_error() -> None:
    with pytest.raises(RequirementError, match="unknown requirement"):
        conflicts([RequirementSpec("length", {})])
