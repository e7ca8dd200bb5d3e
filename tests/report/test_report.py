"""The page is whole, safe, self-contained, readable in both themes, and the same for the same data."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from lxml import etree, html

from heedful.report import ReportData, write_report
from heedful.report.page import render_report
from heedful.report.palette import PALETTE
from heedful.report.svg import inline
from heedful.report.view import duration, thousands, typographic
from heedful.text import visible

SECTIONS = ("figures", "differences", "slices", "answers", "data", "curation", "training", "settings", "reproduce")


@pytest.fixture(scope="module")
def _pages() -> dict[str, str]:
    return {}


@pytest.fixture
def page(report_data: ReportData, _pages: dict[str, str]) -> str:
    """The page, drawn once for all tests of this file."""
    if "page" not in _pages:
        _pages["page"] = render_report(report_data)
    return _pages["page"]


def small(report_data: ReportData, **changes: Any) -> str:
    """A page with few charts, for what does not depend on them; `changes` replace parts of the results."""
    return render_report(ReportData(title="Small", results={**report_data.results, "slices": {}, **changes}))


def text_of(page: str) -> str:
    body = html.document_fromstring(page).body
    return re.sub(r"\s+", " ", " ".join(body.itertext()))


# -- safety -------------------------------------------------------------------------------------------------------------


def test_nothing_hostile_becomes_an_element_or_an_attribute(page: str) -> None:
    assert "<script" not in page.lower()
    document = html.document_fromstring(page)
    allowed = {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "header",
            "nav",
            "main",
            "footer",
            "section",
            "article",
            "div",
        ),
        *(
            "h1",
            "h2",
            "h3",
            "h4",
            "p",
            "a",
            "ul",
            "li",
            "dl",
            "dt",
            "dd",
            "span",
            "strong",
            "br",
            "code",
            "pre",
            "details",
        ),
        *("summary", "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"),
        *("svg", "g", "path", "rect", "line", "text", "tspan", "defs", "clippath", "circle"),
    }
    for element in document.iter(etree.Element):
        assert element.tag.lower() in allowed, element.tag
        for name in element.attrib:
            assert not name.lower().startswith("on"), f"<{element.tag} {name}>"
            assert name.lower() not in {"style", "src", "srcset", "action", "xlink:href", "background"}, name
    assert not list(document.iter(etree.Comment))
    # It is all there, as text: in sample answers, methods, reasons, settings and chart labels.
    assert text_of(page).count("<script>alert(1)</script>") >= 10


def test_the_page_loads_nothing(page: str) -> None:
    document = html.document_fromstring(page)
    links = [element.get("href") for element in document.iter("a")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert not list(document.iter("link", "img", "iframe", "object", "embed", "script", "base", "form"))
    style = document.find(".//style").text
    assert "url(" not in style
    assert "@import" not in style
    assert "@font-face" not in style
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}, "a name space is no address; anything else would be one"


def test_the_policy_allows_one_style_sheet_and_nothing_else(page: str) -> None:
    document = html.document_fromstring(page)
    policy = document.find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_charts_lose_everything_that_could_run_or_load() -> None:
    attack = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9" viewBox="0 0 9 9">'
        '<script>alert(1)</script><a xlink:href="javascript:alert(2)"><text>link</text></a><image href="http://example.org/x.png"/>'
        '<foreignObject><p>html</p></foreignObject><style>@import url(http://example.org)</style><use href="#c"/>'
        '<g id="c" onclick="alert(3)" style="fill:red" class="page" clip-path="url(#c)" fill="url(http://example.org/f.svg#x)"><text x="1">kept</text></g></svg>'
    )
    cleaned = inline(attack, prefix="p-", css_class="wide")
    assert cleaned == (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" class="wide" aria-hidden="true" focusable="false">'
        '<g id="p-c" clip-path="url(#p-c)"><text x="1">kept</text></g></svg>'
    )


def test_text_that_would_deceive_is_made_visible() -> None:
    assert visible("a\x00b\x1b[31m") == "a␀b␛[31m"
    assert visible("\u202egnp.exe") == "[U+202E]gnp.exe"
    assert visible("half \ud800 pair") == "half [U+D800] pair"
    assert visible("line\n\tnext 中文 é 😀") == "line\n\tnext 中文 é 😀"


def test_an_id_cannot_add_a_command(report_data: ReportData) -> None:
    hostile = [{**report_data.results["samples"][0], "id": "x; rm -rf ~"}]
    assert "heedful inspect lineage 'x; rm -rf ~'" in text_of(small(report_data, samples=hostile))


# -- what a reader gets --------------------------------------------------------------------------------------------------


def test_every_section_is_there_in_reading_order(page: str) -> None:
    document = html.document_fromstring(page)
    assert tuple(section.get("id") for section in document.iter("section")) == SECTIONS
    targets = [link.get("href")[1:] for link in document.find(".//nav").iter("a")]
    assert tuple(targets) == SECTIONS
    text = text_of(page)
    for expected in (
        "Standard library helper 标准库助手", "Nothing got worse", "9.87", "base: 24.3", "−14.4", "[−17.5, −11.3]", "35.3%", "too few rows to say (n=4)",
        "held-out templates", "Asked for 200 examples", "not_grounded: 61", "280 rows came in, 220 were kept, 60 dropped", "118 for train",
        "8,211", "step 80", "learning_rate", "lora.rank", "rougeL|tok:multilingual|version:1", "transformers", "2 min 1 s", "heedful inspect lineage",
        "seed 7", "Cut at 96 tokens", "✗ 72 characters, at most 60 allowed", "✓ All requirements satisfied", "(empty)", "Holm",
    ):  # fmt: skip
        assert expected in text, expected


def test_better_worse_and_random_samples_are_told_apart(page: str) -> None:
    headings = [
        " ".join("".join(item.itertext()).split()) for item in html.document_fromstring(page).findall(".//article//h3")
    ]
    assert headings == [
        "Among the largest gains +0.42", "Among the largest gains +0.31", "Among the largest losses −0.30", "Among the largest losses −0.20",
        "Drawn at random +0.00",
    ]  # fmt: skip


def test_answers_carry_their_language(page: str) -> None:
    document = html.document_fromstring(page)
    chinese = [element for element in document.iter("div") if element.get("lang") == "zh"]
    assert len(chinese) == 4, "prompt, two answers and the reference"
    assert "您好" in "".join(chinese[2].itertext())


def test_leakage_stands_at_the_top(report_data: ReportData, page: str) -> None:
    assert 'class="alarm"' not in page
    leak = {"checked": True, "rows": 3, "by": {"seed": 3}, "ids": ["a"], "text": "3 of 74 test rows share something."}
    leaky = small(report_data, meta={**report_data.results["meta"], "leakage": leak})
    assert leaky.index("3 of 74 test rows share something.") < leaky.index('id="figures"')


def test_what_a_run_does_not_have_is_said(report_data: ReportData) -> None:
    text = text_of(small(report_data, samples=[]))
    for expected in (
        "No examples were constructed",
        "No curation took part",
        "No training took part",
        "The test rows form no slices.",
        "No samples were asked for.",
    ):
        assert expected in text


def test_metrics_without_rows_and_without_intervals_are_shown_as_such(report_data: ReportData) -> None:
    nothing = {"n": 0, "verdict": "no rows have it"}
    nothing |= dict.fromkeys(("base", "tuned", "difference", "low", "high", "p", "p_holm", "better"))
    single = {"n": 1, "base": 0.1, "tuned": 0.2, "difference": 0.1, "low": None, "high": None}
    single |= {"p": 1.0, "p_holm": 1.0, "better": None, "verdict": "too few rows to say (n=1): +0.100"}
    overall = {**report_data.results["overall"], "requirements": nothing, "rougeL": single}
    text = text_of(small(report_data, overall=overall))
    assert "no rows have it" in text
    assert "too few rows to say (n=1)" in text


# -- form -----------------------------------------------------------------------------------------------------------------


def test_the_page_is_well_formed_html(page: str) -> None:
    assert page.startswith("<!doctype html>")
    document = html.document_fromstring(page)
    assert document.get("lang") == "en"
    ids = [element.get("id") for element in document.iter(etree.Element) if element.get("id")]
    assert len(ids) == len(set(ids)), "every id once, those inside charts included"
    for name in re.findall(r"url\(#([^)]+)\)", page):
        assert name in ids, f"a chart refers to {name}"
    for element in document.iter(etree.Element):
        for name in (element.get("aria-labelledby") or "").split():
            assert name in ids
    # Every element that we open we close: the parser had nothing to repair.
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    for tag in (
        "div",
        "section",
        "article",
        "table",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
        "ul",
        "li",
        "figure",
        "details",
        "span",
        "svg",
        "g",
    ):
        opened = len(re.findall(rf"<{tag}(?=[\s>])(?:[^>\"]|\"[^\"]*\")*(?<!/)>", body))
        assert opened == body.count(f"</{tag}>"), tag


def test_headings_descend_one_level_at_a_time(page: str) -> None:
    levels = [int(element.tag[1]) for element in html.document_fromstring(page).iter("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_tables_and_charts_can_be_heard(page: str) -> None:
    document = html.document_fromstring(page)
    for header in document.iter("th"):
        assert header.get("scope") in {"col", "row", "rowgroup"}
    charts = document.findall(".//div[@role='img']")
    assert len(charts) == 8, "two forests, three slice charts, funnel, curve, learning rate"
    assert "ROUGE-L: +0.209 [+0.149, +0.269], better" in charts[0].get("aria-label")
    assert "lowest validation loss 0.944 at step 80" in charts[6].get("aria-label")
    assert charts[7].get("aria-label") == "learning rate: from 0.0001 to 0.0001"
    assert all(svg.get("aria-hidden") == "true" for svg in document.iter("svg"))
    for region in document.findall(".//*[@role='region']"):
        assert region.get("tabindex") == "0", "what scrolls can be reached with the keyboard"
        assert region.get("aria-label")


def test_every_chart_colour_follows_the_theme(page: str) -> None:
    themed = {shades.light for shades in PALETTE.values()} | {"none", "transparent"}
    charts = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert charts
    assert set(re.findall(r'(?:fill|stroke)="([^"]+)"', charts)) <= themed
    assert len({shades.light for shades in PALETTE.values()}) == len(PALETTE), "one role per colour"


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("role", ["ink", "muted", "base", "tuned", "better", "worse", "unsure"])
def test_text_has_enough_contrast(role: str, theme: str) -> None:
    for ground in ("paper", "panel", "sunken"):
        pair = sorted(luminance(getattr(PALETTE[name], theme)) for name in (role, ground))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, f"{role} on {ground}"


def test_equal_data_equal_bytes(report_data: ReportData, page: str, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", report_data)
    written = (tmp_path / "report.html").read_bytes()
    assert written == page.encode()
    assert len(written) < 1_500_000


@pytest.mark.parametrize(
    ("function", "value", "said"),
    [
        (typographic, "-0.5 [-1.2, 3] over-fit 1-2", "−0.5 [−1.2, 3] over-fit 1-2"),
        (thousands, 12403, "12,403"), (thousands, 0.5, "0.50"),
        (duration, 0.42, "0.4 s"), (duration, 37.6, "38 s"), (duration, 425, "7 min 5 s"), (duration, 7385, "2 h 3 min"), (duration, 59.9, "1 min 0 s"),
    ],
)  # fmt: skip
def test_words(function: Any, value: Any, said: str) -> None:
    assert function(value) == said
