"""What all requests of one server share: models, feedback store, sessions; and answers streamed from worker threads.

An engine's handle is iterated in a thread of its own, because it computes; its events reach the event loop through a
queue. Whoever stops reading cancels the answer: a closed browser never leaves a model writing for nobody.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock, Thread
from typing import Literal

from heedful.errors import EngineError, ModelError, RunError
from heedful.feedback.store import Store
from heedful.generate.engine import Engine, Event, Handle, Request
from heedful.models.vocabulary import Vocabulary
from heedful.project.settings import nearest

GRACE = 3.0
"""Seconds that answers under way get to end by themselves when the server stops."""
_CANCEL_WAIT = 0.8
"""Seconds from their cancelling until the server no longer waits for what they wrote last."""
_MAX_SESSIONS = 1000


class UnknownModelError(ModelError):
    """A model that this server does not offer."""


class StoppingError(RunError):
    """The server is about to end and takes no new requests, or cut this one off."""


@dataclass(frozen=True)
class ServedModel:
    """A model that requests can name."""

    id: str
    engine: Engine
    kind: Literal["tuned", "base", "other"]
    vocabulary: Vocabulary | None = None
    """For completions without a chat template, and to say what tokens are; None where the engine has no tokenizer at hand."""
    created: int = field(default_factory=lambda: int(time.time()))
    """Seconds since 1970, as the API tells it."""


class Running:
    """One request under way: iterate it for its events; `close` when you no longer want them."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self._engine, self._request = engine, request
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        self._submitted: asyncio.Future[None] = self._loop.create_future()
        self._handle: Handle | None = None
        self._closed = False
        self._lock = Lock()

    async def start(self) -> None:
        """Hand the request to the engine; raises what the engine refuses it with."""
        Thread(target=self._work, name="answer", daemon=True).start()
        await asyncio.shield(self._submitted)

    def __aiter__(self) -> Running:
        return self

    async def __anext__(self) -> Event:
        event = await self._events.get()
        if event is None:
            raise StopAsyncIteration
        if isinstance(event, BaseException):
            raise event
        return event

    def close(self) -> None:
        """Cancel what is not written yet; never waits. Events written until then can still be read."""
        with self._lock:
            handle, already = self._handle, self._closed
            self._closed = True
        if handle is not None and not already:
            # Cancelling waits for the engine's step under way, which the event loop must not.
            Thread(target=handle.cancel, name="cancel", daemon=True).start()

    def cut_off(self) -> None:
        """Stop waiting for the engine: the reader gets a StoppingError."""
        self._events.put_nowait(StoppingError("the server is stopping"))

    def _work(self) -> None:
        try:
            handle = self._engine.submit(self._request)
        except Exception as error:
            self._tell(self._refuse, error)
            return
        with self._lock:
            self._handle, closed = handle, self._closed
        if closed:
            handle.cancel()
        self._tell(self._accept)
        try:
            for event in handle:
                self._tell(self._events.put_nowait, event)
        except Exception as error:
            failure = error if isinstance(error, RunError) else EngineError(f"generation failed: {error}")
            self._tell(self._events.put_nowait, failure)
        self._tell(self._events.put_nowait, None)

    def _accept(self) -> None:
        if not self._submitted.done():
            self._submitted.set_result(None)

    def _refuse(self, error: BaseException) -> None:
        # Nobody is there to hear it when the reader has gone meanwhile.
        if not self._closed and not self._submitted.done():
            self._submitted.set_exception(error)

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        # The loop is closed when the server ended before the engine did: nobody is left to tell.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


class State:
    """One per server. Used on the event loop, except where noted."""

    def __init__(
        self,
        models: Iterable[ServedModel],
        store: Store,
        *,
        title: str,
        api_key: str | None = None,
        hosts: frozenset[str] | None = None,
    ) -> None:
        """`hosts`: names by which browsers may call this server; None allows any (it listens beyond loopback)."""
        self.models: Mapping[str, ServedModel] = {model.id: model for model in models}
        """By id; the first is the default."""
        self.store, self.title, self.api_key, self.hosts = store, title, api_key, hosts
        self.sessions = Sessions()
        self._running: set[Running] = set()
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """True once the server was told to end."""
        return self._stopping

    @property
    def num_in_flight(self) -> int:
        """Answers that the engines are still writing. Safe in any thread."""
        return sum(engine.num_in_flight for engine in {id(m.engine): m.engine for m in self.models.values()}.values())

    @property
    def default_model(self) -> ServedModel:
        """The first one."""
        return next(iter(self.models.values()))

    def model(self, id: str) -> ServedModel:
        """The model called `id`; raises UnknownModelError."""
        if id not in self.models:
            raise UnknownModelError(f"the model {id!r} is not served here; {nearest(id, list(self.models))}")
        return self.models[id]

    async def start(self, model: ServedModel, request: Request) -> Running:
        """Submit `request`; whoever gets the result must `close` it. Raises a UserError for what cannot be answered."""
        if self._stopping:
            raise StoppingError("the server is stopping")
        running = Running(model.engine, request)
        self._running.add(running)
        try:
            await running.start()
        except BaseException:
            self.finish(running)
            raise
        return running

    def finish(self, running: Running) -> None:
        """Cancel `running` if it is still under way, and forget it."""
        self._running.discard(running)
        running.close()

    async def events(self, model: ServedModel, request: Request) -> AsyncGenerator[Event, None]:
        """Events of all `n` answers as they come; each answer's last one carries its generation.

        Raises a UserError at the first step for a request that cannot be answered, an EngineError or StoppingError at
        any. Closing or cancelling this iterator cancels the answers. When the server stops, answers get a few seconds
        to end, then are cancelled: their last event has the finish reason "cancelled".
        """
        running = await self.start(model, request)
        try:
            async for event in running:
                yield event
        finally:
            self.finish(running)

    async def stop(self) -> None:
        """Take no new requests; let those under way end within `GRACE` seconds, then cancel them."""
        self._stopping = True
        await self._until_idle(GRACE)
        for running in self._running:
            running.close()
        await self._until_idle(_CANCEL_WAIT)
        for running in self._running:
            running.cut_off()

    async def _until_idle(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._running and time.monotonic() < end:
            await asyncio.sleep(0.02)


class Sessions:
    """Browsers that gave the API key once. The cookie is a random token; what is kept here is only its hash."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def open(self) -> str:
        """A new token for a cookie; the oldest of too many sessions ends."""
        token = secrets.token_urlsafe(32)
        self._known[_hashed(token)] = None
        if len(self._known) > _MAX_SESSIONS:
            del self._known[next(iter(self._known))]
        return token

    def valid(self, token: str) -> bool:
        """True for a token that `open` gave and `close` did not take back."""
        return _hashed(token) in self._known

    def close(self, token: str) -> None:
        """The token opens nothing any more."""
        self._known.pop(_hashed(token), None)


def _hashed(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
