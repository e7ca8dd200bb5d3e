"""Every kind looks at the same text: what cannot be seen fills nothing, hides nothing and breaks no line. Words end where readers end them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.records import RequirementSpec
from heedful.requirements import REQUIREMENTS, Verdict, conflicts, parse, satisfied
from heedful.requirements.matching import within_word
from heedful.requirements.requirement import as_read
from heedful.text import normalize
from requirement_examples import EXAMPLES

ZERO_WIDTH = "\u200b"
AS_IT_IS = ("json_schema", "regex", "grammar", "tokens")
"""Kinds that look at the text byte for byte."""


def check(kind: str, text: str, /, **parameters: Any) -> Verdict:
    return parse(RequirementSpec(kind, parameters)).check(text)


def test_an_answer_is_not_padded_with_what_cannot_be_seen() -> None:
    # "Yes" with seventeen zero-width spaces passed `choice`, which left them out, and `characters`, which counted them.
    specs = [RequirementSpec("choice", {"options": ["Yes", "No"]}), RequirementSpec("characters", {"minimum": 20})]
    assert not satisfied(specs, "Y" + ZERO_WIDTH * 17 + "es")
    assert len(conflicts(specs)) == 1


@pytest.mark.parametrize(
    ("kind", "parameters", "text"),
    [
        ("words", {"minimum": 3}, f"pass{ZERO_WIDTH}wo{ZERO_WIDTH}rd"),
        ("words", {"minimum": 3, "definition": "runs"}, f"pass{ZERO_WIDTH}wo{ZERO_WIDTH}rd"),
        ("words", {"minimum": 1}, "\x1b[31m"),  # the colour red, for a terminal
        ("characters", {"minimum": 5}, "cafe\u0301"),  # é is one character, however it is written
        ("sentences", {"minimum": 3}, f"One.{ZERO_WIDTH} Two.\u2060 \ufeff"),
        ("paragraphs", {"minimum": 2, "separator": "stars"}, f"one *** {ZERO_WIDTH}"),
        ("letters", {"letter": "e", "minimum": 1}, "e\u0301"),
        ("capitals", {"minimum": 2}, f"NA{ZERO_WIDTH}SA"),
        ("placeholders", {"minimum": 1}, f"[one{ZERO_WIDTH}"),
        ("highlights", {"minimum": 1}, f"*{ZERO_WIDTH}*"),
        ("title", {}, f"<<{ZERO_WIDTH}>>"),
        ("responses", {}, f"same******sa{ZERO_WIDTH}me"),
        ("case", {"case": "upper"}, ZERO_WIDTH),
        ("language", {"language": "en"}, ZERO_WIDTH),
        ("forbidden", {"words": ["very"]}, f"ve{ZERO_WIDTH}ry"),
    ],
)
def test_what_cannot_be_seen_fills_nothing_and_hides_nothing(kind: str, parameters: dict[str, Any], text: str) -> None:
    verdict = check(kind, text, **parameters)
    assert not verdict.satisfied, verdict.reason


_SEEN = st.text(st.sampled_from(list("aB好é.,!?-* \n'\"[]<>1_")), max_size=40)
_UNSEEN = st.sampled_from(["\u200b", "\u2060", "\ufeff", "\u00ad", "\u202e", "\x00"])


@given(st.sampled_from(sorted(REQUIREMENTS.keys() - set(AS_IT_IS))), _SEEN, st.data())
def test_an_invisible_character_changes_no_verdict(kind: str, text: str, data: st.DataObject) -> None:
    requirement = parse(RequirementSpec(kind, EXAMPLES[kind]))
    place = data.draw(st.integers(0, len(text)))
    hidden = text[:place] + data.draw(_UNSEEN) + text[place:]
    assert requirement.check(hidden) == requirement.check(text)


@given(st.one_of(st.text(), _SEEN))
def test_the_short_ways_give_what_the_long_one_gives(text: str) -> None:
    assert as_read(text) == normalize(text.translate({0x85: " ", 0x2028: " ", 0x2029: " "}))


def test_programs_read_to_the_byte() -> None:
    assert not check("json_schema", "\ufeff1", schema=True).satisfied
    assert not check("regex", f"a{ZERO_WIDTH}b", pattern="ab", match="full").satisfied
    assert check("regex", f"a{ZERO_WIDTH}b", pattern=f"a{ZERO_WIDTH}b", match="full").satisfied


def test_a_line_separator_inside_a_json_string_begins_no_line() -> None:
    # JSON takes U+2028 as it is inside a string: it made a bullet point of what no program shows as a line.
    specs = [RequirementSpec("json_schema", {"schema": True}), RequirementSpec("bullets", {"minimum": 1})]
    for separator in ("\u2028", "\u2029", "\x85"):
        answer = f'{{"a": "x{separator}- y"}}'
        assert parse(specs[0]).check(answer).satisfied
        assert not parse(specs[1]).check(answer).satisfied
    assert conflicts(specs) == ["at least 1 bullet point and JSON, whose lines cannot begin with such a mark"]


# -- combining marks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        ("दी", "हिन्दी", 0),  # the last sign of हिन् is a virama, and the word goes on behind it
        ("दी", "दी हिन्दी दी।", 2),
        ("हि", "हिन्दी", 0),
        ("हिन्दी", "वह हिन्दी बोलता है", 1),
        ("কাল", "সকাল", 0),
        ("কা", "টাকা", 0),  # behind a vowel sign
        ("คน", "ที่คน", 1),  # Thai writes no spaces: marks of one character do not bind the next
        ("خواهم", "می\u200cخواهم", 0),  # counted as one word, so it is none within
        ("e", "e\u0301e", 0),  # ée
    ],
)
def test_a_word_goes_on_behind_a_combining_mark(word: str, text: str, expected: int) -> None:
    assert check("keywords", text, all=[word], times=max(expected, 1)).satisfied is (expected > 0)
    assert check("forbidden", text, words=[word]).satisfied is (expected == 0)


def test_marks_that_sit_on_nothing_bind_nothing() -> None:
    assert not within_word("\u0301a", 1)
    assert not within_word(" \u0301a", 2)
    assert within_word("a\u0301\u0301\u0301a", 4)


# -- letters that fold to several ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "text"), [("office", "o\ufb03ce"), ("gross", "groß"), ("STRASSE", "Straße")])
def test_a_letter_that_stands_for_several_is_found_and_refused_all_the_same(word: str, text: str) -> None:
    # A reader sees "office", and a forbidden word must not pass as a ligature. So the conflict below holds for what
    # people mean, not for every string: see the top of conflicts.py.
    specs = [RequirementSpec("keywords", {"all": [word]}), RequirementSpec("characters", {"exactly": len(text)})]
    assert satisfied(specs, text)
    assert not check("forbidden", text, words=[word]).satisfied
    assert conflicts(specs)


def test_a_number_is_in_two_languages_and_yet_they_are_refused_together() -> None:
    specs = [RequirementSpec("language", {"language": code}) for code in ("en", "zh")]
    assert satisfied(specs, "42")
    assert conflicts(specs) == ["the answer in English and in Chinese"]
