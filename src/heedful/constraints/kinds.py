"""Which machines enforce which kind of requirement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import regex

from heedful import text as texts
from heedful.constraints import wants
from heedful.constraints.counting import CharactersPart, CountedPart, LettersPart, SentencesPart, WordsPart
from heedful.constraints.edges import AlphabetPart, BlocksPart, CheckedPart, EndsPart, LoneMarksPart, StartsPart
from heedful.constraints.forms import ChoiceForm, ContainsPart, RegexForm
from heedful.constraints.grammar import GrammarForm
from heedful.constraints.json import JsonMachine
from heedful.constraints.machine import WORD, Form, Part
from heedful.constraints.phrases import Phrase, PhrasesPart
from heedful.requirements import Requirement
from heedful.requirements.affixes import EndsWith, StartsWith
from heedful.requirements.choice import Choice
from heedful.requirements.counts import Bullets, Characters, Counted, Sentences, Tokens, Words
from heedful.requirements.formats import Highlights, Placeholders, Postscript, Quoted, Sections, Title
from heedful.requirements.grammars import Grammar
from heedful.requirements.json_schema import JsonSchema
from heedful.requirements.keywords import Forbidden, Keywords
from heedful.requirements.language import InLanguage
from heedful.requirements.letters import COMMAS, Capitals, Case, Letters, NoCommas
from heedful.requirements.matching import Match, prepare
from heedful.requirements.paragraphs import Paragraphs, ParagraphStart
from heedful.requirements.patterns import Regex
from heedful.requirements.responses import Repeats, Responses
from heedful.requirements.scripts import Script

Made = tuple[Sequence[Part], Sequence[Form]]


def _counted(requirement: Requirement) -> Made:
    assert isinstance(requirement, Counted)
    low, high = requirement.low, requirement.high
    if isinstance(requirement, Characters):
        return [CharactersPart(low, high)], []
    if isinstance(requirement, Sentences):
        return [SentencesPart(low, high)], []
    if isinstance(requirement, Letters):
        return [LettersPart(requirement.letter.lower(), low, high, requirement.count)], []
    # A run of letters is one, also in Chinese; words end with every Chinese character.
    is_runs = isinstance(requirement, Words) and requirement.definition == "runs"
    part: CountedPart = WordsPart(requirement.kind, low, high, requirement.count, cuts_unspaced=not is_runs)
    return [part], []


def _tokens(requirement: Requirement) -> Made:
    """Counted where tokens are known: by the composition itself."""
    return [], []


def _keywords(requirement: Requirement) -> Made:
    assert isinstance(requirement, Keywords)
    if requirement.in_order or requirement.inflections:
        return [CheckedPart(requirement, wants.keywords(requirement))], []
    phrases = [_phrase(text, requirement.match, requirement.times, requirement.maximum) for text in requirement.phrases]
    any_of = requirement.any is not None
    return [PhrasesPart(phrases, any_of=any_of, folds=requirement.match != "exact")], []


def _forbidden(requirement: Requirement) -> Made:
    assert isinstance(requirement, Forbidden)
    phrases = [_phrase(text, requirement.match, 0, 0) for text in requirement.words]
    return [PhrasesPart(phrases, folds=requirement.match != "exact")], []


def _phrase(text: str, match: Match, low: int, high: int | None) -> Phrase:
    return Phrase(texts.normalize(text), prepare(text, match), match == "word", low, high)


def _starts(requirement: Requirement) -> Made:
    assert isinstance(requirement, StartsWith)
    return [StartsPart(texts.normalize(requirement.text))], []


def _repeats(requirement: Requirement) -> Made:
    assert isinstance(requirement, Repeats)
    return [StartsPart(texts.normalize(requirement.text).strip(), whole_word=False)], []


def _ends(requirement: Requirement) -> Made:
    assert isinstance(requirement, EndsWith)
    return [EndsPart(requirement, texts.normalize(requirement.text))], []


def _choice(requirement: Requirement) -> Made:
    assert isinstance(requirement, Choice)
    return [], [ChoiceForm(requirement.options)]


def _regex(requirement: Requirement) -> Made:
    assert isinstance(requirement, Regex)
    if requirement.match == "full":
        return [], [RegexForm(requirement.pattern)]
    return [ContainsPart(requirement.pattern)], []


def _grammar(requirement: Requirement) -> Made:
    assert isinstance(requirement, Grammar)
    return [], [GrammarForm(requirement.grammar)]


def _json(requirement: Requirement) -> Made:
    assert isinstance(requirement, JsonSchema)
    # The bare JSON is accepted, fence or not.
    return [], [JsonMachine(requirement.schema_)]


def _case(requirement: Requirement) -> Made:
    assert isinstance(requirement, Case)
    right = str.isupper if requirement.case == "upper" else str.islower

    def may_stand(character: str) -> bool:
        return right(character) or not (character.isupper() or character.islower() or character.istitle())

    return [AlphabetPart(may_stand, right)], []


def _no_commas(requirement: Requirement) -> Made:
    return [AlphabetPart(lambda character: character not in COMMAS)], []


def _script(requirement: Requirement) -> Made:
    assert isinstance(requirement, Script)

    # Narrower than the check, which also takes letters that are common to all scripts.
    return [AlphabetPart(_letters_of(requirement.script))], []


def _letters_of(*scripts: str) -> Callable[[str], bool]:
    """Letters of these scripts, and everything that is no letter."""
    listed = "".join(f"\\p{{scx={name}}}" for name in scripts)
    others = regex.compile(rf"[\p{{L}}--[{listed}]]", regex.VERSION1)

    @lru_cache(maxsize=1 << 14)
    def may_stand(character: str) -> bool:
        return others.match(character) is None

    return may_stand


def _language(requirement: Requirement) -> Made:
    """Languages that a script tells keep to its letters; of the others the detector is asked."""
    assert isinstance(requirement, InLanguage)
    parts: list[Part] = [CheckedPart(requirement, wants.language(requirement))]
    scripts = {"zh": ("Han",), "ja": ("Han", "Hiragana", "Katakana"), "ko": ("Hangul",), "th": ("Thai",)}
    if requirement.language in scripts:
        parts.append(AlphabetPart(_letters_of(*scripts[requirement.language])))
    return parts, []


def _checked(wanted: Callable[..., wants.Wants]) -> Callable[[Requirement], Made]:
    def make(requirement: Requirement) -> Made:
        return [CheckedPart(requirement, wanted(requirement))], []

    return make


def _bullets(requirement: Requirement) -> Made:
    assert isinstance(requirement, Bullets)
    return [CheckedPart(requirement, wants.units("bullets")(requirement)), LoneMarksPart(lists_only=True)], []


def _paragraph_start(requirement: Requirement) -> Made:
    assert isinstance(requirement, ParagraphStart)
    return [CheckedPart(requirement, wants.paragraph_start(requirement)), BlocksPart()], []


BUILDERS: dict[type, Callable[[Requirement], Made]] = {
    Words: _counted,
    Characters: _counted,
    Sentences: _counted,
    Letters: _counted,
    Capitals: _counted,
    Tokens: _tokens,
    Bullets: _bullets,
    Paragraphs: _checked(wants.paragraphs),
    Keywords: _keywords,
    Forbidden: _forbidden,
    StartsWith: _starts,
    Repeats: _repeats,
    EndsWith: _ends,
    Choice: _choice,
    Regex: _regex,
    Grammar: _grammar,
    JsonSchema: _json,
    Case: _case,
    NoCommas: _no_commas,
    Script: _script,
    InLanguage: _language,
    Placeholders: _checked(wants.marks(f"[{WORD}]")),
    Highlights: _checked(wants.marks(f"*{WORD}*")),
    Sections: _checked(wants.sections),
    Title: _checked(wants.missing(f"<<{WORD}>>")),
    Postscript: _checked(wants.postscript),
    Quoted: _checked(wants.quoted),
    Responses: _checked(wants.responses),
    ParagraphStart: _paragraph_start,
}


def prohibits(requirement: Requirement, word: str) -> bool:
    """Whether an answer that holds `word` breaks the requirement, whatever else is in it."""
    if isinstance(requirement, Letters):
        return requirement.high is not None and requirement.letter.lower() in word.lower()
    if isinstance(requirement, Keywords):
        return requirement.maximum is not None and any(
            next(requirement.places(prepare(word, requirement.match), phrase), None) for phrase in requirement.phrases
        )
    if isinstance(requirement, Case):
        # Beside a letter of the right case: a full stop has none.
        word += "A" if requirement.case == "upper" else "a"
    return isinstance(requirement, Forbidden | Case | NoCommas | Script | InLanguage) and not (
        requirement.check(word).satisfied
    )
