"""The routes: /v1/models, /v1/chat/completions, /v1/completions, and /health."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel

from heedful.serve.openai import answering
from heedful.serve.openai.errors import ErrorBody
from heedful.serve.openai.schemas import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    CompletionRequest,
    Health,
    ModelCard,
    ModelList,
    SamplingRequest,
    TextCompletion,
)
from heedful.serve.openai.shapes import Chat, Shape, Text
from heedful.serve.state import ServedModel, State

_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The request is wrong; `message` says what was expected."},
    "5XX": {"model": ErrorBody, "description": "The server failed, or is stopping (503)."},
}


def api_router(state: State) -> APIRouter:
    """All routes that programs use."""
    router = APIRouter(responses=_ERRORS)
    _add_models(router, state)
    _add_completions(router, state)
    return router


def _add_models(router: APIRouter, state: State) -> None:
    @router.get("/v1/models", summary="All models", tags=["models"])
    async def models() -> ModelList:
        """The first is the default of the chat page."""
        return ModelList(data=[_card(model) for model in state.models.values()])

    @router.get("/v1/models/{id:path}", summary="One model", tags=["models"])
    async def model(id: Annotated[str, Path(description="One of the ids that `/v1/models` lists.")]) -> ModelCard:
        """The id may contain slashes."""
        return _card(state.model(id))

    @router.get("/health", summary="Is the server there?", tags=["server"])
    async def health() -> Health:
        """Answers without the API key."""
        status = "stopping" if state.stopping else "ok"
        return Health(status=status, models=list(state.models), in_flight=state.num_in_flight)


def _add_completions(router: APIRouter, state: State) -> None:
    async def answer(shape: Shape, body: SamplingRequest, request: Request) -> Any:
        if body.stream:
            options = body.stream_options
            return await answering.stream(state, shape, include_usage=bool(options and options.include_usage))
        return await answering.whole(state, shape, request)

    @router.post(
        "/v1/chat/completions",
        summary="The next message of a conversation",
        tags=["completions"],
        response_model=ChatCompletion,
        responses={200: {"content": _stream_of(ChatChunk)}},
    )
    async def chat(body: ChatRequest, request: Request) -> Any:
        """Whole, or with `stream` as server-sent events that end with `data: [DONE]`; a client that leaves stops it."""
        return await answer(Chat(body, state.model(body.model)), body, request)

    @router.post(
        "/v1/completions",
        summary="A continuation of plain text",
        tags=["completions"],
        response_model=TextCompletion,
        responses={200: {"content": _stream_of(TextCompletion)}},
    )
    async def complete(body: CompletionRequest, request: Request) -> Any:
        """Without a chat template: the model goes on where the text ends."""
        return await answer(Text(body, state.model(body.model)), body, request)


def _card(model: ServedModel) -> ModelCard:
    return ModelCard(id=model.id, created=model.created, owned_by=f"heedful ({model.kind})")


def _stream_of(chunk: type[BaseModel]) -> dict[str, Any]:
    """How OpenAPI describes the events of a stream: chunks or an error as JSON, and the word that ends it."""
    content = {"anyOf": [_inlined(chunk), _inlined(ErrorBody)]}
    json_data = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    data = {"anyOf": [{"const": "[DONE]"}, json_data]}
    properties = {"event": {"enum": ["message", "error"]}, "data": data}
    return {"text/event-stream": {"itemSchema": {"type": "object", "properties": properties, "required": ["data"]}}}


def _inlined(model: type[BaseModel]) -> Any:
    """A model's JSON schema without references: FastAPI does not collect the models of streams."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            return [resolve(item) for item in part]
        if isinstance(part, dict):
            if "$ref" in part:
                return resolve(definitions[part["$ref"].rpartition("/")[2]])
            return {name: resolve(value) for name, value in part.items()}
        return part

    return resolve(schema)
