"""What a text still needs for each kind that is checked as a whole: made from the text as it stands, as `Needs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heedful.constraints.machine import NOTHING, WORD, Item, Needs
from heedful.requirements.counts import Counted
from heedful.requirements.formats import QUOTATION_PAIRS, AtLeast, Postscript, Sections
from heedful.requirements.inflections import forms
from heedful.requirements.keywords import Keywords
from heedful.requirements.matching import prepare
from heedful.requirements.paragraphs import Paragraphs, ParagraphStart, paragraphs_of
from heedful.requirements.responses import DIVIDER, Responses

Wants = Callable[[str], Needs]


def _lacking(requirement: Counted, text: str) -> int:
    """How many more; below zero, how many too many."""
    number = requirement.count(text)
    if number < requirement.low:
        return requirement.low - number
    return min(0, requirement.high - number) if requirement.high is not None else 0


def units(unit: str) -> Callable[[Counted], Wants]:
    """Of a kind that counts: so many more units."""
    return lambda requirement: lambda text: Needs(units=((unit, _lacking(requirement, text)),))


def language(requirement: Any) -> Wants:
    """Words, whose voice is one of the language; as many as outweigh what is there."""
    return lambda text: Needs(units=(("words", 3 + len(text.split())),))


def paragraphs(requirement: Paragraphs) -> Wants:
    """Paragraphs behind blank lines, or behind dividers."""
    if requirement.separator == "blank_line":
        return units("paragraphs")(requirement)
    return lambda text: Needs(items=_divided(text, "***", requirement.low))


def _divided(text: str, divider: str, number: int) -> tuple[Item, ...]:
    """Dividers and a word behind each, until there are `number` pieces; a word first where a piece is empty so far."""
    *pieces, last = map(str.strip, text.split(divider))
    begun = sum(map(bool, pieces)) + 1
    first = () if last else (Item((WORD,)),)
    return first + (Item((f"\n\n{divider}\n\n{WORD}",)),) * (number - begun)


def marks(example: str) -> Callable[[AtLeast], Wants]:
    """So many more of `example`."""

    def of(requirement: AtLeast) -> Wants:
        return lambda text: Needs(items=(Item((example,)),) * (requirement.minimum - requirement.count(text)))

    return of


def sections(requirement: Sections) -> Wants:
    """Headings with their numbers."""

    def wants(text: str) -> Needs:
        there = requirement.count(text)
        numbers = range(there + 1, requirement.minimum + 1)
        return Needs(items=tuple(Item((f"\n\n{requirement.splitter} {number}\n{WORD}",)) for number in numbers))

    return wants


def missing(example: str) -> Callable[[Any], Wants]:
    """`example`, once; what completes it where the text is in the middle of something like it."""

    def of(requirement: Any) -> Wants:
        def wants(text: str) -> Needs:
            line = text.rpartition("\n")[2]
            is_open = "<<" in line and ">>" not in line.rpartition("<<")[2]
            rest = ">>" if is_open and line[-1] not in "<>" else f"{WORD}>>" if is_open else ""
            return Needs(items=(Item((example,), rest),))

        return wants

    return of


def postscript(requirement: Postscript) -> Wants:
    """The marker and a word, on a line of their own, which is no paragraph of its own; in small letters where no others may stand."""
    texts = tuple(f"\n{marker} {WORD}" for marker in (requirement.marker, requirement.marker.lower()))
    return lambda text: Needs(items=(Item(texts),))


def quoted(requirement: Any) -> Wants:
    """The mark that opens, or the one that closes."""

    def wants(text: str) -> Needs:
        answer = text.lstrip()
        if not answer:
            return Needs(opening='"', closing=Item(('"',)))
        return Needs(closing=Item((QUOTATION_PAIRS[answer[0]],))) if answer[0] in QUOTATION_PAIRS else NOTHING

    return wants


def keywords(requirement: Keywords) -> Wants:
    """Those that are not there, or not in order."""

    def wants(text: str) -> Needs:
        prepared = prepare(text, requirement.match)
        if requirement.in_order:
            start = 0
            for number, phrase in enumerate(requirement.phrases):
                found = next(requirement.places(prepared, phrase, start), None)
                if found is None:
                    rest = _rest(prepared[start:], prepare(phrase, requirement.match))
                    others = tuple(Item((other,)) for other in requirement.phrases[number + 1 :])
                    return Needs(items=(Item((phrase,), rest), *others), rank=0)
                start = found[1]
            return NOTHING
        counts = {phrase: sum(1 for _ in requirement.places(prepared, phrase)) for phrase in requirement.phrases}
        if requirement.any is not None:
            phrase = max(counts, key=lambda phrase: counts[phrase])
            counts = {phrase: counts[phrase]}
        return Needs(
            items=tuple(
                Item(
                    _texts(requirement, phrase),
                    _rest(prepared, prepare(phrase, requirement.match)) if turn == 0 else "",
                )
                for phrase, count in counts.items()
                for turn in range(requirement.times - count)
            )
        )

    return wants


def _texts(requirement: Keywords, phrase: str) -> tuple[str, ...]:
    """As it was given, and in its other forms where they count."""
    if not requirement.inflections or " " in phrase:
        return (phrase,)
    return (phrase, *sorted(forms(phrase.lower()) - {phrase}))


def _rest(text: str, needle: str) -> str:
    for length in range(min(len(needle) - 1, len(text)), 0, -1):
        if text.endswith(needle[:length]) and (len(text) == length or text[-length - 1] == " "):
            return needle[length:]
    return ""


def responses(requirement: Responses) -> Wants:
    """Dividers, and an answer behind each that is like no other."""
    # As many as are wanted, but two are the same: another word.
    return lambda text: Needs(items=_divided(text, DIVIDER, requirement.number) or (Item((WORD,)),))


def paragraph_start(requirement: ParagraphStart) -> Wants:
    """All further paragraphs, the one in question with its word."""

    def wants(text: str) -> Needs:
        number = len(paragraphs_of(text))
        is_new = not any(map(str.isalnum, text.rpartition("\n\n")[2]))
        items = []
        for place in range(number + 1, requirement.paragraphs + 1):
            word = requirement.word if place == requirement.paragraph else WORD
            items.append(Item((word if is_new else f"\n\n{word}",)))
            is_new = False
        return Needs(items=tuple(items))

    return wants
