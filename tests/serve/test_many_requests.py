"""32 requests at once to the real model: all are answered, and each as if it had been alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from heedful.feedback.store import Store
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel
from heedful.serve.state import ServedModel, State
from live_server import LiveServer, live_server, stream_events

PROMPTS = [
    prompt
    for number in range(8)
    for prompt in (
        f"What is {number} plus {number + 3}?",
        f"Name {number + 1} colours.",
        f"把数字{number}翻译成英文。",
        f"Write a sentence about {['tea', 'rain', 'a cat', 'the sea', '茶', 'music', 'bread', 'time'][number]}, in the style of a diary.",
    )
]


@pytest.fixture(scope="module")
def real(smollm2: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('real') / 'feedback.sqlite'}")
    with (
        LocalEngine(smollm2) as engine,
        live_server(State([ServedModel("m", engine, "base")], store, title="t")) as live,
    ):
        yield live
    store.close()


@pytest.mark.model
@pytest.mark.slow
def test_each_of_32_at_once_is_answered_as_if_alone(real: LiveServer) -> None:
    everyone = Barrier(len(PROMPTS))

    def ask(number: int, *, wait: bool) -> str:
        if wait:
            everyone.wait(60)
        stream = number % 2 == 1
        # Lengths differ, so that answers leave the batch at different steps.
        body = {
            "messages": [{"role": "user", "content": PROMPTS[number]}],
            "max_tokens": 3 + number % 5,
            "stream": stream,
        }
        response = real.ask(**body)
        assert response.status_code == 200
        if not stream:
            return str(response.json()["choices"][0]["message"]["content"])
        *events, done = stream_events(response.text.splitlines())
        assert done == "[DONE]"
        return "".join(event["choices"][0]["delta"].get("content", "") for event in events)

    assert len(PROMPTS) == len(set(PROMPTS)) == 32
    alone = [ask(number, wait=False) for number in range(32)]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda number: ask(number, wait=True), range(32)))
    assert together == alone
    assert len(set(alone)) > 16
    assert real.in_flight == 0
