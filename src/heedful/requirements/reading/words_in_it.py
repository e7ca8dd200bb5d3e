"""Which words the answer holds, how often, and which it must not hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from heedful.requirements.reading import numbers
from heedful.requirements.reading.cutting import OPEN, QUOTED, Passage, Sentence
from heedful.requirements.reading.found import Found, Rule, found
from heedful.requirements.reading.items import Items, read_items
from heedful.requirements.reading.speech import about_answer, asks

_TERMS = r"(?:negative |exact |specific |following |literal |key ?)?(?:key ?words?|words?|phrases?|terms?|expressions?|items?|names?|lines?|topics?)"
_NAMED = r"(?:the |these |this |both |all |any |of |either |at least one of |one of |each |following ){0,4}"
_INCLUDE = r"(?:includ(?:e|es|ing)|us(?:e|es|ing)|utiliz(?:e|es|ing)|mention(?:s|ing)?|contain(?:s|ing)?|incorporat(?:e|es|ing)|featur(?:e|es|ing)|ha(?:s|ve|ving)|add|with|repeat|say(?:s|ing)?|write)"
_NEGATED = r"(?:(?:do not|don.?t)(?! forget)|does not|doesn.?t|not to|never|without|avoid(?:s|ing)?|refrain from|must not|mustn.?t|should not|shouldn.?t|cannot|can.?t|can not|may not|exclud(?:e|es|ing)|not(?! more| less| fewer)|no(?! more| less| fewer)|omit|leave out|free of|forbidden)"
_EXPLICIT = re.compile(
    rf"\b(?:{_INCLUDE}|{_NEGATED})\s+(?:{_INCLUDE}\s+)?{_NAMED}{_TERMS}\b(?:\s+(?:such as|like|including))?,?(?P<colon>\s*:)?"
)
_DIRECT = re.compile(
    rf"\b(?:mention(?:s|ing)?|includ(?:e|es|ing)|contain(?:s|ing)?|use|using|say|saying)\s+(?={QUOTED})"
)
_SUBJECT = re.compile(rf"\b{_NAMED}(?:key ?words?|words?|phrases?|terms?|names?)\s+(?=\S)")
_APPEARS = re.compile(
    r"\s*,?\s*(?:(?:should|must|needs? to|ha(?:s|ve) to|shall|to|will)\s+)?(?:(?:only|also|each|all|both)\s+)?(?P<not>not\s+|never\s+|does not\s+|doesn.?t\s+|do not\s+|don.?t\s+)?(?:be\s+)?(?:appear(?:s|ing)?|used|is used|are used|occurs?|included|mentioned|is included|show up|shows up|present|is mentioned|are mentioned|are included)"
)
_FORBID_SUBJECT = re.compile(
    r"\s*(?:cannot|can.?t|can not|must not|should not|shouldn.?t|may not|mustn.?t|are not|is not)\s+(?:allowed|be|appear|occur|to be)"
)
TIMES = re.compile(
    rf"(?:\b(?:for )?(?P<word>at least|no fewer than|no less than|not less than|a minimum of|minimum|more than|over|at most|no more than|not more than|a maximum of|up to|less than|fewer than|under|exactly|precisely|only|just)?\s*)?"
    rf"(?P<once>\b(?:once|twice|thrice)\b|(?P<n>{numbers.ENGLISH})(?:\s*(?:to|or|-|–|and)\s*(?P<m>{numbers.ENGLISH}))?(?:\s(?P<mid>or more|or fewer|or less))?\s+times?\b)(?:\s+(?P<tail>or more|or less|or fewer|at (?:the )?(?:least|most)|minimum|maximum))?"
)
_NEGATION = re.compile(rf"\b{_NEGATED}(?:\s+(?!and\b|but\b|then\b|only\b|that\b|which\b)[\w'/]+){{0,8}}\s*:?$")
_ENGLISH_TRIGGERS = (
    "word",
    "phrase",
    "term",
    "mention",
    "includ",
    "contain",
    "expression",
    "use ",
    "using",
    "items",
    "say",
    "the name",
    "the line",
)


def _keywords(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if not asks(sentence):
        return
    for start, end, items in _lists(passage, sentence):
        yield from _read(passage, sentence, start, end, items)


def _lists(passage: Passage, sentence: Sentence) -> Iterator[tuple[int, int, Items]]:
    """Where words are named as words, and which; places are of the whole instruction."""
    done = 0
    limit = min(sentence.end + 1, len(passage.masked))
    for pattern in (_EXPLICIT, _DIRECT, _SUBJECT):
        for match in pattern.finditer(passage.masked, sentence.start, limit):
            if match.start() < done or _of_topic(passage, sentence, match):
                continue
            colon = "colon" in pattern.groupindex and match["colon"] is not None
            items = read_items(passage, match.end(), bare=pattern is not _DIRECT, several_words=colon)
            if items is not None and _meant(passage, pattern, match, items, colon):
                yield match.start(), match.end(), items
                done = max(done, items.end)


_TOPIC = re.compile(
    r"(?:synonym|antonym|meaning|definition|rhyme|opposite|origin|about|for|from|uses of|explain|define|mean|means|use|associat\w+|relat\w+|fill\w*|replac\w+|compar\w+|connect\w+)\w*\s+(?:with\s+)?$"
    # "a situation in which someone might use the phrase" is about the phrase.
    r"|\b(?:might|how (?:to|you|can|do|would)|when (?:to|you)|ways? (?:to|of)|someone (?:can|could)|(?:where|when|scenario|situation)\b[^.]{0,20})\s+$"
    # Where the answer begins and ends has kinds of its own.
    r"|\b(?:start|begin|end|finish|conclud|clos|open)\w*\b[^.;]{0,38}$"
)
_SAY = re.compile(r"\b(?:just|only|must|should|not|n.t|please|simply|always|never|without|avoid)\s+$|^\W*$")


def _of_topic(passage: Passage, sentence: Sentence, match: re.Match[str]) -> bool:
    """Words of a language, of an exam or of a song are not words of the answer."""
    before = passage.masked[max(0, match.start() - 40) : match.start()]
    if match.group().startswith("say") and not _SAY.search(before):
        return True
    return _TOPIC.search(before) is not None or not about_answer(sentence, match.start() - sentence.start)


def _meant(passage: Passage, pattern: re.Pattern[str], match: re.Match[str], items: Items, colon: bool) -> bool:
    after = passage.masked[items.end : items.end + 80]
    named = match.group()
    if pattern is _DIRECT:
        has_word = any(any(map(str.isalnum, phrase)) for phrase in items.phrases)
        return has_word and not _PURPOSE.match(after)
    if passage.text[match.end() : items.end].lstrip(" :")[:1] == "\n" and "one of" in named:
        return False  # options on lines of their own: a choice
    if pattern is _SUBJECT:
        often = TIMES.match(after.lstrip(" ,")) and "word" in named
        return bool(often or _APPEARS.match(after) or _FORBID_SUBJECT.match(after))
    if named.startswith("with") and _THINGS.search(named):
        return False
    if not colon and passage.masked[match.end() : match.end() + 2].strip()[:1] not in f"{OPEN}([":
        return _bare_list(named, after)
    return True


_PURPOSE = re.compile(r"\s*(?:to|as|for)\b")
_THINGS = re.compile(r"(?:names?|lines?|items?|topics?)\W*$")
_DEFINITE = re.compile(r"\b(?:the|these|this|following|both|all)\b|key ?words?")
_LIST_ENDS = re.compile(
    r"\s*(?:[.,;!]|$|in (?:your|the)|at (?:least|most)|more|less|for|exactly|only|once|twice|throughout|somewhere)"
)


def _bare_list(named: str, after: str) -> bool:
    """Whether bare words after "the words" are the words: "the words that rhyme" names none."""
    often = TIMES.match(after.lstrip(" ,")) is not None
    if _THINGS.search(named):
        return often
    if not _DEFINITE.search(named):
        return False
    return often or named.rstrip().endswith("s") or _LIST_ENDS.match(after) is not None


def _read(passage: Passage, sentence: Sentence, start: int, named: int, items: Items) -> Iterator[Found]:
    before = passage.masked[max(sentence.start, start - 60) : named]
    after = passage.masked[items.end : items.end + 90]
    appears = _APPEARS.match(after)
    rest = after[appears.end() :] if appears else after
    often = TIMES.match(re.sub(r"^(?:[^\w.;:]|each\b|in (?:the|your) (?:entire |whole |\w+ )?\w+,?|for\b)*", "", rest))
    if often is None and (
        gap := re.match(
            r"[^.,;:!?\n]{0,40}?(?=\b(?:at least|at most|more than|less than|exactly|once|twice|\d+ (?:to|or))\b)", rest
        )
    ):
        often = TIMES.match(rest[gap.end() :])
    negative = bool(_NEGATION.search(before) or _FORBID_SUBJECT.match(after) or (appears and appears["not"]))
    span = (start - sentence.start, items.end - sentence.start)
    if often is not None:
        parameters = read_times(often, negative=negative)
        if parameters is None:
            return
        yield found("keywords", sentence, span[0], span[1] + 1, all=list(items.phrases), **parameters)
    elif negative:
        yield found("forbidden", sentence, *span, words=list(items.phrases))
    elif re.search(r"\b(?:one|any|either) of\b", before) and len(items.phrases) > 1:
        yield found("keywords", sentence, *span, any=list(items.phrases))
    else:
        yield found("keywords", sentence, *span, all=list(items.phrases))


def read_times(match: re.Match[str], *, negative: bool = False) -> dict[str, Any] | None:
    """`times` and `maximum` of "at least twice", "less than 3 times", "3 to 5 times"."""
    number = numbers.read(match["n"] or match["once"] or "")
    second = numbers.read(match["m"]) if match["m"] else None
    word, tail = match["word"] or "", match["tail"] or match["mid"] or ""
    if number is None or number > 1000:
        return None
    if second is not None:
        return {"times": number, "maximum": second} if number < second and not word else None
    if word in {"less than", "fewer than", "under"}:
        return {"times": number} if negative else {"times": 0, "maximum": number - 1}
    if word in {"more than", "over"}:
        return {"times": 0, "maximum": number} if negative else {"times": number + 1}
    if negative:
        return None
    if word in {"at most", "no more than", "not more than", "a maximum of", "up to"} or re.search(
        "less|fewer|most|maximum", tail
    ):
        return {"times": 0, "maximum": number}
    if word in {"exactly", "precisely", "only", "just"}:
        return {"times": number, "maximum": number}
    return {"times": number} if number > 1 or word or tail or match["once"] is None else {"times": 1}


_ZH_LIST = r"(?:以下|下列|这些|如下)?(?:的)?(?:全部|所有)?(?:几个|[一二两三四五六七八九十\d]+个)?(?:关键词语?|关键字|词语?|单词|短语|词汇|字眼|字)?[：:]?\s*"
_ZH_WITH = re.compile(
    rf"(?:必须|需要|要|请|应该?|并|中|里|且)?(?:包含|包括|提到|提及|出现|写到|用到|使用|含有|用上|加入)(?:了)?{_ZH_LIST}(?={QUOTED})"
)
_ZH_WITHOUT = re.compile(
    rf"(?:不要|不得|不能|不可|不许|禁止|避免|请勿|切勿|别|不应|不)(?:在回答中|在文中)?(?:再)?(?:包含|包括|提到|提及|出现|写到|用到|使用|含有|用|说){_ZH_LIST}(?={QUOTED})"
)
_ZH_TIMES = re.compile(
    rf"[，,]?\s*(?:各)?(?P<word>至少|不少于|最多|不超过|正好|恰好)?(?P<each>各)?(?P<n>{numbers.CHINESE})次"
)


def _chinese(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    forbidden: set[int] = set()
    for pattern in (_ZH_WITHOUT, _ZH_WITH):
        done = sentence.start
        for match in pattern.finditer(sentence.text):
            start = sentence.start + match.start()
            # "不要使用" holds 使用, which alone asks for the words.
            if start < done or match.end() in forbidden:
                continue
            items = read_items(passage, sentence.start + match.end(), bare=False)
            if items is None or not _asked_in_chinese(sentence.text, match):
                continue
            span, done = (match.start(), items.end - sentence.start), items.end
            if pattern is _ZH_WITHOUT:
                forbidden.add(match.end())
                yield found("forbidden", sentence, *span, words=list(items.phrases))
                continue
            often = _ZH_TIMES.match(passage.masked, items.end)
            yield found("keywords", sentence, *span, all=list(items.phrases), **(_zh_times(often) if often else {}))


def _asked_in_chinese(text: str, match: re.Match[str]) -> bool:
    if re.search(r"[？?]$|(?:吗|呢)[？?]?$", text[-3:]):
        return False
    return (
        re.search(
            r"请|必须|要|应|不得|不能|写|用|回答|关键|别|禁止|避免|创作|生成",
            text[max(0, match.end() - 60) : match.end()],
        )
        is not None
    )


def _zh_times(match: re.Match[str]) -> dict[str, int]:
    number = numbers.read(match["n"]) or 1
    if match["word"] in {"最多", "不超过"}:
        return {"times": 0, "maximum": number}
    return {"times": number, "maximum": number} if match["word"] in {"正好", "恰好"} else {"times": number}


RULES = (
    Rule(_ENGLISH_TRIGGERS, _keywords),
    Rule(("包含", "包括", "提到", "提及", "出现", "写到", "用到", "使用", "含有", "用", "加入", "说"), _chinese),
)
