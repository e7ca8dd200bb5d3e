"""What stands before every route: who may call, from where, how much they may send; and headers that browsers obey.

Three attacks are in mind. A page elsewhere on the web sends requests to this server from its visitor's browser: what
changes something is refused when `Origin` is foreign, and no header ever lets such a page read. Its host name is made
to point to this machine (DNS rebinding), so that its origin seems to be ours: on loopback, only our own names are
answered. Someone else reaches the port: with an API key set, nothing but the sign-in page, its static files and
`/health` answers without it.
"""

from __future__ import annotations

import re
import secrets
from urllib.parse import quote, urlsplit

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heedful.serve.openai.errors import error_response
from heedful.serve.state import State

MAX_BODY = 4 * 2**20
"""Bytes in one request: far more than any model here can read."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:]+)(?::\d+)?")


class Guard:
    """Lets a request through, or answers it itself."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = self._refuse(request)
        await (refused or self._app)(scope, _bounded(receive), _with_headers(send))

    def _refuse(self, request: Request) -> Response | None:
        if not self._host_is_ours(request.headers):
            return error_response(403, "this server answers only to its own host names", code="foreign_host")
        if request.method not in _SAFE_METHODS and _is_foreign(request.headers):
            return error_response(403, "requests from pages of other sites are refused", code="foreign_origin")
        if not self._may_enter(request):
            return _ask_for_key(request)
        if _length(request.headers) > MAX_BODY:
            return error_response(413, _TOO_LARGE, code="too_large")
        return None

    def _host_is_ours(self, headers: Headers) -> bool:
        if self._state.hosts is None:
            return True
        given = headers.getlist("host")
        match = _HOST.fullmatch(given[0].lower()) if len(given) == 1 else None
        return match is not None and match[1] in self._state.hosts

    def _may_enter(self, request: Request) -> bool:
        from heedful.serve.pages.signing_in import signed_in

        key, path = self._state.api_key, request.url.path
        if key is None or path in ("/health", "/sign-in") or path.startswith("/static/"):
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), key.encode()):
            return True
        # The cookie opens the page only: what programs use is opened by the key alone.
        return not path.startswith("/v1/") and signed_in(self._state, request)


_TOO_LARGE = f"the body is larger than {MAX_BODY} bytes"


def _is_foreign(headers: Headers) -> bool:
    """Was this request made by a page of another site? Programs that are no browsers send no origin."""
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    origins = headers.getlist("origin")
    return any(urlsplit(origin).netloc.lower() != headers.get("host", "").lower() for origin in origins)


def _ask_for_key(request: Request) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"/sign-in?next={quote(request.url.path)}", 303)
    message = "this server needs its API key: send it as `Authorization: Bearer KEY`"
    return error_response(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _length(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _bounded(receive: Receive) -> Receive:
    """A body without a stated length is counted as it comes."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return with_headers
