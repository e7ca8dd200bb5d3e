"""A model's name chooses the engine; an endpoint is asked over HTTP, once for each request, and its key is kept nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from heedful.errors import ModelError
from heedful.generate.engine import Request, generate
from heedful.pipeline.engines import identity, open_engine
from heedful.project import Silent
from heedful.records import Message


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A base URL and the requests that came there, each with its authorisation."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"model": body["model"], "path": self.path, "key": self.headers.get("Authorization", "")})
            choice = {"index": 0, "message": {"role": "assistant", "content": "Good day."}, "finish_reason": "stop"}
            data = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 3}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_answers_and_is_asked_once(
    endpoint: tuple[str, list[dict[str, str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = endpoint
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key-1")
    for _ in range(2):
        with open_engine(f"{url}#writer", tmp_path / "requests.sqlite", Silent()) as engine:
            (answer,) = generate(engine, [Request("a", (Message("user", "Greet me."),))])
            assert answer.text == "Good day."
    assert asked == [{"model": "writer", "path": "/v1/chat/completions", "key": "Bearer secret-key-1"}]
    for path in tmp_path.iterdir():
        assert b"secret-key-1" not in path.read_bytes()


def test_the_identity_of_an_endpoint_is_its_address_and_model() -> None:
    assert identity("https://host/v1#a") == identity("https://host/v1#a")
    assert len({identity("https://host/v1#a"), identity("https://host/v1#b"), identity("https://other/v1#a")}) == 3


def test_an_endpoint_without_a_model_says_how_to_name_it() -> None:
    with pytest.raises(ModelError, match=r"https://host/v1#my-model"):
        identity("https://host/v1")
