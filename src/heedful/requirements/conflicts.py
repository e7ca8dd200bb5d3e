"""Requirements that no answer can keep together, as far as that is cheap to see.

An empty list of conflicts proves nothing; each conflict that is listed is real. Some are real for what people mean, though
`check` would pass an odd text, which nobody who asks for both wants:

- Keywords as whole words, and fewer words than these have: hyphens, full stops and underscores join words into one that
  counts once, so solar-wind-water would be one word with three keywords.
- Two languages, or a language and a script that it is not written in: "42" is in any of them.
- A keyword shown with capitals, and lower case only: keywords are found whatever their case.
- A phrase, and fewer characters than it has: a ligature or ß stands for two letters or more ("oﬃce" has the keyword
  "office" in four characters, "groß" has "gross"), because the case of letters is folded as Unicode folds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, permutations

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements.choice import Choice
from heedful.requirements.conflicting_forms import beginnings, json_forms, quotations
from heedful.requirements.conflicting_phrases import phrase_conflicts
from heedful.requirements.counts import Bullets, Characters, Counted, Sentences, Tokens, Words
from heedful.requirements.language import NAMES, InLanguage
from heedful.requirements.letters import Capitals, Case, Letters
from heedful.requirements.paragraphs import Paragraphs, ParagraphStart
from heedful.requirements.registry import parse
from heedful.requirements.requirement import Requirement, of_type
from heedful.requirements.scripts import Script
from heedful.requirements.wording import plural, quote_all

_PART_AND_WHOLE: tuple[tuple[type[Counted], type[Counted]], ...] = (
    (Words, Characters),
    (Sentences, Words),
    (Bullets, Characters),
    (Capitals, Words),
    (Capitals, Characters),
    (Letters, Characters),
    (Paragraphs, Sentences),
    (Paragraphs, Words),
    (Paragraphs, Characters),
)
"""Each of the first holds one of the second: a sentence has a word, a word has a character."""


def conflicts(specs: Iterable[RequirementSpec]) -> list[str]:
    """A sentence for each contradiction found; raises RequirementError for a spec that cannot be parsed."""
    requirements = [parse(spec) for spec in specs]
    finders = (
        *(_ranges, _counts, _paragraph_starts, phrase_conflicts, beginnings),
        *(_cases, _languages, json_forms, quotations, _choices),
    )
    return [conflict for find in finders for conflict in find(requirements)]


def refuse_conflicts(specs: Iterable[RequirementSpec]) -> None:
    """Raise RequirementError when any contradict each other."""
    if found := conflicts(specs):
        raise RequirementError(
            f"no answer can satisfy these requirements together: {'; '.join(found)}; drop one of each"
        )


def _ranges(requirements: Sequence[Requirement]) -> Iterator[str]:
    for one, other in permutations([r for r in requirements if isinstance(r, Counted)], 2):
        if _count_the_same(one, other) and one.high is not None and other.low > one.high:
            yield f"at least {other.low} and at most {one.units(one.high, 'en')}"


def _count_the_same(one: Counted, other: Counted) -> bool:
    """Not so for words of two definitions; the note says how they are counted. Letters have no case."""
    notes = [{language: note.casefold() for language, note in counted.note.items()} for counted in (one, other)]
    return one.kind == other.kind and notes[0] == notes[1]


def _counts(requirements: Sequence[Requirement]) -> Iterator[str]:
    for part, whole in _PART_AND_WHOLE:
        for few, many in ((a, b) for a in of_type(requirements, whole) for b in of_type(requirements, part)):
            if few.high is not None and many.low > few.high and _certain(many, few):
                yield f"at least {many.units(many.low, 'en')} do not fit into at most {few.units(few.high, 'en')}"


def _certain(part: Counted, whole: Counted) -> bool:
    """Whether each part has a whole of its own by the way they are counted here."""
    if isinstance(part, Paragraphs):
        # Between stars anything is a paragraph, also a lone mark without a word.
        return part.separator == "blank_line" or isinstance(whole, Characters)
    if isinstance(part, Capitals) and isinstance(whole, Words):
        return whole.definition == "words"
    return True


def _paragraph_starts(requirements: Sequence[Requirement]) -> Iterator[str]:
    starts = of_type(requirements, ParagraphStart)
    for start in starts:
        said = f"{plural(start.paragraphs, 'paragraph', 'paragraphs')} of which {start.paragraph} begins with a word"
        for counted in of_type(requirements, Paragraphs):
            if counted.separator == "blank_line" and not counted.verdict(start.paragraphs).satisfied:
                yield f"{said}, and {counted.expected} {counted.unit[1]}"
        for limit in (
            *of_type(requirements, Words),
            *of_type(requirements, Sentences),
            *of_type(requirements, Characters),
        ):
            if limit.high is not None and start.paragraphs > limit.high:
                yield f"{said} do not fit into at most {limit.units(limit.high, 'en')}"
    for one, other in combinations(starts, 2):
        if one.paragraphs != other.paragraphs:
            yield f"exactly {one.paragraphs} and exactly {other.paragraphs} paragraphs"


def _cases(requirements: Sequence[Requirement]) -> Iterator[str]:
    cases = of_type(requirements, Case)
    if len({case.case for case in cases}) > 1:
        yield "all letters in upper case and all in lower case"
    for capitals in of_type(requirements, Capitals):
        if capitals.low and any(case.case == "lower" for case in cases):
            yield f"all letters in lower case and at least {capitals.units(capitals.low, 'en')}"


def _languages(requirements: Sequence[Requirement]) -> Iterator[str]:
    wanted = sorted({requirement.language for requirement in of_type(requirements, InLanguage)})
    if len(wanted) > 1:
        # A text without letters, or too short to tell, may be in both; but that is not what either asks for.
        yield f"the answer in {' and in '.join(NAMES[code].english for code in wanted)}"
    scripts = sorted({requirement.script for requirement in of_type(requirements, Script)})
    for code in wanted:
        for script in scripts:
            if not _may_write(code, script):
                yield f"the answer in {NAMES[code].english} and in {script} script only"


def _may_write(language: str, script: str) -> bool:
    own = NAMES[language].scripts.split()
    # Japanese is named by its kana, but Katakana is one of them.
    return script in own or (language == "ja" and script == "Katakana")


def _choices(requirements: Sequence[Requirement]) -> Iterator[str]:
    """The options are all the answers there are, so each other requirement can simply be tried on them."""
    for choice in of_type(requirements, Choice):
        # Options are too short to tell their language by, and a text does not tell its tokens.
        for other in (r for r in requirements if r is not choice and not isinstance(r, InLanguage | Tokens)):
            if not any(_tried(other, option) for option in choice.options):
                yield f"no option of {quote_all(choice.options, 'en', '')} satisfies: {other.say('en')}"


def _tried(requirement: Requirement, option: str) -> bool:
    """The answer may also be the option in another case, or with a full stop."""
    return any(
        requirement.check(answer + end).satisfied
        for answer in (option, option.upper(), option.lower(), option.capitalize())
        for end in ("", ".", "。")
    )
