"""What requirements say is read back as themselves: every kind, both languages, every wording, any values."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import LANGUAGES, NUM_WORDINGS, REQUIREMENTS, Language, parse, say_all
from heedful.requirements.language import NAMES
from heedful.requirements.reading import read_requirements
from heedful.requirements.reading.probes import templates
from heedful.requirements.scripts import SCRIPTS

# Either pair of a language's quotation marks must be free, or nobody can tell where a quotation ends.
WORDS = [
    "solar",
    "don't",
    "at least 5 words",
    "No commas.",
    'so-called "art"',
    "太阳能",
    "5 o'clock; (maybe)",
    "a “b” c",
    "用「逗号」",
    "[x] *y*",
    "Ünïcödé",
    "or",
    "和",
]
PHRASES = st.one_of(
    st.sampled_from(WORDS),
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z", "M"), exclude_characters="\"“”「」"), min_size=1, max_size=12),
)  # fmt: skip
LISTS = st.lists(PHRASES, min_size=1, max_size=4, unique_by=str.casefold)
NUMBERS = st.integers(1, 999_999)
SMALL = st.integers(1, 1000)


def _counts(**more: Any) -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(NUMBERS, NUMBERS).map(sorted)
    return st.one_of(
        st.integers(0, 999_999).map(lambda n: {"exactly": n, **more}),
        NUMBERS.map(lambda n: {"minimum": n, **more}),
        NUMBERS.map(lambda n: {"maximum": n, **more}),
        bounds.map(lambda pair: {"minimum": pair[0], "maximum": pair[1], **more}),
    )


OFTEN = st.one_of(
    st.just({}),
    SMALL.map(lambda n: {"times": n}),
    st.integers(0, 1000).map(lambda n: {"times": 0, "maximum": n}),
    st.tuples(SMALL, SMALL).map(sorted).map(lambda pair: {"times": pair[0], "maximum": pair[1]}),
)
MATCHES: list[dict[str, Any]] = [{}, {"match": "word"}, {"match": "substring"}, {"match": "exact"}]
MATCH = st.sampled_from(MATCHES)
JSON = st.recursive(
    st.one_of(st.integers(0, 99), st.text(max_size=8)), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
VALUES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    **{kind: _counts() for kind in ("characters", "sentences", "capitals", "tokens")},
    "words": st.one_of(_counts(), _counts(definition="runs")),
    "bullets": st.one_of(_counts(), _counts(definition="markdown")),
    "paragraphs": st.one_of(_counts(), _counts(separator="stars")),
    "letters": st.tuples(_counts(), st.sampled_from("aéЖ漢!#9")).map(lambda pair: {**pair[0], "letter": pair[1]}),
    "keywords": st.one_of(
        st.tuples(LISTS, OFTEN, MATCH).map(lambda t: {"all": t[0], **t[1], **t[2]}),
        st.tuples(LISTS, OFTEN).map(lambda t: {"all": t[0], **t[1], "inflections": True}),
        st.tuples(LISTS, MATCH).map(lambda t: {"all": t[0], "in_order": True, **t[1]}),
        st.tuples(LISTS, SMALL, MATCH).map(lambda t: {"any": t[0], "times": t[1], **t[2]}),
    ),
    "forbidden": st.tuples(LISTS, MATCH).map(lambda t: {"words": t[0], **t[1]}),
    **{kind: st.tuples(PHRASES, st.booleans()).map(lambda t: {"text": t[0], "loose": t[1]}) for kind in ("starts_with", "ends_with")},
    "choice": LISTS.map(lambda phrases: {"options": phrases}),
    "json_schema": st.tuples(JSON, st.booleans()).map(lambda t: {"schema": {"const": t[0]}, "allow_code_fence": t[1]}),
    "regex": st.tuples(st.sampled_from([r"\d{3}", "a|b. c", "[\"'](x)", "太+"]), st.sampled_from(["full", "search"])).map(lambda t: {"pattern": t[0], "match": t[1]}),
    "language": st.sampled_from(sorted(NAMES)).map(lambda code: {"language": code}),
    "script": st.sampled_from(sorted(SCRIPTS)).map(lambda name: {"script": name}),
    "case": st.sampled_from(["upper", "lower"]).map(lambda case: {"case": case}),
    **{kind: st.just({}) for kind in ("no_commas", "title", "quoted")},
    "responses": st.integers(2, 20).map(lambda number: {"number": number}),
    **{kind: SMALL.map(lambda n: {"minimum": n}) for kind in ("placeholders", "highlights")},
    "sections": st.tuples(PHRASES, SMALL).map(lambda t: {"splitter": t[0], "minimum": t[1]}),
    "postscript": st.sampled_from(["P.S.", "P.P.S", "附言"]).map(lambda marker: {"marker": marker}),
    "repeats": st.sampled_from(["Write a poem.", "Two lines,\n\nsay \"hi\" and 'bye'."]).map(lambda text: {"text": text}),
    "paragraph_start": st.tuples(st.tuples(SMALL, SMALL).map(sorted), PHRASES).map(lambda t: {"paragraph": t[0][0], "paragraphs": t[0][1], "word": t[1]}),
    "grammar": st.sampled_from(['start: "yes" | "no"', 'start: a+\na: /[a-z ]/ "."']).map(lambda grammar: {"grammar": grammar}),
}  # fmt: skip
INSTRUCTIONS = ["Explain why the sky is blue.", 'Write a letter to a friend about "Moby Dick"', "讲讲月亮。", ""]


def meaning(spec: RequirementSpec) -> Any:
    """The spec as its class reads it, with defaults filled in and what is said alike made equal."""
    values = parse(spec).model_dump()  # type: ignore[attr-defined]
    low, high = values.get("minimum"), values.get("maximum")
    if "exactly" in values:
        if low is not None and low == high:
            values |= {"exactly": low, "minimum": None, "maximum": None}
        elif high == 0:
            values |= {"exactly": 0, "minimum": None, "maximum": None}
        elif low == 0:
            values["minimum"] = None
    if values.get("any") is not None and len(values["any"]) == 1:
        values |= {"all": values["any"], "any": None}
    return spec.kind, values


def valid(kind: str, values: dict[str, Any]) -> RequirementSpec:
    spec = RequirementSpec(kind, values)
    try:
        parse(spec)
    except RequirementError:
        assume(False)
    return spec


def test_every_kind_is_tried() -> None:
    assert VALUES.keys() == REQUIREMENTS.keys()


def test_every_kind_and_wording_has_a_template_that_begins_with_words() -> None:
    # Reading looks for the words that a sentence begins with, so it must begin with some.
    seen = {(one.spec.kind, one.language, one.wording) for group in templates().values() for one in group}
    wanted = {
        (kind, language, wording) for kind in REQUIREMENTS for language in LANGUAGES for wording in range(NUM_WORDINGS)
    }
    assert wanted <= seen
    assert min(map(len, templates())) >= 1


@pytest.mark.parametrize("kind", VALUES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data())
def test_a_sentence_is_read_as_what_says_it(kind: str, data: st.DataObject) -> None:
    spec = valid(kind, data.draw(VALUES[kind]))
    instruction = data.draw(st.sampled_from(INSTRUCTIONS))
    for language in LANGUAGES:
        for wording in range(NUM_WORDINGS):
            sentence = parse(spec).say(language, wording)
            text = f"{instruction} {sentence}" if language == "en" else instruction + sentence
            read = read_requirements(text)
            assert [meaning(found.spec) for found in read] == [meaning(spec)], text
            assert text[read[0].start : read[0].end] == sentence


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data(), language=st.sampled_from(LANGUAGES), seed=st.integers(0, 10_000))
def test_several_sentences_are_read_in_their_order(data: st.DataObject, language: Language, seed: int) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5, unique=True))
    specs = [valid(kind, data.draw(VALUES[kind])) for kind in kinds]
    instruction = data.draw(st.sampled_from(INSTRUCTIONS))
    text = instruction + " " * bool(instruction) + say_all(specs, language, rng=random.Random(seed))
    assert [meaning(found.spec) for found in read_requirements(text)] == [meaning(spec) for spec in specs], text


@example("no more than 9 words")
@given(st.sampled_from(WORDS))
def test_what_a_phrase_says_is_not_required(phrase: str) -> None:
    spec = RequirementSpec("keywords", {"all": [f"Use at most 9 words. {phrase}"]})
    text = parse(spec).say("en", 0)
    assert [meaning(found.spec) for found in read_requirements(text)] == [meaning(spec)]


def test_a_sentence_within_quotation_marks_is_not_said() -> None:
    sentence = parse(RequirementSpec("words", {"maximum": 9})).say("en", 0)
    assert read_requirements(f'Translate "{sentence}" into French.') == ()
