"""Lists of words as people write them: quoted or bare, after a colon, between commas, on lines of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heedful.requirements.reading import lexicon
from heedful.requirements.reading.cutting import CLOSE, FILL, OPEN, Passage

_QUOTED = re.compile(f"{OPEN}{FILL}*{CLOSE}")
_JOINT = re.compile(r"\s*(?:,\s*(?:(?:and/or|and|or)\b|&)?|\b(?:and/or|and|or)\b|&|/|、|，|和|或者?|以及|及|与)\s*")
_LINE_JOINT = re.compile(r"\s*\n\s*(?:[-*•]|\d+[.)])\s*")
_BARE = re.compile(r"[^\W_](?:[\w'’-]*[^\W_])?")
_STOP = frozenset(lexicon.words("stop_words"))
_SPACE = re.compile(r" +")
_OPENING = re.compile(r"\s*[:：]?\s*(?:[\[(（]\s*)?(?:\n\s*)?(?:[-*•]\s+)?")
_MOST_ITEMS = 200


@dataclass(frozen=True, slots=True)
class Items:
    """What a list holds, and where in the instruction it ends."""

    phrases: tuple[str, ...]
    end: int


def read_items(passage: Passage, at: int, *, bare: bool, several_words: bool = False) -> Items | None:
    """The list that begins at `at`; `bare` lets its items stand without quotation marks.

    Bare items are single words, or up to four words each where `several_words` says so. None when no list is there.
    """
    place = _skip_opening(passage.masked, at)
    phrases: list[str] = []
    end = place
    while len(phrases) < _MOST_ITEMS and (item := _item(passage, place, bare, several_words and bool(phrases or bare))):
        phrase, end = item
        if phrase and phrase.casefold() not in (known.casefold() for known in phrases):
            phrases.append(phrase)
        joint = _JOINT.match(passage.masked, end) or _LINE_JOINT.match(passage.masked, end)
        if joint is None and passage.text[end - 2 : end - 1] == ",":
            joint = _SPACE.match(passage.masked, end)
        if joint is None or joint.end() == end:
            break
        place = joint.end()
    return Items(tuple(phrases), end) if phrases else None


def _without_stop(phrase: str) -> str:
    """American style puts the sentence's own comma or full stop inside the marks; a whole sentence keeps its own."""
    return phrase.rstrip(",") if phrase[:1].isupper() and " " in phrase else phrase.rstrip(",.").strip() or phrase


def _skip_opening(masked: str, at: int) -> int:
    match = _OPENING.match(masked, at)
    return match.end() if match else at


def _item(passage: Passage, at: int, bare: bool, several: bool) -> tuple[str, int] | None:
    quoted = _QUOTED.match(passage.masked, at)
    if quoted:
        return _without_stop(passage.said(*quoted.span())), quoted.end()
    if not bare:
        return None
    end, words = at, 0
    while words < (4 if several else 1) and (word := _BARE.match(passage.masked, end)) and word.group() not in _STOP:
        end, words = word.end(), words + 1
        space = _SPACE.match(passage.masked, end)
        if space is None or not _BARE.match(passage.masked, space.end()) or not several:
            break
        end = space.end()
    text = passage.text[at:end].strip()
    return (text, at + len(text)) if words else None
