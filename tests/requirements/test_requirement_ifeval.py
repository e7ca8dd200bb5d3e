"""IFEval's instructions become requirements of ours, with the verdicts that its paper published for GPT-4's responses."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import LANGUAGES, parse, satisfied, say_all
from heedful.requirements.ifeval import INSTRUCTIONS, from_ifeval


def one(kind: str, **parameters: Any) -> tuple[RequirementSpec, ...]:
    return (RequirementSpec(kind, parameters),)


EXPECTED: list[tuple[str, dict[str, Any], tuple[RequirementSpec, ...]]] = [
    ("keywords:existence", {"keywords": ["mom", "Mother", "mother"]}, one("keywords", all=["mom", "Mother"], match="substring")),
    ("keywords:frequency", {"keyword": " war", "frequency": 3, "relation": "at least"}, one("keywords", all=["war"], times=3, match="substring")),
    ("keywords:frequency", {"keyword": "war", "frequency": 3, "relation": "less than"}, one("keywords", all=["war"], times=0, maximum=2, match="substring")),
    ("keywords:forbidden_words", {"forbidden_words": ["can", "ride"]}, one("forbidden", words=["can", "ride"])),
    ("keywords:letter_frequency", {"letter": "e", "let_frequency": 4, "let_relation": "less than"}, one("letters", letter="e", maximum=3)),
    ("language:response_language", {"language": "kn"}, one("language", language="kn")),
    ("length_constraints:number_sentences", {"num_sentences": 5, "relation": "at least"}, one("sentences", minimum=5)),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 3}, one("paragraphs", exactly=3, separator="stars")),
    ("length_constraints:number_words", {"num_words": 300, "relation": "less than"}, one("words", maximum=299, definition="runs")),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 4, "nth_paragraph": 1, "first_word": "weekend"}, one("paragraph_start", paragraphs=4, paragraph=1, word="weekend")),
    ("detectable_content:number_placeholders", {"num_placeholders": 3}, one("placeholders", minimum=3)),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, one("postscript", marker="P.P.S")),
    ("detectable_format:number_bullet_lists", {"num_bullets": 3}, one("bullets", exactly=3, definition="markdown")),
    ("detectable_format:constrained_response", {}, one("keywords", any=["My answer is yes.", "My answer is no.", "My answer is maybe."], match="exact")),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, one("highlights", minimum=2)),
    ("detectable_format:multiple_sections", {"section_spliter": "Day", "num_sections": 7}, one("sections", splitter="Day", minimum=7)),
    ("detectable_format:json_format", {}, one("json_schema", schema=True, allow_code_fence=True)),
    ("detectable_format:title", {}, one("title")),
    ("combination:two_responses", {}, one("responses", number=2)),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Why?\n"}, one("repeats", text="Why?")),
    ("startend:end_checker", {"end_phrase": "Peace!"}, one("ends_with", text="Peace!", loose=True)),
    ("startend:quotation", {}, one("quoted")),
    ("change_case:capital_word_frequency", {"capital_frequency": 5, "capital_relation": "at least"}, one("capitals", minimum=5)),
    ("change_case:english_capital", {}, (*one("case", case="upper"), *one("language", language="en"))),
    ("change_case:english_lowercase", {}, (*one("case", case="lower"), *one("language", language="en"))),
    ("punctuation:no_comma", {}, one("no_commas")),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "kwargs", "specs"), EXPECTED)
def test_each_instruction(instruction: str, kwargs: dict[str, Any], specs: tuple[RequirementSpec, ...]) -> None:
    assert from_ifeval(instruction, kwargs) == specs
    # Some files of the data set name all arguments of all instructions.
    assert from_ifeval(instruction, {"num_unknown": None, **kwargs}) == specs


def test_all_25_are_tried_here() -> None:
    assert {instruction for instruction, _, _ in EXPECTED} == set(INSTRUCTIONS)
    assert len(INSTRUCTIONS) == 25


def test_what_any_answer_follows_asks_for_nothing() -> None:
    assert from_ifeval("length_constraints:number_words", {"num_words": 0, "relation": "at least"}) == ()
    assert from_ifeval("keywords:frequency", {"keyword": "war", "frequency": 0, "relation": "at least"}) == ()


@pytest.mark.parametrize(
    ("instruction", "kwargs", "message"),
    [
        ("startend:end_cheker", {}, "unknown instruction 'startend:end_cheker'; did you mean 'startend:end_checker'?"),
        ("startend:end_checker", {}, "startend:end_checker: end_phrase is missing; give it"),
        ("startend:end_checker", {"end_phrase": None}, "end_phrase is missing"),
        ("startend:end_checker", {"end_phrase": ""}, "startend:end_checker: requirement 'ends_with': text = ''"),
        ("keywords:existence", {"keywords": "mom"}, "keywords:existence: requirement 'keywords': all = 'mom'"),
        ("length_constraints:number_words", {"num_words": 5, "relation": "about"}, "expected \"at least\" or \"less than\" and a whole number, got 'about' 5"),
        ("length_constraints:number_words", {"num_words": 0, "relation": "less than"}, "words: nothing is less than 0"),
        ("detectable_content:number_placeholders", {"num_placeholders": "3"}, "minimum = '3': give a whole number"),
    ],
)  # fmt: skip
def test_errors_name_the_instruction_and_the_remedy(instruction: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(RequirementError) as caught:
        from_ifeval(instruction, kwargs)
    assert message in str(caught.value)


def test_the_published_scores_of_gpt4(shared_data: Path) -> None:
    # Published: 76.89 % of prompts with all instructions followed, 83.57 % of instructions. Twelve verdicts of 834 differ,
    # each for a reason that bench/ifeval_checks.py tells; ten of them are satisfied here: 6 of 541 prompts more.
    folder = shared_data / "ifeval"
    prompts = [json.loads(line) for line in (folder / "input_data.jsonl").read_text(encoding="utf-8").splitlines()]
    with gzip.open(folder / "input_response_data_gpt4_20231107_145030.jsonl.gz", "rt", encoding="utf-8") as file:
        responses = [json.loads(line)["response"] for line in file]
    followed: list[list[bool]] = []
    for prompt, response in zip(prompts, responses, strict=True):
        specs = [from_ifeval(*pair) for pair in zip(prompt["instruction_id_list"], prompt["kwargs"], strict=True)]
        followed.append([satisfied(some, response) for some in specs])
        for language in LANGUAGES:
            assert all(say_all(some, language) for some in specs)
        assert all(parse(spec).spec == spec for some in specs for spec in some)
    assert sum(map(all, followed)) / len(followed) == pytest.approx(0.7689, abs=0.012)
    assert sum(map(sum, followed)) / sum(map(len, followed)) == pytest.approx(0.8357, abs=0.01)
