"""Connections to one endpoint: opened when needed, directly or through a proxy, and kept open between requests.

aiohttp does the work, whose parser is compiled: with 64 requests in flight the client has half a millisecond of one core for each, and
httpx, which other parts use, takes more than a millisecond.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

from heedful.errors import SettingsError

# Seconds to reach the server; nothing is computed until then, so there is nothing to wait for.
_CONNECT_TIMEOUT = 10.0
# No answer is longer; a server that never ends must not fill the memory.
_MOST_BYTES = 64 << 20
_HEADERS = {
    "User-Agent": "heedful",
    "Accept": "application/json, text/event-stream",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}


class UnreachableError(Exception):
    """There is no connection; nothing was sent."""


class BrokenResponseError(Exception):
    """The connection ended too early, or what came is not HTTP."""


class Exchange:
    """One response."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response, self._num_bytes = response, 0

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Their names in any case."""
        return self._response.headers

    async def piece(self) -> bytes:
        """The next bytes of the body, as they come; none when it has ended."""
        with _translated():
            piece = await self._response.content.readany()
        self._num_bytes += len(piece)
        if self._num_bytes > _MOST_BYTES:
            raise BrokenResponseError(f"more than {_MOST_BYTES:,} bytes")
        return piece


class Connections:
    """Posts to `url`. Only for use in one event loop."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url, self._headers = URL(url), CIMultiDict({**_HEADERS, **headers})
        self._proxy = _proxy(self._url)
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def post(self, content: bytes, seconds: float, *, whole: bool) -> AsyncIterator[Exchange]:
        """`seconds` until the answer is complete with `whole`; else without a byte.

        Entering raises UnreachableError, and like reading TimeoutError or BrokenResponseError. Left before the body was read to its
        end, the connection is closed.
        """
        total, silent = (seconds, None) if whole else (None, seconds)
        limit = aiohttp.ClientTimeout(total=total, sock_connect=_CONNECT_TIMEOUT, sock_read=silent)
        with _translated():
            # The headers of a session would also be sent to the proxy, which must not see the key.
            response = await self._opened().post(
                self._url,
                data=content,
                headers=self._headers,
                proxy=self._proxy,
                timeout=limit,
                allow_redirects=False,
            )
        async with response:
            yield Exchange(response)

    async def close(self) -> None:
        """Those that are in use are closed by whoever uses them."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Reading the authorities' certificates takes 20 ms: not without need.
            is_encrypted = "https" in (self._url.scheme, self._proxy.scheme if self._proxy else "")
            connector = aiohttp.TCPConnector(
                limit=0, ssl=httpx.create_ssl_context() if is_encrypted else False, socket_factory=_socket
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        return self._session


@contextmanager
def _translated() -> Iterator[None]:
    """The library's errors as ours."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
        raise UnreachableError(str(error) or f"no connection within {_CONNECT_TIMEOUT:g} seconds") from None
    except TimeoutError:
        raise TimeoutError from None
    except aiohttp.ClientError as error:
        raise BrokenResponseError(str(error) or type(error).__name__) from None


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A whole answer is silent for minutes; what is in between (NAT, a firewall) forgets silent connections."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made


def _proxy(url: URL) -> URL | None:
    """The proxy that the environment (or the system) names for this host; none leads back to this machine."""
    host = url.host or ""
    if host == "localhost" or _is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found:
        return None
    proxy = URL(found if "://" in found else f"http://{found}")
    if proxy.scheme not in ("http", "https"):
        raise SettingsError(
            f"the proxy that the environment names for {host} is of the kind {proxy.scheme!r}, expected http or https; "
            "name another one, or add the host to NO_PROXY"
        )
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
