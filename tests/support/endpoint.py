"""An OpenAI-compatible endpoint on loopback that answers as it is told, well or badly, and counts what it served.

    with Endpoint() as endpoint:
        endpoint.behave = lambda asked: Status(429, {"Retry-After": "1"}) if asked.number == 0 else Answer()
        ... RemoteEngine(endpoint.url, "model") ...
        assert endpoint.served == {"hello": 1}

    python endpoint.py LATENCY        a process of its own: prints its URL, ends when stdin does, then prints its counts as JSON

It speaks HTTP by hand, so that it can also speak it badly.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    body: dict[str, Any]
    head: bytes
    """Request line and headers, as they came."""
    number: int
    """How many came before it."""
    times: int
    """How many with the same last message came before it."""
    in_flight: int
    """How many are being answered, this one included."""

    @property
    def prompt(self) -> str:
        """The last message."""
        return self.body["messages"][-1]["content"]

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case."""
        lines = (line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:])
        return {name.lower(): value.strip() for name, _, value in lines}


@dataclass(frozen=True)
class Answer:
    """A chat completion; streamed when the request asks, a word at a time."""

    text: str | None = None
    """None: one that depends on the prompt and on which of the `n` it is."""
    latency: float | None = None
    """Seconds; None: the endpoint's own."""
    finish_reason: str = "stop"
    usage: bool = True
    plain: bool = False
    """Never stream."""
    end: str = "done"
    """How a stream ends: "done"; "silent" without [DONE]; "cut" within the second word; "error" with an error event; "hangs"."""
    newline: str = "\n"
    cut: int = 0
    """Send that many bytes at a time; 0: everything at once."""


@dataclass(frozen=True)
class Status:
    """An error."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = ""


@dataclass(frozen=True)
class Raw:
    """These bytes, whatever they are; then the connection is closed, or kept when they are a whole response."""

    data: bytes
    close: bool = True


@dataclass(frozen=True)
class Cut:
    """The first half of a complete answer, then nothing."""


@dataclass(frozen=True)
class Silence:
    """Nothing, until the client goes."""


Reply = Answer | Status | Raw | Cut | Silence


def expected(prompt: str, index: int = 0) -> str:
    """What an Answer without a text says."""
    return f"answer {index} to {prompt}"


class Endpoint:
    """The server, in a thread of its own. Counts are written by that thread only."""

    def __init__(self, *, latency: float = 0.0, port: int = 0) -> None:
        self.latency = latency
        self.behave: Callable[[Asked], Reply] = lambda asked: Answer()
        self.asked: list[Asked] = []
        self.served: Counter[str] = Counter()
        """Complete answers that were handed to a client that was there, by prompt."""
        self.taken: set[str] = set()
        """Prompts whose answer the client has certainly read: it sent something else over the same connection afterwards."""
        self.asked_after_taken: list[str] = []
        self.left: list[str] = []
        """Prompts whose client went before the answer was complete."""
        self.in_flight = 0
        self.peaks: list[tuple[float, int]] = []
        """(monotonic seconds, requests in flight) whenever one came."""
        self.num_connections = 0
        self._times: Counter[str] = Counter()
        self._transports: list[asyncio.Transport] = []
        self._port, self._ready, self._loop = port, Event(), asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="endpoint", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def num_served(self) -> int:
        return self.served.total()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self._port, backlog=1000)
        )
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for transport in self._transports:
            transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def met(self, transport: asyncio.Transport) -> None:
        """To be closed at the end."""
        self._transports.append(transport)

    def note(self, body: dict[str, Any], head: bytes) -> Asked:
        """A request came."""
        prompt = body["messages"][-1]["content"]
        asked = Asked(body, head, len(self.asked), self._times[prompt], self.in_flight)
        self.asked.append(asked)
        self._times[prompt] += 1
        self.peaks.append((time.monotonic(), self.in_flight))
        if prompt in self.taken:
            self.asked_after_taken.append(prompt)
        return asked


class _Connection(asyncio.Protocol):
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._buffer = endpoint, b""
        self._loop = asyncio.get_running_loop()
        self._asked: Asked | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._endpoint.num_connections += 1
        self._endpoint.met(transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._asked is not None:
            self._endpoint.left.append(self._asked.prompt)
            self._end()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head[head.lower().index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if self._last:
            self._endpoint.taken.add(self._last)
            self._last = ""
        self._endpoint.in_flight += 1
        self._asked = asked = self._endpoint.note(json.loads(rest[:length]), head)
        self._reply(self._endpoint.behave(asked), asked)

    def _reply(self, reply: Reply, asked: Asked) -> None:
        if isinstance(reply, Silence):
            return
        if isinstance(reply, Answer):
            latency = self._endpoint.latency if reply.latency is None else reply.latency
            streamed = bool(asked.body.get("stream")) and not reply.plain
            data = streamed_response(asked, reply) if streamed else response(completion(asked, reply))
            self._later(latency, self._write, data, reply, streamed)
            return
        if isinstance(reply, Raw):
            self._transport.write(reply.data)
        elif isinstance(reply, Status):
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self._transport.write(response(body, status=reply.code, headers=reply.headers))
        else:
            data = response(completion(asked, Answer()))
            self._transport.write(data[: -len(data) // 4])
        self._end()
        if isinstance(reply, Cut) or (isinstance(reply, Raw) and reply.close):
            self._transport.close()

    def _write(self, data: bytes, reply: Answer, streamed: bool) -> None:
        if reply.cut and len(data) > reply.cut:
            self._transport.write(data[: reply.cut])
            self._later(0.001, self._write, data[reply.cut :], reply, streamed)
            return
        end = reply.end if streamed else "done"
        assert self._asked is not None
        if end in ("done", "silent") and not self._transport.is_closing():
            # Counted before the client can know of it.
            self._endpoint.served[self._asked.prompt] += 1
            self._last = self._asked.prompt
        self._transport.write(data)
        if end != "hangs":
            self._end()
        if end in ("cut", "error"):
            self._transport.close()

    def _later(self, seconds: float, function: Callable[..., None], *arguments: object) -> None:
        self._timer = self._loop.call_later(seconds, function, *arguments)

    def _end(self) -> None:
        self._asked = self._timer = None
        self._endpoint.in_flight -= 1


# -- bytes -----------------------------------------------------------------------------------------------------------


def response(data: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP response."""
    lines = {"Content-Type": "application/json", "Content-Length": str(len(data))} | (headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Something\r\n{head}\r\n".encode() + data


def usage(asked: Asked, texts: Iterable[str]) -> dict[str, int]:
    """A token is a word."""
    prompt = sum(len(message["content"].split()) for message in asked.body["messages"])
    return {"prompt_tokens": prompt, "completion_tokens": sum(len(text.split()) for text in texts)}


def _texts(asked: Asked, reply: Answer) -> list[str]:
    return [
        expected(asked.prompt, index) if reply.text is None else reply.text for index in range(asked.body.get("n", 1))
    ]


def completion(asked: Asked, reply: Answer) -> bytes:
    """The body of a whole answer, its choices in the wrong order."""
    texts = _texts(asked, reply)
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text},
            "finish_reason": reply.finish_reason,
            "logprobs": {"content": _logprobs(asked, text)} if asked.body.get("logprobs") else None,
        }
        for index, text in reversed(list(enumerate(texts)))
    ]
    body: dict[str, Any] = {"object": "chat.completion", "choices": choices}
    if reply.usage:
        body["usage"] = usage(asked, texts)
    return json.dumps(body).encode()


