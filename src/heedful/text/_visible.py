"""What cannot be seen, or would steer the terminal or page that shows it, written so that it can be read."""

from __future__ import annotations

import regex

from heedful.text._normal import INVISIBLE

# Line and paragraph separators break lines where nobody expects it; halves of surrogate pairs cannot be written at all.
_BESIDES = regex.compile(r"[\u2028\u2029\ud800-\udfff]")


def visible(text: str) -> str:
    r"""`text` with `\x1b` as ␛, `\x00` as ␀ and others as `[U+202E]`; line breaks and tabs stay."""
    text = _BESIDES.sub(lambda match: _picture(match[0]), text)
    # Group 1 is a flag emoji, which is spelt with tags.
    return str(INVISIBLE.sub(lambda match: match[1] or _picture(match[0]), text))


def _picture(character: str) -> str:
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else f"[U+{code:04X}]"
