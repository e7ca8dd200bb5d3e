"""Conflicts of a phrase that must occur with what has no place for it: limits, forbidden words, case, script, letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heedful import text as texts
from heedful.requirements.affixes import EndsWith, StartsWith
from heedful.requirements.counts import Characters, Words
from heedful.requirements.formats import Postscript, Sections
from heedful.requirements.keywords import Forbidden, Keywords
from heedful.requirements.letters import COMMAS, Case, Letters, NoCommas
from heedful.requirements.matching import Match, fold, occurrences, prepare
from heedful.requirements.paragraphs import ParagraphStart
from heedful.requirements.requirement import Requirement, of_type
from heedful.requirements.responses import Repeats
from heedful.requirements.scripts import Script
from heedful.requirements.wording import quote, quote_all, shorten, times


@dataclass(frozen=True, slots=True)
class _Needed:
    """A text that every answer holds."""

    kind: str
    text: str
    times: int = 1
    around: str = "{}"
    """How it may stand: `x{}x` when it may be inside a longer word, which is then another word than its own."""
    case_counts: bool = True
    """Whether it must stand in just this case."""
    is_whole: bool = True
    """Whether it holds all its words as words of the answer."""

    @property
    def said(self) -> str:
        return f"{self.kind} {quote(shorten(self.text), 'en')}"


def phrase_conflicts(requirements: Sequence[Requirement]) -> Iterator[str]:
    """A sentence for each text that must occur and cannot."""
    needed = list(_needed(requirements))
    for find in (_room, _all_words, _forbidden, _too_often, _commas, _letters, _case, _script):
        yield from find(requirements, needed)


def _needed(requirements: Sequence[Requirement]) -> Iterator[_Needed]:
    for affix in (*of_type(requirements, StartsWith), *of_type(requirements, EndsWith)):
        yield _Needed(affix.kind, affix.literal, case_counts=not affix.loose)
    for repeats in of_type(requirements, Repeats):
        yield _Needed(repeats.kind, repeats.text, around="{}x", case_counts=False)
    for start in of_type(requirements, ParagraphStart):
        yield _Needed(start.kind, start.word, case_counts=False)
    for sections in of_type(requirements, Sections):
        yield _Needed(sections.kind, sections.splitter, sections.minimum, "x{}1", is_whole=False)
    for keywords in of_type(requirements, Keywords):
        if keywords.times == 0 or keywords.inflections or (keywords.all is None and len(keywords.phrases) > 1):
            continue
        around = "{}" if keywords.match == "word" else "x{}x"
        for phrase in keywords.phrases:
            exact, whole = keywords.match == "exact", keywords.match == "word"
            yield _Needed(keywords.kind, phrase, keywords.times, around, case_counts=exact, is_whole=whole)


# -- room -----------------------------------------------------------------------------------------------------------


def _room(requirements: Sequence[Requirement], needed: Sequence[_Needed]) -> Iterator[str]:
    """A phrase that must occur takes room of its own."""
    for limit in (*of_type(requirements, Words), *of_type(requirements, Characters)):
        for phrase in needed:
            if isinstance(limit, Words) and not phrase.is_whole:
                continue
            # "solar-solar" is one word that mentions "solar" twice, so words cannot be multiplied.
            room = limit.count(phrase.text) * (phrase.times if isinstance(limit, Characters) else 1)
            if limit.high is not None and room > limit.high:
                often = f" {times(phrase.times)}" if phrase.times > 1 else ""
                shown = quote(shorten(phrase.text), "en")
                yield f"{shown}{often} does not fit into at most {limit.units(limit.high, 'en')}"


def _all_words(requirements: Sequence[Requirement], needed: Sequence[_Needed]) -> Iterator[str]:
    """Phrases may share words, so each different word of theirs counts once."""
    whole = [phrase for phrase in needed if phrase.is_whole]
    together = {word for phrase in whole for word in texts.words(fold(phrase.text))}
    for limit in of_type(requirements, Words):
        if limit.high is None or len(together) <= limit.high or limit.definition != "words":
            continue
        if len(whole) > 1 and all(limit.count(phrase.text) <= limit.high for phrase in whole):
            kinds = " and ".join(dict.fromkeys(phrase.kind for phrase in whole))
            listed = quote_all([shorten(phrase.text) for phrase in whole], "en")
            yield f"{kinds} {listed} ({len(together)} words) do not fit into at most {limit.units(limit.high, 'en')}"


# -- words that must not occur, or not so often ------------------------------------------------------------------------


def _forbidden(requirements: Sequence[Requirement], needed: Sequence[_Needed]) -> Iterator[str]:
    for forbidden in of_type(requirements, Forbidden):
        for phrase in needed:
            if phrase.kind != "keywords" and not _without(forbidden, phrase):
                yield f"{phrase.said} and forbidden {quote_all(forbidden.words, 'en')}"
        for keywords in of_type(requirements, Keywords):
            if keywords.times == 0 or keywords.inflections:
                continue
            # A substring may be found inside a longer word, which is then another word than the forbidden one.
            around = "{}" if keywords.match == "word" else "x{}x"
            exact = keywords.match == "exact"
            bad = [
                p for p in keywords.phrases if not _without(forbidden, _Needed("", p, around=around, case_counts=exact))
            ]
            if bad and (keywords.all is not None or len(bad) == len(keywords.phrases)):
                yield f"keywords {quote_all(bad, 'en')} and forbidden {quote_all(forbidden.words, 'en')}"


def _without(forbidden: Forbidden, phrase: _Needed) -> bool:
    """Whether `phrase` can occur without a forbidden word."""
    return not any(_least_often(word, forbidden.match, phrase) for word in forbidden.words)


def _least_often(word: str, match: Match, phrase: _Needed) -> int:
    """How often `word` occurs at least in one occurrence of `phrase`, however that is written."""
    if match == "exact" and not phrase.case_counts and word.lower() != word.upper():
        # Another case avoids it.
        return 0
    return occurrences(prepare(phrase.around.format(phrase.text), match), word, match)


def _too_often(requirements: Sequence[Requirement], needed: Sequence[_Needed]) -> Iterator[str]:
    for limited in of_type(requirements, Keywords):
        if limited.maximum is None:
            continue
        for word in limited.phrases:
            for phrase in needed:
                least = _least_often(word, limited.match, phrase) * phrase.times
                if least > limited.maximum:
                    yield f"{phrase.said} {times(phrase.times)} and keywords {quote(word, 'en')} {_at_most(limited.maximum)}"


def _at_most(number: int) -> str:
    return f"at most {times(number)}" if number else "never"


# -- characters -------------------------------------------------------------------------------------------------------


def _commas(requirements: Sequence[Requirement], needed: Sequence[_Needed]) -> Iterator[str]:
    if not of_type(requirements, NoCommas):
        return
    for phrase in needed:
        if COMMAS & set(phrase.text):
            yield f"no_commas and {phrase.said}"
    for letters in of_type(requirements, Letters):
        if letters.low and letters.letter in COMMAS:
            yield f"no_commas and at least {letters.units(letters.low, 'en')}"


def _letters(requirements: Sequence[Requirement], needed: Sequence[_Needed]) -> Iterator[str]:
    for letters in of_type(requirements, Letters):
        for phrase in needed:
            if letters.high is not None and letters.count(phrase.text) * phrase.times > letters.high:
                bound = f"at most {letters.units(letters.high, 'en')}" if letters.high else letters.say("en")
                yield f"{phrase.said}{f' {times(phrase.times)}' * (phrase.times > 1)} and {bound}"


def _case(requirements: Sequence[Requirement], needed: Sequence[_Needed]) -> Iterator[str]:
    for case in of_type(requirements, Case):
        for phrase in needed:
            # A keyword shown with capitals is wanted with them; one in lower case is only the dictionary's form.
            wrong = phrase.text.lower() != phrase.text if case.case == "lower" else phrase.text.upper() != phrase.text
            if wrong and (phrase.case_counts or (case.case == "lower" and phrase.kind == "keywords")):
                yield f"all letters in {case.case} case and {phrase.said}"


def _script(requirements: Sequence[Requirement], needed: Sequence[_Needed]) -> Iterator[str]:
    markers = [_Needed(p.kind, p.marker) for p in of_type(requirements, Postscript)]
    for script in of_type(requirements, Script):
        for phrase in (*needed, *markers):
            if not script.check(phrase.text).satisfied:
                yield f"all letters in {script.script} script and {phrase.said}"