def _logprobs(asked: Asked, text: str) -> list[dict[str, Any]]:
    """As vLLM tells them: a word's id is its length, the likelier of two alternatives is the word itself."""
    ids = asked.body.get("return_tokens_as_token_ids")
    found = []
    for word in text.split():
        name = f"token_id:{len(word)}" if ids else word
        entry: dict[str, Any] = {"token": name, "logprob": -0.5}
        if count := asked.body.get("top_logprobs"):
            others = [f"token_id:{len(word) + step}" if ids else f"{word}{step}" for step in range(count)]
            entry["top_logprobs"] = [{"token": other, "logprob": -0.5 - step} for step, other in enumerate(others)]
        found.append(entry)
    return found


def events(asked: Asked, reply: Answer) -> bytes:
    """The body of a streamed answer: the words of all `n` answers in turns."""
    chunks: list[dict[str, Any]] = []
    texts = _texts(asked, reply)
    words = [[word if place == 0 else f" {word}" for place, word in enumerate(text.split(" "))] for text in texts]
    for place in range(max(map(len, words))):
        for index, own in enumerate(words):
            if place < len(own):
                choice: dict[str, Any] = {"index": index, "delta": {"content": own[place]}, "finish_reason": None}
                if asked.body.get("logprobs"):
                    choice["logprobs"] = {"content": _logprobs(asked, own[place])}
                chunks.append({"choices": [choice]})
    if reply.end in ("cut", "error", "hangs"):
        chunks = chunks[: len(texts) + 1]
    else:
        ends = [{"index": index, "delta": {}, "finish_reason": reply.finish_reason} for index in range(len(texts))]
        chunks.append({"choices": ends})
    if reply.usage and (asked.body.get("stream_options") or {}).get("include_usage"):
        chunks.append({"choices": [], "usage": usage(asked, texts)})
    if reply.end == "error":
        chunks.append({"error": {"message": "out of memory", "code": 500}})
    blank = reply.newline
    text = f": thinking{blank}{blank}" + "".join(
        f"data: {json.dumps(chunk, ensure_ascii=False)}{blank}{blank}" for chunk in chunks
    )
    if reply.end == "cut":
        text = text[:-20]
    if reply.end == "done":
        text += f"data: [DONE]{blank}{blank}"
    return text.encode()


def streamed_response(asked: Asked, reply: Answer) -> bytes:
    """With chunks of seven bytes, which cut events and characters anywhere."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    data, size = events(asked, reply), 7 if reply.cut else 1 << 16
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    complete = reply.end in ("done", "silent")
    return head + body + (b"0\r\n\r\n" if complete else b"")


def main(latency: str) -> None:
    with Endpoint(latency=float(latency)) as endpoint:
        print(endpoint.url, flush=True)
        sys.stdin.read()
        peak = max((count for _, count in endpoint.peaks), default=0)
        print(json.dumps({"served": endpoint.num_served, "asked": len(endpoint.asked), "peak": peak}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
