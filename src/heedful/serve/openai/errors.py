"""What went wrong, in the shape that OpenAI's clients understand: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from heedful.errors import HeedfulError, InputError, UserError
from heedful.feedback.store import NotFoundError
from heedful.project.settings import nearest
from heedful.serve.openai.schemas import UNSUPPORTED, ChatRequest, CompletionRequest
from heedful.serve.state import StoppingError, UnknownModelError

_PARAMETERS = {
    "/v1/chat/completions": list(ChatRequest.model_fields),
    "/v1/completions": list(CompletionRequest.model_fields),
}
log = logging.getLogger("heedful.serve")


class ParameterError(InputError):
    """A parameter that does not fit the others, or the model."""

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


def error_body(status: int, message: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The body for one error."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": _sound(message), "type": kind, "param": param and _sound(param), "code": code}}


def error_response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The whole answer for one error."""
    return JSONResponse(error_body(status, message, param=param, code=code), status, headers=dict(headers or {}))


def explain(error: HeedfulError) -> tuple[int, str | None, str | None]:
    """(status, param, code) of one of our errors."""
    if isinstance(error, UnknownModelError):
        return 404, "model", "model_not_found"
    if isinstance(error, NotFoundError):
        return 404, None, "not_found"
    if isinstance(error, ParameterError):
        return 400, error.parameter, None
    if isinstance(error, UserError):
        return 400, None, None
    if isinstance(error, StoppingError):
        return 503, None, "shutting_down"
    return 500, None, None


def body_of(error: HeedfulError) -> dict[str, Any]:
    """The body for one of our errors, for a stream that has begun already."""
    status, param, code = explain(error)
    return error_body(status, str(error), param=param, code=code)


def handle_errors(app: FastAPI) -> None:
    """Give every error of `app` its shape."""
    app.add_exception_handler(HeedfulError, _our_error)
    app.add_exception_handler(RequestValidationError, _wrong_body)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)


async def _our_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HeedfulError)
    status, param, code = explain(error)
    if status == 500:
        log.error("%s: %s", type(error).__name__, error)
    return error_response(status, str(error), param=param, code=code)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    told = {404: (f"unknown address: {what}", "unknown_url"), 405: (f"not allowed: {what}", "method_not_allowed")}
    message, code = told.get(error.status_code, (str(error.detail), None))
    if error.status_code in told and error.detail != HTTPStatus(error.status_code).phrase:
        message = str(error.detail)
    return error_response(error.status_code, message, code=code, headers=error.headers)


async def _bug(request: Request, error: Exception) -> JSONResponse:
    # The server's own log gets the traceback; the client learns nothing about our insides.
    return error_response(500, "the server failed; its log says why")


async def _wrong_body(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    item = error.errors()[0]
    # What is wrong with a key is told of the field of that name.
    place = _place(item)
    if item["type"] == "json_invalid":
        return error_response(400, f"the body is not valid JSON: {item['ctx']['error']}", code="invalid_json")
    if item["type"] == "string_unicode":
        return error_response(400, "a name in the body holds half a surrogate pair, which is no character")
    if not place:
        return error_response(400, "the body must be a JSON object, sent with Content-Type: application/json")
    param = _path(place)
    if item["type"] == "extra_forbidden":
        return error_response(400, _unknown(request, place), param=param, code="unknown_parameter")
    if item["type"] in ("missing", "union_tag_not_found"):
        return error_response(400, f"missing: {param!r}", param=param, code="missing_required_parameter")
    return error_response(400, f"{param}: {_reason(item)}", param=param, code="invalid_value")


def _place(item: Mapping[str, Any]) -> list[Any]:
    """Where in the body the problem is, as its writer sees it: pydantic adds which of several shapes it took a format for."""
    place = [part for part in item["loc"][1:] if part != "[key]"]
    if place[:1] == ["response_format"]:
        del place[1:2]
        if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
            place.append("type")
    return place


def _reason(item: Mapping[str, Any]) -> str:
    if item["type"] == "union_tag_invalid":
        return f"expected one of {item['ctx']['expected_tags']}"
    if item["type"] == "literal_error":
        return f"expected {item['ctx']['expected']}"
    reason = str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"{reason[:1].lower()}{reason[1:]}"


def _unknown(request: Request, place: Sequence[Any]) -> str:
    name = str(place[-1])
    known = _PARAMETERS.get(request.url.path)
    if known is None or len(place) > 1:
        return f"unknown field {_path(place)!r}; leave it out: this server would not know what to do with it"
    if name in UNSUPPORTED:
        return f"the parameter {name!r} is not supported by this server; leave it out"
    return f"unknown parameter {name!r}; {nearest(name, known)}"


def _path(place: Sequence[Any]) -> str:
    """`messages[0].content`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _sound(text: str) -> str:
    """Half a surrogate pair, which a client can send as an escape, has no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
