"""Words, characters and tokens: what a word is, in every script.

A word, for counting, is
- one character (with the marks that sit on it) of a script written without spaces: Chinese characters, kana, Thai,
  Lao, Khmer, Burmese;
- otherwise a run of letters, digits and marks, also across one inner apostrophe, hyphen or full stop ("don't",
  "well-known", "e.g", "3.14", "json.dumps"), inner underscores ("snake_case"), and a comma, colon or slash between
  digits ("1,000", "12:30").
So "Python编程3.5天" has five words. Punctuation, symbols and emoji are no words. Appending to a text never makes
the number of words smaller, which lets a decoder count as it writes.

A token, for metrics and comparison, is cruder and the same on both sides of a comparison: lower-cased, compatibility
forms folded (NFKC: "Ａ" is "a"), runs of letters, digits and marks and nothing else. On ASCII text these are exactly
the tokens of the rouge-score package without stemming.
"""

from __future__ import annotations

import re
import unicodedata

import regex

_UNSPACED = (
    r"[[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
    r"&&[\p{L}\p{N}]]"
)
_START = rf"[[\p{{L}}\p{{N}}]--{_UNSPACED}]"
# Zero-width joiners are part of Persian and Indic spelling.
_RUN = rf"{_START}[[\p{{L}}\p{{N}}\p{{M}}\u200c\u200d]--{_UNSPACED}]*"
_INNER = r"(?:_+|['’.\-‐‑]|(?<=\p{Nd})[,:/](?=\p{Nd}))"

_UNSPACED_START = regex.compile(_UNSPACED, regex.VERSION1)
_WORD = regex.compile(rf"{_UNSPACED}\p{{M}}*|{_RUN}(?:{_INNER}{_RUN})*", regex.VERSION1)
_TOKEN = regex.compile(rf"{_UNSPACED}\p{{M}}*|{_RUN}", regex.VERSION1)

# The same two patterns for ASCII text, which is most text, with the standard library's engine: 2.5 times as fast.
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+(?:(?:_+|['.\-]|(?<=[0-9])[,:/](?=[0-9]))[A-Za-z0-9]+)*")
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """The words of a text in order, as written; see the top of this file for what a word is."""
    pattern = _ASCII_WORD if text.isascii() else _WORD
    return list(pattern.findall(text))


def num_words(text: str) -> int:
    """How many words a text has."""
    return len(words(text))


def num_characters(text: str) -> int:
    """How many code points a text has, white space not counted, punctuation counted."""
    return sum(map(len, text.split()))


def tokenize(text: str) -> list[str]:
    """Lower-cased tokens for metrics, n-grams and duplicate search; see the top of this file."""
    if text.isascii():
        return _ASCII_TOKEN.findall(text.lower())
    return list(_TOKEN.findall(fold(text)))


def fold(text: str) -> str:
    """Lower case and compatibility forms folded. Twice, because each may bring back what the other removes."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    return unicodedata.normalize("NFKC", folded.lower())


def is_unspaced(text: str) -> bool:
    """Whether a text begins with a character of a script that is written without spaces."""
    return _UNSPACED_START.match(text) is not None
