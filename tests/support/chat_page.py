"""The chat page in a real browser, as tests use it: Debian's Chromium, driven by Selenium, with nothing fetched from anywhere.

Every page that it opens records what its content policy had to refuse, and what hostile text managed to run.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
PHONE, DESKTOP, NARROWEST = (390, 844), (1440, 900), (360, 640)
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1440,900"
)
_WATCH = """
window.ran = [];
window.refused = [];
window.errors = [];
document.addEventListener("securitypolicyviolation", (event) => refused.push(`${event.violatedDirective} ${event.blockedURI}`));
addEventListener("error", (event) => errors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
"""
_Found = TypeVar("_Found")


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A fresh browser; the test is skipped where there is none, but fails in CI."""
    if missing := [path for path in (CHROMIUM, DRIVER) if shutil.which(path) is None]:
        message = f"no {' and no '.join(missing)}; Debian's packages are chromium and chromium-driver"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tempfile.mkdtemp(prefix="chromium")
    for flag in [*_FLAGS.split(), f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


def until(true: Callable[[], _Found], what: str, *, seconds: float = 15) -> _Found:
    """Wait until something holds; returns it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return found


class ChatPage:
    """What a person does on the page, and what they see."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver, self.url = driver, url

    # -- opening --------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Leave a browser behind that has never been here."""
        self.run("localStorage.clear(); sessionStorage.clear()")
        self.driver.delete_all_cookies()

    def look(
        self, size: tuple[int, int] = DESKTOP, *, dark: bool = False, calm: bool = False, language: str = "en"
    ) -> None:
        """On this device, with these wishes of its user."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        headers = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5" if language == "zh" else "en-GB,en"}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": headers})

    def open(self, path: str = "/") -> None:
        """Go to one of its addresses, and wait until it works."""
        self.driver.get(self.url + path)
        self.until_ready()

    def until_ready(self) -> None:
        until(lambda: self.run("return document.documentElement.dataset.ready"), "the page starts")

    def reload(self) -> None:
        self.driver.refresh()
        self.until_ready()

    def sampling(self, **values: float) -> None:
        """Set as if chosen in the settings before."""
        self.run("localStorage.setItem('heedful.sampling', arguments[0])", json.dumps(values))

    # -- looking --------------------------------------------------------------------------------------------

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def count(self, selector: str) -> int:
        return int(self.run("return document.querySelectorAll(arguments[0]).length", selector))

    def texts(self, selector: str) -> list[str]:
        """What they say, read in one go: the page may replace an element at any time."""
        script = "return [...document.querySelectorAll(arguments[0])].map((element) => element.innerText.trim())"
        return list(self.run(script, selector))

    def text(self, selector: str) -> str:
        """What the last of them says; nothing when there is none."""
        return next(reversed(self.texts(selector)), "")

    def value(self, selector: str) -> str:
        """What is written in a field."""
        return str(self.find(selector).get_property("value"))

    def sees(self, selector: str) -> bool:
        script = "return [...document.querySelectorAll(arguments[0])].some((element) => element.checkVisibility({checkVisibilityCSS: true}))"
        return bool(self.run(script, selector))

    def pressed(self, selector: str) -> bool:
        return self.find(selector).get_attribute("aria-pressed") == "true"

    @property
    def conversation(self) -> str:
        """The id in the address; empty on the empty page."""
        return str(self.driver.current_url.removeprefix(self.url).removeprefix("/c/").removeprefix("/"))

    @property
    def writing(self) -> bool:
        return bool(self.run("return !document.getElementById('stop').hidden"))

    @property
    def answers(self) -> list[str]:
        return self.texts(".assistant .answer")

    def until_answered(self, number: int = 1) -> None:
        """Wait for the end of that many answers."""
        until(lambda: not self.writing and self.count(".assistant:not(.growing)") >= number, f"{number} answers")

    def until_growing(self) -> None:
        until(lambda: self.sees(".growing .answer p"), "an answer grows")

    def until_said(self, text: str, selector: str) -> None:
        until(lambda: any(text in said for said in self.texts(selector)), f"{text!r} in {selector}")

    def check_calm(self) -> None:
        """Nothing hostile ran, no policy was needed to stop it, nothing broke, and nothing came from elsewhere."""
        found = {name: self.run(f"return {name}") for name in ("ran", "refused", "errors")}
        found["foreign"] = self.run(
            "return performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => !name.startsWith(origin))"
        )
        assert not any(found.values()), found

    # -- doing ----------------------------------------------------------------------------------------------

    def click(self, selector: str) -> None:
        """With a mouse that moves there, once nothing else moves any more."""
        script = """
            if (document.getAnimations().some((each) => each.effect.getTiming().iterations !== Infinity)) return null;
            const found = [...document.querySelectorAll(arguments[0])].find((element) => element.checkVisibility({checkVisibilityCSS: true}));
            found?.scrollIntoView({block: "nearest"});
            return found;
        """
        element = until(lambda: self.run(script, selector), selector)
        ActionChains(self.driver, duration=20).move_to_element(element).click().perform()

    def keys(self, *keys: str) -> None:
        """Type, wherever the focus is."""
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def new_line(self) -> None:
        ActionChains(self.driver, duration=0).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()

    def replace(self, text: str) -> None:
        """Type over everything in the focused field."""
        ActionChains(self.driver, duration=0).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).send_keys(
            text
        ).perform()

    def say(self, text: str) -> None:
        """Click into the field, type, press Enter."""
        self.click("#message")
        self.keys(text, Keys.ENTER)

    def tab_to(self, selector: str, *, back: bool = False) -> None:
        """Press Tab until the focus is there; every step on the way must be visible."""
        for _ in range(80):
            if self.run("return document.activeElement.matches(arguments[0])", selector):
                return
            chain = ActionChains(self.driver, duration=0)
            (
                chain.key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT) if back else chain.send_keys(Keys.TAB)
            ).perform()
            self.check_focus_visible()
        raise AssertionError(f"{selector} cannot be reached with the Tab key")

    def check_focus_visible(self) -> None:
        """The focused element has an outline and is on the screen; the message field shows it by its frame.

        A dialog that opens becomes visible by and by: it has two seconds.
        """
        until = time.monotonic() + 2
        while (seen := self._hidden_focus()) and time.monotonic() < until:
            time.sleep(0.05)
        assert seen == "", f"the focus cannot be seen: {seen}"

    def _hidden_focus(self) -> str:
        """What is focused and cannot be seen; empty when all is well."""
        seen: str = self.run(
            """
            const focused = document.activeElement;
            if (focused === document.body) return "";
            const shown = focused.matches(".segments input") ? focused.nextElementSibling : focused;
            const box = shown.getBoundingClientRect();
            const outlined = getComputedStyle(shown).outlineStyle !== "none" || focused.id === "message";
            const visible = focused.checkVisibility({checkOpacity: !focused.matches("input"), checkVisibilityCSS: true});
            const inside = box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight && box.width > 0;
            return outlined && visible && inside ? "" : `${focused.outerHTML.slice(0, 200)} ${outlined} ${visible} ${inside}`;
            """
        )
        return seen


def axe(page: ChatPage, source: Path, *rules: str) -> list[str]:
    """What axe-core finds serious or critical, by all its rules or by these."""
    if not page.run("return 'axe' in window"):
        page.run(source.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"], **({"runOnly": {"type": "rule", "values": rules}} if rules else {})}
    found = page.driver.execute_async_script("axe.run(document, arguments[0]).then(arguments[1])", options)
    assert found["passes"], "axe looked at nothing"
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]} ({node['failureSummary'][:300]})"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
