"""Model text (Markdown) -> HTML that can do nothing: two independent layers, either of which would be enough.

The parser knows no HTML, so tags in the text come out as text. What it makes is then cut down to a short list of elements and
attributes. Pictures become links: a page that fetched an address chosen by a model would tell that address who reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "code": {"class"}, "th": {"align"}, "td": {"align"}}
_ALIGNMENTS = {f"text-align:{side}": side for side in ("left", "center", "right")}
# The page's own headings are h1 (the conversation) and h2 (who speaks): those of an answer come below.
_HEADING_SHIFT = 2


def to_html(text: str) -> str:
    """Safe HTML of a whole or unfinished answer."""
    return nh3.clean(
        _PARSER.render(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _parser() -> MarkdownIt:
    # "js-default" without HTML: CommonMark with tables and strikethrough. A single line break stays one, as in every chat.
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.core.ruler.push("plain_attributes", _plain_attributes)
    parser.add_render_rule("image", _image_as_link)
    return parser


def _plain_attributes(state: Any) -> None:
    """Lower the headings, and say a column's side without a style attribute, which the page's policy forbids."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + _HEADING_SHIFT, 6)}"
        elif token.type in ("th_open", "td_open") and (side := _ALIGNMENTS.get(str(token.attrGet("style")))):
            token.attrs = {"align": side}


def _image_as_link(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    address = str(token.attrGet("src") or "")
    return f'<a href="{escapeHtml(address)}">{escapeHtml(token.content or address)}</a>'


_PARSER = _parser()
