"""Real Chromium against hostile text, in every place that text can get to: nothing runs, nothing is fetched."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from chat_page import ChatPage, until
from live_server import LiveServer

pytestmark = pytest.mark.slow

HOSTILE = [
    "<script>ran.push('script')</script>",
    "<img src=x onerror=\"ran.push('image')\">",
    "<svg onload=\"ran.push('svg')\"><a xlink:href=\"javascript:ran.push('xlink')\"><text>x</text></a></svg>",
    "[click](javascript:ran.push('link')) [click](JaVaScRiPt&colon;ran.push('link')) <javascript:ran.push('auto')>",
    "[click](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==) [click](vbscript:x)",
    "![picture](http://tracker.invalid/pixel.png) ![x](x\" onerror=\"ran.push('alt'))",
    "```\"><img src=x onerror=ran.push('fence')>\n</code></pre><script>ran.push('code')</script>\n```",
    "<iframe srcdoc=\"<script>parent.ran.push('frame')</script>\"></iframe><base href=http://tracker.invalid/>",
    "<form action=http://tracker.invalid/><button autofocus onfocus=\"ran.push('focus')\">x</button></form>",
    "<style>@import url(http://tracker.invalid/x.css); body {display: none}</style><div style=position:fixed>x</div>",
    "<details open ontoggle=\"ran.push('toggle')\"><summary>x</summary></details><a id=messages name=messages>clobber</a>",
    "'\"></title></textarea></script><script>ran.push('break out')</script>{{7*7}}${7*7}{% raw %}\u202e",
]
EVERYTHING = "\n\n".join(HOSTILE)


def check_harmless(page: ChatPage) -> None:
    """No handler, no frame, no script but ours, no address that runs, no style; and the page still stands."""
    assert page.run("return ran") == []
    assert page.run("return refused") == []
    found = page.run(
        """
        const all = [...document.querySelectorAll("*")];
        return {
          handlers: all.flatMap((element) => [...element.attributes].filter(({name}) => name.startsWith("on")).map(({name}) => name)),
          styles: all.filter((element) => element.hasAttribute("style")).length,
          scripts: [...document.scripts].map((script) => script.getAttribute("src")),
          foreign: document.querySelectorAll("iframe, object, embed, base, img, form[action], .answer :is(form, button:not(.copy-code), input, svg:not(.icon))").length,
          links: [...document.links].map((link) => link.protocol).filter((protocol) => !["http:", "https:"].includes(protocol)),
          twice: all.map(({id}) => id).filter((id, place, ids) => id && ids.indexOf(id) !== place),
        };
        """
    )
    scripts = found.pop("scripts")
    assert scripts == ["/static/main.js"]
    assert not any(found.values()), found
    assert page.sees("#message")


def test_what_is_in_the_store_never_runs(page: ChatPage, server: LiveServer) -> None:
    store = server.state.store
    told = store.new_conversation(title=HOSTILE[1], system=EVERYTHING)
    said = store.add_message(told.id, "user", EVERYTHING, parent=None)
    answer = store.add_message(
        told.id, "assistant", EVERYTHING, parent=said.id, model=HOSTILE[1], finish_reason=HOSTILE[0]
    )
    store.rate(answer.id, rating=-1, reason=EVERYTHING, correction=f"better {EVERYTHING}")
    page.open(f"/c/{told.id}")
    until(lambda: page.count(".feedback blockquote") == 2, "reason and correction")
    # Text is shown as text: as it was written.
    assert "<script>ran.push('script')</script>" in page.text(".user .text")
    assert "<script>ran.push('script')</script>" in page.answers[0]
    assert page.text("#title") == HOSTILE[1]
    assert page.text(".author") == HOSTILE[1]
    check_harmless(page)
    # Open every place that shows them once more.
    page.click(".assistant .feedback .link")
    assert page.value("textarea.correction") == f"better {EVERYTHING}"
    page.click("#open-settings")
    assert page.value("#system") == EVERYTHING.strip()
    check_harmless(page)
    page.click("#settings-close")
    for number in (1, 2):
        page.click(f".conversations li:has([aria-current]) button:nth-of-type({number})")
        check_harmless(page)
        page.click("#ask-no")
    page.click('#languages label:has([value="zh"])')
    check_harmless(page)
    # Following every link of the answer leads nowhere that runs.
    assert page.run(
        "return [...document.querySelectorAll('.answer a')].every((link) => link.target === '_blank' && link.rel.includes('noopener'))"
    )


def test_what_a_model_answers_never_runs_while_it_streams(page: ChatPage) -> None:
    page.click('#models label:has([value="scripted"])')
    page.run("document.getElementById('message').value = arguments[0]", f"say {EVERYTHING}")
    page.click("#message")
    page.keys(Keys.ENTER)
    page.until_growing()
    while page.writing:
        check_harmless(page)
    page.until_answered()
    check_harmless(page)
    assert "<script>ran.push('script')</script>" in page.answers[0]


def test_what_people_type_never_runs(page: ChatPage, server: LiveServer) -> None:
    page.click('#models label:has([value="scripted"])')
    page.click("#open-settings")
    page.run("document.getElementById('system').value = arguments[0]", EVERYTHING)
    page.click("#settings .primary")
    page.run("document.getElementById('message').value = arguments[0]", HOSTILE[1])
    page.click("#send")
    page.until_answered()
    page.click('[data-rating="-1"]')
    page.until_said("Why?", ".feedback")
    page.click(".feedback .link")
    for name in ("reason", "correction"):
        page.run(f"document.querySelector('textarea.{name}').value = arguments[0]", EVERYTHING)
    page.click(".feedback .primary")
    until(lambda: page.count(".feedback blockquote") == 2, "reason and correction")
    check_harmless(page)
    (said,) = server.state.store.feedback_of(page.conversation).values()
    assert said.reason == EVERYTHING.strip()
    assert said.correction == EVERYTHING
    page.click(".conversations li:has([aria-current]) button:nth-of-type(1)")
    page.replace(HOSTILE[0])
    page.keys(Keys.ENTER)
    until(lambda: page.text("#title") == HOSTILE[0], "the new title")
    page.reload()
    check_harmless(page)


def test_the_pages_own_policy_would_stop_what_slipped_through(page: ChatPage) -> None:
    # Were text ever taken for HTML, the browser itself refuses to run it: both layers hold alone.
    page.run(
        "const spot = document.createElement('div'); spot.innerHTML = arguments[0]; document.body.append(spot)",
        HOSTILE[1],
    )
    page.run(
        "const script = document.createElement('script'); script.textContent = \"ran.push('inline')\"; document.body.append(script)"
    )
    until(lambda: len(page.run("return refused")) >= 2, "the policy speaks up")
    assert page.run("return ran") == []
    page.run("refused.length = 0; performance.clearResourceTimings()")
    page.reload()
