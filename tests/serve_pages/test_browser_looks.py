"""Real Chromium: axe-core finds nothing serious, on phone and desktop, light and dark, in both languages; nothing overflows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from chat_page import DESKTOP, NARROWEST, PHONE, ChatPage, axe, until
from live_server import LiveServer

pytestmark = pytest.mark.slow

RICH = """### A heading

Text with **weight**, `code` and [a link](https://example.org).

```python
print("a line of code that is much longer than a telephone is wide, so that it has to scroll in a frame of its own")
```

| one | two | three | four | five | six |
|:----|----:|:-----:|------|------|-----|
| 1   | 2   | 3     | 4    | 5    | 6   |

> A quotation with averyveryveryveryveryveryveryveryveryveryveryveryveryveryverylongword in it.

1. 第一
2. 第二
"""


COLOURS = ("color-contrast", "link-in-text-block")


@pytest.fixture(scope="module")
def rich(server: LiveServer) -> Iterator[str]:
    """The id of a conversation that has everything a conversation can have."""
    store = server.state.store
    told = store.new_conversation(
        title="天空 and a rather long title that cannot fit into a line of the list", system="Be brief. " * 20
    )
    said = store.add_message(told.id, "user", "Why is the sky blue?\n天空为什么是蓝色的？", parent=None)
    for model, reason in (("tiny", "stop"), ("scripted", "length")):
        answer = store.add_message(told.id, "assistant", RICH, parent=said.id, model=model, finish_reason=reason)
    store.rate(answer.id, rating=1, reason="Clear.", correction="更好的回答")
    said = store.add_message(told.id, "user", "And then?", parent=answer.id)
    answer = store.add_message(
        told.id, "assistant", "Night falls.", parent=said.id, model="tiny", finish_reason="cancelled"
    )
    store.rate(answer.id, rating=-1)
    store.add_message(told.id, "user", "And then?", parent=answer.id)
    yield told.id
    store.delete_conversation(told.id)


def states(page: ChatPage, rich: str) -> Iterator[str]:
    """Bring the page into each of its states."""
    page.open()
    # Not sent to the server: only how it looks.
    page.run(
        "const problem = document.getElementById('composer-problem'); problem.hidden = false; problem.textContent = 'x'"
    )
    yield "empty"
    page.open(f"/c/{rich}")
    page.click(".message:nth-last-of-type(2) .tools [aria-pressed]:last-of-type")
    yield "conversation"
    page.click("#open-settings")
    yield "settings"
    page.click("#settings-close")
    if page.sees("#open-menu"):
        page.click("#open-menu")
        yield "drawer"
    page.click(".conversations li:has([aria-current]) button:last-child")
    yield "question"


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing_serious(
    page: ChatPage, rich: str, axe_source: Path, size: tuple[int, int], language: str
) -> None:
    page.look(size, language=language, calm=True)
    for state in states(page, rich):
        for dark in (False, True):
            page.look(size, dark=dark, language=language, calm=True)
            if folder := os.environ.get("HEEDFUL_TEST_SCREENSHOTS"):
                page.driver.save_screenshot(f"{folder}/{size[0]}-{language}-{'dark' if dark else 'light'}-{state}.png")
            # Only colours differ in the dark.
            assert axe(page, axe_source, *(COLOURS if dark else ())) == [], state
        assert page.run("return document.documentElement.lang") == {"en": "en", "zh": "zh-Hans"}[language]


def test_axe_would_find_something(page: ChatPage, axe_source: Path) -> None:
    page.run(
        "document.getElementById('open-settings').removeAttribute('aria-label'); document.getElementById('open-settings').removeAttribute('title')"
    )
    page.run("document.querySelector('.hint').style.color = 'silver'")
    found = axe(page, axe_source)
    assert sorted({problem.partition(":")[0] for problem in found}) == ["button-name", "color-contrast"]


def test_nothing_is_wider_than_the_smallest_phone(page: ChatPage, rich: str) -> None:
    page.look(NARROWEST, calm=True)
    for language in ("en", "zh"):
        page.look(NARROWEST, calm=True, language=language)
        for state in states(page, rich):
            too_wide = page.run(
                """
                const scrolls = (element) => element && (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
                return [...document.querySelectorAll("body *")].filter((element) => {
                  const {left, right, width} = element.getBoundingClientRect();
                  return width > 0 && element.checkVisibility({checkVisibilityCSS: true}) && (right > innerWidth + 0.5 || left < -0.5)
                    && !element.closest(".code, .wide, .for-ears, .skip, .sidebar:not(.drawer *)");
                }).map((element) => element.outerHTML.slice(0, 120));
                """
            )
            assert too_wide == [], state
            assert page.run(
                "return document.getElementById('scroll').scrollWidth <= document.getElementById('scroll').clientWidth"
            ), state


def test_a_screen_reader_hears_of_an_answer_twice_not_at_every_word(page: ChatPage) -> None:
    page.click('#models label:has([value="scripted"])')
    page.run(
        "window.heard = []; new MutationObserver(() => heard.push(announcer.textContent)).observe(announcer, {childList: true, characterData: true, subtree: true})"
    )
    page.say(f"say {'word ' * 60}end")
    page.until_growing()
    page.until_answered()
    heard = [text for text in page.run("return heard") if text]
    assert heard[0] == "The answer is being written"
    assert heard[-1].startswith("The answer is complete.")
    assert len(heard) == 2
    # Nothing else on the page speaks up by itself.
    live = page.run(
        "return [...document.querySelectorAll('[aria-live], [role=status], [role=log], [role=alert]:not([hidden])')].map(({id}) => id)"
    )
    assert live == ["announcer"]


def test_nothing_moves_for_those_who_asked_for_calm(page: ChatPage) -> None:
    page.look(PHONE, calm=True)
    page.reload()
    page.click("#open-menu")
    assert page.run("return document.getAnimations().length") == 0
    page.click("#close-menu")
    page.run("localStorage.setItem('heedful.model', JSON.stringify('scripted'))")
    page.reload()
    page.say("long")
    assert page.run("return document.getAnimations().length") == 0
    page.until_growing()
    page.keys(Keys.ESCAPE)
    page.until_answered()


def test_selected_text_stays_selected_while_the_answer_grows(page: ChatPage) -> None:
    page.click('#models label:has([value="scripted"])')
    page.run("document.getElementById('message').value = arguments[0]", "say first paragraph\n\n" + "word " * 300)
    page.click("#send")
    until(lambda: page.count(".growing .answer p") == 2, "the second paragraph begins")
    page.run("getSelection().selectAllChildren(document.querySelector('.answer p'))")
    grown = len(page.answers[0])
    until(lambda: len(page.answers[0]) > grown + 100, "it goes on")
    assert page.run("return String(getSelection())") == "first paragraph"
    # And whoever scrolled up is left there.
    page.keys(Keys.ESCAPE)
    page.until_answered()
