"""The grammar that requirement sentences share, in English and Chinese: quotation marks, lists, plurals, times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from heedful.requirements.requirement import Language, unsaid_language

_MARKS: dict[Language, tuple[str, str, tuple[str, str]]] = {
    "en": ('"', '"', ("“", "”")),
    "zh": ("“", "”", ("「", "」")),
}
"""Opening and closing mark, and the pair to use when the phrase itself holds one of these."""


def quote(phrase: str, language: Language) -> str:
    """`phrase` between the language's quotation marks."""
    if language not in _MARKS:
        raise unsaid_language(language)
    opening, closing, others = _MARKS[language]
    if opening in phrase or closing in phrase:
        opening, closing = others
    return f"{opening}{phrase}{closing}"


def quote_all(phrases: Sequence[str], language: Language, last: Literal["and", "or", ""] = "and") -> str:
    """Quoted phrases as a list within a sentence; `last` joins the last two, "" leaves a bare list."""
    quoted = [quote(phrase, language) for phrase in phrases]
    comma = ", " if language == "en" else "、"
    if not last or len(quoted) == 1:
        return comma.join(quoted)
    joint = f" {last} " if language == "en" else {"and": "和", "or": "或"}[last]
    return comma.join(quoted[:-1]) + joint + quoted[-1]


def plural(number: int, singular: str, many: str) -> str:
    """`1 word`, `2 words`."""
    return f"{number} {singular if number == 1 else many}"


def times(number: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def shorten(text: str, length: int = 60) -> str:
    """At most `length` characters of `text` on one line, for a reason; an ellipsis shows that more followed."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
