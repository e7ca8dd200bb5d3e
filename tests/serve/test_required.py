"""`requirements` and `response_format`: enforced in chat and text completions, whole and streamed, and told in the answer."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest

from heedful.serve.openai.schemas import ChatRequest, CompletionRequest
from live_server import LiveServer, stream_events

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green"]}, "size": {"type": "integer", "minimum": 1, "maximum": 99}},
    "required": ["colour", "size"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA, "strict": True}}
WORDS = {"kind": "words", "minimum": 2, "maximum": 4}
NO_A = {"kind": "letters", "letter": "a", "exactly": 0}


def whole(live: LiveServer, **body: Any) -> dict[str, Any]:
    response = live.ask(**{"max_tokens": 200, **body})
    assert response.status_code == 200, response.text
    return response.json()


def streamed(live: LiveServer, path: str = "/v1/chat/completions", **body: Any) -> list[Any]:
    asked = {"model": "tiny", "temperature": 0, "max_tokens": 200, "stream": True, **body}
    response = live.client.post(path, json=asked)
    assert response.status_code == 200, response.text
    events = stream_events(response.text.splitlines())
    assert events[-1] == "[DONE]"
    return events[:-1]


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1, "seed": 3, "n": 3}])
def test_a_schema_is_kept_by_a_model_that_knows_nothing(live: LiveServer, sampling: dict[str, Any]) -> None:
    for choice in whole(live, response_format=FORMAT, **sampling)["choices"]:
        jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)
        assert choice["finish_reason"] == "stop"
        # As OpenAI tells it: nothing of ours where nothing of ours was asked.
        assert set(choice) == {"index", "message", "finish_reason", "logprobs"}


def test_a_json_object(live: LiveServer) -> None:
    (choice,) = whole(live, response_format={"type": "json_object"})["choices"]
    assert isinstance(json.loads(choice["message"]["content"]), dict)
    assert choice["finish_reason"] == "stop"


def test_a_schema_without_a_schema_is_any_json(live: LiveServer) -> None:
    (choice,) = whole(live, response_format={"type": "json_schema", "json_schema": {"name": "any"}})["choices"]
    json.loads(choice["message"]["content"])


def test_the_prompt_stays_as_it_is(live: LiveServer) -> None:
    # What is served is what was trained: neither schema nor requirement is said.
    plain = whole(live, max_tokens=1)["usage"]["prompt_tokens"]
    assert whole(live, response_format=FORMAT)["usage"]["prompt_tokens"] == plain
    assert whole(live, requirements=[WORDS])["usage"]["prompt_tokens"] == plain


def test_requirements_are_enforced_and_told(live: LiveServer) -> None:
    (choice,) = whole(live, requirements=[WORDS, NO_A])["choices"]
    assert [(one["kind"], one["satisfied"], one["treated"]) for one in choice["requirements"]] == [
        ("words", True, "enforced"),
        ("letters", True, "enforced"),
    ]
    assert choice["finish_reason"] == "stop"
    assert "a" not in choice["message"]["content"].lower()


def test_both_together_tell_of_the_requirements_alone(live: LiveServer) -> None:
    (choice,) = whole(live, requirements=[NO_A], response_format=FORMAT)["choices"]
    jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)
    assert [(one["kind"], one["satisfied"]) for one in choice["requirements"]] == [("letters", True)]


def test_what_is_only_checked_changes_nothing_but_what_is_told(live: LiveServer) -> None:
    plain = whole(live, max_tokens=6)["choices"][0]
    (choice,) = whole(live, max_tokens=6, requirements=[{"kind": "words", "minimum": 50, "enforce": False}])["choices"]
    (outcome,) = choice.pop("requirements")
    assert (outcome["satisfied"], outcome["treated"]) == (False, "checked")
    assert "at least 50 expected" in outcome["reason"]
    assert choice == plain


def test_a_stream_says_the_same(live: LiveServer) -> None:
    messages = [{"role": "user", "content": "hello"}]
    body = {"messages": messages, "response_format": FORMAT, "requirements": [NO_A]}
    chunks = streamed(live, **body)
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    (choice,) = whole(live, **body)["choices"]
    assert text == choice["message"]["content"]
    jsonschema.validate(json.loads(text), SCHEMA)
    last = chunks[-1]["choices"][0]
    assert (last["finish_reason"], last["requirements"]) == ("stop", choice["requirements"])
    assert len(chunks) > 4, "it comes in pieces"
    assert not any("requirements" in chunk["choices"][0] for chunk in chunks[:-1])


def test_text_completions_too(live: LiveServer) -> None:
    body = {"prompt": "Once", "requirements": [{"kind": "choice", "options": ["upon", "more"]}]}
    response = live.client.post("/v1/completions", json={"model": "tiny", "temperature": 0, **body})
    (choice,) = response.json()["choices"]
    assert choice["text"] in ("upon", "more")
    assert choice["finish_reason"] == "stop"
    chunks = streamed(live, "/v1/completions", **body)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == choice["text"]
    assert chunks[-1]["choices"][0]["requirements"] == choice["requirements"]
    refused = live.client.post("/v1/completions", json={"model": "tiny", **body, "response_format": FORMAT})
    assert refused.json()["error"]["param"] == "response_format"


def test_stop_texts_cannot_break_what_was_promised(live: LiveServer) -> None:
    (choice,) = whole(live, requirements=[WORDS], stop=["e", " "])["choices"]
    assert choice["requirements"][0]["satisfied"]


def test_several_clients_at_once_do_not_mix(live: LiveServer) -> None:
    def ask(number: int) -> str:
        options = [f"{number} one", f"{number} two"]
        (choice,) = whole(live, requirements=[{"kind": "choice", "options": options}])["choices"]
        return str(choice["message"]["content"])

    with ThreadPoolExecutor(8) as pool:
        assert [text[:2] for text in pool.map(ask, range(8))] == [f"{number} " for number in range(8)]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "https://example.org/schema.json"},
        {"type": "string", "pattern": "(a+)+$"},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"enum": []},
        {"type": "array", "minItems": 10**9},
    ],
)
def test_hostile_schemas_are_refused_or_kept_and_never_a_fault(live: LiveServer, schema: dict[str, Any]) -> None:
    format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    response = live.ask(response_format=format, max_tokens=64)
    if response.status_code != 200:
        assert response.status_code == 400, response.text
        assert response.json()["error"]["param"].startswith("response_format")
        return
    jsonschema.validate(json.loads(response.json()["choices"][0]["message"]["content"]), schema)


def test_endless_nesting_is_refused(live: LiveServer) -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"items": schema}
    format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    response = live.ask(response_format=format)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("response_format")


def test_the_documentation_says_what_is_not_openais() -> None:
    for request in (ChatRequest, CompletionRequest):
        assert "Not in OpenAI's API" in str(request.model_fields["requirements"].description)
