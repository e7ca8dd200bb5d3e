"""The remote engine against a small real server: retries, keys, clear errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from heedful.errors import EngineError, InputError, SettingsError
from heedful.generate.engine import Request, Sampling, ScoreRequest, generate
from heedful.generate.remote import RemoteEngine
from heedful.records import Message

Reply = tuple[int, dict[str, str], Any]
KEY = "sk-very-secret"


class Server:
    """Answers what `reply` returns, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.reply: Callable[[dict[str, Any]], Reply] = completion
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append(body)
                server.headers.append(dict(self.headers))
                status, headers, value = server.reply(body)
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                for name, text in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def completion(body: dict[str, Any]) -> Reply:
    last = body["messages"][-1]["content"]
    choices = [
        {"index": index, "message": {"role": "assistant", "content": f"{last} {index}"}, "finish_reason": "stop"}
        for index in reversed(range(body["n"]))
    ]
    return 200, {}, {"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 5}}


def in_turn(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    waiting = list(replies)
    return lambda body: waiting.pop(0) if waiting else completion(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEST_KEY", KEY)
    server = Server()
    yield server
    server.close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def engine(server: Server, waits: list[float]) -> Iterator[RemoteEngine]:
    with RemoteEngine(server.url, "some-model", api_key_env="TEST_KEY", timeout=5, sleep=waits.append) as engine:
        yield engine


def ask(text: str = "hello", **sampling: object) -> Request:
    return Request(text, (Message("system", "s"), Message("user", text)), sampling=Sampling(**sampling))  # type: ignore[arg-type]


def test_what_is_sent_and_what_comes_back(engine: RemoteEngine, server: Server) -> None:
    request = ask(n=2, temperature=0.5, top_p=0.9, top_k=7, seed=3, max_tokens=11, stop=("x",))
    first, second = engine.submit(request).result()
    assert (first.text, second.text) == ("hello 0", "hello 1")
    assert (first.usage.completion_tokens, second.usage.completion_tokens) == (5, 0)
    assert server.asked == [
        {
            "model": "some-model",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 11,
            "n": 2,
            "seed": 3,
            "stop": ["x"],
            "top_k": 7,
        }
    ]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_answers_come_in_request_order(engine: RemoteEngine) -> None:
    requests = [ask(f"question {number}") for number in range(50)]
    assert [g.text for g in generate(engine, requests)] == [f"question {number} 0" for number in range(50)]


def test_a_busy_server_is_asked_again_when_it_says(engine: RemoteEngine, server: Server, waits: list[float]) -> None:
    server.reply = in_turn((429, {"Retry-After": "7"}, {}), (503, {}, {}), (429, {"Retry-After": "soon"}, {}))
    assert engine.submit(ask()).result()[0].text == "hello 0"
    # The server's seven seconds, then our own two and four.
    assert waits == [7.0, 2.0, 4.0]


def test_patience_ends_with_a_clear_error(engine: RemoteEngine, server: Server, waits: list[float]) -> None:
    server.reply = lambda body: (503, {}, {"error": "overloaded"})
    with pytest.raises(EngineError, match=r"no answer to request 'hello' in 6 attempts \(last: status 503.*overloaded"):
        engine.submit(ask()).result()
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_silent_server_times_out_and_is_asked_again(server: Server, waits: list[float]) -> None:
    release = Flag()

    def slow(body: dict[str, Any]) -> Reply:
        if len(server.asked) == 1:
            release.wait(5)
        return completion(body)

    server.reply = slow
    with RemoteEngine(server.url, "m", timeout=0.2, sleep=waits.append) as engine:
        assert engine.submit(ask()).result()[0].text == "hello 0"
    release.set()
    assert waits == [1.0]


def test_nobody_there(waits: list[float], server: Server) -> None:
    server.close()
    with (
        RemoteEngine(server.url, "m", timeout=1, max_attempts=2, sleep=waits.append) as engine,
        pytest.raises(EngineError, match="check that the server runs"),
    ):
        engine.submit(ask()).result()


def test_a_refused_key_is_explained_and_never_shown(engine: RemoteEngine, server: Server) -> None:
    server.reply = lambda body: (401, {}, {"error": f"bad key {KEY}"})
    with pytest.raises(EngineError, match=r"read from \$TEST_KEY, which is set, but not accepted") as caught:
        engine.submit(ask()).result()
    assert KEY not in str(caught.value)
    assert "[key]" in str(caught.value)
    assert KEY not in engine.identity + repr(engine)
    assert len(server.asked) == 1, "a refusal is not asked again"


def test_without_a_key_none_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    with RemoteEngine(server.url, "m", api_key_env="TEST_KEY") as engine:
        engine.submit(ask()).result()
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(
    "value",
    [b"<html>", {"choices": []}, {"choices": [{"index": 0}]}, {"error": "x"}, ["list"], {"choices": None}],
)
def test_something_else_than_a_completion_is_a_clear_error(engine: RemoteEngine, server: Server, value: Any) -> None:
    server.reply = lambda body: (200, {}, value)
    with pytest.raises(EngineError, match="not a chat completion"):
        engine.submit(ask()).result()


def test_what_chat_endpoints_do_not_offer(engine: RemoteEngine) -> None:
    with pytest.raises(EngineError, match="cannot score given answers"):
        engine.score([ScoreRequest("s", (Message("user", "a"),), "b")])
    with pytest.raises(InputError, match="not prompt_ids"):
        engine.submit(Request("r", prompt_ids=(1,)))
    with pytest.raises(SettingsError, match="must begin with http"):
        RemoteEngine("localhost:8000/v1", "m")


def test_cancelling_while_waiting_for_a_retry(server: Server) -> None:
    reached, release = Flag(), Flag()

    def wait(seconds: float) -> None:
        reached.set()
        release.wait(5)

    server.reply = lambda body: (503, {}, {})
    with RemoteEngine(server.url, "m", sleep=wait) as engine:
        handle = engine.submit(ask(n=2))
        assert reached.wait(5)
        handle.cancel()
        release.set()
        assert [g.finish_reason for g in handle.result()] == ["cancelled", "cancelled"]
    assert len(server.asked) == 1
