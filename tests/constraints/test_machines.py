"""Machines against the requirements that they enforce: what a machine accepts, `check` accepts; pieces are as good as the whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heedful.constraints.edges import BlocksPart, LoneMarksPart, PlainPart, Restraint
from heedful.constraints.kinds import BUILDERS
from heedful.records import RequirementSpec
from heedful.requirements import REQUIREMENTS, parse

SPECS = [
    ("words", {"minimum": 2, "maximum": 6}),
    ("words", {"exactly": 3, "definition": "runs"}),
    ("characters", {"minimum": 3, "maximum": 20}),
    ("sentences", {"minimum": 1, "maximum": 3}),
    ("paragraphs", {"exactly": 2}),
    ("paragraphs", {"exactly": 2, "separator": "stars"}),
    ("bullets", {"minimum": 1}),
    ("capitals", {"minimum": 1, "maximum": 2}),
    ("letters", {"letter": "e", "maximum": 2}),
    ("keywords", {"all": ["cat", "solar"]}),
    ("keywords", {"all": ["cat"], "times": 1, "maximum": 2}),
    ("keywords", {"any": ["cat", "3"], "times": 2}),
    ("keywords", {"all": ["aba"], "match": "substring", "times": 2}),
    ("keywords", {"all": ["Cat"], "match": "exact"}),
    ("keywords", {"all": ["cat", "run"], "in_order": True}),
    ("keywords", {"all": ["run"], "inflections": True}),
    ("keywords", {"all": ["太阳", "风"]}),
    ("forbidden", {"words": ["cat", "风", "to be"]}),
    ("starts_with", {"text": "Yes"}),
    ("ends_with", {"text": "the end."}),
    ("repeats", {"text": "Say it"}),
    ("choice", {"options": ["yes", "no way"]}),
    ("case", {"case": "lower"}),
    ("no_commas", {}),
    ("script", {"script": "Han"}),
    ("language", {"language": "zh"}),
    ("placeholders", {"minimum": 1}),
    ("highlights", {"minimum": 1}),
    ("sections", {"splitter": "PART", "minimum": 2}),
    ("title", {}),
    ("postscript", {"marker": "P.S."}),
    ("quoted", {}),
    ("responses", {}),
    ("paragraph_start", {"paragraphs": 2, "paragraph": 2, "word": "Then"}),
    ("regex", {"pattern": r"[a-z]+ \d{2}", "match": "full"}),
    ("regex", {"pattern": r"\bcat\b", "match": "search"}),
    ("json_schema", {"schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}}),
    ("grammar", {"grammar": 'start: "yes" | "no"'}),
    ("tokens", {"maximum": 5}),
]
_SPACED = (
    "cat Cat cats category solar run running aba ababa Yes no way PART to be 3 3.14 e E [name] *so* <<a>> P.S. *** ****** Then"
    " 太阳 风 好 。 ， . , ! ? ... Dr. etc. ' \" - _ é don't well-known 1 } 一 1,000 12:30 JSON"
)
_WORDS = st.sampled_from(
    [*_SPACED.split(), "the end.", "PART 1", "PART 2", "- one", "Say it", '{"a":', "\n", "\n\n", " ", "  "]
)
_TEXTS = st.lists(st.tuples(_WORDS, st.sampled_from(["", " ", "\n", "\n\n"])).map("".join), max_size=14).map("".join)


def machines(spec: RequirementSpec) -> list[Any]:
    parts, forms = BUILDERS[type(parse(spec))](parse(spec))
    return [*parts, *forms, PlainPart()]


def read(machine: Any, pieces: list[str]) -> Any:
    state = machine.start()
    for piece in pieces:
        state = machine.step(state, piece)
        if state is None:
            return None
    return state


def test_every_kind_has_machines() -> None:
    assert set(BUILDERS) == set(REQUIREMENTS.values())
    assert {kind for kind, _ in SPECS} == set(REQUIREMENTS), "a kind is not tested here"


@pytest.mark.parametrize(("kind", "parameters"), SPECS, ids=lambda value: str(value)[:40])
@settings(max_examples=150, deadline=None)
@given(text=_TEXTS, data=st.data())
def test_what_is_accepted_keeps_the_requirement(kind: str, parameters: dict[str, Any], text: str, data: Any) -> None:
    spec = RequirementSpec(kind, parameters)
    states = [(machine, read(machine, [text])) for machine in machines(spec)]
    if all(state is not None and machine.accepts(state) for machine, state in states):
        assert parse(spec).check(text).satisfied, parse(spec).check(text).reason


@pytest.mark.parametrize(("kind", "parameters"), SPECS, ids=lambda value: str(value)[:40])
@settings(max_examples=100, deadline=None)
@given(text=_TEXTS, data=st.data())
def test_pieces_are_read_as_the_whole(kind: str, parameters: dict[str, Any], text: str, data: Any) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for machine in machines(RequirementSpec(kind, parameters)):
        whole, cut = read(machine, [text]), read(machine, pieces)
        assert (whole is None) == (cut is None)
        if whole is not None:
            assert machine.accepts(whole) == machine.accepts(cut)


@pytest.mark.parametrize("text", ["cat cat the end.太阳", "a b太c d阳", "太 阳end"])
def test_words_are_counted_alike_wherever_a_piece_ends(text: str) -> None:
    # One word too many is noticed at the same character, whether it comes alone or with what was before.
    for high in range(1, 8):
        for machine in machines(RequirementSpec("words", {"maximum": high})):
            for cut in range(len(text) + 1):
                whole, pieces = read(machine, [text]), read(machine, [text[:cut], text[cut:]])
                assert (whole is None) == (pieces is None), (high, cut)


# What is satisfied is accepted, too, for kinds that have one way to be written: else nothing but plans would be left.
COMPLETE = [
    spec for spec in SPECS if spec[0] in {"words", "characters", "keywords", "forbidden", "letters", "capitals"}
]


@pytest.mark.parametrize(("kind", "parameters"), COMPLETE, ids=lambda value: str(value)[:40])
@settings(max_examples=150, deadline=None)
@given(text=_TEXTS)
@example("cat's 3.14 cat")
@example("太阳风3cat")
def test_what_keeps_the_requirement_is_accepted(kind: str, parameters: dict[str, Any], text: str) -> None:
    spec = RequirementSpec(kind, parameters)
    if parse(spec).check(text).satisfied:
        for machine in machines(spec):
            state = read(machine, [text])
            assert state is not None
            assert machine.accepts(state)


@pytest.mark.parametrize("text", ["a\u200bb", "\x07", "e\u0301", "\u202e", "\ufffd", "a\u0323\u0302", chr(0xD83D)])
def test_what_cannot_be_seen_or_is_not_composed_is_refused(text: str) -> None:
    assert read(PlainPart(), list(text)) is None
    assert read(PlainPart(), ["x", text]) is None


@pytest.mark.parametrize("text", ["é ü 한국어 हिन्दी 😀 👨‍👩‍👧 中文，标点。", "tab\n\nlines", "naïve"])
def test_what_people_write_is_plain(text: str) -> None:
    assert read(PlainPart(), list(text)) is not None


@pytest.mark.parametrize("text", ['so\n"\n', "*\n", "a\n * \nb", "-\n", "。\n"])
def test_lines_of_one_mark_are_refused(text: str) -> None:
    assert read(LoneMarksPart(), [text]) is None
    assert read(LoneMarksPart(), list(text)) is None


@pytest.mark.parametrize("text", ["***\n", "- a\n", "}\n", "(\n)\n", 'so\n"', "1\n", "--\n", "...\n", "\n\n"])
def test_other_lines_may_stand(text: str) -> None:
    assert read(LoneMarksPart(), [text]) is not None
    assert read(LoneMarksPart(), list(text)) is not None


def test_an_empty_item_may_not_be_the_last_line() -> None:
    items = LoneMarksPart(lists_only=True)
    for text, is_right in (("- a\n-", False), ("- a\n* \u00a0", False), ("- a\n- b", True), ('- a\n"', True)):
        state = read(items, [text])
        assert items.accepts(state) is is_right, text
        assert (items.needs(state).units == ()) is is_right


@pytest.mark.parametrize(
    ("text", "accepted"),
    [("a\n\nb", True), ("", True), ("a\n\n", True), ('a\n\n"', False), ('"\n\na', None), ("a\n\n---\n\nb", None), ('"\na', True)],
)  # fmt: skip
def test_blocks_have_a_word(text: str, accepted: bool | None) -> None:
    for pieces in ([text], list(text)):
        state = read(BlocksPart(), pieces)
        assert (None if state is None else BlocksPart().accepts(state)) is accepted


def test_restraint_ends_runs_of_marks_and_blanks() -> None:
    restraint = Restraint(0)
    for text in ("a" + "!" * 7, "a\n\n\n", "a" + " " * 30, "a \n! \n! \n! \n! \n! \n! \n!"):
        assert read(restraint, [text]) is None, text
    assert read(restraint, ['He said: "Go!"\n\n- **one**\n- (two)']) is not None
    assert read(Restraint(40), ["*" * 40]) is not None
