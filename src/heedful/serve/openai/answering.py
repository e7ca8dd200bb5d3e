"""Answers on their way to a client: whole, or as a stream of server-sent events. A client that leaves stops its answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from heedful.errors import HeedfulError, RequirementError
from heedful.generate.engine import Event
from heedful.records import Generation
from heedful.serve.openai.errors import body_of
from heedful.serve.openai.shapes import Shape
from heedful.serve.state import Running, State

_KEEP_ALIVE = 15.0
"""Seconds of silence after which a stream says that it is alive: proxies cut connections that say nothing."""
_GONE = 499
"""What other servers write into their logs for a client that left; nobody receives it."""


async def whole(state: State, shape: Shape, request: Request) -> BaseModel | Response:
    """Wait for all answers."""
    work = asyncio.ensure_future(_collect(state, shape))
    gone = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else Response(status_code=_GONE)
    finally:
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def stream(state: State, shape: Shape, *, include_usage: bool) -> Response:
    """Chunks as they come. What the engine refuses is raised here, before the stream begins."""
    request = await asyncio.to_thread(shape.request)
    try:
        running = await state.start(shape.model, request)
    except RequirementError as error:
        raise shape.refused(error) from None
    return EventStream(state, running, _chunks(shape, running, include_usage))


class EventStream(StreamingResponse):
    """Server-sent events of an answer under way; its end, or the client's, is the answer's end."""

    media_type = "text/event-stream"

    def __init__(self, state: State, running: Running, content: AsyncIterator[str]) -> None:
        # Proxies that collect a response before they pass it on would undo the streaming.
        super().__init__(content, headers={"X-Accel-Buffering": "no"})
        self._state, self._running = state, running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._state.finish(self._running)


async def _collect(state: State, shape: Shape) -> BaseModel:
    generations: list[Generation] = []
    request = await asyncio.to_thread(shape.request)
    try:
        async for event in state.events(shape.model, request):
            if event.generation is not None:
                generations.append(event.generation)
    except RequirementError as error:
        raise shape.refused(error) from None
    return shape.whole(sorted(generations, key=lambda answer: answer.index))


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _chunks(shape: Shape, running: Running, include_usage: bool) -> AsyncIterator[str]:
    generations: list[Generation] = []
    try:
        for chunk in shape.opening():
            yield _event(chunk)
        async for event in _with_signs_of_life(running):
            if event is None:
                yield ": still here\n\n"
                continue
            for chunk in shape.pieces(event):
                yield _event(chunk)
            if event.generation is not None:
                generations.append(event.generation)
                yield _event(shape.ending(event.generation))
        if include_usage:
            yield _event(shape.usage(generations))
        yield "data: [DONE]\n\n"
    except HeedfulError as error:
        yield f"event: error\ndata: {json.dumps(body_of(error))}\n\n"


async def _with_signs_of_life(running: Running) -> AsyncIterator[Event | None]:
    """The events, and None whenever nothing came for a while."""
    while True:
        try:
            async with asyncio.timeout(_KEEP_ALIVE):
                event = await anext(running)
        except StopAsyncIteration:
            return
        except TimeoutError:
            yield None
        else:
            yield event


def _event(chunk: BaseModel) -> str:
    return f"data: {chunk.model_dump_json()}\n\n"
