"""The form of the answer: JSON, a title, quotation marks around it, placeholders, highlights, sections, two responses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from heedful.requirements.reading import bounds, numbers
from heedful.requirements.reading.cutting import QUOTED, Passage, Sentence
from heedful.requirements.reading.found import Found, Rule, found
from heedful.requirements.reading.speech import MODAL, NOUNS, WHOLE, asks

_JSON = re.compile(
    rf"\b(?:wrap(?:ped)?|{NOUNS}|answer|respond|reply|return|output|format(?:ted)?|present(?:ed)?|provide|give|it|written)\b[^.;]{{0,80}}?\b(?:in|as|into|using|with)\s+(?:a\s+)?(?:an?\s+)?(?:valid\s+|the\s+|proper\s+|single\s+)*json\b(?! (?:schema|file|string|path|parser|web|api|object with the following))"
    rf"|\bplease use (?:the )?json format|\bwrap (?:all|everything)[^.;]{{0,30}} (?:in|into|inside) (?:one |a )?json\b|\b(?:only|nothing but)\s+(?:valid\s+)?json\b(?!\s*(?:schema|file))|\bjson only\b"
)
_TITLE = re.compile(r"double (?:angular|angle) brackets|<<[^<>\n]{1,80}>>")
_ZH_QUOTED = re.compile(
    r"(?:用|以|使用)(?:一?对)?双引号(?:将|把)?[^，。]{0,12}(?:括起来|包裹|包起来|括住|引起来)|(?:整个|全部)?(?:回答|回复|答案)[^，。]{0,8}(?:放在|用|置于)(?:一?对)?双引号"
)
_QUOTED = re.compile(
    rf"\b(?:wrap|put|enclose|surround|place|encase|keep)\s+(?:up )?{WHOLE}\s+(?:with(?:in)?|in(?:side)?|between|by|using)\s+(?:a pair of )?double quot|\bdouble quot\w*(?: marks?)?(?: {MODAL}(?: be)?(?: placed| put)?)? (?:around|surrounding|before and after) {WHOLE}"
    rf"|\bdouble quotations? marks? around {WHOLE}|{WHOLE}\s+(?:{MODAL}\s+be|is|are)?\s*(?:wrapped|enclosed|surrounded|put|placed)\s+(?:with(?:in)?|in(?:side)?|between|by)\s+double quot"
)
_PLACEHOLDERS = bounds.english(r"(?:[a-z]+ )?place ?holders?")
_MARKED = r"(?:highlight|italici[sz]|bold|italic|emphasi[sz])"
_SPANS = bounds.english(
    r"(?:(?:of )?(?:your |the )?(?:[a-z]+ )?(?:text |different |important )?(?:italic |bold |highlighted )?(?:text )?(?:sections?|parts?|phrases?|words?|keywords?|passages?|names|sentences))"
)
_SOME = re.compile(r"\b(?:highlight|italicize|bold) (?:some|a few|several|the (?:key|important|main))\b")
_STARRED = re.compile(r"markdown|asterisk|\*[^*\n]{1,60}\*|\*\*[^*\n]{1,60}\*\*|single \*")


def _json(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    match = _JSON.search(sentence.text)
    if (
        match is None
        or not asks(sentence)
        or re.search(
            r"\b(?:function|program|script|api|parse|pars\w+|endpoint|convert\w*|code|given|following)\b",
            sentence.text[: match.end()],
        )
    ):
        return
    fence = "```" in passage.text or re.search(r"\bticks?\b", passage.masked) is not None
    yield found("json_schema", sentence, *match.span(), schema=True, **({"allow_code_fence": True} if fence else {}))


def _title(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    match = _TITLE.search(sentence.text)
    if match and asks(sentence) and re.search(r"title|name|wrap|put|bracket", sentence.text):
        yield found("title", sentence, *match.span())


def _quotation(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if (match := _QUOTED.search(sentence.text)) and asks(sentence):
        yield found("quoted", sentence, *match.span())


def _placeholders(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    for match in _PLACEHOLDERS.finditer(sentence.text):
        limit = bounds.read_english(match, sentence.text)
        least = limit and (limit.parameters.get("minimum") or limit.parameters.get("exactly"))
        if least and asks(sentence):
            yield found("placeholders", sentence, *match.span(), minimum=least)


def _highlights(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if not re.search(_MARKED, sentence.text) or not asks(sentence):
        return
    if not _STARRED.search(passage.masked, sentence.start, sentence.end + 160):
        return
    for match in _SPANS.finditer(sentence.text):
        around = sentence.text[max(0, match.start() - 60) : match.end() + 60]
        limit = bounds.read_english(match, sentence.text)
        least = limit and (limit.parameters.get("minimum") or limit.parameters.get("exactly"))
        if least and re.search(_MARKED, around):
            yield found("highlights", sentence, *match.span(), minimum=least)
            return
    if some := _SOME.search(sentence.text):
        yield found("highlights", sentence, *some.span(), minimum=1)


_SPLITTER = re.compile(
    r"(?:mark|label|note|start|begin|denote|indicate|call|title|number|name|separate|beginning|with|as|by|head)\w*\s+(?:each )?(?:[^.;*]{0,40}?\b(?:with|as|by|section)\s+)?(?:a |the )?\ue000?(?P<name>[a-z]+)\s+(?P<number>x|#|1|i)\b(?P<and>,? and (?P=name) \d)?|\((?P<name2>[a-z]+) 1(?:,| and)[^)]{0,60}\)"
)
_QUOTED_SPLITTER = re.compile(rf"(?:with|as|by|of|sections?:)\s+(?:a |the )?(?P<quote>{QUOTED})")
_PIECES = bounds.english(
    r"(?:[a-z]+ )?(?:sections?|parts?|paragraphs?|chapters?|stanzas?|days?|scenes?|verses?|acts?|steps?|advertisements|versions?)"
)


def _sections(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    """`SECTION X`: the name as it is written, and how many from the same sentences."""
    name, span = _splitter(passage, sentence)
    if not name or not asks(sentence):
        return
    begin, said = max(0, sentence.start - 1500), sentence.start + span[0]
    spoken = passage.masked[begin : sentence.end]
    # The nearest number before the name; "SECTION 1" itself is none.
    matches = sorted(_PIECES.finditer(spoken), key=lambda match: (begin + match.start() > said, -match.start()))
    for match in matches:
        limit = bounds.read_english(match, spoken)
        number = limit and (limit.parameters.get("minimum") or limit.parameters.get("exactly"))
        if number and not said <= begin + match.start() < sentence.start + span[1]:
            yield found("sections", sentence, *span, splitter=name, minimum=number)
            return


def _splitter(passage: Passage, sentence: Sentence) -> tuple[str, tuple[int, int]]:
    for match in _SPLITTER.finditer(sentence.text):
        group = "name" if match["name"] else "name2"
        start, end = match.span(group)
        return passage.text[sentence.start + start : sentence.start + end], match.span()
    for match in _QUOTED_SPLITTER.finditer(sentence.text):
        said = passage.said(*(sentence.start + place for place in match.span("quote")))
        if plain := re.fullmatch(r"([A-Za-z]+) (?:X|#|1|I)", said):
            return plain[1], match.span()
    return "", (0, 0)


_SIX = re.compile(r"(?<!\*)\*{6}(?!\*)|(?:6|six) (?:asterisk|star)")


def _responses(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    match = _SIX.search(sentence.text)
    if match is None:
        return
    around = passage.masked[max(0, sentence.start - 300) : sentence.end]
    if re.search(r"separat|divid|split|\bbetween\b", around) and (
        re.search(r"\b(?:two|2|both)\b", around) or passage.text.count("\n******\n") == 1
    ):
        yield found("responses", sentence, *match.span())


_ZH_JSON = re.compile(
    r"(?:用|以|按|使用|输出|返回)(?:为)?\s*json\s*(?:的)?(?:格式|形式)?(?:来)?(?:回答|作答|输出|返回|给出)?|(?:回答|输出|答案|结果)[^，。]{0,6}json\s*格式"
)


def _chinese(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if (match := _ZH_JSON.search(sentence.text)) and not re.search(
        r"程序|代码|函数|接口|解析|转换|如何|怎么|什么", sentence.text
    ):
        yield found("json_schema", sentence, *match.span(), schema=True)
    if match := _ZH_QUOTED.search(sentence.text):
        yield found("quoted", sentence, *match.span())
    for match in _ZH_PLACEHOLDERS.finditer(sentence.text):
        if (number := numbers.read(match["n"])) and number > 0:
            yield found("placeholders", sentence, *match.span(), minimum=number)


_ZH_PLACEHOLDERS = re.compile(
    rf"(?:至少|不少于)(?:包含|有|使用)?(?P<n>{numbers.CHINESE})个(?:用方括号[^，。]{{0,12}}的)?占位符"
)

RULES = (
    Rule(("json",), _json),
    Rule(("<<", "angular bracket", "angle bracket"), _title),
    Rule(("double quot",), _quotation),
    Rule(("placeholder", "place holder"), _placeholders),
    Rule(("highlight", "italic", "bold", "emphasi"), _highlights),
    Rule((" x", " 1", " #", " i", "\ue002"), _sections),
    Rule(("******", "asterisk", "star"), _responses),
    Rule(("json", "双引号", "占位符"), _chinese),
)
