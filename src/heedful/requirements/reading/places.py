"""What stands where in the answer: how it begins and ends, a postscript, a repeated request, the word a paragraph begins with."""

from __future__ import annotations

import re
from collections.abc import Iterator

from heedful.requirements.reading import bounds, numbers
from heedful.requirements.reading.cutting import CLOSE, QUOTED, Passage, Sentence
from heedful.requirements.reading.found import Found, Rule, found
from heedful.requirements.reading.speech import MODAL, NOUNS, WHOLE, asks

_OBJECT = rf"(?:{WHOLE}|it|them|off|(?:the|your) (?!first|second|third|last|next)[a-z]+)"
_EXACT = r"(?:the |this |these |an? )?(?:exact |following |same |very )*(?:phrase|words?|sentence|line|text|question|quote|statement)s?(?: of)?"
_WITH = rf"(?:with|by saying|by asking|by)\s+(?:exactly\s+)?(?:{_EXACT})?\s*:?\s*"
_START = r"(?:start|begin|open)(?:s|ing)?"
_END = r"(?:end|finish|conclude|close)(?:e?s|ing)?"
_AFFIX = re.compile(
    rf"\b(?:(?P<start>{_START})|(?P<end>{_END}))\s+(?:{_OBJECT}\s+)?(?:off\s+)?(?P<with>{_WITH})(?P<quote>{QUOTED})"
    rf"|\b(?:the )?(?:(?P<first>first)|(?P<last>last|final)) (?:words?|sentence|line|phrase) (?:of|in) {WHOLE} {MODAL} be:?\s*(?P<quote2>{QUOTED})|\bthe very (?P<last2>end) of {WHOLE} {MODAL} (?:read|be|say)(?: exactly)?(?: like)?(?: this)?:?\s*(?P<quote3>{QUOTED})"
)
_BARE_END = re.compile(
    rf"\b(?:{_END})\s+(?:{_OBJECT}\s+)?with(?:\s+(?:exactly\s+)?(?:the |this )?exact (?:phrase|sentence|words?|question)(?: of)?:?|:)[ ]+(?P<text>[^\n\ue000]+)"
    rf"|the very end of {WHOLE} {MODAL} read exactly like(?: this)?:\s*(?P<text2>[^\n\ue000]+)"
)
_SUBJECT = re.compile(
    rf"(?:(?:{NOUNS}|it|response|that|which)\s+(?:{MODAL}\s+)?|^\W*(?:please |and |then |also |you (?:should |must )?)?|\b(?:to|and|please|must|should|then|that|you)\s+)$"
)
_TOPIC = re.compile(
    r"\b(?:words?|names?|countries|cities|verbs?|nouns?|sentences|lines?|paragraph \S+|paragraphs?|each|every|sections?|stanza|those|ones|animals)\s+(?:that\s+|which\s+|should\s+|must\s+)?$"
)


