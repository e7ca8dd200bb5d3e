"""OpenAI's own clients, Python and JavaScript, against a real server: what they call must work as it does elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from heedful.feedback.store import Store
from heedful.generate.engine import Request, Sampling, generate
from heedful.records import Message
from heedful.serve.state import ServedModel, State
from live_server import LiveServer, live_server

CLIENTS = Path(__file__).resolve().parent.parent / "clients"
PROMPT = "你好, name a colour."
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": PROMPT}]


@pytest.fixture
def client(live: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def expected(served: ServedModel, **sampling: float) -> list[str]:
    request = Request("x", (Message("user", PROMPT),), sampling=Sampling(**{"max_tokens": 8, **sampling}))  # type: ignore[arg-type]
    return [answer.text for answer in generate(served.engine, [request])]


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny", "owner/fixed"]
    assert client.models.retrieve("owner/fixed").id == "owner/fixed"


def test_completions(client: openai.OpenAI, tiny_served: ServedModel) -> None:
    chat = client.chat.completions.create(model="tiny", messages=MESSAGES, temperature=0, max_tokens=8)
    assert chat.choices[0].message.content == expected(tiny_served)[0]
    assert chat.choices[0].finish_reason == "length"
    assert chat.usage is not None
    assert chat.usage.completion_tokens == 8
    text = client.completions.create(model="tiny", prompt="Once", temperature=0, max_tokens=8, n=2)
    assert len(text.choices) == 2
    assert text.choices[0].text == text.choices[1].text != ""


def test_two_different_answers_from_one_seed(client: openai.OpenAI, tiny_served: ServedModel) -> None:
    chat = client.chat.completions.create(model="tiny", messages=MESSAGES, temperature=1, seed=5, max_tokens=8, n=2)
    texts = [choice.message.content for choice in chat.choices]
    assert texts == expected(tiny_served, temperature=1, seed=5, n=2)
    assert texts[0] != texts[1]


def test_stop_strings_end_the_answer_before_them(client: openai.OpenAI, tiny_served: ServedModel) -> None:
    whole = expected(tiny_served)[0]
    stop = whole[3:5]
    chat = client.chat.completions.create(model="tiny", messages=MESSAGES, temperature=0, max_tokens=8, stop=stop)
    assert chat.choices[0].message.content == whole[: whole.index(stop)]
    assert chat.choices[0].finish_reason == "stop"


def test_stream_with_usage(client: openai.OpenAI, tiny_served: ServedModel) -> None:
    stream = client.chat.completions.create(
        model="tiny",
        messages=MESSAGES,
        temperature=0,
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == expected(tiny_served)[0]
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


class Colour(BaseModel):
    name: Literal["red", "green"]
    share: int


def test_response_formats(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": MESSAGES, "temperature": 0, "max_tokens": 200}
    parsed = client.chat.completions.parse(**asked, response_format=Colour)
    assert isinstance(parsed.choices[0].message.parsed, Colour)
    assert parsed.choices[0].finish_reason == "stop"
    with client.chat.completions.stream(**asked, response_format=Colour) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == parsed.choices[0].message.parsed
    chat = client.chat.completions.create(**asked, response_format={"type": "json_object"})
    assert isinstance(json.loads(chat.choices[0].message.content or ""), dict)


def test_requirements_go_along_as_extras(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": MESSAGES, "temperature": 0, "max_tokens": 200}
    words = {"kind": "words", "exactly": 3}
    chat = client.chat.completions.create(**asked, extra_body={"requirements": [words]})
    (outcome,) = chat.choices[0].model_extra["requirements"]  # type: ignore[index]
    assert outcome == {"kind": "words", "satisfied": True, "reason": outcome["reason"], "treated": "enforced"}
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(**{**asked, "max_tokens": 2}, extra_body={"requirements": [words]})
    assert wrong.value.param == "requirements"


def test_errors_are_the_clients_own_kinds(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="tiny", messages=MESSAGES, temperature=3)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.NotFoundError, match="unknown address"):
        client.embeddings.create(model="tiny", input="x")


def test_a_cancelled_stream_stops_the_model(live: LiveServer, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="tiny", messages=MESSAGES, temperature=0, stream=True)
    assert next(chunk for chunk in stream if chunk.choices[0].delta.content)
    assert live.in_flight == 1
    stream.close()
    # The whole answer has 2,013 tokens and takes many times as long.
    assert live.until_in_flight(0) < 1


def test_a_cancelled_wait_stops_the_model(live: LiveServer, client: openai.OpenAI) -> None:
    # Sixteen answers of 2,013 tokens each take many times as long, on any machine.
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.1).chat.completions.create(model="tiny", messages=MESSAGES, temperature=0, n=16)
    assert live.until_in_flight(0) < 1


def test_the_key_is_asked_for(tiny_served: ServedModel, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'feedback.sqlite'}")
    with live_server(State([tiny_served], store, title="tiny", api_key="right-key")) as live:
        for key, allowed in (("right-key", True), ("wrong-key", False)):
            with openai.OpenAI(base_url=f"{live.url}/v1", api_key=key, max_retries=0) as client:
                if allowed:
                    assert len(client.models.list().data) == 1
                else:
                    with pytest.raises(openai.AuthenticationError) as refused:
                        client.models.list()
                    assert refused.value.code == "invalid_api_key"
    store.close()


def test_the_javascript_client(live: LiveServer, tiny_served: ServedModel) -> None:
    node = shutil.which("node")
    if node is None or not (CLIENTS / "node_modules" / "openai").is_dir():
        message = "node and `npm ci` in tests/clients are needed; `make install-clients` runs it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    command = [node, str(CLIENTS / "talk.mjs"), f"{live.url}/v1", "tiny"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    said = json.loads(process.stdout)
    text = expected(tiny_served)[0]
    usage = {"prompt_tokens": 35, "completion_tokens": 8, "total_tokens": 43}
    assert said["models"] == ["tiny", "owner/fixed"]
    assert said["whole"] == said["streamed"] == {"text": text, "reason": "length", "usage": usage}
    assert len(said["plain"]) > 0
    assert said["several"] == expected(tiny_served, temperature=1, seed=5, n=2)
    missing = {"name": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"}
    assert said["unknownModel"] == {**missing, "type": "invalid_request_error"}
    assert said["unsupported"]["name"] == "BadRequestError"
    assert said["unsupported"]["param"] == "tools"
    assert said["secondsUntilCancelled"] < 1
