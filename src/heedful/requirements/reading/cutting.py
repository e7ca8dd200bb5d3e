"""An instruction cut into sentences, with what the user did not say about the answer hidden.

`Passage.masked` is as long as the instruction, so that every place in one is the same place in the other. In it,
letters are lower case, and what stands between quotation marks or in code is filler: patterns see that something is
quoted, never what. Everything here goes through the text once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

OPEN, FILL, CLOSE, CODE = "\ue000", "\ue001", "\ue002", "\ue003"
"""Stand for an opening mark, a quoted character, a closing mark, a character of code."""
QUOTED = f"{OPEN}{FILL}*{CLOSE}"
"""A pattern for something quoted."""

_MARKS = re.compile(r"[\"“”„‘’'「」『』《》]")
_CLOSERS = {'"': '"', "“": '”"', "”": '"”', "„": '“”"', "‘": "’", "'": "'’", "「": "」", "『": "』"}
_END = re.compile(r"[.!?]+[\"')\]\ue002]*(?=\s|$)|[。！？](?:[”」』\ue002])?|\n+")
_ABBREVIATIONS = frozenset(
    ["i.e", "e.g", "etc", "mr", "mrs", "ms", "dr", "vs", "p.s", "p.p.s", "p.p", "u.s", "no", "st"]
)
_LONGEST = 4000
"""Characters that a quotation may have: a page of a letter, but not the rest of the instruction after a stray mark."""
_FENCE = re.compile(r"^[ \t]{0,8}```[^\n`]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence or line; `text` is its part of the masked instruction."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Passage:
    """An instruction and what the rules look at."""

    text: str
    masked: str

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        return tuple(_cut(self.text, self.masked))

    @cached_property
    def shows_format(self) -> bool:
        """Whether it speaks of a format to follow."""
        return "format" in self.masked

    def said(self, start: int, end: int) -> str:
        """What a quoted span holds: its marks and the white space within them removed."""
        return self.text[start + 1 : end - 1].strip()


def passage(text: str, hidden: Iterable[tuple[int, int]] = ()) -> Passage:
    """`text` ready for the rules; spans in `hidden` were read already and are blank."""
    characters = list(text.lower()) if len(text.lower()) == len(text) else [_lower(each) for each in text]
    plain = list(text)
    for start, end in hidden:
        characters[start:end] = plain[start:end] = " " * (end - start)
    rest = "".join(plain)
    for start, end in fences(rest):
        characters[start:end] = CODE * (end - start)
    for start, end in quotations(rest):
        if characters[start] == CODE:
            continue
        characters[start:end] = OPEN + FILL * (end - start - 2) + CLOSE
    return Passage(text, "".join(characters))


def fences(text: str) -> list[tuple[int, int]]:
    """Spans of code between lines of three backticks."""
    marks = [match.span() for match in _FENCE.finditer(text)] if "```" in text else []
    return [(opening[0], closing[1]) for opening, closing in zip(marks[::2], marks[1::2], strict=False)]


def quotations(text: str) -> Iterator[tuple[int, int]]:
    """Spans of quoted text, marks included. An apostrophe, an inch mark or a mark that is never closed quotes nothing."""
    opened: int | None = None
    for mark in _MARKS.finditer(text):
        at = mark.start()
        if opened is not None:
            if text[at] in _CLOSERS[text[opened]] and _closes(text, opened, at):
                yield opened, at + 1
                opened = None
                continue
            if _still_open(text, opened, at):
                continue
        opened = at if text[at] in _CLOSERS and _opens(text, at) else None


def _still_open(text: str, opened: int, at: int) -> bool:
    if at - opened > _LONGEST or (text[at] == text[opened] and _opens(text, at)):
        return False
    # A single quotation stays on its line, or every apostrophe would look for a partner.
    return text[opened] not in "'‘" or text.find("\n", opened, at) < 0


def _opens(text: str, at: int) -> bool:
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if not after or after.isspace():
        return False
    if text[at] in "「『“" and text[at] != "”":
        return True
    return not before or (not (before.isalnum() and before.isascii()) and before not in ")]")


def _closes(text: str, opened: int, at: int) -> bool:
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if text[opened] in "'‘":
        return at > opened + 1 and not before.isspace() and not after.isalnum() and "\n" not in text[opened:at]
    return not (after.isalnum() and after.isascii()) or text[at] in "」』”"


def _lower(character: str) -> str:
    # A few letters grow when lowered, İ for one, and every later place would be off.
    lowered = character.lower()
    return lowered if len(lowered) == 1 else character


def _cut(text: str, masked: str) -> Iterator[Sentence]:
    start = 0
    for end in _END.finditer(masked):
        if end.group()[0] == "." and _abbreviated(masked, start, end.start()):
            continue
        if (
            end.group() == "\n"
            and text[end.end() : end.end() + 1].islower()
            and text[end.start() - 1 : end.start()].isalnum()
        ):
            continue  # a line that was broken to fit
        yield from _sentence(masked, start, end.end())
        start = end.end()
    yield from _sentence(masked, start, len(masked))


def _sentence(masked: str, start: int, end: int) -> Iterator[Sentence]:
    text = masked[start:end]
    if stripped := text.strip():
        begin = start + text.index(stripped[0])
        yield Sentence(begin, begin + len(stripped), stripped)


def _abbreviated(masked: str, start: int, at: int) -> bool:
    words = masked[max(start, at - 8) : at].split()
    return bool(words) and words[-1].lstrip("(") in _ABBREVIATIONS
