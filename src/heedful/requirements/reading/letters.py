"""Which letters the answer holds: how often one occurs, words in capitals, all of it in one case, commas."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from heedful.requirements.reading import bounds, numbers
from heedful.requirements.reading.cutting import QUOTED, Passage, Sentence
from heedful.requirements.reading.found import Found, Rule, found
from heedful.requirements.reading.speech import MODAL, about_answer, asks
from heedful.requirements.reading.words_in_it import TIMES, read_times

_LETTER = re.compile(rf"\b(?:letter|character|symbol|hashtag|punctuation mark|sign)\s+(?P<one>{QUOTED}|\S(?=\s|[.,;]))")
_MARKS = re.compile(
    rf"(?P<count>{numbers.ENGLISH})(?P<more> or more)? (?:exclamation|question) marks?\s*(?P<one>{QUOTED})"
)
_NEVER = re.compile(r"(?:\bnot\b|n.t\b|\bwithout\b|\bavoid\w*\b|\bnever\b|\bno\b|\brefrain\b)[^,.;]{0,40}$")
_CAPS = r"(?:(?:in|with|of|using|written in|that are in|are)\s+)?(?:all[- ])?(?:capital letters|capitals|caps|upper ?case(?: letters)?|capitalized)"
_CAPITAL_WORDS = re.compile(
    r"\bwords?\b[^.;]{0,24}?\b(?:all )?(?:capital letters|caps|uppercase)|\ball[- ]?(?:caps|capital|capitalized|uppercase)[- ](?:letter )?words?|\b(?:fully )?capitalized words?|\bwords? (?:written )?in all caps"
)
_CAPITAL_COUNT = bounds.english(
    rf"(?:words?(?: or phrases)?(?: in (?:the|your) \w+)?(?: {MODAL})?(?: be)?(?: (?:written )?(?:in|with|of))? (?:all )?{_CAPS}|all[- ](?:caps|capital|uppercase)[- ](?:letter )?words?|(?:fully )?capitalized words?|capital words?)"
)


def _letters(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    for match in _LETTER.finditer(sentence.text):
        letter = _one(passage, sentence, match) if about_answer(sentence, match.start()) else ""
        limit = _often(sentence, match) if letter else None
        if letter and limit:
            yield found("letters", sentence, match.start(), match.end(), letter=letter, **limit)
    for match in _MARKS.finditer(sentence.text):
        letter = _one(passage, sentence, match)
        if letter and asks(sentence) and (number := numbers.read(match["count"])):
            named = (
                {"minimum": number}
                if match["more"] or "at least" in sentence.text[max(0, match.start() - 12) : match.start()]
                else {"exactly": number}
            )
            yield found("letters", sentence, match.start(), match.end(), letter=letter, **named)


def _one(passage: Passage, sentence: Sentence, match: re.Match[str]) -> str:
    start, end = (sentence.start + place for place in match.span("one"))
    said = passage.said(start, end) if end - start > 1 else passage.text[start:end]
    return said if len(said) == 1 else ""


def _often(sentence: Sentence, match: re.Match[str]) -> dict[str, int] | None:
    """How often: after the letter ("at least 6 times"), or not at all ("without the letter p")."""
    before, after = (
        sentence.text[max(0, match.start() - 70) : match.start()],
        sentence.text[match.end() : match.end() + 90],
    )
    never = _NEVER.search(before)
    for often in TIMES.finditer(after):
        return as_counts(read_times(often, negative=bool(never or _NEVER.search(after[: often.start()]))))
    if never or re.match(rf"\s*(?:{MODAL}\s+)(?:not|never)|\s*(?:cannot|can't|is not|isn't)", after):
        return {"exactly": 0}
    return {"minimum": 1} if re.search(r"\b(?:include|contain|use)\w*\s+(?:the\s+)?$", before) else None


def as_counts(parameters: dict[str, Any] | None) -> dict[str, int] | None:
    """Times and maximum of a keyword as the counting kinds name them."""
    if parameters is None:
        return None
    least, most = parameters.get("times", 1), parameters.get("maximum")
    if least == most:
        return {"exactly": least}
    return {**({"minimum": least} if least else {}), **({} if most is None else {"maximum": most})} or None


def _capitals(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if not asks(sentence):
        return
    for match in _CAPITAL_COUNT.finditer(sentence.text):
        if (limit := bounds.read_english(match, sentence.text)) and not re.search(
            r"\bwords? (?:with|in|of)", sentence.text[: match.start()]
        ):
            yield found("capitals", sentence, match.start(), match.end(), **limit.parameters)
            return
    if (counted := _CAPITAL_NUMBER.search(sentence.text)) and (limit := bounds.read_number(counted, sentence.text)):
        yield found("capitals", sentence, counted.start(), counted.end(), **limit.parameters)
        return
    for match in _CAPITAL_WORDS.finditer(sentence.text):
        after = sentence.text[match.end() : match.end() + 100]
        often = next(TIMES.finditer(after), None)
        if often is not None and (limits := as_counts(read_times(often))):
            yield found("capitals", sentence, match.start(), match.end() + often.end(), **limits)
            return
        amount = re.match(
            rf"[^.;]{{0,16}}?\bto (?P<less>less than|fewer than|at most|no more than)\s+(?P<n>{numbers.ENGLISH})(?: words?)?\s*[.,;]?",
            after,
        )
        if amount and (number := numbers.read(amount["n"])):
            most = number - 1 if amount["less"].endswith("r than") or amount["less"] == "less than" else number
            yield found("capitals", sentence, match.start(), match.end() + amount.end(), maximum=most)
            return


_CAPITAL_NUMBER = bounds.number_of(rf"words?(?: (?:written )?(?:in|with|of))? (?:all )?{_CAPS}")
_LOWER = r"(?:lower[- ]?cases?(?: letters?)?|small letters)"
_UPPER = r"(?:capital letters|upper[- ]?cases?(?: letters?)?|capitals|caps)"
_CASES = {"lower": _LOWER, "upper": _UPPER}
_IN_CASE = {
    case: re.compile(
        rf"\b(?:in|using|use|with|be|is|are)\s+(?:only |just )?(?:all )?(?:the )?{letters}(?: only| english)?\b"
        rf"|\b(?:in english(?:,)? and|and|be|is|,)\s+(?:in )?all {letters}|\b(?:all|only)(?: in| of the| the|)? {letters}\b|\b{letters} only\b"
        rf"|\b(?:all|every) (?:of )?(?:the |your )?(?:letters?|words?|text)(?: in (?:your|the) (?:entire |whole )?\w+)? (?:{MODAL} )?(?:be |are |is )?(?:in )?(?:all )?"
        + (
            "lower[- ]?cased?"
            if case == "lower"
            else r"(?:capitalized|upper[- ]?cased?|capital)|\bcapitalize (?:every|all)(?: of)?(?: the)? letters?\b(?! in the)"
        )
    )
    for case, letters in _CASES.items()
}
_WITHOUT = {
    "lower": re.compile(rf"(?:\bno|\bwithout(?: using)?(?: any)?|\bnot (?:use|contain|include)(?: any)?|n.t (?:use|contain|include)(?: any)?|\bavoid(?: using)?(?: any)?|\bhave no)\s+{_UPPER}|not a single letter[^.]{{0,40}}capitalized"),
    "upper": re.compile(rf"(?:\bno|\bwithout(?: using)?(?: any)?|\bnot (?:use|contain|include)(?: any)?|n.t (?:use|contain|include)(?: any)?|\bavoid(?: using)?(?: any)?|\bhave no)\s+{_LOWER}|not a single (?:word|letter)[^.]{{0,40}}lower-?case"),
}  # fmt: skip
_SOME = re.compile(
    r"\b(?:(?<!all )(?<!that )words?(?! in your)|letter of|title|titles|headings?|headers?|names?|acronyms?|first|some|key|phrases?|few|labels?|keywords?|number of|start with|begin with)\b(?:(?!\band\b)[^.,;]){0,30}$"
)
_CONVERT = re.compile(
    r"\b(?:convert|chang|transform|turn|switch|lower|capitali[sz]e the|translate)\w*\b[^.;]{0,60}$|\b(?:string|function|program|variable|password|column|file)s?\b"
)


def _case(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if not asks(sentence) and len(sentence.text) > 60:
        return
    for case in ("lower", "upper"):
        for pattern in (_IN_CASE[case], _WITHOUT[case]):
            match = pattern.search(sentence.text)
            if (
                match
                and not (not match.group().startswith(("and", ",")) and _SOME.search(sentence.text[: match.start()]))
                and not _CONVERT.search(sentence.text[: match.start()])
                and not _some_words(sentence.text, match)
                and not (
                    pattern is _IN_CASE[case]
                    and _NEVER.search(sentence.text[max(0, match.start() - 40) : match.start()])
                )
            ):
                yield found("case", sentence, match.start(), match.end(), case=case)
                break


def _some_words(text: str, match: re.Match[str]) -> bool:
    """ "Use words in all capital letters at least 3 times" is about some words."""
    after = text[match.end() : match.end() + 60]
    return (
        re.match(
            r"\s*(?:words?\b|(?:for )?(?:at least|at most|more than|less than|exactly|no more than|\d+)\b|to (?:stress|emphasize|highlight)|for (?:the )?(?:title|heading|emphasis))",
            after,
        )
        is not None
    )


_NO_COMMAS = re.compile(
    r"(?:(?:do|does|must|should|can|could|may|shall|need)\s?(?:not|n.t|nt)|cannot|can.?t|don.?t|doesn.?t|avoid(?:ing)?|refrain(?:ing)? from|never|without|free of|are not allowed to|not to|have|contain|use|using|there (?:should|must) be|with|has|and|,|^|not)"
    r"\s*(?:(?:use|using|contain|containing|include|including|have|having|the use of|be|put|putting|add|adding)\s+)?(?P<any>no |any |a single |a )?(?:use of )?commas?\b"
)


_ALLOWED = re.compile(
    r"\bcommas? (?:are|is|should|must) (?:not|never) (?:be )?(?:allowed|used|permitted|appear)|\bno commas? (?:is|are|should)"
)


def _commas(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    for match in _NO_COMMAS.finditer(sentence.text):
        said = match.group()
        negative = re.search(r"not|n.t\b|cannot|avoid|refrain|never|without|free of|\bno ", said)
        if (
            negative
            and asks(sentence)
            and not re.search(
                r"(?:separated|delimited)(?: by| with)?\s+$|\b(?:numbers?|list|string|values?)\s+$",
                sentence.text[: match.start()],
            )
        ):
            yield found("no_commas", sentence, match.start(), match.end())
            return
    if allowed := _ALLOWED.search(sentence.text):
        yield found("no_commas", sentence, allowed.start(), allowed.end())


_ZH_COMMAS = re.compile(r"(?:不要|不得|不能|不可|禁止|避免|请勿|别|不)(?:使用|用|出现|包含|有|含有)?(?:任何)?逗号")
_ZH_LETTER = re.compile(
    rf"字母\s*(?P<one>{QUOTED}|[a-z])\s*(?:应|要|必须|需要)?(?:出现)?(?P<word>至少|不少于|最多|不超过|正好|恰好)?(?:出现)?(?P<n>{numbers.CHINESE})次"
)
_ZH_CASE = re.compile(r"(?:全部|只|都|一律|全文|全)(?:使?用|为|是)?(?:英文)?(?P<case>大写|小写)")


def _chinese(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if match := _ZH_COMMAS.search(sentence.text):
        yield found("no_commas", sentence, *match.span())
    for match in _ZH_LETTER.finditer(sentence.text):
        number, word = numbers.read(match["n"]), match["word"]
        if (letter := _one(passage, sentence, match)) and number:
            name = {"最多": "maximum", "不超过": "maximum", "正好": "exactly", "恰好": "exactly"}.get(
                word or "", "minimum"
            )
            yield found("letters", sentence, *match.span(), letter=letter, **{name: number})
    if (match := _ZH_CASE.search(sentence.text)) and "转换" not in sentence.text and "改成" not in sentence.text:
        yield found("case", sentence, *match.span(), case="upper" if match["case"] == "大写" else "lower")


RULES = (
    Rule(("letter ", "exclamation mark", "question mark", "hashtag", "character "), _letters),
    Rule(("caps", "capital", "uppercase"), _capitals),
    Rule(("lowercase", "lower case", "lower-case", "capital", "caps", "uppercase", "upper case", "lowercased"), _case),
    Rule(("comma",), _commas),
    Rule(("逗号", "字母", "大写", "小写"), _chinese),
)
