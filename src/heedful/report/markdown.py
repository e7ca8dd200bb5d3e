"""Untrusted text -> Markdown that shows it as it is: no link, no image, no HTML, no table cell or heading of its own."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from heedful.text import visible

# All that can begin or end something in CommonMark, in GitHub's tables and automatic links, or in formulas.
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>#|~&$!^@])")
# Only at the beginning of a line: lists, numbered lists, rules, headings by underlining.
_FIRST = re.compile(r"^(\s*)(?:([-=]|\+(?=\s|$))|(\d{1,9})(?=[.)](?:\s|$)))")
_SPACE = re.compile(r"\s+")
_ADDRESS = re.compile(r"(?<=\w)(?=://)|(?<=\bwww)(?=\.)", re.IGNORECASE)


def plain(value: Any) -> Any:
    """One line that a reader sees letter for letter. What is `Markup` already, and numbers, stay as they are."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    line = _ACTIVE.sub(r"\\\1", _SPACE.sub(" ", visible(value)))
    return Markup(_FIRST.sub(_escaped_first, _ADDRESS.sub("\\\\", line)))


def _escaped_first(match: re.Match[str]) -> str:
    space, mark, number = match.groups()
    # "-" becomes "\\-", "1." becomes "1\\.".
    return f"{space}\\{mark}" if mark else f"{space}{number}\\"
