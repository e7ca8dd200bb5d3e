"""Attacks on the kinds about letters, marks, paragraphs, grammars and scripts: hostile parameters, and monotonous answers.

The limits in seconds are loose, so that a busy machine does not fail them.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import parse

TEXTS: dict[str, dict[str, Any]] = {
    "keywords": {"all": ["VALUE"]},
    "forbidden": {"words": ["VALUE"]},
    "starts_with": {"text": "VALUE"},
    "ends_with": {"text": "VALUE"},
    "choice": {"options": ["VALUE", "no"]},
    "paragraph_start": {"paragraphs": 1, "paragraph": 1, "word": "VALUE"},
    "letters": {"letter": "VALUE", "minimum": 1},
    "sections": {"splitter": "VALUE", "minimum": 1},
    "postscript": {"marker": "VALUE"},
    "repeats": {"text": "VALUE"},
    "script": {"script": "VALUE"},
    "language": {"language": "VALUE"},
    "case": {"case": "VALUE"},
    "grammar": {"grammar": "VALUE"},
    "regex": {"pattern": "VALUE", "match": "full"},
}
"""One text of each kind that has any, to be replaced."""


def spec_with(kind: str, value: Any) -> RequirementSpec:
    def put(item: Any) -> Any:
        return value if item == "VALUE" else [put(part) for part in item] if isinstance(item, list) else item

    return RequirementSpec(kind, {name: put(item) for name, item in TEXTS[kind].items()})


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize(
    "value", ["", " ", "\n", "a" * 100_000, "\u0301", "\u200b", "\ufe0f", "\ud800", "\x00", "\u202e", 7, None, 10**400]
)
def test_hostile_texts_are_refused_soon(kind: str, value: Any) -> None:
    start = time.monotonic()
    with pytest.raises(RequirementError) as caught:
        parse(spec_with(kind, value))
        # Patterns and grammars may hold these, where a search finds them or not.
        assert kind in ("regex", "grammar", "repeats"), "it was taken"
        raise RequirementError(f"requirement {kind!r}: taken")
    assert time.monotonic() - start < 2.0
    assert f"requirement {kind!r}: " in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    "value", ["👨‍👩‍👧", "👍🏽", "é́", "q̃", "ʼ", "ß", "ﬁ", "{0}", "%s", "\\d", "[", "*", '"', "“a”", "ǅ"]
)
@pytest.mark.parametrize("kind", sorted(TEXTS.keys() - {"grammar", "regex", "script", "language", "case"}))
def test_odd_texts_are_refused_or_work(kind: str, value: str) -> None:
    try:
        requirement = parse(spec_with(kind, value))
    except RequirementError as error:
        assert kind in ("letters", "paragraph_start"), error  # noqa: PT017
        return
    assert value in requirement.say("en")
    assert value in requirement.say("zh", 1)
    for text in (value, f"{value} 1\n\n{value}", "", "nothing of the kind"):
        verdict = requirement.check(text)
        assert (verdict.fraction == 1.0) is verdict.satisfied


@pytest.mark.parametrize("name", ["minimum", "maximum", "exactly"])
@pytest.mark.parametrize("kind", ["words", "characters", "sentences", "bullets", "tokens", "paragraphs", "capitals"])
@pytest.mark.parametrize("value", [-1, 1.5, 10**9, 10**5000, float("inf"), "3", True], ids=range(7))
def test_hostile_numbers_are_refused(kind: str, name: str, value: Any) -> None:
    with pytest.raises(RequirementError, match=f"requirement '{kind}': {name} = "):
        parse(RequirementSpec(kind, {name: value}))


def test_too_many_phrases_are_refused() -> None:
    many = [f"word{number}" for number in range(10_000)]
    for kind, name in (("keywords", "all"), ("forbidden", "words"), ("choice", "options")):
        with pytest.raises(RequirementError, match=f"requirement '{kind}': {name} = "):
            parse(RequirementSpec(kind, {name: many}))


@pytest.mark.parametrize(
    "grammar",
    ["start: /((a{1000}){1000}){1000}/", "start: x{100000000}\nx: \"a\"", "start: " + '"a"? ' * 3900, "start: " + "(" * 9000,
     "start: start", "start: " + "a" * 30_000, "start: /(a|b)*a(a|b){2000}/", 'start: @other'],
)  # fmt: skip
def test_hostile_grammars_are_refused_or_end_soon(grammar: str) -> None:
    start = time.monotonic()
    try:
        parse(RequirementSpec("grammar", {"grammar": grammar})).check("ab" * 5000)
    except RequirementError as error:
        assert "requirement 'grammar': grammar = " in str(error)  # noqa: PT017
    assert time.monotonic() - start < 10.0


def test_an_ambiguous_grammar_is_given_up() -> None:
    verdict = parse(RequirementSpec("grammar", {"grammar": 'start: a\na: a a | "x" |'})).check("x" * 5000)
    assert verdict.reason.startswith("reading the answer by the grammar takes more than 1 s")
    assert verdict.fraction == 0.0


@pytest.mark.parametrize(
    "text",
    [" " * 50_000 + "x", "[" * 50_000, "<" * 50_000, "*" * 50_000, "[*<<" * 20_000, "a\n\n" * 20_000, "P. " * 20_000, '"' * 50_000,
     "\u0301" * 20_000, "a," * 20_000, "SECTION " * 10_000, "\ud800", "x" * 50_000, "x1" * 20_000, "run " * 20_000],
)  # fmt: skip
@pytest.mark.parametrize("spec", [
    RequirementSpec("words", {"maximum": 3, "definition": "runs"}),
    RequirementSpec("bullets", {"maximum": 3, "definition": "markdown"}),
    RequirementSpec("keywords", {"all": ["run", "x x"], "inflections": True}),
    RequirementSpec("keywords", {"all": ["x", "xx"], "in_order": True, "match": "exact"}),
    RequirementSpec("ends_with", {"text": "aaaaaaaaaaab", "loose": True}),
    RequirementSpec("paragraphs", {"exactly": 3}),
    RequirementSpec("paragraphs", {"exactly": 3, "separator": "stars"}),
    RequirementSpec("paragraph_start", {"paragraphs": 2, "paragraph": 1, "word": "xxxxxxxxxx"}),
    RequirementSpec("letters", {"letter": "x", "maximum": 3}),
    RequirementSpec("capitals", {"maximum": 3}),
    RequirementSpec("case", {"case": "upper"}),
    RequirementSpec("no_commas"),
    RequirementSpec("placeholders", {"minimum": 3}),
    RequirementSpec("highlights", {"minimum": 3}),
    RequirementSpec("sections", {"splitter": "SECTION", "minimum": 3}),
    RequirementSpec("title"),
    RequirementSpec("postscript", {"marker": "P. P. P. S."}),
    RequirementSpec("quoted"),
    RequirementSpec("responses"),
    RequirementSpec("repeats", {"text": "x" * 19_999 + "b"}),
    RequirementSpec("script", {"script": "Han"}),
    RequirementSpec("grammar", {"grammar": 'start: /.*/'}),
], ids=lambda spec: spec.kind)  # fmt: skip
def test_monotonous_answers_are_checked_soon(spec: RequirementSpec, text: str) -> None:
    start = time.monotonic()
    verdict = parse(spec).check(text)
    assert time.monotonic() - start < 5.0
    assert len(verdict.reason) < 300
