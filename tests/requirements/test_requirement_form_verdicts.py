"""Expected verdicts, written by hand, for the kinds about letters, marks, paragraphs, grammars and scripts."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.records import RequirementSpec
from heedful.requirements import REQUIREMENTS, Verdict, parse

TRIED_ELSEWHERE = {"words", "characters", "sentences", "bullets", "keywords", "forbidden", "starts_with", "ends_with",
                   "choice", "json_schema", "regex", "language"}  # fmt: skip
"""In test_requirement_verdicts.py."""

POEM = "Roses are red,\nviolets are blue.\n\n\nSugar is sweet."
THREE = "First one.\n\nSecond\none.\n \t\nThird."
SUM = 'start: number ("+" number)*\nnumber: /[0-9]+/'
AMBIGUOUS = 'start: a\na: a a | "x" |'


def check(kind: str, text: str, /, **parameters: Any) -> Verdict:
    return parse(RequirementSpec(kind, parameters)).check(text)


CASES: list[tuple[str, dict[str, Any], str, bool]] = [
    # -- more of the older kinds
    ("words", {"exactly": 3, "definition": "runs"}, "don't stop", True),  # don, t, stop
    ("words", {"exactly": 1, "definition": "runs"}, "太阳能", True),
    ("words", {"exactly": 3}, "太阳能", True),
    ("bullets", {"exactly": 3, "definition": "markdown"}, "* a\n - b\n---", True),  # a rule counts, as in IFEval
    ("bullets", {"exactly": 1, "definition": "markdown"}, "**Bold** words\n- a\n1. b\n*", True),
    ("bullets", {"exactly": 2}, "**Bold** words\n- a\n1. b\n---", True),
    ("keywords", {"all": ["NASA"], "match": "exact"}, "a NASAesque thing", True),
    ("keywords", {"all": ["NASA"], "match": "exact"}, "a nasa thing", False),
    ("keywords", {"any": ["My answer is yes."], "match": "exact"}, "Well.\nMy answer is\nyes.", True),
    ("keywords", {"all": ["a"], "times": 0, "maximum": 1}, "none", True),
    ("keywords", {"all": ["a"], "times": 0, "maximum": 1}, "a and a", False),
    ("keywords", {"all": ["a"], "times": 0, "maximum": 0}, "an apple", True),
    ("keywords", {"all": ["a", "b"], "times": 2, "maximum": 2}, "a b a b", True),
    ("keywords", {"all": ["a", "b"], "times": 2, "maximum": 2}, "a b a b b", False),
    ("keywords", {"all": ["a"], "maximum": 2}, "none", False),
    ("keywords", {"all": ["b", "a"], "in_order": True}, "a b a", True),
    ("keywords", {"all": ["b", "a"], "in_order": True}, "a b", False),
    ("keywords", {"all": ["a b", "b c"], "in_order": True}, "a b c", False),  # they may not share a word
    ("keywords", {"all": ["太阳", "月亮"], "in_order": True}, "太阳和月亮", True),
    ("keywords", {"all": ["dog", "catch", "frisbee"], "inflections": True}, "Dogs caught Frisbees", True),
    ("keywords", {"all": ["stop"], "inflections": True, "times": 3}, "Stopped, stopping; she stops.", True),
    ("keywords", {"all": ["carry", "make", "die"], "inflections": True}, "carried, making and dying", True),
    ("keywords", {"all": ["big"], "inflections": True}, "the biggest", True),
    ("keywords", {"all": ["car"], "inflections": True}, "scared and caring", False),
    ("keywords", {"all": ["went"], "inflections": True}, "They are going.", True),
    ("keywords", {"all": ["solar panel"], "inflections": True}, "two solar panels", True),
    ("keywords", {"all": ["太阳"], "inflections": True}, "太阳能", True),
    ("keywords", {"all": ["knife", "leaf"], "inflections": True}, "knives and leaves", True),
    ("forbidden", {"words": ["US"], "match": "exact"}, "Trust us.", True),
    ("forbidden", {"words": ["US"], "match": "exact"}, "In the US.", False),
    ("ends_with", {"text": "Peace!", "loose": True}, '"And so: peace!"\n', True),
    ("ends_with", {"text": "Peace!", "loose": True}, "Peace! Bye", False),
    ("ends_with", {"text": "bye", "loose": True}, "goodbye", False),
    ("starts_with", {"text": "Dear", "loose": True}, '"DEAR all"', True),
    ("starts_with", {"text": "Dear"}, '"Dear all"', False),
    ("language", {"language": "en"}, "1. PIXEL PRODIGY\n2. CODE CONSTRUCT\n3. DIGITAL DYNAMICS", True),
    # -- counts
    ("tokens", {"maximum": 3}, "far more than three tokens, but who can tell", True),
    ("tokens", {"maximum": 0}, "a", False),
    ("tokens", {"minimum": 1}, "", False),
    ("paragraphs", {"exactly": 3}, THREE, True),
    ("paragraphs", {"exactly": 2}, POEM, True),  # two blank lines are one gap
    ("paragraphs", {"exactly": 2}, "One.\n\n---\n\nTwo.", True),  # a rule is no paragraph
    ("paragraphs", {"maximum": 1}, THREE, False),
    ("paragraphs", {"minimum": 2}, "One.\nStill one.", False),
    ("paragraphs", {"exactly": 1}, "一段。\r\n还是一段。", True),
    ("paragraphs", {"exactly": 2}, "一段。\r\n\r\n第二段。", True),
    ("paragraphs", {"exactly": 2, "separator": "stars"}, "a\n\nb\n***\nc", True),
    ("paragraphs", {"exactly": 2, "separator": "stars"}, "***\na\n***\nb\n***", True),
    ("paragraphs", {"exactly": 2, "separator": "stars"}, "a\n***\n***\nb", False),
    ("paragraphs", {"exactly": 1, "separator": "stars"}, "a\n***\nb", False),
    ("paragraph_start", {"paragraphs": 3, "paragraph": 2, "word": "second"}, THREE, True),
    ("paragraph_start", {"paragraphs": 3, "paragraph": 2, "word": "First"}, THREE, False),
    ("paragraph_start", {"paragraphs": 2, "paragraph": 2, "word": "second"}, THREE, False),
    ("paragraph_start", {"paragraphs": 1, "paragraph": 1, "word": "summary"}, "Summary: a word ends at a colon", True),
    ("paragraph_start", {"paragraphs": 1, "paragraph": 1, "word": "week"}, "Weekend", False),
    ("paragraph_start", {"paragraphs": 1, "paragraph": 1, "word": "don't"}, "“Don’t” is a word", True),
    ("paragraph_start", {"paragraphs": 2, "paragraph": 2, "word": "周末"}, "一。\n\n周末我们休息。", True),
    ("letters", {"letter": "E", "exactly": 3}, "Eleven e", False),
    ("letters", {"letter": "E", "exactly": 4}, "Eleven e", True),
    ("letters", {"letter": "é", "minimum": 1}, "cafe\u0301", True),
    ("letters", {"letter": "#", "minimum": 2}, "# and #", True),
    ("letters", {"letter": "好", "exactly": 2}, "好好", True),
    ("letters", {"letter": "q", "maximum": 0}, "Quit", False),
    ("capitals", {"exactly": 4}, "I like NASA's U.S. COVID-19 page", False),  # NASA's has a small letter
    ("capitals", {"exactly": 4}, "I like the NASA U.S. COVID-19 page", True),
    ("capitals", {"maximum": 0}, "no Big words 42", True),
    ("capitals", {"minimum": 1}, "太阳 OK", True),
    ("case", {"case": "upper"}, "LOUD, 100 %!", True),
    ("case", {"case": "upper"}, "LOUd", False),
    ("case", {"case": "lower"}, "quiet, straße 5", True),
    ("case", {"case": "lower"}, "quiet Ⓐ", False),
    ("case", {"case": "lower"}, "太阳 42", False),  # nothing there has a case
    ("case", {"case": "upper"}, "\u01c5", False),  # a title-case letter is neither
    ("no_commas", {}, "one; two. 三！", True),
    ("no_commas", {}, "one, two", False),
    ("no_commas", {}, "一，二", False),
    ("no_commas", {}, "一、二", False),
    # -- marks
    ("placeholders", {"minimum": 2}, "[name] lives in [city]", True),
    ("placeholders", {"minimum": 2}, "[name lives in [city]", False),
    ("placeholders", {"minimum": 1}, "[over\ntwo lines]", False),
    ("highlights", {"minimum": 3}, "*a* and **b** and *c d*", True),
    ("highlights", {"minimum": 1}, "* a\n* b", False),
    ("highlights", {"minimum": 1}, "** ** and * *", False),
    ("sections", {"splitter": "SECTION", "minimum": 2}, "SECTION 1\na\nSECTION 2\nb", True),
    ("sections", {"splitter": "SECTION", "minimum": 2}, "SECTION1\na\nSECTION \n2. b\nSECTION\n3", False),
    ("sections", {"splitter": "SECTION", "minimum": 2}, "Section 1\na\nSection 2\nb", False),
    ("sections", {"splitter": "Part (", "minimum": 1}, "Part (1", True),
    ("sections", {"splitter": "第", "minimum": 2}, "第1部分……第2部分", True),
    ("title", {}, "<<On the sun>>\ntext", True),
    ("title", {}, "<< >> text", False),
    ("title", {}, "<<On\nthe sun>>", False),
    ("title", {}, ">>no<<", False),
    ("postscript", {"marker": "P.S."}, "Bye.\n\np. s. One more thing", True),
    ("postscript", {"marker": "P.P.S"}, "Bye.\nP.P.S. Well", True),
    ("postscript", {"marker": "P.P.S"}, "Bye.\nP.S. Well", False),
    ("postscript", {"marker": "附："}, "再见。\n附：还有一件事", True),
    ("quoted", {}, ' "all of it"\n', True),
    ("quoted", {}, "“全部”", True),
    ("quoted", {}, '"mixed”', False),
    ("quoted", {}, '"', False),
    ("quoted", {}, 'He said "so"', False),
    # -- several answers, repetition
    ("responses", {}, "yes\n******\nno", True),
    ("responses", {}, "******yes******no******", True),
    ("responses", {}, "yes\n******\nyes ", False),
    ("responses", {}, "yes ****** no ****** maybe", False),
    ("responses", {}, "yes ************ no", False),
    ("responses", {"number": 3}, "yes ****** no ****** maybe", True),
    ("repeats", {"text": "Why?\nSay why."}, "WHY?\r\nsay why. Because.", True),
    ("repeats", {"text": "Why?"}, "Because: Why?", False),
    # -- grammars and scripts
    ("grammar", {"grammar": SUM}, "12+3\n", True),
    ("grammar", {"grammar": SUM}, "12+", False),
    ("grammar", {"grammar": SUM}, "12-3", False),
    ("grammar", {"grammar": SUM}, "", False),
    ("grammar", {"grammar": 'start: "é" /[一-龥]+/ "\\n"'}, "é好的\n", True),
    ("grammar", {"grammar": 'start: %json {"type": "array"}'}, "[1, 2]", True),
    ("script", {"script": "Latin"}, "Straße 5, déjà vu!", True),
    ("script", {"script": "Latin"}, "the letter а is Cyrillic here", False),
    ("script", {"script": "Han"}, "太阳能，42 ☀", True),
    ("script", {"script": "Han"}, "太阳能 solar", False),
    ("script", {"script": "Katakana"}, "コーヒー", True),  # ー belongs to two scripts
    ("script", {"script": "Han"}, "42", True),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "parameters", "text", "expected"), CASES)
def test_verdicts(kind: str, parameters: dict[str, Any], text: str, expected: bool) -> None:
    verdict = check(kind, text, **parameters)
    assert verdict.satisfied is expected, verdict.reason
    assert (verdict.fraction == 1.0) is expected
    assert 0.0 <= verdict.fraction <= 1.0
    assert verdict.reason


def test_every_other_kind_is_tried_here_both_ways() -> None:
    outcomes = {(kind, expected) for kind, _, _, expected in CASES if kind not in TRIED_ELSEWHERE}
    assert outcomes == {
        (kind, expected) for kind in REQUIREMENTS.keys() - TRIED_ELSEWHERE for expected in (True, False)
    }


@pytest.mark.parametrize(
    ("kind", "parameters", "text", "reason"),
    [
        ("words", {"maximum": 1, "definition": "runs"}, "a b", "2 words (each run of letters or digits is one), at most 1 expected"),
        ("keywords", {"all": ["sun"], "times": 0, "maximum": 1}, "sun sun", 'mentions "sun" twice; at most once expected'),
        ("keywords", {"all": ["sun"], "times": 0, "maximum": 0}, "sun", 'mentions "sun" once; never expected'),
        ("keywords", {"all": ["sun"], "times": 0, "maximum": 0}, "", 'mentions "sun" never'),
        ("keywords", {"all": ["sun"], "times": 2, "maximum": 3}, "sun", 'mentions "sun" once; 2 to 3 times expected'),
        ("keywords", {"all": ["sun", "wind"], "in_order": True}, "wind sun", 'does not mention "wind" after "sun"'),
        ("tokens", {"maximum": 3}, "a", "at most 3 tokens expected; tokens are counted while the model writes, a text alone does not tell"),
        ("paragraphs", {"exactly": 2, "separator": "stars"}, "a", "1 paragraph (separated by ***), exactly 2 expected"),
        ("paragraphs", {"exactly": 2, "separator": "stars"}, "a ****** b", "nothing stands between two dividers ***"),
        ("paragraph_start", {"paragraphs": 1, "paragraph": 1, "word": "sun"}, "Wind.", '1 paragraph, exactly 1 expected; paragraph 1 begins with "Wind.", "sun" expected'),
        ("letters", {"letter": "e", "minimum": 2}, "e", 'the letter "e" occurs 1 time, at least 2 expected'),
        ("case", {"case": "lower"}, "aB", "1 letter is not in lower case"),
        ("no_commas", {}, "a,b，c", "2 commas, none expected"),
        ("placeholders", {"minimum": 2}, "[a]", "1 placeholder, at least 2 expected"),
        ("quoted", {}, '"a', "no matching double quotation marks at the end"),
        ("responses", {}, "a", "1 different answer between dividers ******, 2 expected"),
        ("repeats", {"text": "Name two things."}, "Name three things.", 'has "hree things." where "wo things." of the text to repeat is expected'),
        ("grammar", {"grammar": SUM}, "1+x", 'the grammar does not allow "x" at byte 3'),
        ("grammar", {"grammar": SUM}, "1+", '"1+" is not complete by the grammar'),
        ("script", {"script": "Han"}, "太阳 ab", '2 letters are not in Han script: "ab"'),
    ],
)  # fmt: skip
def test_reasons_are_in_the_words_of_who_asked(kind: str, parameters: dict[str, Any], text: str, reason: str) -> None:
    assert check(kind, text, **parameters).reason == reason


@pytest.mark.parametrize(
    ("kind", "parameters", "better", "worse"),
    [
        ("keywords", {"all": ["sun"], "times": 0, "maximum": 1}, "sun sun", "sun sun sun"),
        ("keywords", {"all": ["a", "b", "c"], "in_order": True}, "a b", "a c"),
        ("paragraphs", {"exactly": 3}, "a\n\nb", "a"),
        ("paragraphs", {"exactly": 2, "separator": "stars"}, "a ****** b", "a"),
        ("paragraph_start", {"paragraphs": 2, "paragraph": 1, "word": "sun"}, "Sun.", "Wind."),
        ("letters", {"letter": "e", "minimum": 3}, "ee", "e"),
        ("capitals", {"minimum": 3}, "A B", "A b"),
        ("case", {"case": "upper"}, "LOUd", "loud"),
        ("no_commas", {}, "a,b", "a,b,c"),
        ("placeholders", {"minimum": 3}, "[a] [b]", "[a]"),
        ("highlights", {"minimum": 3}, "*a* *b*", "*a*"),
        ("sections", {"splitter": "PART", "minimum": 3}, "PART 1 PART 2", "PART 1"),
        ("title", {}, "<<>>", "title"),
        ("postscript", {"marker": "P.S."}, "PS more", "more"),
        ("quoted", {}, '"a', "a"),
        ("responses", {}, "a ****** b ****** c", "a ****** a"),
        ("repeats", {"text": "Name two things."}, "Name two persons.", "Name three."),
        ("grammar", {"grammar": SUM}, "1+1+1+x", "1+x"),
        ("script", {"script": "Han"}, "太阳太阳 a", "太阳 a"),
    ],
)  # fmt: skip
def test_the_fraction_grows_as_the_answer_comes_nearer(
    kind: str, parameters: dict[str, Any], better: str, worse: str
) -> None:
    near, far = check(kind, better, **parameters), check(kind, worse, **parameters)
    assert not near.satisfied
    assert not far.satisfied
    assert 0.0 <= far.fraction < near.fraction < 1.0


def test_who_knows_the_number_of_tokens_gets_a_verdict() -> None:
    tokens = parse(RequirementSpec("tokens", {"minimum": 2, "maximum": 4}))
    assert [tokens.verdict(number).satisfied for number in (1, 2, 4, 5)] == [False, True, True, False]  # type: ignore[attr-defined]
