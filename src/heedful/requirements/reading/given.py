"""The part of an instruction that is not the user's: a text to be summarised, translated, corrected.

It begins after "... the following paragraph:" or below "... the text below." and goes on to the end, but for last
lines that themselves begin with a requirement: people often add those after the text.
"""

from __future__ import annotations

import re

from heedful.requirements.reading.cutting import OPEN, Passage
from heedful.requirements.reading.found import Found

_WORKED_ON = (
    r"(?:re-?write|summari[sz]|translat|paraphras|proof-?read|correct|edit|fix|improv|rephras|reword|classif|analy[sz]|convert|critique|critici[sz]|"
    r"expand|elaborat|shorten|condens|simplif|extract|identif|read|evaluat|review|answer|continu|complet|compress|format|given|based on|tldr|label|tag|"
    r"explain|describ|turn|mak|rearrang|detect|find|determin|tell|respond|reply|come up|categori[sz]|grade|check|parse|use|consider)\w*"
)
_POINTS = r"(?:following|below|this|these|given|next|provided)"
_HEAD = re.compile(
    rf"\b{_WORKED_ON}\b[^.:\n]{{0,120}}?\b{_POINTS}\b[^:\n]{{0,160}}:[ \t]*(?=\S|\n)"
    rf"|\b{_WORKED_ON}\b[^.:\n]{{0,60}}?\b(?:sentence|text|paragraph|passage|article|email|statement|story|review|code)\b[^:.\n]{{0,60}}:[ \t]*(?=\S|\n)"
)
_BELOW = re.compile(rf"\b{_WORKED_ON}\b[^.:\n]{{0,120}}?\b(?:following|below)\b[^:\n]*(?=\n)")
_LABEL = re.compile(
    r"^[ \t]*(?:input|text|article|passage|paragraph|sentence|email|context|document|story|review|question|original|content|source|transcript|output)[ \t]*:",
    re.MULTILINE,
)
_ZH_HEAD = re.compile(
    r"(?:将|把|对|给|根据|翻译|总结|概括|改写|修改|润色|阅读|分析|判断|提取|缩写|扩写)[^。：:\n]{0,40}(?:下面|以下|下列|这段|这篇|这句|如下|给定|段落|文章|句子|文本)[^。：:\n]{0,40}[：:\n]|^(?:输入|文本|原文|文章|段落|内容)[：:]",
    re.MULTILINE,
)
_LIST_HEAD = re.compile(
    r"\b(?:keywords?|words?|phrases?|items?|format|options?|requirements?|rules|instructions?|repeat|template|request|guidelines|structure)\b[^:\n]{0,30}:"
)
_MOST_AFTER = 50
_REQUEST = re.compile(r"\b(?:request|prompt|repeat\w*)\b")
_EXAMPLE_LINE = re.compile(
    r"\s*(?:[-*•[<({]|\d+[.)]|\.\.\.|for example|example|such as|no other|do not|this phrase|please|section|$)",
    re.IGNORECASE,
)


def given_text(cut: Passage, everything: list[Found]) -> tuple[int, int]:
    """Where the given text begins and ends; an empty span where there is none. What was found tells its last sentences."""
    start = _begin(cut)
    if start is None:
        return (0, 0)
    end = len(cut.text)
    starts = sorted(found.start for found in everything)[-_MOST_AFTER:]
    for sentence in reversed([each for each in cut.sentences if each.start > start]):
        if any(sentence.start <= place < sentence.end for place in starts):
            end = sentence.start
        elif not _EXAMPLE_LINE.match(sentence.text):
            break
    return (start, end)


def _begin(cut: Passage) -> int | None:
    places: list[int] = []
    for pattern in (_HEAD, _BELOW, _LABEL, _ZH_HEAD):
        for match in pattern.finditer(cut.masked):
            # What stands in quotation marks is hidden already, and the talk goes on behind it.
            quoted = cut.masked[match.end() : match.end() + 4].lstrip()[:1] == OPEN
            if not quoted and not _LIST_HEAD.search(match.group()) and not _REQUEST.search(match.group()):
                places.append(match.end())
                break
    return min(places, default=None)
