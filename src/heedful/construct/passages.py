"""Sections of documents -> passages: whole paragraphs, few enough to stand in a prompt.

A paragraph is prose (unwrapped to one line), a list (kept line by line), or something else: code, a table, an echo of
a signature. Passages are runs of prose and lists. What is too long is passed over and counted, never cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heedful.records import Document, Section
from heedful.requirements import Language
from heedful.text import bullets, detect_language, sentences

_CODE = re.compile(
    r"^(?:>>>|\.\.\. |```|~~~|\$ |\s{4,}\S|\t\S)|^\s*[+|][-=+| ]{2,}|^\s*\|.*\|\s*$|^[-=~^\"#*]{3,}\s*$|\s{3,}--? |\S\s{3,}\S"
)
_CALL = re.compile(r"^[\w.]+\(.*\)\s*(?:-{1,2}>.*|=.*)?$")
_MARKUP = re.compile(r"^(?:[:@.]{1,2}\s?\w+|<\w+)")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)、])\s*\S")
_HAN_BREAK = re.compile(
    r"(?<=[\u3000-\u303f\u3400-\u9fff\uff00-\uffef])\n(?=[\u3000-\u303f\u3400-\u9fff\uff00-\uffef])"
)
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)）」』]*$")


@dataclass(frozen=True, slots=True)
class Passage:
    """Text that a prompt shows whole."""

    text: str
    sentences: tuple[str, ...]
    """Of its prose, in order."""
    items: tuple[str, ...]
    """Of its list; empty unless it holds exactly one."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a document holds, for wrong options that look right. Sorted, without repeats."""

    titles: Mapping[str, tuple[str, ...]]
    """Titles by the kind of section."""
    parameters: tuple[str, ...]
    """Names of parameters of all its functions."""


@dataclass(frozen=True, slots=True)
class Material:
    """One section as the extractors of facts see it."""

    document: Document
    section: Section
    meta: Mapping[str, Any]
    """The section's, read once."""
    language: Language
    """`zh` or `en`: in which language one would ask about it."""
    passages: tuple[Passage, ...]
    """In order; the first one opens the section."""
    outline: Outline

    @property
    def is_api(self) -> bool:
        """Whether the section documents a function, class or module."""
        return self.section.kind in ("function", "class", "module")


def read_outline(document: Document) -> Outline:
    """The titles and parameters of a document."""
    titles: dict[str, set[str]] = {}
    parameters: set[str] = set()
    for section in document.sections:
        titles.setdefault(section.kind, set()).add(section.title.strip())
        parameters.update(item["name"] for item in section.meta_value("parameters") or ())
    return Outline({kind: tuple(sorted(names - {""})) for kind, names in titles.items()}, tuple(sorted(parameters)))


def read_material(document: Document, section: Section, outline: Outline, max_characters: int) -> tuple[Material, int]:
    """A section of the document, and how many of its paragraphs are longer than `max_characters`."""
    found, num_too_long = _passages(section.text, max_characters)
    language: Language = "zh" if (document.language or detect_language(section.text)) == "zh" else "en"
    return Material(document, section, json.loads(section.meta), language, tuple(found), outline), num_too_long


@dataclass(frozen=True, slots=True)
class _Paragraph:
    text: str
    kind: str
    """`prose`, `list` or `other`."""


def _passages(text: str, max_characters: int) -> tuple[list[Passage], int]:
    found: list[Passage] = []
    run: list[_Paragraph] = []
    num_too_long = 0
    for paragraph in _paragraphs(text):
        too_long = paragraph.kind != "other" and len(paragraph.text) > max_characters
        num_too_long += too_long
        usable = paragraph.kind != "other" and not too_long
        fits = sum(len(part.text) + 2 for part in run) + len(paragraph.text) <= max_characters
        if run and not (usable and fits):
            found.extend(_passage(run))
            run = []
        if usable:
            run.append(paragraph)
    return [*found, *_passage(run)], num_too_long


def _passage(run: Sequence[_Paragraph]) -> Iterator[Passage]:
    """A passage of the run; without a last paragraph that only leads over to something that is not there."""
    while run and run[-1].kind == "prose" and run[-1].text.endswith((":", "：")):
        run = run[:-1]
    if not run:
        return
    prose = [sentence for part in run if part.kind == "prose" for sentence in sentences(part.text)]
    lists = [tuple(bullets(part.text)) for part in run if part.kind == "list"]
    yield Passage("\n\n".join(part.text for part in run), tuple(prose), lists[0] if len(lists) == 1 else ())


def _paragraphs(text: str) -> Iterator[_Paragraph]:
    for block in re.split(r"\n\s*\n", text):
        lines = [line.rstrip() for line in block.strip("\n").splitlines() if line.strip()]
        lines = lines[1:] if lines and _CALL.match(lines[0]) else lines
        if lines:
            yield _paragraph(lines)


def _paragraph(lines: list[str]) -> _Paragraph:
    is_bullet = [bool(_BULLET.match(line)) for line in lines]
    # A continued item is indented; a list of which some line is neither item nor continuation is something else.
    if is_bullet[0] and all(bullet or line.startswith("  ") for line, bullet in zip(lines, is_bullet, strict=True)):
        return _list(lines, is_bullet)
    if any(is_bullet[1:]) or any(_CODE.search(line) or _MARKUP.match(line) or _CALL.match(line) for line in lines):
        return _Paragraph("\n".join(lines), "other")
    if any(_indent(line) > _indent(lines[0]) for line in lines):
        # A term with its explanation hanging below it.
        return _Paragraph("\n".join(lines), "other")
    unwrapped = re.sub(r"\s+", " ", _HAN_BREAK.sub("", "\n".join(line.strip() for line in lines)))
    ends = _SENTENCE_END.search(unwrapped) or unwrapped.endswith((":", "："))
    return _Paragraph(unwrapped, "prose" if ends or len(lines) == 1 else "other")


def _list(lines: list[str], is_bullet: list[bool]) -> _Paragraph:
    """One line for each item. Lists within lists and definitions (`name : type`) have a structure that would be lost."""
    marked = [line for line, bullet in zip(lines, is_bullet, strict=True) if bullet]
    if len({_indent(line) for line in marked}) > 1 or any(" : " in line for line in marked):
        return _Paragraph("\n".join(lines), "other")
    items: list[str] = []
    for line, bullet in zip(lines, is_bullet, strict=True):
        if bullet:
            items.append(line.strip())
        else:
            items[-1] += f" {line.strip()}"
    text = "\n".join(items)
    return _Paragraph(text, "list" if len(bullets(text)) == len(items) else "other")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
