"""Connections to one endpoint: opened when needed, directly or through a proxy, and kept open between requests."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
from collections.abc import Mapping
from typing import Self
from urllib.request import getproxies, proxy_bypass

import httpx

from heedful.errors import SettingsError
from heedful.generate.remote.connection import Connection
from heedful.generate.remote.http1 import BrokenResponseError, Head

# Seconds to reach the server; nothing is computed until then, so there is nothing to wait for.
_CONNECT_TIMEOUT = 10.0


class UnreachableError(Exception):
    """There is no connection; nothing was sent."""


class Exchange:
    """One request and its response: `async with connections.post(...) as exchange`.

    A connection whose block ends with an exception, or before the body was read to its end, is closed.
    """

    head: Head

    def __init__(self, connections: Connections, data: bytes, seconds: float, whole: bool) -> None:
        self._connections, self._data, self._seconds, self._whole = connections, data, seconds, whole

    async def __aenter__(self) -> Self:
        self._connection = await self._connections.take()
        try:
            self.head = await self._connection.send(self._data, self._seconds, whole=self._whole)
        except BaseException:
            self._connection.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connections.give_back(self._connection)
        else:
            self._connection.close()

    async def piece(self) -> bytes:
        """The next bytes of the body; none when it has ended."""
        return await self._connection.piece()


class Connections:
    """Posts to `url`. Only for use in one event loop."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = httpx.URL(url)
        self._proxy = _proxy(self._url)
        self._context: ssl.SSLContext | None = None
        self._head = self._request_head(headers)
        self._idle: list[Connection] = []

    def post(self, content: bytes, seconds: float, *, whole: bool) -> Exchange:
        """`seconds` until the answer is complete with `whole`; else without a byte.

        Entering raises UnreachableError, and like reading TimeoutError, OSError or BrokenResponseError.
        """
        return Exchange(self, b"%s%d\r\n\r\n%s" % (self._head, len(content), content), seconds, whole)

    async def take(self) -> Connection:
        """An idle one or a new one; the one used last is the least likely to have been closed by the server meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return await self._open()

    def give_back(self, connection: Connection) -> None:
        """To be used again, or closed."""
        if connection.is_usable:
            self._idle.append(connection)
        else:
            connection.close()

    async def close(self) -> None:
        """Those that are in use are closed by whoever uses them."""
        while self._idle:
            self._idle.pop().close()
        # Closing takes effect in the loop's next round.
        await asyncio.sleep(0)

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                return await (self._direct() if self._proxy is None else self._through(self._proxy))
        except TimeoutError:
            raise UnreachableError(f"no connection within {_CONNECT_TIMEOUT:g} seconds") from None
        except OSError as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from None

    async def _direct(self) -> Connection:
        context = self._certificates() if self._url.scheme == "https" else None
        return await Connection.open(self._url.host, _port(self._url), context)

    async def _through(self, proxy: httpx.URL) -> Connection:
        context = self._certificates() if proxy.scheme == "https" else None
        connection = await Connection.open(proxy.host, _port(proxy), context)
        if self._url.scheme == "http":
            return connection
        target = b"%s:%d" % (self._url.raw_host, _port(self._url))
        try:
            head = await connection.send(
                b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (target, target, _authorization(proxy)),
                _CONNECT_TIMEOUT,
                whole=False,
            )
            if head.status != 200:
                raise OSError(f"the proxy {proxy.host} answered with status {head.status}")
            await connection.encrypt(self._certificates(), self._url.host)
        except BrokenResponseError as error:
            connection.close()
            raise OSError(f"the proxy {proxy.host}: {error}") from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _certificates(self) -> ssl.SSLContext:
        """Reading the authorities' certificates takes 20 ms: once for all connections."""
        if self._context is None:
            self._context = httpx.create_ssl_context()
        return self._context

    def _request_head(self, headers: Mapping[str, str]) -> bytes:
        """Everything up to the length of the content."""
        plain_proxy = self._proxy is not None and self._url.scheme == "http"
        target = str(self._url).encode("ascii") if plain_proxy else self._url.raw_path
        lines = {
            "Host": self._url.netloc.decode("ascii"),
            "User-Agent": "heedful",
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        } | dict(headers)
        proxy = _authorization(self._proxy) if plain_proxy and self._proxy is not None else b""
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("ascii")
        return b"POST %s HTTP/1.1\r\n%s%sContent-Length: " % (target, text, proxy)


def _proxy(url: httpx.URL) -> httpx.URL | None:
    """The proxy that the environment (or the system) names for this host; none leads back to this machine."""
    if url.host == "localhost" or _is_loopback(url.host) or proxy_bypass(url.host):
        return None
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found:
        return None
    proxy = httpx.URL(found if "://" in found else f"http://{found}")
    if proxy.scheme not in ("http", "https"):
        raise SettingsError(
            f"the proxy that the environment names for {url.host} is of the kind {proxy.scheme!r}, expected http or https; "
            "name another one, or add the host to NO_PROXY"
        )
    return proxy


def _authorization(proxy: httpx.URL) -> bytes:
    if not proxy.username:
        return b""
    return b"Proxy-Authorization: Basic %s\r\n" % base64.b64encode(f"{proxy.username}:{proxy.password}".encode())


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
