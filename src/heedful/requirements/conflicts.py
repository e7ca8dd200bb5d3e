"""Requirements that no answer can keep together, as far as that is cheap to see.

An empty list of conflicts proves nothing; each conflict that is listed is real.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, permutations
from typing import TypeVar

from heedful.records import RequirementSpec
from heedful.requirements.affixes import Affix, EndsWith, StartsWith
from heedful.requirements.choice import Choice
from heedful.requirements.counts import Characters, Counted, Sentences, Words
from heedful.requirements.json_schema import JsonSchema
from heedful.requirements.keywords import Forbidden, Keywords
from heedful.requirements.language import NAMES, InLanguage
from heedful.requirements.registry import parse
from heedful.requirements.requirement import Requirement
from heedful.requirements.wording import plural, quote, quote_all

KindType = TypeVar("KindType")


def conflicts(specs: Iterable[RequirementSpec]) -> list[str]:
    """A sentence for each contradiction found; raises RequirementError for a spec that cannot be parsed."""
    requirements = [parse(spec) for spec in specs]
    finders = (_ranges, _counts, _long_phrases, _forbidden, _beginnings, _languages, _json, _choices)
    return [conflict for find in finders for conflict in find(requirements)]


def _of(requirements: Sequence[Requirement], kind: type[KindType]) -> list[KindType]:
    return [requirement for requirement in requirements if isinstance(requirement, kind)]


def _ranges(requirements: Sequence[Requirement]) -> Iterator[str]:
    for one, other in permutations([r for r in requirements if isinstance(r, Counted)], 2):
        if one.kind == other.kind and one.high is not None and other.low > one.high:
            yield f"at least {other.low} and at most {one.high} {one.unit[1]}"


def _counts(requirements: Sequence[Requirement]) -> Iterator[str]:
    """A word has at least one character, and a sentence one word."""
    smaller_first = ((Words, Characters), (Sentences, Words))
    for part, whole in smaller_first:
        for few, many in ((a, b) for a in _of(requirements, whole) for b in _of(requirements, part)):
            if few.high is not None and many.low > few.high:
                yield f"at least {plural(many.low, *many.unit)} do not fit into at most {plural(few.high, *few.unit)}"


def _long_phrases(requirements: Sequence[Requirement]) -> Iterator[str]:
    """A phrase that must occur takes room of its own."""
    needed = [(affix.text, 1) for affix in _affixes(requirements)]
    for keywords in _of(requirements, Keywords):
        if keywords.all is not None and keywords.match == "word":
            needed += [(phrase, keywords.times) for phrase in keywords.all]
    for limit in (*_of(requirements, Words), *_of(requirements, Characters)):
        for phrase, times in needed:
            # "solar-solar" is one word that mentions "solar" twice, so words cannot be multiplied.
            room = limit.count(phrase) * (times if isinstance(limit, Characters) else 1)
            if limit.high is not None and room > limit.high:
                often = f" {times} times" if times > 1 else ""
                yield f"{quote(phrase, 'en')}{often} does not fit into at most {plural(limit.high, *limit.unit)}"


def _forbidden(requirements: Sequence[Requirement]) -> Iterator[str]:
    for forbidden in _of(requirements, Forbidden):
        for affix in _affixes(requirements):
            if not forbidden.check(affix.text).satisfied:
                yield f"{affix.kind} {quote(affix.text, 'en')} and forbidden {quote_all(forbidden.words, 'en')}"
        for keywords in _of(requirements, Keywords):
            # A substring may be found inside a longer word, which is then another word than the forbidden one.
            around = "{}" if keywords.match == "word" else "x{}x"
            bad = [phrase for phrase in keywords.phrases if not forbidden.check(around.format(phrase)).satisfied]
            if bad and (keywords.all is not None or len(bad) == len(keywords.phrases)):
                yield f"keywords {quote_all(bad, 'en')} and forbidden {quote_all(forbidden.words, 'en')}"


def _affixes(requirements: Sequence[Requirement]) -> list[Affix]:
    return [requirement for requirement in requirements if isinstance(requirement, Affix)]


def _beginnings(requirements: Sequence[Requirement]) -> Iterator[str]:
    for group in (_of(requirements, StartsWith), _of(requirements, EndsWith)):
        for one, other in combinations(group, 2):
            if not (one.check(other.text).satisfied or other.check(one.text).satisfied):
                yield f"{one.kind} both {quote(one.text, 'en')} and {quote(other.text, 'en')}"


def _languages(requirements: Sequence[Requirement]) -> Iterator[str]:
    wanted = sorted({requirement.language for requirement in _of(requirements, InLanguage)})
    if len(wanted) > 1:
        yield f"the answer in {' and in '.join(NAMES[code].english for code in wanted)}"


def _json(requirements: Sequence[Requirement]) -> Iterator[str]:
    if all(schema.allow_code_fence for schema in _of(requirements, JsonSchema)):
        return
    for start in _of(requirements, StartsWith):
        if start.text[0] not in '{["-0123456789tfn':
            yield f"JSON cannot begin with {quote(start.text, 'en')}"
    for end in _of(requirements, EndsWith):
        if end.text[-1] not in ']}"0123456789el':
            yield f"JSON cannot end with {quote(end.text, 'en')}"


def _choices(requirements: Sequence[Requirement]) -> Iterator[str]:
    """The options are all the answers there are, so each other requirement can simply be tried on them."""
    for choice in _of(requirements, Choice):
        # Options are too short to tell their language by.
        for other in (r for r in requirements if r is not choice and not isinstance(r, InLanguage)):
            if not any(other.check(option).satisfied for option in choice.options):
                yield f"no option of {quote_all(choice.options, 'en', '')} satisfies: {other.say('en')}"
