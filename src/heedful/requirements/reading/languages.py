"""The language of the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from heedful.requirements.language import NAMES
from heedful.requirements.reading.cutting import Passage, Sentence
from heedful.requirements.reading.found import Found, Rule, found
from heedful.requirements.reading.speech import NOUNS, WHOLE, about_machine, asks

_ENGLISH = {name.english.lower(): code for code, name in NAMES.items()} | {"mandarin": "zh", "mandarin chinese": "zh"}
_CHINESE = {name.chinese: code for code, name in NAMES.items()} | {
    "英文": "en", "汉语": "zh", "普通话": "zh", "法文": "fr", "德文": "de", "日文": "ja", "韩文": "ko", "俄文": "ru",
}  # fmt: skip
_NAME = "(?P<name>" + "|".join(sorted(map(re.escape, _ENGLISH), key=len, reverse=True)) + ")"
_ZH_NAME = "(?P<name>" + "|".join(sorted(map(re.escape, _CHINESE), key=len, reverse=True)) + ")"
_ONLY = r"(?:only |just |exclusively |entirely |completely |fully )*(?:the )?"
_ENDS = r"(?: language)?(?=\s*(?:[.,;!)?]|$|\n|and (?:in|not|all|should|make|wrap)\b|in (?:your|all|the)\b|no other|only\b|why|how|what|that\b|without|throughout|with\b|about\b|for\b|or\b|-))"
_RULES = tuple(
    re.compile(pattern.replace("NAME", _NAME))
    for pattern in (
        rf"\b(?:only |exclusively |completely |entirely |fully )(?:in |using )?(?:the )?NAME\b{_ENDS}",
        rf"\b(?:in|use|using) (?:only|just|entirely|exclusively) (?:the )?NAME\b{_ENDS}",
        r"\bNAME(?: language)?,? (?:and )?no other language",
        rf"\b(?:answer|respond|reply)(?: back)?(?: to (?:me|this|it|the question|my question))?(?: \w+ly)? (?:in|using) {_ONLY}NAME\b{_ENDS}",
        rf"\b(?:write|explain|say|tell|describe|summarize|speak|do)(?: (?:it|this|that|me|everything|your \w+|the (?:whole|entire) \w+))? in {_ONLY}NAME\b{_ENDS}",
        rf"\b(?:write|compose|create|generate|give|make|draft)\b[^.,;:]{{0,40}}\b{NOUNS} (?:written )?in {_ONLY}NAME\b{_ENDS}",
        rf"{WHOLE} (?:(?:should|must|has to|needs to|shall|is|to|can only)(?: only)?(?: all)? be(?: written| given)?|be|is)? ?(?:[a-z]+ly )?in {_ONLY}NAME\b{_ENDS}",
        rf"\bmake sure (?:that )?(?:it is|it.s|{WHOLE} is)(?: [a-z]+ly)? in {_ONLY}NAME\b{_ENDS}",
        rf"\b(?:it|(?:re)?written|response|explanations) (?:should |must )?(?:also )?(?:be |is |are )?(?:written )?in {_ONLY}NAME\b{_ENDS}",
        r"\buse (?:only )?NAME (?:only )?in your (?:response|answer)",
    )
)
_NOT = re.compile(
    r"\b(?:translat|convert|how (?:do|would|to)|word for|call(?:ed)?|pronounc|meaning|mean|not|don.t|learn|from|plain|simple|class|course|lesson|teacher|studying)\w*\b[^.;]{0,50}$"
)
_ZH = re.compile(
    rf"(?:请|并|须|必须|要|只|仅|都|一律|回答|全文|全部|应)?(?:使用|用|以)(?:简体|繁体|简单的|流利的)?{_ZH_NAME}(?:来)?(?:回答|作答|回复|书写|写作|写|撰写|解释|说明|描述|介绍|表达|输出)"
    rf"|(?:回答|回复|答案|输出|全文)(?:必须|应该?|要|需要?|请|都)*(?:使用|用|是|为)(?:简体|繁体)?{_ZH_NAME.replace('name', 'name2')}(?!单词|翻译|字母|名|词|的?关键)"
)


def _language(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if not asks(sentence):
        return
    for pattern in _RULES:
        for match in pattern.finditer(sentence.text):
            if not about_machine(sentence, match.start()) and not _NOT.search(
                sentence.text[max(0, match.start() - 60) : match.start()]
            ):
                yield found("language", sentence, *match.span(), language=_ENGLISH[match["name"]])
                return


def _chinese(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    match = _ZH.search(sentence.text)
    if match and not re.search(r"翻译|怎么|如何|[？?]$", sentence.text):
        yield found("language", sentence, *match.span(), language=_CHINESE[match["name"] or match["name2"]])


RULES = (Rule(tuple(_ENGLISH), _language), Rule(tuple(_CHINESE), _chinese))
