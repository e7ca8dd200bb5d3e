"""Model text becomes HTML that reads well and can do nothing; read here with a parser of its own."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.serve.pages.markdown import to_html

TAGS = {
    "p",
    "br",
    "hr",
    "em",
    "strong",
    "s",
    "code",
    "pre",
    "blockquote",
    "ul",
    "ol",
    "li",
    "a",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
ATTRIBUTES = {
    "a": {"href", "title", "rel", "target"},
    "ol": {"start"},
    "code": {"class"},
    "th": {"align"},
    "td": {"align"},
}


class Reader(HTMLParser):
    """Tags with their attributes, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def check_harmless(html: str) -> Reader:
    reader = Reader(html)
    for tag, attributes in reader.found:
        assert tag in TAGS, html
        assert set(attributes) <= ATTRIBUTES.get(tag, set()), html
        if tag == "a":
            assert (attributes.get("href") or "https:").lower().startswith(("http:", "https:", "mailto:")), html
            assert (attributes["target"], attributes["rel"]) == ("_blank", "noopener noreferrer nofollow")
    return reader


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Title\n\nText", "<h3>Title</h3>\n<p>Text</p>\n"),
        ("###### Deep", "<h6>Deep</h6>\n"),
        ("**重点**，*强调*。", "<p><strong>重点</strong>，<em>强调</em>。</p>\n"),
        ("one\ntwo", "<p>one<br>\ntwo</p>\n"),
        ("~~no~~", "<p><s>no</s></p>\n"),
        ("3. three", '<ol start="3">\n<li>three</li>\n</ol>\n'),
        ("```python\nx < 1\n```", '<pre><code class="language-python">x &lt; 1\n</code></pre>\n'),
        # An answer that is still being written may end anywhere.
        ("```python\nx <", '<pre><code class="language-python">x &lt;</code></pre>\n'),
        ("**half", "<p>**half</p>\n"),
        ("<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>\n"),
        ("", ""),
    ],
)  # fmt: skip
def test_markdown(text: str, html: str) -> None:
    assert to_html(text) == html


def test_columns_keep_their_side_without_a_style() -> None:
    html = to_html("|a|b|c|\n|:-|-:|:-:|\n|1|2|3|")
    assert [attributes.get("align") for tag, attributes in Reader(html).found if tag == "td"] == [
        "left",
        "right",
        "center",
    ]


def test_links_leave_without_telling_where_from_and_pictures_are_not_fetched() -> None:
    html = to_html("[site](https://example.org/a?b=1&c=2) ![a picture](http://tracker.invalid/x.png)")
    assert html == (
        '<p><a href="https://example.org/a?b=1&amp;c=2" target="_blank" rel="noopener noreferrer nofollow">site</a> '
        '<a href="http://tracker.invalid/x.png" target="_blank" rel="noopener noreferrer nofollow">a picture</a></p>\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt&colon;alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x) <javascript:alert(1)>",
        "![x](javascript:alert(1))",
        '![x](y" onerror="alert(1))',
        "[x]: javascript:alert(1)\n\n[x]",
        "<img src=x onerror=alert(1)><svg onload=alert(1)>",
        "<a id=main name=main style='position:fixed' onclick=alert(1)>x</a>",
        '```" onmouseover="alert(1)\nx\n```',
        "| <img src=x onerror=alert(1)> |\n|---|\n| <script>alert(1)</script> |",
        "<!-- --><style>*{display:none}</style><base href=//x><iframe srcdoc=x></iframe>",
    ],
)
def test_hostile_text_is_harmless(text: str) -> None:
    check_harmless(to_html(text))


PIECES = [
    *"<>&\"'`*_~[]()!|:#-=/\\ \n\tx1",
    "javascript:",
    "<script>",
    " onerror=",
    "<img ",
    "](",
    "```",
    "&colon;",
    "&#x6a;",
]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_any_text_is_harmless(text: str) -> None:
    check_harmless(to_html(text))


@given(st.text(max_size=200))
def test_any_unicode_can_be_shown(text: str) -> None:
    check_harmless(to_html(text))
