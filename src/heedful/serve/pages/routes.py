"""The pages themselves, signing in, and the static files; the page's own data is in `ui`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from heedful.serve.pages import wording
from heedful.serve.pages.signing_in import is_key, sign_in, signed_in
from heedful.serve.pages.ui import ui_router
from heedful.serve.state import State

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_OWN_PAGES = re.compile(r"/(c/[0-9a-zA-Z_-]{1,64})?")
_LONGEST_FORM = 4096
"""Bytes; a form with one key in it is shorter."""
_TEMPLATES = Environment(
    loader=PackageLoader("heedful.serve.pages", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def router(state: State) -> APIRouter:
    """Everything that a person's browser asks for."""
    pages = APIRouter(include_in_schema=False)
    _add_chat(pages, state)
    _add_sign_in(pages, state)
    _add_static(pages)
    pages.include_router(ui_router(state))
    return pages


def _add_chat(pages: APIRouter, state: State) -> None:
    @pages.get("/")
    @pages.get("/c/{id}")
    def chat(request: Request) -> Response:
        return _page("chat.html", request, title=state.title, models=list(state.models.values()))


def _add_sign_in(pages: APIRouter, state: State) -> None:
    @pages.get("/sign-in")
    def form(request: Request, next: str = "/") -> Response:
        if signed_in(state, request):
            return RedirectResponse(_own(next), 303)
        return _page("sign_in.html", request, title=state.title, next=_own(next), wrong=False)

    @pages.post("/sign-in")
    async def enter(request: Request) -> Response:
        values = await _form(request)
        target = _own(values.get("next", "/"))
        if not await is_key(state, values.get("key", "")):
            page = _page("sign_in.html", request, title=state.title, next=target, wrong=True)
            page.status_code = 401
            return page
        response = RedirectResponse(target, 303)
        sign_in(state, request, response)
        return response


def _add_static(pages: APIRouter) -> None:
    @pages.get("/static/{name}")
    def static(name: str, request: Request) -> Response:
        # The name is looked up, never opened.
        if name not in static_files():
            return Response("not found", 404, media_type="text/plain")
        content, tag = static_files()[name]
        # Asked for again each time, and answered "unchanged": an update of the program reaches every browser at once.
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(None, 304, headers)
        return Response(content, 200, headers, _TYPES[name.rpartition(".")[2]])


@cache
def static_files() -> Mapping[str, tuple[bytes, str]]:
    """Name -> content and its tag."""
    contents = {
        entry.name: entry.read_bytes()
        for entry in files("heedful.serve.pages").joinpath("static").iterdir()
        if entry.name.rpartition(".")[2] in _TYPES
    }
    contents["strings.js"] = wording.script().encode()
    return {name: (content, f'"{sha256(content).hexdigest()[:16]}"') for name, content in contents.items()}


def _page(template: str, request: Request, **values: object) -> HTMLResponse:
    """A page in the visitor's language and colours, which cookies hold: no flash of the wrong ones, and no script for it."""
    cookies = request.cookies
    language = wording.choose_language(cookies.get("heedful_language"), request.headers.get("accept-language", ""))
    theme = cookies.get("heedful_theme")
    text = _TEMPLATES.get_template(template).render(
        **values,
        words=wording.words(language),
        language=language,
        languages=wording.LANGUAGES,
        theme=theme if theme in ("light", "dark") else "auto",
        modules=sorted(name for name in static_files() if name.endswith(".js")),
    )
    # What the page shows depends on cookies: no cache may keep it.
    return HTMLResponse(text, headers={"Cache-Control": "no-store", "Content-Language": language})


def _own(address: str) -> str:
    """One of our pages, whatever was asked for: a sign-in never leads elsewhere."""
    return address if _OWN_PAGES.fullmatch(address) else "/"


async def _form(request: Request) -> dict[str, str]:
    """The fields of a sent form; one that is too long has none."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_FORM:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
