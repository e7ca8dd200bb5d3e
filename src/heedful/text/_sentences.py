"""Sentences, lines and bullet items.

How a sentence ends:
- 。！？ and their kin in other scripts end it, unless a comma or the like follows (“你好！”，他说). The semicolon ；
  does not: it stands inside a sentence (GB/T 15834), and so does ; in English.
- ! and ? end it before white space or a Chinese character, but not in `"Really?" she asked.`
- A full stop ends it before white space, unless it belongs to an abbreviation ("e.g.", "Dr."), an initial
  ("J. Smith") or an enumerator ("1. First"). After "U.S.", "Inc." or "etc." the next word decides.
- An ellipsis ends it before an upper-case letter or at the end of the line.
- Quotes, brackets and Markdown emphasis that close after the mark belong to the sentence.
- A line break ends it, unless the next line goes on in lower case or the line ends in a comma: wrapped text.
Numbers such as 3.14 and versions such as 2.0.1 hold no space and so no end.

Lines end at `\n` only, as `normalize` leaves them: U+2028 in a JSON string begins no bullet point.

This is a set of rules, not a parser: direct speech in Chinese without a comma after it (“走！”他说。) counts as two.
"""

from __future__ import annotations

import regex

from heedful.text._words import is_unspaced

_CLOSERS = r"[\p{Pe}\p{Pf}\"'*_`~]"
_MARKS = r"[\p{STerm}…]+"
_END = regex.compile(rf"{_MARKS}(?:{_CLOSERS}+{_MARKS})*(?P<closers>{_CLOSERS}*)", regex.VERSION1)
_SURE = regex.compile(r"[\p{STerm}--[.!?．․]]", regex.VERSION1)
_GOES_ON = regex.compile(r"\s*[,，、;；:：—–]")
_LOWER_START = regex.compile(r"[\p{P}\p{S}\s]*\p{Ll}")
_UPPER_START = regex.compile(r"[\p{P}\p{S}\s]*(?:\p{Lu}|\p{Lt})")
_WORD_START = regex.compile(r"[\p{L}\p{N}]")
_LAST_CHUNK = regex.compile(r"[^\s\p{Ps}\p{Pi}\"'*_`~/—–-]*$")
_DOTTED = regex.compile(r"(?:\p{L}{1,2}\.)+\p{L}{1,2}")
_ENUMERATOR = regex.compile(r"[\p{P}\p{S}\s]*(?:\d{1,3}|\p{L})")

_NEVER_ENDS = frozenset(
    [
        "dr",
        "mr",
        "mrs",
        "ms",
        "mx",
        "prof",
        "st",
        "mt",
        "ft",
        "hon",
        "rev",
        "gen",
        "sen",
        "rep",
        "gov",
        "capt",
        "cpt",
        "lt",
        "col",
        "sgt",
        "cmdr",
        "pres",
        "e.g",
        "i.e",
        "eg",
        "ie",
        "cf",
        "viz",
        "vs",
        "v",
        "approx",
        "ca",
        "resp",
        "incl",
        "excl",
        "esp",
        "aka",
        "messrs",
        "mme",
        "mlle",
    ]
)
_ENDS_UNLESS_NUMBER = frozenset(
    [
        "no",
        "nos",
        "nr",
        "fig",
        "figs",
        "eq",
        "eqs",
        "sec",
        "secs",
        "ch",
        "chap",
        "vol",
        "vols",
        "p",
        "pp",
        "art",
        "ver",
        "tab",
        "ref",
        "refs",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
    ]
)
_ENDS_BEFORE_UPPER = frozenset(["etc", "al", "dept", "est", "misc", "max", "min", "avg"])
_ENDS_BEFORE_STARTER = frozenset(["inc", "co", "corp", "ltd", "llc", "bros", "jr", "sr", "esq"])
_STARTER = regex.compile(
    r"[\p{P}\s]*(?:The|This|That|These|Those|It|He|She|We|They|I|You|In|On|At|For|If|When|While|After|Before|But|And|"
    r"So|However|Then|There|Here|As|Its|His|Her|Their|Our|My|Your|What|Who|Why|How|Where|Although|Because|Since|To|A|"
    r"An|No|Yes|First|Second|Third|Finally|Also|By|From|With|Each|All|Some|Many|Most|One|Two|Not|Now|Let|Please)"
    r"(?=[\s,'’]|$)"
)

# Characters looked at on either side of a mark: longer than any rule needs, and what keeps long lines linear in time.
_CONTEXT = 80

