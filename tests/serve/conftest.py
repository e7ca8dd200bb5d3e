"""A tiny model on a real port, shared by the tests that do not end the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heedful.feedback.store import Store
from heedful.generate.fake import FakeEngine
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.models.vocabulary import Vocabulary
from heedful.serve.state import ServedModel, State
from live_server import LiveServer, live_server


@pytest.fixture(scope="session")
def tiny_served(tiny_model: Path) -> Iterator[ServedModel]:
    """The tiny model as a server offers it. Greedy, it writes 2,000 tokens without an end."""
    loaded = load(tiny_model)
    with LocalEngine(loaded) as engine:
        yield ServedModel("tiny", engine, "tuned", Vocabulary(loaded.tokenizer.backend_tokenizer))


@pytest.fixture(scope="session")
def live(tiny_served: ServedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The tiny model, and one that always says the same, on one server without a key."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('live') / 'feedback.sqlite'}")
    fixed = ServedModel("owner/fixed", FakeEngine("one two three 四 five"), "base")
    state = State([tiny_served, fixed], store, title="tiny", hosts=frozenset({"127.0.0.1", "localhost", "[::1]"}))
    with live_server(state) as running:
        yield running
    store.close()
