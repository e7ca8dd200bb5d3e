"""How long the answer is: words, characters, sentences, paragraphs, bullet points, tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from heedful.requirements.reading import bounds
from heedful.requirements.reading.cutting import OPEN, Passage, Sentence
from heedful.requirements.reading.found import Found, Rule, found
from heedful.requirements.reading.speech import about_answer, asks

_QUALITIES = r"(?:(?:[a-z]+ly|very|short|long|complete|full|concise|brief|simple|markdown|different|separate|distinct|well-written|detailed)\s+){0,3}"
_UNITS = {
    "words": r"(?:english\s+)?words?",
    "characters": r"(?:characters?)(?:\s+\(not counting spaces\))?",
    "sentences": rf"{_QUALITIES}(?:sentences?)",
    "paragraphs": rf"{_QUALITIES}(?:paragraphs?)",
    "bullets": rf"{_QUALITIES}(?:bullet[- ]points?|bullets|bulleted (?:items|points)|bullet)",
    "tokens": r"tokens",
}
_ENGLISH = {kind: bounds.english(unit) for kind, unit in _UNITS.items()}
_NUMBERS = {kind: bounds.number_of(unit) for kind, unit in _UNITS.items()}
_CAPITALS = re.compile(r"capital|caps\b|uppercase")
_CHINESE = {
    "words": bounds.chinese(r"(?:个?汉?字(?!符|母|段|节|典|体|幕|数|眼|样|面)|个?单词)"),
    "characters": bounds.chinese(r"个?字符(?:（不计空格）)?"),
    "sentences": bounds.chinese(r"(?:个句子|句话?|个?短?句(?!型|式|号))"),
    "paragraphs": bounds.chinese(r"(?:个?自然段|个?段落|段话?(?!时|路|距))"),
    "bullets": bounds.chinese(r"(?:个|条)?(?:列表项|项目符号|无序列表项)"),
}
_PARTIAL = re.compile(
    r"\s*(?:(?:or phrases )?(?:in (?:the|your) \w+ )?(?:should |must )?(?:be )?(?:in|with|of|written in|using)\s+(?:all|only\s+)?\s*(?:capital|caps|upper|lower|bold)|(?:that|which)\s+(?:start|begin|end|rhyme|contain|mean)"
    r"|(?:start|begin|end|rhym|relat|contain)\w*\b|of the|from\b|per\b|each\b(?!,? (?:\w+ )?separated)|a (?:day|minute|line)|such as|like\b|:|\w* ?in a row|apart|away"
    rf"|(?:changed|replaced|removed|missing|repeated|different|wrong|misspelled|in common)\b|above|below|again|into|together|{OPEN})"
)
_CHANGED = re.compile(r"\b(?:chang|replac|remov|add|swap|delet|insert)\w*\s*$")
_SHOWN = re.compile(r":|,? (?:such as|like|that|in)\b")
_BARE = re.compile(
    r"(?:^|[\s(])(?:in|with|using|use|of|write|generate|create|compose|contain|contains|containing|include|includes|have|has|having|be|into|form of|list of|write me|produce|draft|exactly)\s+(?:an?\s+|just\s+|only\s+)?$"
)
_STARS = re.compile(
    r"(?:separat|divid|split)[^.\n]{0,60}?(?:(?<!\*)\*{3}(?!\*)|markdown divider|(?:three|3) (?:asterisk|aster|star|\"?\*)|\ue000\ue001{3}\ue002)"
)
_ALONE = re.compile(r"\*{3}|\* \* \*")
_PIECES = bounds.english(r"(?:paragraphs?|sections?|parts?|stanzas?|advice|snippets?|verses?|steps?)")
_MARKDOWN = re.compile(r"markdown|^\s*\* |\"\*|\ue000\ue001{1,2}\ue002|asterisk|\(\s*\*", re.MULTILINE)


def _lengths(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    for kind in _UNITS:
        if unit_word(kind) not in sentence.text:
            continue
        for match in _ENGLISH[kind].finditer(sentence.text):
            limit = bounds.read_english(match, sentence.text)
            if limit is None or not _applies(kind, limit, passage, sentence, match):
                continue
            extra = _extra(kind, passage, sentence)
            yield found(kind, sentence, match.start(), match.end(), **limit.parameters, **extra)
        if "number of" in sentence.text and (counted := _NUMBERS[kind].search(sentence.text)) and asks(sentence):
            limit = None if _CAPITALS.search(counted.group()) else bounds.read_number(counted, sentence.text)
            if limit is not None:
                yield found(
                    kind,
                    sentence,
                    counted.start(),
                    counted.end(),
                    **limit.parameters,
                    **_extra(kind, passage, sentence),
                )


def unit_word(kind: str) -> str:
    return {"bullets": "bullet"}.get(kind, kind[:-1])


def _applies(kind: str, limit: bounds.Limit, passage: Passage, sentence: Sentence, match: re.Match[str]) -> bool:
    before, after = sentence.text[: match.start()], sentence.text[match.end() :]
    shown = _SHOWN.match(after) if kind == "bullets" else after.startswith(":") and before.endswith("in ")
    if _PARTIAL.match(after) and not shown:
        return False
    if _CHANGED.search(before[-30:]):
        return False
    if limit.bare and not (_BARE.search(before[-30:]) and _small(kind, limit)):
        return False
    if kind == "characters" and "password" in passage.masked:
        return False
    return about_answer(sentence, match.start())


def _small(kind: str, limit: bounds.Limit) -> bool:
    """Few are meant exactly; "a 500 word essay" is a size, and nobody counts whether it has 498."""
    return limit.parameters.get("exactly", 99) <= {"words": 1, "characters": 0, "tokens": 0}.get(kind, 30)


def _extra(kind: str, passage: Passage, sentence: Sentence) -> dict[str, Any]:
    if kind == "paragraphs" and starred(passage):
        return {"separator": "stars"}
    if kind == "bullets" and _MARKDOWN.search(passage.masked, sentence.start, sentence.end + 120):
        return {"definition": "markdown"}
    return {}


def starred(passage: Passage) -> bool:
    """Whether the passage asks for `***` between paragraphs."""
    return ("***" in passage.text and _STARS.search(passage.masked) is not None) or "markdown divider" in passage.masked


def _pieces(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    """Sections, parts or stanzas that `***` separates count as paragraphs."""
    if "paragraph" in passage.masked[max(0, sentence.start - 2000) : sentence.end]:
        return
    # Without words about it, a pattern to follow may show the divider on a line of its own.
    if not (_STARS.search(sentence.text) or (_ALONE.fullmatch(sentence.text) and passage.shows_format)):
        return
    begin = max(0, sentence.start - 2000)
    earlier = passage.masked[begin : sentence.end]
    for match in reversed(list(_PIECES.finditer(earlier))):
        if (limit := bounds.read_english(match, earlier)) is not None:
            yield Found(
                found("paragraphs", sentence, 0, 0, **limit.parameters, separator="stars").spec,
                begin + match.start(),
                begin + match.end(),
            )
            return


def _chinese(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    for kind, pattern in _CHINESE.items():
        for match in pattern.finditer(sentence.text):
            limit = bounds.read_chinese(match)
            if limit is None or (limit.bare and not _bare_chinese(kind, sentence.text, match)):
                continue
            if not _ELSEWHERE_CHINESE.search(sentence.text[max(0, match.start() - 12) : match.start()]):
                yield found(kind, sentence, match.start(), match.end(), **limit.parameters)


def _bare_chinese(kind: str, text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start("n") - 4) : match.start("n")]
    # 写一段介绍 is "write a paragraph", and nobody counts.
    if kind == "words" or (match["n"] == "一" and before.endswith("写")):
        return False
    return _BARE_CHINESE.search(before) is not None


_BARE_CHINESE = re.compile(r"(?:用|写|以|写出|总结成|概括成|概括为|总结为|分成?|在)$")
_ELSEWHERE_CHINESE = re.compile(r"(?:每|各|这|那|上面|下面|以下|如下|前|后|第|标题|题目)[^，。；]{0,6}$")

RULES = (
    Rule(tuple(unit_word(kind) for kind in _UNITS), _lengths),
    Rule(("***", "asterisk", "divider"), _pieces),
    Rule(("字", "句", "段", "列表项", "项目符号", "单词"), _chinese),
)
