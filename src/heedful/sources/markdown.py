"""Markdown -> sections by heading; a YAML head may name title and license."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from heedful.sources.reading import Outline, Parsed

_HEAD = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_HEAD_LINE = re.compile(r"^(title|license):[ \t]*[\"']?(.*?)[\"']?[ \t]*$", re.MULTILINE)


def read_markdown(text: str, name: str) -> Parsed:
    """Sections of a Markdown text. Only headings at the top level count: one in a quotation is part of the quotation."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    head = _HEAD.match(text)
    said = dict(_HEAD_LINE.findall(head.group(1))) if head else {}
    lines = text[head.end() :].split("\n") if head else text.split("\n")
    outline = Outline()
    done = 0
    tokens = MarkdownIt("commonmark").parse("\n".join(lines))
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map is not None:
            begin, end = token.map
            outline.text("\n".join(lines[done:begin]))
            outline.heading(int(token.tag[1:]), _plain(inline.children or []))
            done = end
    outline.text("\n".join(lines[done:]))
    sections = outline.sections()
    return Parsed(sections, said.get("title") or outline.title, said.get("license", ""))


def _plain(children: Sequence[Token]) -> str:
    """The words of a heading without its marks."""
    gaps = ("softbreak", "hardbreak")
    return "".join(" " if c.type in gaps else c.content for c in children if c.type in (*gaps, "text", "code_inline"))
