"""schemathesis throws what our OpenAPI document allows, and what it forbids, at a real server: no 500, no broken promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from heedful.feedback.store import Store
from heedful.generate.fake import FakeEngine
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.models.vocabulary import Vocabulary
from heedful.serve.app import create_app
from heedful.serve.pages.ui import ui_router
from heedful.serve.state import ServedModel, State
from live_server import LiveServer, live_server


def document() -> dict[str, Any]:
    """Our OpenAPI document, narrowed to the one model: or nearly all requests would end at a model that is unknown."""
    app = create_app(State([ServedModel("m", FakeEngine(), "base")], None, title="t"))  # type: ignore[arg-type]
    document = app.openapi()
    for name in ("ChatRequest", "CompletionRequest"):
        document["components"]["schemas"][name]["properties"]["model"]["enum"] = ["tiny"]
    return document


def pages_document() -> dict[str, Any]:
    """The addresses that the chat page uses; they are no API for others, so that the document leaves them out."""
    app = FastAPI()
    router = ui_router(State([ServedModel("m", FakeEngine(), "base")], None, title="t"))  # type: ignore[arg-type]
    router.include_in_schema = True
    for route in router.routes:
        assert isinstance(route, APIRoute)
        route.include_in_schema = True
    app.include_router(router)
    return app.openapi()


pytestmark = pytest.mark.slow

schema = schemathesis.openapi.from_dict(document())
pages_schema = schemathesis.openapi.from_dict(pages_document())


def rightly_refused(body: Any) -> bool:
    """What the document allows and the server refuses, because JSON Schema cannot say it: an answer to answer, or no room."""
    if not isinstance(body, dict):
        return False
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    answered = isinstance(last, dict) and last.get("role") == "assistant"
    # What only the model and the rest of the request decide: which tokens there are, and how long the answer may be.
    biases = body.get("logit_bias")
    unknown = isinstance(biases, dict) and any(not token.isdigit() or int(token) > 275 for token in biases)
    longest = min(body.get(name) or 16 for name in ("max_tokens", "max_completion_tokens"))
    at_least = body.get("min_tokens")
    too_long = isinstance(at_least, int | float) and isinstance(longest, int | float) and at_least > longest
    # Log-probabilities of alternatives beside none; the best of fewer than are wanted, of equal ones, or of a stream.
    unequal = bool(body.get("top_logprobs") and not body.get("logprobs"))
    samples, wanted = body.get("best_of") or 0, body.get("n") or 1
    unequal |= 0 < samples < wanted
    unequal |= samples > wanted and bool(body.get("stream") or body.get("temperature") == 0 or body.get("top_k") == 1)
    return (
        answered or unknown or too_long or unequal or len(json.dumps([messages, body.get("prompt")], default=str)) > 150
    )


@pytest.fixture(scope="module")
def small(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A model that writes at most 120 tokens, prompt included: many requests in little time."""
    loaded = load(tiny_model)
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('small') / 'feedback.sqlite'}")
    with LocalEngine(loaded, max_length=120) as engine:
        vocabulary = Vocabulary(loaded.tokenizer.backend_tokenizer)
        state = State([ServedModel("tiny", engine, "tuned", vocabulary)], store, title="t")
        with live_server(state) as live:
            yield live
        answers = [line.split()[2] for line in live.log if line.startswith("POST")]
        assert answers.count("200") >= len(answers) / 5, "too few requests reached the model"
    store.close()


BRIEF = settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


# Given to pytest by name: schemathesis' own collecting calls all operations by one name, of which two processes would run one.
OPERATIONS = {found.ok().label: found.ok() for found in schema.get_all_operations()}
PAGES = {found.ok().label: found.ok() for found in pages_schema.get_all_operations()}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_requests_of_all_kinds(operation: str, small: LiveServer) -> None:
    @BRIEF
    @given(case=OPERATIONS[operation].as_strategy())
    def ask(case: schemathesis.Case) -> None:
        response = case.call(base_url=small.url)
        if rightly_refused(case.body):
            assert response.status_code in (200, 400, 404)
        else:
            case.validate_response(response)

    ask()


@pytest.mark.parametrize("operation", PAGES)
def test_the_pages_addresses_never_fail(operation: str, small: LiveServer) -> None:
    store = small.state.store
    conversation = store.new_conversation().id
    message = store.add_message(conversation, "user", "茶?", parent=None).id

    @BRIEF
    @given(case=PAGES[operation].as_strategy())
    def ask(case: schemathesis.Case) -> None:
        # As it came, and about what is really there.
        for change in ({}, {"id": conversation if "conversations" in case.operation.path else message}):
            if case.path_parameters:
                case.path_parameters.update(change)
            case.validate_response(case.call(base_url=small.url), checks=[not_a_server_error])

    ask()
