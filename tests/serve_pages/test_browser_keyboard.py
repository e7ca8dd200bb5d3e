"""Real Chromium, keys only: everything that the mouse can do, with a focus that can always be seen."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from chat_page import ChatPage, until
from live_server import LiveServer

pytestmark = pytest.mark.slow

LAST = ".assistant:last-of-type"


def focused(page: ChatPage, selector: str) -> bool:
    return bool(page.run("return document.activeElement.matches(arguments[0])", selector))


def test_a_visit_without_a_mouse(page: ChatPage, server: LiveServer) -> None:
    # One can type at once.
    page.sampling(max_tokens=12)
    page.keys("hello", Keys.ENTER)
    page.until_answered()
    assert page.text(".author") == "Tuned\ntiny"

    # To the model switch, then the other model; it streams until Escape.
    page.sampling(max_tokens=4000)
    page.tab_to("#models input")
    page.keys(Keys.ARROW_RIGHT)
    page.tab_to("#message", back=True)
    page.keys("long", Keys.ENTER)
    page.until_growing()
    page.keys(Keys.ESCAPE)
    page.until_answered(2)
    until(lambda: server.in_flight == 0, "the engine stopped")
    assert "stopped before its end" in page.text(".note")
    assert page.text(".author") == "Base\nscripted"
    # The focus is still where one types.
    assert focused(page, "#message")

    # Another version; arrow keys switch between them.
    page.tab_to(f"{LAST} .again", back=True)
    page.keys(Keys.ENTER)
    page.until_growing()
    page.keys(Keys.ESCAPE)
    page.until_said("2 / 2", ".versions")
    page.tab_to(f"{LAST} .versions button", back=True)
    page.keys(Keys.ARROW_LEFT)
    until(lambda: page.text(".versions") == "1 / 2", "the first version")
    assert page.text("#announcer") == "Version 1 of 2"
    page.keys(Keys.ARROW_RIGHT)
    until(lambda: page.text(".versions") == "2 / 2", "the second version")
    assert focused(page, f"{LAST} .versions button")

    # Judged with a reason and a better answer.
    page.tab_to(f'{LAST} [data-rating="1"]')
    page.keys(Keys.SPACE)
    until(lambda: focused(page, "textarea.reason"), "the form takes the focus")
    page.keys("Clear.")
    page.tab_to(".feedback .link")
    page.keys(Keys.ENTER)
    until(lambda: focused(page, "textarea.correction"), "the better answer takes the focus")
    page.replace("A better one.")
    page.tab_to(".feedback .primary")
    page.keys(Keys.ENTER)
    page.until_said("Your feedback is saved", ".feedback")
    (said,) = server.state.store.feedback_of(page.conversation).values()
    assert (said.rating, said.reason, said.correction) == (1, "Clear.", "A better one.")
    assert page.pressed(f'{LAST} [data-rating="1"]')

    page.reload()
    page.tab_to('#languages input[value="en"]', back=True)
    page.keys(Keys.ARROW_RIGHT)
    assert page.text("#new") == "新对话"
    assert page.texts(f"{LAST} .feedback blockquote") == ["Clear.", "A better one."]
    page.tab_to("#themes input")
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_conversations_settings_and_dialogs_without_a_mouse(page: ChatPage) -> None:
    page.sampling(max_tokens=6)
    page.keys("one", Keys.ENTER)
    page.until_answered()
    page.tab_to("#open-settings", back=True)
    page.keys(Keys.ENTER)
    page.tab_to("#system")
    page.keys("Be brief.")
    # Escape keeps what was typed, and gives the focus back.
    page.keys(Keys.ESCAPE)
    page.until_said("Be brief.", ".system-note")
    assert focused(page, "#open-settings")
    # Escape in a dialog is not Escape on the page: nothing else happens.
    page.tab_to(".conversations li:has([aria-current]) button:last-child", back=True)
    page.keys(Keys.ENTER)
    until(lambda: focused(page, "#ask-no"), "what destroys is not one key away")
    page.keys(Keys.ESCAPE)
    assert page.text("#messages .user .text") == "one"
    assert focused(page, ".conversations button:last-child")
    page.keys(Keys.ENTER)
    page.tab_to("#ask-yes")
    page.keys(Keys.ENTER)
    until(lambda: page.sees("#welcome"), "it is gone")
    # Past the list to the field in one step.
    page.reload()
    page.tab_to(".skip", back=True)
    page.keys(Keys.ENTER)
    assert focused(page, "#message")


def test_enter_belongs_to_the_input_method_while_it_composes(page: ChatPage) -> None:
    page.sampling(max_tokens=6)
    page.driver.execute_cdp_cmd("Input.imeSetComposition", {"text": "ni hao", "selectionStart": 6, "selectionEnd": 6})
    assert page.value("#message") == "ni hao"
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
    composing = page.run(
        "window.seen = []; addEventListener('keydown', (event) => seen.push([event.key, event.isComposing]), true); return true"
    )
    assert composing
    page.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    page.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", **enter})
    assert page.run("return seen") == [["Enter", True]]
    page.driver.execute_cdp_cmd("Input.insertText", {"text": "你好"})
    assert page.value("#message") == "你好"
    assert not page.sees(".user")
    # Safari says that the composition has ended, and marks the key by its code alone.
    page.run(
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', keyCode: 229, bubbles: true, cancelable: true}))"
    )
    assert not page.sees(".user")
    page.keys(Keys.ENTER)
    page.until_answered()
    assert page.text(".user .text") == "你好"


def test_shift_and_enter_begin_a_line_and_the_field_grows(page: ChatPage) -> None:
    before = page.find("#message").size["height"]
    page.sampling(max_tokens=6)
    for line in ("first", "second", "third"):
        page.keys(line)
        page.new_line()
    page.keys("last")
    assert page.value("#message") == "first\nsecond\nthird\nlast"
    assert page.find("#message").size["height"] > 2 * before
    page.keys(Keys.ENTER)
    page.until_answered()
    assert page.text(".user .text") == "first\nsecond\nthird\nlast"
    assert page.find("#message").size["height"] == before


def test_nothing_and_white_space_are_not_sent(page: ChatPage) -> None:
    page.keys(Keys.ENTER, "  ", Keys.ENTER)
    assert page.value("#message") == "  "
    assert page.conversation == ""
