"""Both languages say everything, every key that is used exists, and every key that exists is used."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from heedful.serve.pages.wording import LANGUAGES, choose_language, strings

SOURCES = {
    entry.name: entry.read_text(encoding="utf-8")
    for folder in ("templates", "static")
    for entry in files("heedful.serve.pages").joinpath(folder).iterdir()
    if entry.name.endswith((".html", ".js"))
}
EVERYTHING = "\n".join(SOURCES.values())


def test_both_languages_say_everything_with_the_same_values() -> None:
    for key, texts in strings().items():
        assert set(texts) == set(LANGUAGES), key
        assert all(text.strip() for text in texts.values()), key
        assert len({frozenset(re.findall(r"{(\w+)}", text)) for text in texts.values()}) == 1, key


def test_chinese_is_chinese_and_english_is_not() -> None:
    for key, texts in strings().items():
        if key == "version_of":
            continue
        assert re.search(r"[\u4e00-\u9fff]", texts["zh"]), key
        assert not re.search(r"[\u4e00-\u9fff]", texts["en"]), key


def test_every_key_is_used() -> None:
    # Put together, or named by the kind of a model.
    spelled = {"theme_auto", "theme_light", "theme_dark", "tuned", "base"}
    for key in set(strings()) - spelled:
        assert re.search(rf"""["'.]{key}\b""", EVERYTHING), f"nobody says {key}"


def test_every_key_that_is_used_exists() -> None:
    used = re.findall(r"words\.(\w+)", EVERYTHING)
    used += re.findall(r"""data-(?:text|label|placeholder)="(\w+)\"""", EVERYTHING)
    used += re.findall(r"""\b(?:text|announce)\("(\w+)\"""", EVERYTHING)
    used += re.findall(r"""\b(?:text|label|placeholder): "(\w+)\"""", EVERYTHING)
    used += re.findall(r"""iconButton\("[\w-]+", "(\w+)\"""", EVERYTHING)
    assert len(used) > 80
    assert set(used) <= set(strings())


def test_nothing_in_the_files_runs_inline_or_comes_from_elsewhere() -> None:
    for name, source in SOURCES.items():
        if name.endswith(".html"):
            assert not re.search(r"<script(?! type=\"module\" src=\"/static/)", source), name
            assert not re.search(r"<style|\sstyle=|\son\w+=", source), name
        assert not re.search(r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function)\b", source), (
            name
        )
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", source), name


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "zh-TW", "zh"),
        (None, "fr, zh;q=0.3, en;q=0.4", "en"),
        (None, "de, zh;q=0", "en"),
        (None, "zh;q=nonsense, *;q=0.5", "en"),
        ("zh", "en", "zh"),
        ("en", "zh", "en"),
        ("<script>", "zh", "zh"),
    ],
)
def test_the_visitors_language(chosen: str | None, accepted: str, language: str) -> None:
    assert choose_language(chosen, accepted) == language
