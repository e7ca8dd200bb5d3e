"""Bounds on a number as people say them: "at least 3", "between 20 and 25", "45 or less", "不超过50", "三到五"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heedful.requirements.reading import numbers

_NUMBER = numbers.ENGLISH
_LEAST = r"at least|no fewer than|no less than|not less than|not fewer than|(?:an? )?minimum(?: of)?|min\.?(?: of)?|at the very least"
_MOST = r"at most|no more than|not more than|up to|(?:an? |the )?maximum(?: of)?|max\.?(?: of)?|within|no longer than|not longer than|not exceed(?:ing)?|exceed|not to exceed|at the most"
_MORE = r"more than|over|above|longer than|greater than|larger than"
_LESS = r"less than|fewer than|under|below|shorter than|lower than"
_EXACT = r"exactly|precisely|just|only"
_RANGE = r"between|from|in the range of|ranging from|anywhere from"
_WORD = rf"(?P<least>\b(?:{_LEAST})\b)|(?P<most>\b(?:{_MOST})\b)|(?P<more>\b(?:{_MORE})\b)|(?P<less>\b(?:{_LESS})\b)|(?P<exact>\b(?:{_EXACT})\b)|(?P<range>\b(?:{_RANGE})\b)"
_AFTER = r"(?:or|and) (?:more|above|over|longer|greater)|(?:or|and) (?:less|fewer|below|under|shorter)|(?:at )?(?:the )?(?:minimum|maximum|max|min|most|least)"
_OR_MORE = re.compile(r"more|above|over|longer|greater|minimum|min|least")
_NEGATION = re.compile(r"(?:\bnot|n't|n’t|\bnever|\bwithout|\bno|cannot) +(?:\w+ +){0,4}$")
_VAGUE = re.compile(r"(?:about|around|approximately|roughly|some|nearly|almost|~|a couple of)\s*(?:a )?$")


@dataclass(frozen=True, slots=True)
class Limit:
    """`parameters` as the counting kinds take them; `bare` when no word said exactly, at least or at most."""

    parameters: dict[str, int]
    bare: bool = False


def english(unit: str) -> re.Pattern[str]:
    """A pattern for a bound on `unit`, itself a pattern."""
    return re.compile(
        rf"(?:(?:{_WORD})\s+)?(?:a total of\s+)?(?<![\w.])(?P<n>{_NUMBER})(?:(?:\s+{unit})?\s*(?:\bto\b|\band\b|\bor\b|[-–—])\s*(?:(?P<most2>\b(?:{_MOST}|{_LESS})\b)\s+)?(?P<m>{_NUMBER}))?"
        rf"(?:(?P<plus>\s?\+)|\s+(?P<after>{_AFTER}))?[\s-]+(?P<unit>{unit})\b(?:,?\s+(?P<tail>{_AFTER})\b)?"
    )


def number_of(unit: str) -> re.Pattern[str]:
    """A pattern for "the number of sentences should be in the range of 40 to 60", `unit` being what is counted."""
    return re.compile(
        rf"(?:number of|amount of|limit the) {unit}[^.;\n]{{0,60}}?\b(?:{_WORD})?\s*(?<![\w.])(?P<n>{_NUMBER})"
        rf"(?:\s*(?:\bto\b|\band\b|\bor\b|[-–—])\s*(?P<most2>\b(?:{_MOST}|{_LESS})\b)?\s*(?P<m>{_NUMBER}))?(?P<plus>\+)?(?:\s+(?P<after>{_AFTER})\b)?(?P<tail>)"
    )


def read_number(match: re.Match[str], text: str) -> Limit | None:
    """The limit that a match of `number_of` in `text` states."""
    limit = read_english(match, text)
    return None if limit and limit.bare else limit


def read_english(match: re.Match[str], text: str) -> Limit | None:
    """The limit that a match of `english` in `text` states; None when it states none that can be kept."""
    first, second = numbers.read(match["n"]), numbers.read(match["m"]) if match["m"] else None
    before = text[max(0, match.start() - 60) : match.start()]
    if first is None or first > 1_000_000 or _VAGUE.search(before):
        return None
    if second is not None:
        return _two(match, first, second)
    return _one(match, first, negated=_NEGATION.search(before) is not None)


def _two(match: re.Match[str], first: int, second: int) -> Limit | None:
    if match["least"] or match["more"]:
        if not match["most2"]:
            return None
        first += bool(match["more"])
    elif match["most"] or match["less"] or (match["exact"] and second - first != 1):
        return None
    if match["most2"] and re.search(r"less|fewer|under|below", match["most2"]):
        second -= 1
    return Limit({"minimum": first, "maximum": second}) if 0 < first < second else None


def _one(match: re.Match[str], number: int, *, negated: bool) -> Limit | None:
    words = match["after"] or match["tail"]
    only = match["exact"] == "only"
    if match["range"]:
        return None
    if match["more"] or match["less"]:
        more = bool(match["more"])
        if negated:  # "not more than 3" allows 3
            return Limit({"maximum" if more else "minimum": number})
        return _positive("minimum", number + 1) if more else Limit({"maximum": max(number - 1, 0)})
    if match["least"] or match["plus"] or (words and _OR_MORE.search(words)):
        return None if negated else _positive("minimum", number)
    if match["most"] or words or only:
        return Limit({"maximum": number}) if match["most"] != "exceed" or negated else None
    if negated:
        return None
    return Limit({"exactly": number}, bare=not match["exact"])


def _positive(name: str, number: int) -> Limit | None:
    return Limit({name: number}) if number > 0 else None


_ZH = numbers.CHINESE
_ZH_LEAST = "至少|不少于|不得少于|不能少于|不要少于|不低于|不得低于|最少|起码|不短于"
_ZH_MOST = "最多|不超过|不得超过|不能超过|不要超过|别超过|不多于|不得多于|不大于|至多|不超出|控制在|限制在|限"
_ZH_MORE = "超过|多于|大于|高于"
_ZH_LESS = "少于|小于|低于|不到|不足"
_ZH_EXACT = "正好|恰好|刚好|不多不少|只用|仅用"


def chinese(unit: str) -> re.Pattern[str]:
    """A pattern for a bound on `unit`, itself a pattern, in Chinese."""
    return re.compile(
        rf"(?P<vague>大约|大概|约|左右)?(?:(?P<least>{_ZH_LEAST})|(?P<most>{_ZH_MOST})|(?P<more>{_ZH_MORE})|(?P<less>{_ZH_LESS})|(?P<exact>{_ZH_EXACT}))?(?:为|是|有|写|用)?\s*"
        rf"(?<![0-9０-９一二两三四五六七八九十百千第])(?P<n>{_ZH})(?:\s*(?P<unit0>{unit})?(?:到|至|-|~|～|—|、不超过|，不超过)\s*(?P<m>{_ZH}))?\s*(?P<unit>{unit})"
        rf"(?P<after>以内|之内|以下|以上|或以上|或以下|或更多|或更少|左右|上下)?"
    )


def read_chinese(match: re.Match[str]) -> Limit | None:
    """The limit that a match of `chinese` states."""
    first, second = numbers.read(match["n"]), numbers.read(match["m"]) if match["m"] else None
    after = match["after"] or ""
    if first is None or match["vague"] or after in {"左右", "上下"} or first > 1_000_000:
        return None
    if second is not None:
        return Limit({"minimum": first, "maximum": second}) if 0 < first < second <= 1_000_000 else None
    if match["more"]:
        return Limit({"minimum": first + 1})
    if match["less"]:
        return Limit({"maximum": max(first - 1, 0)})
    if match["most"] == "控制在" and not after:
        return Limit({"exactly": first}, bare=True)
    if match["least"] or "上" in after or "更多" in after:
        return _positive("minimum", first)
    if match["most"] or after:
        return Limit({"maximum": first})
    return Limit({"exactly": first}, bare=not match["exact"])
