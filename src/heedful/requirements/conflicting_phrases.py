"""Conflicts of a phrase that must occur with what has no place for it: limits, forbidden words, case, script, letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

from heedful import text as texts
from heedful.requirements.affixes import EndsWith, StartsWith
from heedful.requirements.choice import Choice
from heedful.requirements.counts import Characters, Counted, Words
from heedful.requirements.formats import Postscript, Sections
from heedful.requirements.grammars import Grammar
from heedful.requirements.json_schema import JsonSchema
from heedful.requirements.keywords import Forbidden, Keywords
from heedful.requirements.letters import COMMAS, Case, Letters, NoCommas
from heedful.requirements.matching import Match, fold, occurrences, prepare
from heedful.requirements.paragraphs import ParagraphStart
from heedful.requirements.patterns import Regex
from heedful.requirements.requirement import Requirement, of_type
from heedful.requirements.responses import Repeats
from heedful.requirements.scripts import Script
from heedful.requirements.wording import quote, quote_all, shorten, times

_JOINTS = "-_'’‐‑/:"
"""What joins words, but for the full stop and the comma, which more often end something."""
_MAX_PAIRS = 1_000_000
"""Of words, where each is looked for in each; it takes a tenth of a second."""


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
    may_be_joined = _may_be_joined(requirements)
    for limit in (*of_type(requirements, Words), *of_type(requirements, Characters)):
        for phrase in needed:
            if isinstance(limit, Words) and not phrase.is_whole:
                continue
            room = limit.count(phrase.text)
            if isinstance(limit, Characters) or not (may_be_joined or _is_doubled(phrase, needed)):
                room *= phrase.times
            if limit.high is not None and room > limit.high:
                often = f" {times(phrase.times)}" if phrase.times > 1 else ""
                apart = f" ({_apart(limit, [phrase])})" if often and _apart(limit, [phrase]) else ""
                shown = quote(shorten(phrase.text), "en")
                yield f"{shown}{often}{apart} does not fit into at most {limit.units(limit.high, 'en')}"


def _may_be_joined(requirements: Sequence[Requirement]) -> bool:
    """Whether something else may ask for words that hyphens join: then "solar-wind" is meant, and all of them must be tried."""
    forms = [
        *(regex.sub(r"\[[^\]]*\]", "", requirement.pattern) for requirement in of_type(requirements, Regex)),
        *(requirement.grammar for requirement in of_type(requirements, Grammar)),
        *(repr(requirement.schema_) for requirement in of_type(requirements, JsonSchema)),
        *(option for requirement in of_type(requirements, Choice) for option in requirement.options),
    ]
    return any(joint in form for form in forms for joint in "-_")


def _is_doubled(phrase: _Needed, needed: Sequence[_Needed]) -> bool:
    """Whether one word of another phrase has it twice, as "bye-bye" has "bye"; then both may well be meant."""
    if phrase.times == 1:
        return False
    needle = fold(phrase.text)
    others = [folded for other in needed if other is not phrase and (folded := fold(other.text)).count(needle) > 1]
    return any(occurrences(word, needle, "word") > 1 for folded in others for word in texts.words(folded))


def _all_words(requirements: Sequence[Requirement], needed: Sequence[_Needed]) -> Iterator[str]:
    """Phrases may share words ("New York", "York"), so each different word of theirs counts once.

    A hyphen, full stop or underscore makes one counted word of several: "a-b" has the keywords a and b. Whoever asks for
    twelve keywords in ten words means twelve words, so such chains are left out of account, and the sentence says so.
    """
    if _may_be_joined(requirements):
        return
    whole = [phrase for phrase in needed if phrase.is_whole]
    for limit in of_type(requirements, Words):
        if limit.high is None or len(whole) < 2 or any(limit.count(phrase.text) > limit.high for phrase in whole):
            continue
        if (number := _num_different_words(limit, whole)) > limit.high:
            kinds = " and ".join(dict.fromkeys(phrase.kind for phrase in whole))
            listed = quote_all([shorten(phrase.text) for phrase in whole], "en")
            counted = ", ".join(filter(None, (f"{number} words", _apart(limit, whole))))
            yield f"{kinds} {listed} ({counted}) do not fit into at most {limit.units(limit.high, 'en')}"


def _num_different_words(limit: Words, whole: Sequence[_Needed]) -> int:
    """At least so many words stand in an answer with all these phrases, which may share some."""
    # Runs of other scripts than Latin may be parts of longer ones: Chinese has no spaces.
    found = [[w for w in limit.words(fold(p.text)) if limit.definition == "words" or w.isascii()] for p in whole]
    words = {word for one in found for word in one}
    joined = [word for word in words if not word.isalnum()]
    if len(joined) * len(words) > _MAX_PAIRS:
        return 0
    # "known" needs no word of its own beside "well-known".
    shared = {w for w in words for other in joined if w != other and w in other and occurrences(other, w, "word")}
    # Behind a text to repeat, its last word may go on: "Sing a so" begins "Sing a song".
    for last in (one[-1] for phrase, one in zip(whole, found, strict=True) if phrase.around == "{}x" and one):
        shared.update({last} if any(other != last and other.startswith(last) for other in words) else ())
    return len(words - shared) - sum(map(_num_joints, whole))


def _num_joints(phrase: _Needed) -> int:
    """At how many of its ends a phrase itself asks to be joined: "well-" and "known" are one word."""
    return (phrase.text[0] in _JOINTS) + (phrase.text[-1] in _JOINTS)


def _apart(limit: Counted, phrases: Sequence[_Needed]) -> str:
    """What a sentence adds where words could be glued together to get round the limit."""
    glued = isinstance(limit, Words) and any(
        not texts.is_unspaced(word) for phrase in phrases for word in texts.words(phrase.text)
    )
    return "not joined by hyphens" if glued else ""


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
