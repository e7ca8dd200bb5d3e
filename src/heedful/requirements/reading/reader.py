"""An instruction -> the requirements that it states, in the order in which it states them."""

from __future__ import annotations

from bisect import bisect_left

from heedful.errors import RequirementError
from heedful.requirements.reading import choices, formats, languages, lengths, letters, places, words_in_it
from heedful.requirements.reading.cutting import Passage, Sentence, fences, passage, quotations
from heedful.requirements.reading.found import Found
from heedful.requirements.reading.given import given_text
from heedful.requirements.reading.said import read_said
from heedful.requirements.registry import parse

RULES = (
    *lengths.RULES,
    *choices.RULES,
    *words_in_it.RULES,
    *letters.RULES,
    *places.RULES,
    *formats.RULES,
    *languages.RULES,
)


def read_requirements(instruction: str) -> tuple[Found, ...]:
    """The verifiable requirements that `instruction` states about its answer, in English or Chinese.

    Only what is said counts, and in doubt it was not said: quoted text, a text that is given to be worked on, examples,
    descriptions and questions state nothing.
    """
    said = _outside_quotations(instruction, read_said(instruction))
    cut = passage(instruction, [(found.start, found.end) for found in said])
    ruled = [found for sentence in cut.sentences for found in _read(cut, sentence)]
    everything = sorted(said + ruled, key=lambda found: (found.start, -found.end))
    return tuple(_once(_not_given(cut, everything), said))


def _read(cut: Passage, sentence: Sentence) -> list[Found]:
    return [found for rule in RULES if rule.concerns(sentence) for found in rule.read(cut, sentence) if _valid(found)]


def _valid(found: Found) -> bool:
    """Whether the spec can be parsed; the user may well ask for 0 placeholders."""
    try:
        parse(found.spec)
    except RequirementError:
        return False
    return True


def _outside_quotations(text: str, said: list[Found]) -> list[Found]:
    if not said:
        return []
    blank = list(text)
    for found in said:
        blank[found.start : found.end] = "x" * (
            found.end - found.start
        )  # a letter: marks next to it still open and close
    rest = "".join(blank)
    spans = sorted([*quotations(rest), *fences(rest)])
    starts = [start for start, _ in spans]
    return [found for found in said if not _inside(found.start, starts, spans)]


def _inside(place: int, starts: list[int], spans: list[tuple[int, int]]) -> bool:
    number = bisect_left(starts, place) - 1
    return number >= 0 and place < spans[number][1]


def _not_given(cut: Passage, everything: list[Found]) -> list[Found]:
    start, end = given_text(cut, everything)
    return [found for found in everything if not start <= found.start < end]


def _once(everything: list[Found], said: list[Found]) -> list[Found]:
    """Without repetitions, and without what a rule read from words that say something else."""
    exact = {(found.start, found.end) for found in said}
    totals = {found.spec.parameters["paragraphs"] for found in everything if found.spec.kind == "paragraph_start"}
    kept: dict[tuple[str, str], Found] = {}
    options_end = 0
    for found in everything:
        values = found.spec.parameters
        if (found.start, found.end) not in exact:
            # "Just say 'yes' or 'no'" names options, not words to use.
            if found.spec.kind == "keywords" and found.end <= options_end:
                continue
            # The first word of a paragraph is asked for together with the number of paragraphs.
            if found.spec.kind == "paragraphs" and values.get("exactly") in totals:
                continue
        if found.spec.kind == "choice" or "any" in values:
            options_end = max(options_end, found.end)
        kept.setdefault((found.spec.kind, repr(values)), found)
    return list(kept.values())