def _affixes(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if not asks(sentence):
        return
    for match in _AFFIX.finditer(sentence.text):
        before = sentence.text[: match.start()]
        whole = match["first"] or match["last"] or match["last2"]
        if not whole and (not _SUBJECT.search(before[-60:]) or _TOPIC.search(before[-60:])):
            continue
        span = match.span(next(name for name in ("quote", "quote2", "quote3") if match[name]))
        text = passage.said(sentence.start + span[0], sentence.start + span[1])
        if any(map(str.isalnum, text)) and not _POSTSCRIPT.fullmatch(text.lower()):
            kind = "starts_with" if match["start"] or match["first"] else "ends_with"
            yield found(kind, sentence, *match.span(), text=text)
            return
    if bare := _BARE_END.search(sentence.text):
        start, _ = bare.span("text" if bare["text"] else "text2")
        line_end = passage.text.find("\n", sentence.start + start)
        line = passage.text[sentence.start + start : line_end if line_end >= 0 else len(passage.text)]
        if text := line.strip():
            yield found("ends_with", sentence, bare.start(), start + len(line.rstrip()), text=text)


_ZH_AFFIX = re.compile(
    rf"(?:请|要|须|应|必须|需要|回答|文章|并)?(?:以|用|从)\s*(?P<quote>{QUOTED})\s*(?:这[^，。]{{0,8}})?(?:(?:作为|为|做)?(?:回答|文章|全文)?的?(?:(?P<start>开头|开始|起始|开篇)|(?P<end>结尾|结束|收尾|结束语)))"
    rf"|(?:(?P<first>开头)|(?P<last>结尾))(?:必须|应|要)?(?:是|为|写)\s*(?P<quote2>{QUOTED})"
)


def _chinese_affixes(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    for match in _ZH_AFFIX.finditer(sentence.text):
        span = match.span("quote" if match["quote"] else "quote2")
        text = passage.said(sentence.start + span[0], sentence.start + span[1])
        if text and not re.search(r"[？?]$|成语|词语|的字|每[句段行个]", sentence.text):
            yield found(
                "starts_with" if match["start"] or match["first"] else "ends_with", sentence, *match.span(), text=text
            )


_POSTSCRIPT = re.compile(r"(?<![\w.])(?P<marker>p\.\s?p\.\s?s\.?|p\.\s?s\.?|pps|p\.p\.s|ps)(?![\w])")


def _postscript(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    if not asks(sentence):
        return
    # The marker may be quoted, which the masked text hides.
    spoken = passage.text[sentence.start : sentence.end].lower()
    for match in _POSTSCRIPT.finditer(spoken):
        around = spoken[max(0, match.start() - 80) : match.end() + 30]
        if re.search(
            r"post-?\s?script|\b(?:note|add|include|end|with an?|starting with|starts? with|indicated)\b", around
        ):
            letters = match["marker"].count("p")
            yield found("postscript", sentence, *match.span(), marker="P.P.S" if letters == 2 else "P.S.")
            return


_ORDINALS = {
    word: number
    for number, word in enumerate(
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"], 1
    )
}


def _which_paragraph(ordinal: str, number: str) -> str:
    return (
        rf"(?:(?:the )?(?:very )?(?P<{ordinal}>{'|'.join(_ORDINALS)}|last|[1-9]\d?(?:st|nd|rd|th)) paragraph"
        rf"|paragraph (?:number |#)?(?P<{number}>{numbers.ENGLISH}))"
    )


def _word(name: str) -> str:
    return rf"(?:the |this )?(?:word |words? of )?:?\s*(?P<{name}>{QUOTED}|[^\s.,;\ue000]+)"


_PARAGRAPH = re.compile(
    rf"{_which_paragraph('a', 'b')}[^.,;\n]{{0,30}}?\b(?:{_START})(?: off)? with {_word('word1')}"
    rf"|\b(?:{_START}) {_which_paragraph('c', 'd')} with {_word('word2')}"
    rf"|first word (?:of|in) {_which_paragraph('e', 'f')} (?:{MODAL} be|is)(?: the word)? {_word('word3')}"
)
_NUM_PARAGRAPHS = bounds.english(r"paragraphs?")


def _paragraph_start(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    match = _PARAGRAPH.search(sentence.text)
    if match is None or not asks(sentence):
        return
    total = _total(passage)
    which = _which(match, total)
    group = next(name for name in ("word1", "word2", "word3") if match[name])
    start, end = (sentence.start + place for place in match.span(group))
    word = passage.said(start, end) if passage.masked[start] == "\ue000" else passage.text[start:end]
    if total and which and which <= total and word and " " not in word:
        yield found("paragraph_start", sentence, *match.span(), paragraphs=total, paragraph=which, word=word)


def _total(passage: Passage) -> int | None:
    for match in _NUM_PARAGRAPHS.finditer(passage.masked[:20_000]):
        limit = bounds.read_english(match, passage.masked)
        if limit and (number := limit.parameters.get("exactly")):
            return number
    return None


def _which(match: re.Match[str], total: int | None) -> int | None:
    word = next((match[name] for name in "abcdef" if match[name]), "")
    if word == "last":
        return total
    return _ORDINALS.get(word) or numbers.read(re.sub(r"(?<=\d)(?:st|nd|rd|th)$", "", word))


_REPEAT = re.compile(r"\b(?:re-?peat|repleat|restate|copy)\s+(?:back\s+)?(?:the|this|it|my|that|your|all)\b")
_VERBATIM = re.compile(
    r"word[- ](?:for|by)[- ]word|exactly|as it is|without (?:any )?chang|exact|verbatim|first,? repeat|repeat\w* (?:the )?(?:request|sentence|prompt|question)[^.]{0,40}\b(?:first|before)|do not change|single letter"
)
_FIRST = re.compile(
    r"\bfirst\b|\bthen (?:give|answer|respond|write|provide)|\bany words? before|\bbefore you (?:answer|respond|say|reply)|before (?:you say|answering|giving|outputting)|at the very beginning|before saying"
)
_PARTLY = re.compile(r"need to repeat only|only (?:contains|includes)|only the|first (?:line|sentence|two|three|four)")


def _repeats(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    """The request that is repeated stands before the paragraph that says so, or after it."""
    match = _REPEAT.search(sentence.text)
    line = passage.text.rfind("\n", 0, sentence.start) + 1
    if (
        match is None
        or _REPEAT.search(passage.masked, line, sentence.start)
        or not re.search(r"request|sentence|prompt|question|instruction|\bit\b|message|text", sentence.text)
    ):
        return
    begin = sentence.start
    blank = passage.text.find("\n\n", sentence.end)
    own = passage.masked[begin : blank if blank >= 0 else len(passage.text)]
    if not (_VERBATIM.search(own) and _FIRST.search(own)) or _PARTLY.search(own):
        return
    before, after = passage.text[:begin].strip(), passage.text[blank:].strip() if blank >= 0 else ""
    above = "above" in own or ("below" not in own and "following" not in own and bool(before))
    if text := before if above else after:
        yield found("repeats", sentence, *match.span(), text=text)


RULES = (
    Rule(("start", "begin", "end", "finish", "conclud", "clos", "open", "first", "last", "final"), _affixes),
    Rule(("开头", "开始", "起始", "开篇", "结尾", "结束", "收尾"), _chinese_affixes),
    Rule(("p.s", "p.p", "p. s", "p. p", "pps", "postscript", "post script", CLOSE), _postscript),
    Rule(("paragraph",), _paragraph_start),
    Rule(("repeat", "repleat", "restate", "copy"), _repeats),
)
