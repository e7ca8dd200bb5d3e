"""A model's name chooses the engine; an endpoint is asked over HTTP, once for each request, and its key is kept nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from heedful.errors import EngineError, InputError, ModelError
from heedful.generate.engine import Request, generate
from heedful.generate.fake import FakeEngine
from heedful.models import load
from heedful.pipeline import engines
from heedful.pipeline.engines import (
    ENGINES,
    chosen,
    described,
    identity,
    is_independent,
    keeping,
    loaded_for,
    local_engine,
    new_engine,
    open_engine,
)
from heedful.project import Silent
from heedful.records import Message, RequirementSpec


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


def test_only_endpoints_are_asked_again_for_what_is_required(tmp_path: Path) -> None:
    fake = FakeEngine("far too many words")
    assert keeping(fake, "smollm2") is fake
    kept = keeping(fake, "https://host/v1#m")
    assert described(kept) == "the endpoint"
    request = Request("r", (Message("user", "a"),), requirements=(RequirementSpec("words", {"maximum": 2}),))
    (answer,) = kept.submit(request).result()
    # The fake says the same for ever, so twice is enough to know.
    assert (answer.constraint_report, fake.num_answered) == ({"treated": ["checked"], "attempts": 2}, 2)


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


# -- which engine on this machine ------------------------------------------------------------------------------------------


def everything(package: str) -> object:
    return package


def nothing(package: str) -> None:
    return None


LLAMACPP_FIRST = tuple(replace(engine, alone={"llamacpp": 1, "local": 2}[engine.name]) for engine in ENGINES)
LOCAL_FIRST = tuple(replace(engine, alone={"llamacpp": 2, "local": 1}[engine.name]) for engine in ENGINES)


def test_the_fastest_that_can_do_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "ENGINES", LLAMACPP_FIRST)
    assert chosen("gguf", installed=everything).name == "llamacpp"
    assert chosen("gguf", ["logprobs", "masks"], installed=everything).name == "llamacpp"
    # What it cannot do, the local engine does.
    for need in ("several", "adapter"):
        assert chosen("gguf", [need], installed=everything).name == "local"  # type: ignore[list-item]
        assert chosen("gguf", ["logprobs", need], installed=everything).name == "local"  # type: ignore[list-item]
    # Folders of weights, adapters among them, are nothing that llama.cpp reads; and it may not be there.
    assert chosen("folder", installed=everything).name == "local"
    assert chosen("gguf", installed=nothing).name == "local"


def test_measuring_again_is_a_change_of_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "ENGINES", LOCAL_FIRST)
    assert chosen("gguf", installed=everything).name == "local"
    assert sorted(engine.alone for engine in ENGINES) == list(range(1, len(ENGINES) + 1)), "places, without ties"


def test_the_local_engine_can_always_be_chosen() -> None:
    (local,) = (engine for engine in ENGINES if not engine.package)
    assert all(engine.can <= local.can and engine.reads <= local.reads for engine in ENGINES)


def test_the_choice_decides_what_is_made(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Chosen(FakeEngine):
        def __init__(self, name: str, **options: object) -> None:
            made.append(name)
            super().__init__()

    monkeypatch.setattr(engines, "ENGINES", LLAMACPP_FIRST)
    monkeypatch.setattr(engines, "_installed", everything)
    monkeypatch.setattr("heedful.generate.llamacpp.LlamaCppEngine", Chosen)
    gguf = tmp_path / "tiny.gguf"
    gguf.write_bytes(b"GGUF")
    new_engine(str(gguf), Silent()).close()
    assert made == [str(gguf)]
    engine = new_engine(str(tiny_model), Silent())
    engine.close()
    assert made == [str(gguf)]
    assert described(engine).startswith("the local engine")


def test_what_engines_are_called() -> None:
    class Talkative(FakeEngine):
        description = "the very engine (2 threads)"

    class Heir(FakeEngine):
        pass

    assert [described(engine) for engine in (Talkative(), Heir(), FakeEngine())] == [
        "the very engine (2 threads)",
        "the fake engine",
        "the fake engine",
    ]


def test_answers_are_taken_for_independent_only_where_the_engine_says_so(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_engine(str(tiny_model), Silent()) as kernels:
        assert is_independent(kernels)
    monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    with new_engine(str(tiny_model), Silent()) as fallback:
        assert not is_independent(fallback)
    assert not is_independent(FakeEngine())


def test_the_fastest_precision_that_a_model_has(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(precision: engines.Arithmetic) -> str:
        engine = new_engine(str(tiny_model), Silent(), precision=precision)
        engine.close()
        return described(engine)

    assert "int8" in found("fastest")
    assert "float32" in found("float32")
    monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    assert "float32, transformers" in found("fastest")
    with pytest.raises(EngineError, match="cannot run in int8"):
        found("int8")


def test_a_precision_is_none_of_an_endpoints_business() -> None:
    with pytest.raises(InputError, match="leave out int8"):
        new_engine("http://127.0.0.1:9/v1#m", Silent(), precision="int8")
    new_engine("http://127.0.0.1:9/v1#m", Silent(), precision="fastest").close()


# -- on a GPU ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [
        ("cuda", "fastest", "bfloat16"),
        ("cuda", "float32", "float32"),
        ("cpu", "fastest", "float32"),
        ("cpu", "bfloat16", "float32"),
    ],
)
def test_a_gpu_is_given_what_it_multiplies_fast(
    device: str, precision: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr("heedful.models.devices.chosen_device", lambda: torch.device(device))
    monkeypatch.setattr("heedful.models.load", lambda name, *, dtype, watcher: asked.append((name, dtype)))
    loaded_for("a-model", precision, Silent())
    assert asked == [("a-model", expected)]


def test_the_fastest_without_kernels_is_what_was_loaded(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a GPU, where transformers' own code runs.
    monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    engine = local_engine(load(tiny_model, dtype="bfloat16"), Silent(), "fastest")
    try:
        assert "bfloat16" in described(engine)
    finally:
        engine.close()