_BULLET = regex.compile(
    r"^\s*(?:[-*+–—](?=\s)|[•‣◦▪●○·]|\d{1,3}[.)](?=\s)|\d{1,3}[.)．、）](?=[^\s\d\x00-\x7f])|[（(]\d{1,3}[)）]"
    r"|[一二三四五六七八九十百]{1,4}[、.．]|[（(][一二三四五六七八九十百]{1,4}[)）]|[①-⑳])\s*(?P<item>\S.*)"
)
_RULE = regex.compile(r"^\s*([-*_+])(?:\s*\1)*\s*$")
_HEADING = regex.compile(r"^\s*#{1,6}\s")


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, with their bullet markers; no word is lost, what has no word is left out."""
    found: list[str] = []
    for paragraph in _paragraphs(text):
        found.extend(_split(paragraph))
    return found


def num_sentences(text: str) -> int:
    """How many sentences a text has."""
    return len(sentences(text))


def lines(text: str) -> list[str]:
    """The lines that are not blank, without trailing white space."""
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def bullets(text: str) -> list[str]:
    """What stands after the marker in each line that begins with one: -, *, +, •, 1. 1) 1、 （1） 一、 （一） ①."""
    matches = (_BULLET.match(line) for line in text.split("\n") if not _RULE.match(line))
    return [match["item"].rstrip() for match in matches if match]


def _paragraphs(text: str) -> list[str]:
    """Runs of lines that are one wrapped line."""
    paragraphs: list[str] = []
    joinable = False
    for line in text.split("\n"):
        stripped = line.strip()
        if joinable and _continues(paragraphs[-1], stripped):
            paragraphs[-1] += " " + stripped
        elif stripped:
            paragraphs.append(stripped)
        joinable = bool(stripped) and not _HEADING.match(line)
    return paragraphs


def _continues(before: str, line: str) -> bool:
    if not line or _BULLET.match(line) or _HEADING.match(line):
        return False
    return line[0].islower() or before.endswith((",", "，", "、"))


def _split(paragraph: str) -> list[str]:
    pieces: list[str] = []
    start = 0
    for match in _END.finditer(paragraph):
        before = paragraph[max(start, match.start() - _CONTEXT) : match.start()]
        if _ends(before, match, paragraph[match.end() : match.end() + _CONTEXT]):
            _add(pieces, paragraph[start : match.end()])
            start = match.end()
    _add(pieces, paragraph[start:])
    return pieces


def _add(pieces: list[str], piece: str) -> None:
    """What has no word ("😀", "!!") belongs to the sentence before it."""
    piece = piece.strip()
    if _WORD_START.search(piece):
        pieces.append(piece)
    elif pieces and piece:
        pieces[-1] += " " + piece


def _ends(before: str, match: regex.Match[str], after: str) -> bool:
    """Whether the mark ends the sentence: `before` is the sentence so far, `after` what follows in the paragraph."""
    if not after:
        return True
    if _GOES_ON.match(after):
        return False
    mark = match[0]
    if _SURE.search(mark):
        return True
    spaced = after[0].isspace()
    if "!" in mark or "?" in mark:
        return is_unspaced(after) if not spaced else not (match["closers"] and _LOWER_START.match(after))
    if "…" in mark or ".." in mark:
        return spaced and _UPPER_START.match(after) is not None
    if not spaced:
        return is_unspaced(after) and is_unspaced(before[-1:])
    if match["closers"] and _LOWER_START.match(after):
        return False
    return _full_stop_ends(before, after)


def _full_stop_ends(before: str, after: str) -> bool:
    """Whether the full stop between `before` and `after`, which begins with white space, ends a sentence."""
    found = _LAST_CHUNK.search(before)
    chunk = found[0] if found else ""
    lowered = chunk.lower()
    if _ENUMERATOR.fullmatch(before) or (chunk.isdecimal() and before[: -len(chunk)].rstrip().endswith(":")):
        return False
    if lowered in _NEVER_ENDS:
        return False
    if lowered in _ENDS_UNLESS_NUMBER:
        return not after.lstrip()[:1].isdecimal()
    is_letter = len(chunk) == 1 and chunk.isalpha() and not is_unspaced(chunk) and chunk != "I"
    if lowered in _ENDS_BEFORE_UPPER or (is_letter and chunk.islower()):
        return _UPPER_START.match(after) is not None
    if lowered in _ENDS_BEFORE_STARTER or is_letter or _DOTTED.fullmatch(chunk):
        return _STARTER.match(after.lstrip()) is not None
    return True
