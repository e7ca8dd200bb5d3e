"""One form for texts that read the same: composed characters, plain line ends, nothing invisible."""

from __future__ import annotations

import unicodedata

import regex

_NEWLINE = regex.compile(r"\r\n|[\r\v\f\x85\u2028\u2029]")
_ESCAPE_SEQUENCE = regex.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_SURROGATE = regex.compile(r"[\ud800-\udfff]")

# Control characters; soft hyphen; zero-width space, word joiner and byte-order mark; marks that change the writing
# direction (they can make a text read differently from what it says); interlinear annotation; non-characters; tags,
# except those that spell a flag after the black flag emoji (kept by group 1).
INVISIBLE = regex.compile(
    r"(\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f)"
    r"|[[\p{Cc}--[\n\t]]\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    r"\U000e0000-\U000e007f]",
    regex.VERSION1,
)

# Joiners spell words in Persian and Indic scripts and bind emoji; elsewhere they only hide.
_NEEDS_JOINER = (
    r"[[\p{L}\p{M}--[\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\u0300-\u036f]]"
    r"\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]"
)
_STRAY_JOINER = regex.compile(rf"(?<!{_NEEDS_JOINER})[\u200c\u200d]", regex.VERSION1)

_BLANK_LINES = regex.compile(r"\n{4,}")


def normalize(text: str) -> str:
    r"""The text in Unicode NFC with `\n` line ends, without invisible characters, trailing spaces and needless blanks.

    At most two blank lines follow each other, none stand at the ends. Half a surrogate pair, which no file can hold,
    becomes U+FFFD. Indentation and spaces inside lines stay. Doing it twice changes nothing more.
    """
    # Everything that goes is unprintable to Python (controls, formats, surrogates, separators), which is soon seen: most
    # texts have none of it, and are done several times sooner.
    if not text.replace("\n", "").isprintable():
        text = _ESCAPE_SEQUENCE.sub("", _NEWLINE.sub("\n", text))
        text = _SURROGATE.sub("\ufffd", text)
        text = _STRAY_JOINER.sub("", INVISIBLE.sub(r"\1", text))
    text = unicodedata.normalize("NFC", text)
    text = "\n".join(map(str.rstrip, text.split("\n")))
    return str(_BLANK_LINES.sub("\n\n\n", text)).strip("\n")
