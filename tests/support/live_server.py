"""A real server for tests: in a thread of this process, or as users start it, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx

from heedful.serve.server import Server, address_of, bound
from heedful.serve.state import State


class LiveServer:
    """The application on a real port, served by a thread."""

    def __init__(self, state: State, listener: socket.socket) -> None:
        self.state, self.url = state, address_of("127.0.0.1", listener)
        self.client = httpx.Client(base_url=self.url, timeout=60)
        self.log: list[str] = []
        self.ready = Event()
        self._server = Server(state, say=self.log.append, ready=self.ready.set)
        self.thread = Thread(target=self._server.serve_until_signal, args=(listener,))

    def stop(self) -> None:
        """Begin to end, as after a signal."""
        self._server.stop()

    def ask(self, **body: Any) -> httpx.Response:
        """POST /v1/chat/completions, greedy, of the default model, unless `body` says otherwise."""
        messages = [{"role": "user", "content": "hello"}]
        chosen = {"model": self.state.default_model.id, "messages": messages, "temperature": 0, "max_tokens": 6}
        return self.client.post("/v1/chat/completions", json={**chosen, **body})

    @property
    def in_flight(self) -> int:
        """What /health says."""
        return int(self.client.get("/health").json()["in_flight"])

    def until_in_flight(self, wanted: int, *, seconds: float = 20) -> float:
        """Wait for that many answers under way; returns the seconds it took."""
        return until(lambda: self.in_flight == wanted, seconds=seconds)


def until(true: Callable[[], bool], *, seconds: float = 20) -> float:
    """Wait until something is true; returns the seconds it took, fails after `seconds`."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, "it did not become true in time"
        time.sleep(0.005)
    return time.monotonic() - started


@contextmanager
def live_server(state: State) -> Iterator[LiveServer]:
    """Serve `state` while the block runs."""
    with bound("127.0.0.1", 0) as listener:
        live = LiveServer(state, listener)
        live.thread.start()
        try:
            assert live.ready.wait(20), "the server did not start"
            yield live
        finally:
            live.client.close()
            live.stop()
            live.thread.join(20)
            assert not live.thread.is_alive(), "the server did not end"


class ServerProcess:
    """`heedful serve` in a process of its own, on a free port."""

    def __init__(
        self, project: Path, *arguments: str, environment: dict[str, str] | None = None, wait: bool = True
    ) -> None:
        """`wait`: until it answers; `told` and `url` are known then."""
        command = [sys.executable, "-m", "heedful", "serve", "--project", str(project), "--port", "0", "--json"]
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        if wait:
            self._wait()

    def _wait(self) -> None:
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        assert lines, self.process.communicate()[1]
        self.told: dict[str, Any] = json.loads("".join(lines))
        self.url = str(self.told["url"])

    def end(self, number: signal.Signals) -> tuple[int, float, str]:
        """Send a signal; returns exit code, seconds until the end, and all of standard error."""
        started = time.monotonic()
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, time.monotonic() - started, errors

    def close(self) -> None:
        """Kill it, if it still runs."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def server_process(
    project: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[ServerProcess]:
    """A server that is certainly gone at the end of the block."""
    running = ServerProcess(project, *arguments, environment=environment)
    try:
        yield running
    finally:
        running.close()


def stream_events(lines: Sequence[str]) -> list[Any]:
    """The JSON of each `data:` line, and the word [DONE] as it stands."""
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in data]
