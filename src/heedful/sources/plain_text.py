"""Plain text -> sections: by underlined headings where there are some, else one for each paragraph."""

from __future__ import annotations

import re

from heedful.records import Section, canonical_json
from heedful.sources.reading import Outline, Parsed
from heedful.text import normalize

_UNDERLINE = re.compile(r"^(=|-|~|\*|\^)\1{2,}[ \t]*$")
_TITLE_CHARACTERS = 120


def read_text(text: str, name: str) -> Parsed:
    """Sections of a plain text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    headings = [index for index in range(len(lines) - 1) if _is_heading(lines, index)]
    return _by_heading(lines, headings) if headings else _by_paragraph(lines)


def _is_heading(lines: list[str], index: int) -> bool:
    """A short line of its own, underlined; rulers and tables have no words above them or lines around them."""
    line = lines[index].strip()
    alone = index == 0 or not lines[index - 1].strip()
    return (
        alone
        and 0 < len(line) <= _TITLE_CHARACTERS
        and any(c.isalnum() for c in line)
        and bool(_UNDERLINE.match(lines[index + 1]))
    )


def _by_heading(lines: list[str], headings: list[int]) -> Parsed:
    outline = Outline()
    # The first kind of underline is the highest level, as in reStructuredText.
    levels: dict[str, int] = {}
    done = 0
    for index in headings:
        outline.text("\n".join(lines[done:index]))
        outline.heading(levels.setdefault(lines[index + 1][0], len(levels) + 1), lines[index])
        done = index + 2
    outline.text("\n".join(lines[done:]))
    return Parsed(outline.sections(), outline.title)


def _by_paragraph(lines: list[str]) -> Parsed:
    paragraphs = re.split(r"\n[ \t]*\n", normalize("\n".join(lines)))
    kept = [paragraph.strip("\n") for paragraph in paragraphs if paragraph.strip()]
    sections = (
        Section("", text, "text", canonical_json({"level": 0, "path": [], "paragraph": number}))
        for number, text in enumerate(kept, start=1)
    )
    return Parsed(tuple(sections))
