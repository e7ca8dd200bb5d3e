"""A server from its first line to its last: bind, load, answer, end cleanly.

The port is taken before the models are loaded, so that a port in use is told at once and not after a minute; whoever
connects meanwhile waits. SIGINT and SIGTERM let answers under way end for some seconds (see `State.stop`); a second
Ctrl-C does not wait.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from threading import Thread
from types import FrameType
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heedful.errors import SettingsError, UserError
from heedful.feedback.store import Store
from heedful.pipeline.engines import Arithmetic
from heedful.pipeline.settings import HeedfulSettings
from heedful.project.folder import Project
from heedful.project.progress import Watcher
from heedful.serve.app import create_app
from heedful.serve.loading import load_models, wanted_models
from heedful.serve.state import State

API_KEY = "HEEDFUL_API_KEY"
_BACKLOG = 256
_PATIENCE = 4
"""Seconds for whole shutdown of connections; `State.stop` is done sooner, unless a client does not read."""
_CLOSING = 0.7
"""Seconds that engines get to end the step under way before the process ends without them."""
_QUIET = ("/health", "/static/")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class AddressError(UserError):
    """The address cannot be listened on."""


def serve(
    project: Project,
    settings: HeedfulSettings,
    names: Sequence[str],
    watcher: Watcher,
    *,
    precision: Arithmetic = "fastest",
    ready: Callable[[str, State], None],
) -> int:
    """Serve until a signal comes, and return its number. `ready` is told the address once requests are answered."""
    key = api_key()
    host = settings.serve.host
    wanted = wanted_models(project, settings, names, watcher)
    with _ends_quietly_on_sigterm(), bound(host, settings.serve.port) as listener:
        url = address_of(host, listener)
        if not is_loopback(host) and key is None:
            watcher.say(f"warning: {url} can be reached from other machines, and {API_KEY} is not set: anyone may ask")
        store = Store(settings.serve.store_url(project))
        try:
            models = load_models(wanted, watcher, precision)
            hosts = _LOOPBACK_NAMES | {_as_in_url(host)} if is_loopback(host) else None
            state = State(models, store, title=settings.project.name, api_key=key, hosts=hosts)
            server = Server(state, say=watcher.say, ready=lambda: ready(url, state))
            try:
                return server.serve_until_signal(listener)
            finally:
                _close_engines(state)
        finally:
            store.close()


def api_key() -> str | None:
    """The key from the environment; None when there is none. Raises SettingsError for one that no header can carry."""
    key = os.environ.get(API_KEY, "")
    if not all("!" <= character <= "~" for character in key):
        raise SettingsError(
            f"{API_KEY} holds spaces or characters beyond ASCII, which HTTP headers do not carry safely"
        )
    return key or None


def is_loopback(host: str) -> bool:
    """Can `host` be reached from this machine only?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket; raises AddressError that says why there is none."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise AddressError(_why_not(host, port, error)) from None
    with listener:
        yield listener


def address_of(host: str, listener: socket.socket) -> str:
    """The URL to open; a server on all addresses is reached by this machine's own name."""
    shown = "localhost" if host in ("0.0.0.0", "::") else _as_in_url(host)
    return f"http://{shown}:{listener.getsockname()[1]}"


class Server(uvicorn.Server):
    """uvicorn, told by our state when to end, and what to say."""

    def __init__(self, state: State, *, say: Callable[[str], None], ready: Callable[[], None]) -> None:
        app = AccessLog(create_app(state), say)
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=_PATIENCE,
            )
        )
        self._state, self._ready = state, ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._signal = 0

    def serve_until_signal(self, listener: socket.socket) -> int:
        """Answer requests; returns the number of the signal that ended it, 0 when `stop` did."""
        asyncio.run(self.serve(sockets=[listener]))
        return self._signal

    def stop(self) -> None:
        """End cleanly; may be called from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_to_stop)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not what uvicorn does: it would raise the signal again at the end, and the exit code would be the signal's.
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self._signal = self._signal or sig
        self.stop()

    def _begin_to_stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._state.stop())


class AccessLog:
    """One line for each request: method, path, status, seconds. No query, no header, no body: those hold what people say."""

    def __init__(self, app: ASGIApp, say: Callable[[str], None]) -> None:
        self._app, self._say = app, say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_QUIET):
            await self._app(scope, receive, send)
            return
        status, started = 0, time.monotonic()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            seconds = time.monotonic() - started
            self._say(f"{scope['method']} {quote(scope['path'])[:200]} {status or 'cut off'} {seconds:.2f} s")


def _why_not(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"serve.host = {host!r} is no address of this machine: {error.strerror}; for example 127.0.0.1"
    reasons = {
        errno.EADDRINUSE: f"port {port} on {host} is in use by another program; choose another one with --port N",
        errno.EACCES: f"port {port} needs rights that this user does not have; choose one from 1024 on with --port N",
        errno.EADDRNOTAVAIL: f"{host} is no address of this machine; for example 127.0.0.1, or 0.0.0.0 for all",
    }
    return reasons.get(error.errno or 0, f"cannot listen on {host} port {port}: {error.strerror}")


def _as_in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()


@contextmanager
def _ends_quietly_on_sigterm() -> Iterator[None]:
    """While models load, SIGTERM ends the process with code 0, as it does later."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _close_engines(state: State) -> None:
    """Engines end their step under way first; one that takes too long is left behind."""
    threads = [Thread(target=model.engine.close, daemon=True) for model in state.models.values()]
    for thread in threads:
        thread.start()
    end = time.monotonic() + _CLOSING
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
