"""One browser and one server for all tests of the page: a real tiny model, and one that says what a test needs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from chat_page import ChatPage, chromium
from heedful.errors import EngineError, InputError
from heedful.feedback.store import Store
from heedful.generate.engine import Event, Request
from heedful.generate.fake import FakeEngine, FakeHandle
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.serve.state import ServedModel, State
from live_server import LiveServer, live_server

ROOT = Path(__file__).resolve().parent.parent.parent
LONG = " ".join(f"word{number}" for number in range(2000))


class Slowly:
    """A handle whose words take a moment each; one that breaks does so after five."""

    def __init__(self, handle: FakeHandle, *, breaks: bool) -> None:
        self._handle, self._breaks = handle, breaks

    def __iter__(self) -> Iterator[Event]:
        for number, event in enumerate(self._handle):
            if self._breaks and number == 5:
                raise EngineError("out of memory; use a smaller batch")
            time.sleep(0.01)
            yield event

    def cancel(self) -> None:
        self._handle.cancel()


class Scripted(FakeEngine):
    """Says what it heard; `say TEXT` says the text; `long` goes on for twenty seconds; `refuse` and `break` fail, once each."""

    def __init__(self) -> None:
        super().__init__(self._reply)
        self._failed: set[str] = set()
        self.heard: list[Request] = []

    def submit(self, request: Request) -> Slowly:  # type: ignore[override]
        self.heard.append(request)
        said = request.messages[-1].content
        if said.startswith("refuse") and self._first(said):
            raise InputError(f"request {request.id!r}: the prompt is too long by 12 tokens; shorten it")
        return Slowly(super().submit(request), breaks=said.startswith("break") and self._first(said))

    def _first(self, said: str) -> bool:
        known = said in self._failed
        self._failed.add(said)
        return not known

    def _reply(self, request: Request) -> str:
        said = request.messages[-1].content
        if said.startswith("say "):
            return said.removeprefix("say ")
        return LONG if said.startswith(("long", "break")) else f"heard {said!r}, number {len(self.heard)}"


@pytest.fixture(scope="session")
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture(scope="session")
def server(tiny_model: Path, scripted: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Serves `tiny` as the tuned model and `scripted` as its base."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('pages') / 'feedback.sqlite'}")
    with LocalEngine(load(tiny_model)) as engine:
        models = [ServedModel("tiny", engine, "tuned"), ServedModel("scripted", scripted, "base")]
        with live_server(State(models, store, title="Tea room", hosts=frozenset({"127.0.0.1"}))) as running:
            yield running
    store.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    with chromium() as driver:
        yield driver


@pytest.fixture
def page(browser: Chrome, server: LiveServer) -> Iterator[ChatPage]:
    """The page as someone finds it who has never been here; in the end nothing hostile may have happened on it."""
    page = ChatPage(browser, server.url)
    page.look()
    page.open()
    page.sampling(temperature=0.7, max_tokens=4000)
    try:
        yield page
        page.check_calm()
    finally:
        page.forget()


@pytest.fixture(scope="session")
def axe_source() -> Path:
    source = ROOT / "tests" / "clients" / "node_modules" / "axe-core" / "axe.min.js"
    if not source.is_file():
        message = "axe-core is not installed; run `npm ci` in tests/clients"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return source
