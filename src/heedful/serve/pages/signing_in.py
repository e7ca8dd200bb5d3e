"""Who may use the page when an API key is set: those who typed it once in this browser.

The cookie holds a random token (see `state.Sessions`); it is not the key and says nothing about it. Without an API key
everyone who reaches the page may use it.
"""

from __future__ import annotations

import asyncio
import secrets

from fastapi import Request, Response

from heedful.serve.state import State

COOKIE = "heedful_session"
_LIFETIME = 30 * 24 * 3600
"""Seconds that a browser keeps the cookie."""
_WRONG_KEY_WAIT = 0.5
"""Seconds before a wrong key is refused: guessing stays slow."""


def signed_in(state: State, request: Request) -> bool:
    """May this request use the page?"""
    return state.api_key is None or state.sessions.valid(request.cookies.get(COOKIE, ""))


async def is_key(state: State, key: str) -> bool:
    """Compare in constant time; a wrong key takes a moment."""
    if state.api_key is not None and secrets.compare_digest(
        key.encode("utf-8", "surrogatepass"), state.api_key.encode()
    ):
        return True
    await asyncio.sleep(_WRONG_KEY_WAIT)
    return False


def sign_in(state: State, request: Request, response: Response) -> None:
    """Set the cookie."""
    response.set_cookie(
        COOKIE,
        state.sessions.open(),
        max_age=_LIFETIME,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
