"""Answers streamed out of worker threads: cancelled when nobody reads, ended or cut off when the server stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import aclosing
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from heedful.errors import EngineError, InputError
from heedful.feedback.store import Store
from heedful.generate.engine import Event, Request, Sampling
from heedful.generate.fake import FakeEngine, FakeHandle
from heedful.records import Generation, Message
from heedful.serve import state as state_module
from heedful.serve.state import ServedModel, State, StoppingError, UnknownModelError
from live_server import live_server, stream_events, until


class HangingEngine(FakeEngine):
    """Hangs where it is told to, as an engine in a long step does, until `go` is set."""

    def __init__(self, where: str) -> None:
        super().__init__("a b c")
        self.where, self.go, self.cancelled = where, Flag(), Flag()

    def submit(self, request: Request) -> FakeHandle:
        if self.where == "submit":
            assert self.go.wait(20)
        handle = super().submit(request)
        engine, cancel, events = self, handle.cancel, iter(handle)

        class Hanging(FakeHandle):
            def __init__(self) -> None:
                pass

            def __iter__(self) -> Iterator[Event]:
                if engine.where == "step":
                    assert engine.go.wait(20)
                if engine.where == "failure":
                    raise RuntimeError("out of memory")
                yield from events

            def cancel(self) -> None:
                engine.cancelled.set()
                cancel()

        return Hanging()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'feedback.sqlite'}")
    yield store
    store.close()


def long_request(**sampling: Any) -> Request:
    """Greedy, the tiny model answers it with 2,000 tokens."""
    return Request("long", (Message("user", "hello"),), sampling=Sampling(**{"max_tokens": 5000, **sampling}))


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


def test_unknown_models_are_named_with_the_nearest(store: Store, tiny_served: ServedModel) -> None:
    state = State([tiny_served], store, title="t")
    assert state.model("tiny") is state.default_model
    with pytest.raises(UnknownModelError, match="did you mean 'tiny'"):
        state.model("tinny")


def test_events_come_one_by_one_and_end_with_the_generation(store: Store, tiny_served: ServedModel) -> None:
    async def work() -> None:
        state = State([tiny_served], store, title="t")
        events = [event async for event in state.events(tiny_served, long_request(max_tokens=20, n=2))]
        assert len(events) > 10
        for index in (0, 1):
            mine = [event for event in events if event.index == index]
            assert mine[-1].generation is not None
            assert "".join(event.text for event in mine) == mine[-1].generation.text
            assert all(event.generation is None for event in mine[:-1])

    run(work())


def test_leaving_the_events_cancels(store: Store, tiny_served: ServedModel) -> None:
    async def work() -> None:
        state = State([tiny_served], store, title="t")
        async with aclosing(state.events(tiny_served, long_request(n=2))) as events:
            async for _ in events:
                break
            assert state.num_in_flight == 2
        await asyncio.to_thread(until, lambda: state.num_in_flight == 0, seconds=2)

    run(work())


def test_cancelling_the_reader_cancels(store: Store, tiny_served: ServedModel) -> None:
    async def work() -> None:
        state = State([tiny_served], store, title="t")

        async def read() -> None:
            async for _ in state.events(tiny_served, long_request()):
                pass

        task = asyncio.create_task(read())
        await asyncio.to_thread(until, lambda: state.num_in_flight == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(until, lambda: state.num_in_flight == 0, seconds=2)

    run(work())


def test_a_reader_that_leaves_while_the_engine_still_takes_the_request_in(store: Store) -> None:
    async def work() -> None:
        engine = HangingEngine("submit")
        model = ServedModel("m", engine, "base")
        state = State([model], store, title="t")
        task = asyncio.create_task(state.start(model, long_request()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not engine.cancelled.is_set()
        engine.go.set()
        assert await asyncio.to_thread(engine.cancelled.wait, 5)
        await asyncio.to_thread(until, lambda: state.num_in_flight == 0, seconds=2)

    run(work())


def test_refusals_and_failures_reach_the_reader(store: Store, tiny_served: ServedModel) -> None:
    async def work() -> None:
        failing = ServedModel("m", HangingEngine("failure"), "base")
        state = State([tiny_served, failing], store, title="t")
        with pytest.raises(InputError, match="the limit for prompt and answer"):
            await state.start(tiny_served, Request("x", (Message("user", "字" * 3000),)))
        with pytest.raises(EngineError, match="out of memory"):
            await anext(state.events(failing, long_request()))
        assert not state._running

    run(work())


def test_a_stop_lets_short_answers_end_and_cancels_long_ones(
    store: Store, tiny_served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "GRACE", 1.0)

    async def read(state: State, request: Request) -> Generation:
        async for event in state.events(tiny_served, request):
            last = event
        assert last.generation is not None
        return last.generation

    async def work() -> None:
        state = State([tiny_served], store, title="t")
        # One long answer alone takes half a second here; sixteen take longer than the grace.
        asked = (long_request(max_tokens=5), long_request(n=16))
        short, long = (asyncio.create_task(read(state, request)) for request in asked)
        await asyncio.to_thread(until, lambda: state.num_in_flight >= 1)
        await state.stop()
        assert (await short).finish_reason == "length"
        cut = await long
        assert cut.finish_reason == "cancelled"
        assert cut.text
        with pytest.raises(StoppingError):
            await state.start(tiny_served, long_request())

    run(work())


def test_a_stop_does_not_wait_for_an_engine_that_hangs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "GRACE", 0.1)

    async def work() -> None:
        engine = HangingEngine("step")
        model = ServedModel("m", engine, "base")
        state = State([model], store, title="t")
        running = await state.start(model, long_request())
        started = time.monotonic()
        await state.stop()
        with pytest.raises(StoppingError):
            await anext(running)
        assert time.monotonic() - started < 2
        assert engine.cancelled.is_set()
        engine.go.set()

    run(work())


def test_clients_of_a_stopping_server_are_told(
    store: Store, tiny_served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "GRACE", 0.3)
    state = State([tiny_served], store, title="t")
    answers: dict[bool, Any] = {}
    with live_server(state) as live:

        async def ask(stream: bool) -> None:
            answers[stream] = await asyncio.to_thread(live.ask, stream=stream, max_tokens=5000, n=8)

        async def work() -> None:
            asked = [asyncio.create_task(ask(stream)) for stream in (False, True)]
            await asyncio.to_thread(live.until_in_flight, 16)
            await asyncio.sleep(0.2)
            live.stop()
            await asyncio.gather(*asked)

        run(work())
    assert answers[False].status_code == 503
    assert answers[False].json()["error"]["code"] == "shutting_down"
    assert answers[False].json()["error"]["type"] == "server_error"
    lines = answers[True].text.splitlines()
    assert "event: error" in lines
    events = stream_events(lines)
    # What was written came; then the error; and no sign that the answer is whole.
    assert any(event["choices"][0]["delta"].get("content") for event in events[:-1])
    assert events[-1]["error"]["code"] == "shutting_down"


def test_silent_streams_say_that_they_live(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.serve.openai.answering._KEEP_ALIVE", 0.05)
    engine = HangingEngine("step")
    with live_server(State([ServedModel("m", engine, "base")], store, title="t")) as live:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
        lines = []
        with live.client.stream("POST", "/v1/chat/completions", json=body) as response:
            for line in response.iter_lines():
                lines.append(line)
                if lines.count(": still here") == 3:
                    engine.go.set()
    assert lines[-2] == "data: [DONE]"
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in stream_events(lines)[:-1]) == "a b c"
