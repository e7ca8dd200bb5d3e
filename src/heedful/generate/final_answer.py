"""Text of an answer -> what it answers in the end, in a form that equal answers share: "42", "B", "paris".

A choice letter in the last line counts ("(B)", "B. Paris", "The answer is B", "答案是B"); else the last number of the whole
text; else the last line. It does not understand: "forty-two" is a line, not a number, and "1/2" is not "0.5".
"""

from __future__ import annotations

import math
import re
from collections import deque

# Full-width forms read as what they are wide forms of. Not the comma: in Chinese it parts the items of a list.
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) != "，"} | {0x3000: " ", 0x2212: "-"}
_WIDE_THOUSANDS = re.compile("(?<=[０-９])，(?=[０-９]{3}(?![０-９]))")

_LETTER = r"[\s:=*(]*(?:([A-J])(?![A-Za-z0-9'’])|([a-j])[\W_]*$)"
_CHOICES = (
    # The whole line: "B", "**B.**"
    re.compile(r"^[\W_]*([A-Ja-j])[\W_]*$"),
    re.compile(rf"(?:[Aa]nswer(?:\s+is)?|答案(?:是|为|為|选|選)?){_LETTER}"),
    # Not "f(A)", which is of something; and a small letter only where nothing but an option has one.
    re.compile(r"(?<![\w)])\((?:([A-J])\)|([a-j])\)[\W_]*$)|^[\W_]*\(([a-j])\)"),
    re.compile(rf"(?:[Oo]ption|[Cc]hoice|[选選][项項择擇]?){_LETTER}"),
    # A line that begins with its letter: "B) Paris", "B、巴黎". Without I, which begins "I. Newton".
    re.compile(r"^[\W_]*([A-H])[).:、](?![A-Za-z0-9])"),
)

# A minus belongs to a number unless it stands behind one ("10-3", "2024-05"); digits behind a letter are a name ("GPT2").
_NUMBER = re.compile(
    r"(?<![A-Za-z_0-9])(?<![0-9]\.)(?P<sign>(?<![A-Za-z0-9_)])-)?"
    r"(?:(?<!/)(?P<over>[0-9]{1,18})/(?P<under>[0-9]{1,18})(?![/0-9])"
    r"|(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?P<part>\.[0-9]+)?(?P<power>[eE][+-]?[0-9]+)?"
    r"|(?<![.0-9])(?P<dotted>\.[0-9]+))"
)


def final_answer(text: str) -> str:
    """The empty text where there is nothing that could be an answer."""
    plain = _WIDE_THOUSANDS.sub(",", text).translate(_WIDE)
    lines = [line for line in plain.splitlines() if any(character.isalnum() for character in line)]
    if not lines:
        return ""
    return _choice(lines[-1]) or _last_number(plain) or _bare(lines[-1])


def _choice(line: str) -> str:
    """The letter that `line` chooses, by the first way of saying so that it uses; where it names several, the last one."""
    for pattern in _CHOICES:
        if found := list(pattern.finditer(line)):
            return "".join(group or "" for group in found[-1].groups()).upper()
    return ""


def _last_number(text: str) -> str:
    found = deque(_NUMBER.finditer(text), maxlen=1)
    return _number(found[0]) if found else ""


def _number(found: re.Match[str]) -> str:
    """Without thousands separators, needless zeros and needless fractions: "1,050.50" is "1050.5"."""
    if found["over"] and int(found["under"]):
        over, under = int(found["over"]), int(found["under"])
        shared = math.gcd(over, under)
        value = str(over // shared) if under == shared else f"{over // shared}/{under // shared}"
    elif found["over"]:
        value = f"{found['over']}/0"
    else:
        # As text, since a number may have any length.
        whole = (found["whole"] or "0").replace(",", "").lstrip("0") or "0"
        part = (found["part"] or found["dotted"] or "").rstrip("0").rstrip(".")
        value = whole + part + (found["power"] or "").lower()
    return f"-{value}" if found["sign"] and value != "0" else value


def _bare(line: str) -> str:
    """Without case, surrounding punctuation and surplus spaces."""
    start = next(place for place, character in enumerate(line) if character.isalnum())
    end = max(place for place, character in enumerate(line) if character.isalnum()) + 1
    return " ".join(line[start:end].casefold().split())
