"""Facts of any text, English or Chinese: its first sentence, terms, gaps, definitions, lists, headings."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from heedful.construct.data import word_list
from heedful.construct.fact import Finding
from heedful.construct.passages import Material, Passage
from heedful.records import RequirementSpec
from heedful.text import num_words

_MAXIMUM_ANSWER_WORDS = 45
"""A longer sentence (a Chinese character counts as a word) is too much to ask back word for word."""
DIGITS = RequirementSpec("regex", {"pattern": "[0-9]+", "match": "full"})
_ONE_SENTENCE = RequirementSpec("sentences", {"exactly": 1})

# Code in backticks, quoted terms, numbers, and words long enough to carry meaning.
_TERMS = re.compile(
    r"`([^`\s]{2,40})`|[“「《]([^”」》]{2,20})[”」》]|(?<![\w.])(\d+(?:\.\d+)?)(?![\w.]|\.\d)|\b([A-Za-z][A-Za-z_-]{5,})\b"
)
_HAN_CLAUSE = re.compile(r"[，；：、,;]?([\u4e00-\u9fff]{4,8})(?=[，；：、。！？])")
_EN_DEFINITION = re.compile(r"^(?:(?:An?|The) )?([A-Z`]?[\w`-]+(?: [\w`-]+){0,3}) (?:is|are) (?:an?|the) \w")
_ZH_DEFINITION = re.compile(r"^([\w\u4e00-\u9fff]{2,12}?)(?:是指|指的是|是一种|是一个|是一类|是用于|是用来)")
_NOT_TELLING = word_list("not_telling")
_NOT_DEFINED = word_list("not_defined")


def summary(material: Material, generator: random.Random) -> Finding | None:
    """The first sentence of a section that goes on after it."""
    opening = _opening(material, minimum_sentences=2)
    if opening is None:
        return None
    sentence = opening.sentences[0]
    if not (6 <= num_words(sentence) <= _MAXIMUM_ANSWER_WORDS) or not opening.text.startswith(sentence):
        return None
    if material.is_api and sentence != material.meta.get("summary"):
        return None
    most = RequirementSpec("words", {"maximum": -(-num_words(sentence) // 5) * 5})
    return Finding(opening.text, sentence, offers=(_ONE_SENTENCE, most))


def sentence_with_term(material: Material, generator: random.Random) -> Finding | None:
    """One sentence that alone mentions a term."""
    choices = [
        (passage, sentence, term)
        for passage in material.passages
        if len(passage.sentences) >= 3
        for sentence in passage.sentences[1:]
        if num_words(sentence) <= _MAXIMUM_ANSWER_WORDS and sentence in passage.text
        for term in _lone_terms(sentence, passage.text)
    ]
    if not choices:
        return None
    passage, sentence, term = generator.choice(choices)
    mention = RequirementSpec("keywords", {"all": [term], "match": "substring"})
    return Finding(passage.text, sentence, {"term": term}, (_ONE_SENTENCE, mention))


def cloze(material: Material, generator: random.Random) -> Finding | None:
    """A sentence of the passage with one word or number taken out that occurs nowhere else in it."""
    choices = [
        (passage, sentence, term)
        for passage in material.passages
        if len(passage.sentences) >= 2
        for sentence in passage.sentences
        if 6 <= num_words(sentence) <= _MAXIMUM_ANSWER_WORDS
        for term in _lone_terms(sentence, passage.text, clauses=False)
    ]
    if not choices:
        return None
    passage, sentence, term = generator.choice(choices)
    return Finding(passage.text, term, {"gap": sentence.replace(term, "____")}, _short_answer(term))


def definition(material: Material, generator: random.Random) -> Finding | None:
    """A sentence of the form "A queue is a ..." or 队列是一种……。"""
    if material.section.kind == "function":
        # "The return value is a list of rows" has the form of a definition, but defines nothing.
        return None
    pattern = _ZH_DEFINITION if material.language == "zh" else _EN_DEFINITION
    for passage in material.passages:
        for sentence in passage.sentences:
            match = pattern.match(sentence)
            if match is None or len(passage.sentences) < 2 or num_words(sentence) > _MAXIMUM_ANSWER_WORDS:
                continue
            term = match.group(1).strip("`")
            if not _NOT_DEFINED & set(term.lower().split()) and not term.startswith(("这", "那", "它", "该", "此")):
                return Finding(passage.text, sentence, {"term": term}, (_ONE_SENTENCE,))
    return None


def list_items(material: Material, generator: random.Random) -> Finding | None:
    """The items of a short list, on one line."""
    passage = _with_list(material)
    return Finding(passage.text, "; ".join(passage.items)) if passage is not None else None


def num_items(material: Material, generator: random.Random) -> Finding | None:
    """How long a list is."""
    passage = _with_list(material)
    return Finding(passage.text, str(len(passage.items)), offers=(DIGITS,)) if passage is not None else None


def heading_choice(material: Material, generator: random.Random) -> Finding | None:
    """Which of three headings of the document stands over the text."""
    title = material.section.title.strip()
    opening = _opening(material, minimum_sentences=1)
    others = some_other(material.outline.titles[material.section.kind], title, 2, generator)
    if material.is_api or opening is None or not title or len(title) > 80 or len(others) < 2:
        return None
    options = shuffled([title, *others], generator)
    return Finding(opening.text, title, {"options": options}, (RequirementSpec("choice", {"options": list(options)}),))


def some_other(names: Sequence[str], name: str, number: int, generator: random.Random) -> list[str]:
    """Up to `number` of `names`, none of them `name`."""
    drawn = generator.sample(names, min(len(names), number + 1))
    return [other for other in drawn if other != name][:number]


def shuffled(options: list[str], generator: random.Random) -> tuple[str, ...]:
    """A random order, so that the right one stands anywhere."""
    return tuple(generator.sample(options, len(options)))


def _short_answer(answer: str) -> tuple[RequirementSpec, ...]:
    """What holds for a word or a number, without telling it; the limit in characters leaves some room."""
    limit = RequirementSpec("characters", {"maximum": -(-len(answer) // 5) * 5})
    return (RequirementSpec("words", {"exactly": 1}), limit) if num_words(answer) == 1 else (limit,)


def _opening(material: Material, *, minimum_sentences: int) -> Passage | None:
    opening = material.passages[0] if material.passages else None
    return opening if opening is not None and len(opening.sentences) >= minimum_sentences else None


def _with_list(material: Material) -> Passage | None:
    for passage in material.passages:
        short = all("\n" not in item and num_words(item) <= 15 and ";" not in item for item in passage.items)
        if 2 <= len(passage.items) <= 8 and short:
            return passage
    return None


def _lone_terms(sentence: str, text: str, *, clauses: bool = True) -> list[str]:
    """Telling words inside `sentence` that `text` holds once; for Chinese without any, a short clause."""
    terms = [next(group for group in match.groups() if group) for match in _TERMS.finditer(sentence)]
    if clauses and not terms:
        terms = _HAN_CLAUSE.findall(sentence)
    lowered = text.lower()
    return [
        term
        for term in dict.fromkeys(terms)
        if lowered.count(term.lower()) == 1 and term.lower() not in _NOT_TELLING and not sentence.startswith(term)
    ]
