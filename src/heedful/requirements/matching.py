"""Where a phrase stands in a text: what keywords, forbidden words, choices and conflicts all search with.

As a whole word by default: "cat" is not in "category", nor "art" in "party", but 太阳 is in 太阳能, because Chinese puts no
space between words. Case and line breaks do not count, unless the match is `exact`, where case does.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import regex

from heedful import text as texts
from heedful.requirements.inflections import forms
from heedful.requirements.requirement import as_read

Match = Literal["word", "substring", "exact"]


def plain(text: str) -> str:
    """`text` as it is read, typographic apostrophes plain, each run of white space one space."""
    return " ".join(as_read(text).replace("’", "'").split())


def fold(text: str) -> str:
    """`text` as it is searched: `plain`, and without case."""
    return " ".join(as_read(text).casefold().replace("’", "'").split())


def prepare(text: str, match: Match) -> str:
    """`text` in the form that `places` and `occurrences` search for this match."""
    return plain(text) if match == "exact" else fold(text)


def places(prepared: str, phrase: str, match: Match, start: int = 0) -> Iterator[tuple[int, int]]:
    """Begin and end of each occurrence of `phrase` in a text already prepared; occurrences do not overlap."""
    needle = prepare(phrase, match)
    while (at := prepared.find(needle, start)) >= 0:
        end = at + len(needle)
        if match != "word" or not (within_word(prepared, at) or within_word(prepared, end)):
            yield at, end
            start = end
        else:
            start = at + 1


def inflected_places(folded: str, phrase: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """Like `places` for whole words, where each word of `phrase` may stand in any of its English forms."""
    pattern = _inflected(phrase)
    while (found := pattern.search(folded, start)) is not None:
        if within_word(folded, found.start()) or within_word(folded, found.end()):
            start = found.start() + 1
        else:
            yield found.span()
            start = found.end()


def occurrences(folded: str, keyword: str, match: Match) -> int:
    """How often `keyword` occurs in a text already prepared (folded, unless the match is exact)."""
    return sum(1 for _ in places(folded, keyword, match))


@lru_cache(maxsize=256)
def _inflected(phrase: str) -> Any:
    # The longest form first, so that "runs" is not found as "run" inside a word.
    alternatives = [sorted(forms(word), key=len, reverse=True) for word in fold(phrase).split(" ")]
    return regex.compile(" ".join(f"(?:{'|'.join(map(regex.escape, words))})" for words in alternatives))


def within_word(text: str, at: int) -> bool:
    """Whether the place before `text[at]` is inside a word, or inside a number such as 3.14."""
    if not 0 < at < len(text):
        return False
    start = max(at - 2, 0)
    near = text[start : at + 2]
    # No sign sits on a letter there.
    return _within_ascii(near, at - start) if near.isascii() else _within(text, at)


@lru_cache(maxsize=1 << 14)
def _within_ascii(near: str, at: int) -> bool:
    return _within(near, at)


def _within(text: str, at: int) -> bool:
    before = at - 1
    # Over vowel signs and the like to what they sit on: दी is a part of हिन्दी, although a sign stands between न and द.
    while before and _is_mark(text[before]):
        before -= 1
    return (
        _one_word(text[before] + text[at])
        or _one_number(text[at - 1 : at + 2])
        or _one_number(text[max(at - 2, 0) : at + 1])
    )


def _is_mark(character: str) -> bool:
    """Whether it is part of the word that it follows, but begins none."""
    return character in "\u200c\u200d" or unicodedata.category(character)[0] == "M"


@lru_cache(maxsize=4096)
def _one_word(characters: str) -> bool:
    """By the words that everything else counts. Parts of well-known and don't are words of their own here."""
    return texts.words(characters) == [characters]


def _one_number(characters: str) -> bool:
    return len(characters) == 3 and characters[0].isdecimal() and characters[2].isdecimal() and characters[1] in ".,:"
