"""HTML -> Markdown -> sections by heading. Scripts, styles, navigation and hidden parts are dropped before."""

from __future__ import annotations

from dataclasses import replace

import markdownify
from bs4 import BeautifulSoup

from heedful.errors import InputError
from heedful.sources.markdown import read_markdown
from heedful.sources.reading import Parsed

_DROPPED = [
    "script", "style", "nav", "noscript", "template", "iframe", "object", "embed", "svg", "form", "button", "head", "footer", "aside",
]  # fmt: skip
MAXIMUM_DEPTH = 400
"""Elements within elements; pages of people have a few dozen, and the converter calls itself for each."""


def read_html(text: str, name: str) -> Parsed:
    """Sections of a page; links keep their words and lose their addresses, images their alternative text stays."""
    try:
        page = BeautifulSoup(text, "html.parser")
        _check_depth(page, name)
        title = " ".join(page.title.get_text().split()) if page.title else ""
        for element in page.find_all(_DROPPED):
            element.decompose()
        for element in page.select("[hidden], [aria-hidden=true]"):
            element.decompose()
        converter = markdownify.MarkdownConverter(heading_style="ATX", strip=["a", "img"], escape_misc=False)
        parsed = read_markdown(converter.convert_soup(page), name)
    except RecursionError:
        raise _too_deep(name) from None
    return replace(parsed, title=title or parsed.title, hint=" outside scripts and navigation")


def _check_depth(page: BeautifulSoup, name: str) -> None:
    """Walks without recursion, so that the check itself survives."""
    level = list(page.find_all(recursive=False))
    for _ in range(MAXIMUM_DEPTH):
        level = [child for element in level for child in element.find_all(recursive=False)]
        if not level:
            return
    raise _too_deep(name)


def _too_deep(name: str) -> InputError:
    return InputError(
        f"{name}: elements are nested more than {MAXIMUM_DEPTH} deep; simplify the page or save it as text"
    )
