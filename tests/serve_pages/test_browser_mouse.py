"""Real Chromium, by mouse: talk, stop, ask again, judge, correct, come back; and everything is still there."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from chat_page import PHONE, ChatPage, until
from live_server import LiveServer

pytestmark = pytest.mark.slow


def choose(page: ChatPage, model: str) -> None:
    page.click(f'#models label:has([value="{model}"])')


def test_a_visit_from_the_first_word_to_the_last(page: ChatPage, server: LiveServer) -> None:
    page.sampling(max_tokens=12)
    # An example is a way to begin; it can still be changed.
    assert page.text("#welcome h2") == "What would you like to know?"
    page.click(".examples button")
    assert page.value("#message") == "Explain why the sky is blue, in two sentences."
    page.click("#send")
    page.until_answered()
    assert page.text(".user .text") == "Explain why the sky is blue, in two sentences."
    assert page.text(".author") == "Tuned\ntiny"
    # Twelve tokens were allowed, the tiny model never stops by itself.
    assert "longest length" in page.text(".note")

    # The other model answers the next question; it streams, and stops when told.
    page.sampling(max_tokens=4000)
    choose(page, "scripted")
    page.say("long story")
    page.until_growing()
    early = len(page.answers[-1])
    until(lambda: len(page.answers[-1]) > early, "the answer goes on growing")
    page.click("#stop")
    page.until_answered(2)
    until(lambda: server.in_flight == 0, "the engine stopped")
    assert page.texts(".author") == ["Tuned\ntiny", "Base\nscripted"]
    assert "stopped before its end" in page.text(".note")
    stopped = page.answers[-1]
    assert stopped.startswith("word0 word1")
    assert len(stopped.split()) < 1000

    # Again, by the tuned model: both versions stay.
    page.sampling(max_tokens=12)
    choose(page, "tiny")
    page.click(".assistant:last-of-type .again")
    page.until_said("2 / 2", ".versions")
    until(lambda: not page.writing, "the second version is there")
    assert page.text(".author") == "Tuned\ntiny"
    page.click(".assistant:last-of-type .versions button:first-child")
    assert page.answers[-1] == stopped
    assert page.text(".assistant:last-of-type .versions") == "1 / 2"

    # It was bad, here is why, and this is what it should have been.
    last = ".assistant:last-of-type"
    page.click(f'{last} [data-rating="-1"]')
    until(lambda: page.pressed(f'{last} [data-rating="-1"]'), "the thumb is pressed")
    page.click(f"{last} textarea.reason")
    page.keys("It never ends.")
    page.click(f"{last} .feedback .link")
    assert page.value(f"{last} textarea.correction").strip() == stopped
    page.replace("从前有座山。The end.")
    page.click(f"{last} .feedback .primary")
    page.until_said("Your feedback is saved", f"{last} .feedback")
    store = server.state.store
    (said,) = store.feedback_of(page.conversation).values()
    assert (said.rating, said.reason, said.correction) == (-1, "It never ends.", "从前有座山。The end.")

    # Everything is kept: both versions, the judgement, the choice of a model.
    page.reload()
    assert page.text(".versions:not([hidden])") == "2 / 2"
    page.click(f"{last} .versions button:first-child")
    assert page.answers[-1] == stopped
    assert page.pressed(f'{last} [data-rating="-1"]')
    assert not page.pressed(f'{last} [data-rating="1"]')
    assert page.texts(f"{last} .feedback blockquote") == ["It never ends.", "从前有座山。The end."]
    assert page.find('#models [value="tiny"]').is_selected()

    # In Chinese, at once and from now on; what people and models said stays as it is.
    page.click('#languages label:has([value="zh"])')
    assert page.text("#new") == "新对话"
    assert page.find("#message").get_attribute("placeholder") == "输入消息"
    assert page.text(f"{last} .kind") == "原始"
    assert "停止" in page.text(".note")
    assert page.answers[-1] == stopped
    page.reload()
    assert page.find("html").get_attribute("lang") == "zh-Hans"
    assert page.text(".conversations h2") == "今天"


def test_an_answer_can_be_judged_twice_and_taken_back(page: ChatPage, server: LiveServer) -> None:
    choose(page, "scripted")
    page.say("hello")
    page.until_answered()
    up, down = '[data-rating="1"]', '[data-rating="-1"]'
    page.click(up)
    page.until_said("Why?", ".feedback")
    page.click(down)
    until(lambda: page.pressed(down), "the other thumb")
    assert not page.pressed(up)
    page.click(".feedback .link")
    page.click(".feedback .primary")
    page.until_said("saved", ".feedback")
    # The form came prefilled with the answer; unchanged, it corrects nothing.
    (said,) = server.state.store.feedback_of(page.conversation).values()
    assert (said.rating, said.reason, said.correction) == (-1, "", "")
    page.click(down)
    until(lambda: not server.state.store.feedback_of(page.conversation), "the judgement is taken back")


def test_the_prompt_is_what_is_on_the_screen(page: ChatPage, scripted: Any, server: LiveServer) -> None:
    choose(page, "scripted")
    page.click("#open-settings")
    page.click("#system")
    page.keys("You are a pirate. 用中文回答。")
    page.click("#max-tokens")
    page.replace("77")
    page.click("#settings .primary")
    page.until_said("You are a pirate.", ".system-note")
    page.say("say one")
    page.until_answered(1)
    page.click(".again")
    page.until_said("2 / 2", ".versions")
    until(lambda: not page.writing, "the second version")
    page.say("say three")
    page.until_answered(2)
    request = scripted.heard[-1]
    assert [(turn.role, turn.content) for turn in request.messages] == [
        ("system", "You are a pirate. 用中文回答。"),
        ("user", "say one"),
        # The second version is on the screen, so it is what the conversation goes on from.
        ("assistant", "one"),
        ("user", "say three"),
    ]
    assert request.sampling.max_tokens == 77
    stored = server.state.store.messages(page.conversation)
    assert [message.role for message in stored] == ["user", "assistant", "assistant", "user", "assistant"]
    assert stored[3].parent == stored[2].id
    assert {message.system for message in stored if message.role == "assistant"} == {"You are a pirate. 用中文回答。"}


def test_failures_are_shown_where_they_happen_and_can_be_retried(page: ChatPage) -> None:
    choose(page, "scripted")
    page.say("refuse this")
    until(lambda: "too long by 12 tokens" in page.text(".failure"), "the reason")
    # Nobody knows what a request's number is.
    assert "request" not in page.text(".failure")
    page.click(".failure .retry")
    page.until_answered()
    assert not page.sees(".failure")

    # What was written before it broke stays, and says that it is not whole.
    page.say("break in the middle")
    until(lambda: "Out of memory" in page.text(".failure"), "the reason")
    assert page.answers[-1] == "word0 word1 word2 word3 word4"
    assert "something went wrong" in page.text(".note")
    page.click(".failure .retry")
    page.until_growing()
    page.click("#stop")
    page.until_said("2 / 2", ".versions")


def test_what_could_not_be_sent_is_not_lost(page: ChatPage) -> None:
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    try:
        page.say("a long and careful question")
        page.until_said("cannot be reached", "#composer-problem")
        assert page.value("#message") == "a long and careful question"
    finally:
        page.driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {**offline, "offline": False, "downloadThroughput": -1, "uploadThroughput": -1},
        )
    page.reload()
    # Nor is it by leaving the page.
    assert page.value("#message") == "a long and careful question"
    page.sampling(max_tokens=6)
    page.click("#send")
    page.until_answered()
    assert page.value("#message") == ""


def test_leaving_while_an_answer_is_written(page: ChatPage, server: LiveServer) -> None:
    choose(page, "scripted")
    page.say("long one")
    page.until_growing()
    first = page.conversation
    # Another conversation does not disturb it.
    page.click("#new")
    assert page.sees("#welcome")
    assert not page.writing
    page.say("say short")
    page.until_answered()
    page.click(f'.conversations a[data-id="{first}"]')
    until(lambda: page.writing and len(page.answers[-1]) > 100, "it went on")
    # Loading the page anew ends it; what was written is kept.
    page.reload()
    until(lambda: page.answers and "word10" in page.answers[-1], "what was written is there")
    until(lambda: server.in_flight == 0, "the engine stopped")
    assert "stopped before its end" in page.text(".note")
    stored = server.state.store.messages(first)[-1]
    assert (stored.finish_reason, stored.model) == ("cancelled", "scripted")


def test_conversations_are_renamed_and_deleted(page: ChatPage, server: LiveServer) -> None:
    choose(page, "scripted")
    page.say("say first")
    page.until_answered()
    id = page.conversation
    item = f'.conversations li:has([data-id="{id}"])'
    until(lambda: page.text(f"{item} a") == "say first", "the list knows it")
    page.click(f"{item} button:nth-of-type(1)")
    page.replace("第一次谈话")
    page.keys(Keys.ENTER)
    until(lambda: page.text(f"{item} a") == "第一次谈话", "the new title")
    assert page.text("#title") == "第一次谈话"
    assert page.driver.title == "第一次谈话 · Tea room"
    page.click(f"{item} button:nth-of-type(2)")
    assert "第一次谈话" in page.text("#ask")
    page.click("#ask-no")
    assert page.count(item)
    page.click(f"{item} button:nth-of-type(2)")
    page.click("#ask-yes")
    until(lambda: not page.count(item), "it is gone")
    assert page.sees("#welcome")
    assert id not in {conversation.id for conversation in server.state.store.conversations()}
    page.open(f"/c/{id}")
    page.until_said("does not exist", ".failure")


def test_on_a_phone_the_list_is_a_drawer(page: ChatPage) -> None:
    page.look(PHONE)
    page.reload()
    assert not page.sees("#sidebar")
    page.click("#open-menu")
    until(lambda: page.sees("#new"), "the drawer opens")
    page.click('#themes label:has([value="dark"])')
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    page.run("document.elementFromPoint(380, 400).click()")
    until(lambda: not page.sees("#new"), "a click beside it closes it")
    page.reload()
    # The server sends the chosen colours, so that the other ones never flash.
    assert page.find("html").get_attribute("data-theme") == "dark"
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
