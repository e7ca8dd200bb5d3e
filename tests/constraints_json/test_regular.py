"""Patterns followed character by character say what the `regex` package says, and know the way to a match."""

from __future__ import annotations

import pytest
import regex
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from heedful.constraints.regular import Regular

ATOMS = [
    "a", "b", "_", "7", "é", "中", " ", ".", "\\d", "\\w", "\\s", "\\D", "\\W", "\\S", "\\n", "\\.", "[ab]", "[^a]", "[a-c7]", "[\\w-]", "[^\\W\\d]",
    "[\\s\\S]", "^", "$", "\\A", "\\Z", "\\b", "\\B", "\u0301", "²", "[^\\n]", "\\x61", "\\u4e2d", "[]a]", "-", ",", "\\{", "}",
]  # fmt: skip
COUNTS = ["*", "+", "?", "{2}", "{1,2}", "{,2}", "{1,}", "*?", "+?", "??", "{0}", "{0,1}?"]
patterns = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(COUNTS)).map(lambda pair: f"({pair[0]}){pair[1]}"),
    ),
    max_leaves=8,
)
texts = st.text(alphabet="ab_7é中 \n.-²\u0301c,{}", max_size=6)
thorough = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def compiled(pattern: str, mode: str) -> Regular | None:
    try:
        return Regular(pattern, mode)  # type: ignore[arg-type]
    except ValueError as error:
        assume("no text was found" in str(error))
        return None


def matches(pattern: str, mode: str, text: str) -> bool:
    found = regex.compile(pattern)
    return (found.fullmatch if mode == "full" else found.search)(text) is not None


@thorough
@given(patterns, st.sampled_from(["full", "search"]), st.lists(texts, max_size=8))
def test_it_matches_what_the_package_matches(pattern: str, mode: str, several: list[str]) -> None:
    machine = compiled(pattern, mode)
    if machine is None:
        assert not any(matches(pattern, mode, text) for text in ["", *several])
        return
    for text in several:
        state = machine.step(machine.start(), text)
        found = state is not None and machine.accepts(state)
        assert found == matches(pattern, mode, text), (pattern, mode, text)


@thorough
@given(patterns, st.sampled_from(["full", "search"]), texts, st.integers(0, 5))
def test_it_always_knows_the_rest(pattern: str, mode: str, text: str, least: int) -> None:
    machine = compiled(pattern, mode)
    if machine is None:
        return
    state = machine.step(machine.start(), text)
    by_character = machine.start()
    for character in text:
        by_character = machine.step(by_character, character) if by_character is not None else None  # type: ignore[assignment]
    assert by_character is state
    if state is None:
        return
    rest = machine.shortest_rest(state)
    assert rest is not None
    assert matches(pattern, mode, text + rest)
    # Nothing shorter does, as far as a few characters can show it.
    if len(rest) == 1:
        assert not matches(pattern, mode, text)
    longer = machine.shortest_rest(state, least)
    if longer is not None:
        assert len(longer) >= least
        assert matches(pattern, mode, text + longer)
    for other in [rest for rest, _ in zip(machine.rests(state), range(5), strict=False)]:
        assert matches(pattern, mode, text + other)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a(?=b)", "look-around"), ("(?<!a)b", "look-around"), (r"(a)\1", "back-references"), ("(?>a)b", "atomic groups"), ("a++", "possessive"),
        ("(?i)a", "inline flags"), ("(?i:a)", "inline flags"), ("[[:alpha:]]", "POSIX"), ("(?:a){e<=1}", "fuzzy"), (r"\p{L}", "bad escape"),
        ("[^a]|[^b]", "each exclude one character"), ("(", "not a valid regular expression"), (r"a\bb", "no text was found"), ("(?:a{900}){900}", "too large"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused_in_words(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Regular(pattern)


def test_a_text_that_cannot_match_is_left_at_once() -> None:
    machine = Regular(r"^\d{4}-\d{2}$", "search")
    assert machine.step(machine.start(), "20a") is None
    state = machine.step(machine.start(), "2024")
    assert state is not None
    assert machine.shortest_rest(state) == "-00"
    assert machine.shortest_rest(state, most=2) is None


def test_a_dollar_lets_one_line_break_follow() -> None:
    machine = Regular("a$", "search")
    state = machine.step(machine.start(), "a\n")
    assert state is not None
    assert machine.accepts(state)
    # "a\nb" holds no match: the line break was not the last character.
    after = machine.step(state, "b")
    assert after is not None
    assert machine.shortest_rest(after) == "a"
