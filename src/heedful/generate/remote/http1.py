"""HTTP/1.1 for one purpose: post a body, read the response, over one connection that is used for one request at a time.

Written here because at 64 requests in flight the client must cost well under a millisecond for each: httpx takes 1.3 ms of one of
our cores with its pool left out and 6 ms with it, this 0.1 ms. It asks for no compression, follows nothing, and understands what
RFC 9112 lets a server answer to that; anything else is a broken response. A test holds it against h11.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TypeVar

_Found = TypeVar("_Found")
_WITHOUT_BODY = (204, 304)
_PIECE = 1 << 16
# What a line or the head of a response may take.
_LONGEST_HEAD = 1 << 16


class BrokenResponseError(Exception):
    """The connection ended too early, or what came is not HTTP."""


@dataclass(frozen=True, slots=True)
class Head:
    """A response without its body."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; what came twice is joined by commas."""
    keeps_alive: bool
    is_chunked: bool
    length: int | None
    """Bytes of the body; None when chunks or the end of the connection tell."""


class Connection:
    """An open connection. After an exception it can only be closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._silence: float | None = None
        self._is_clean = True
        self._keeps_alive = self._is_chunked = False
        # Bytes that are left of the body or of the chunk; None when only the end of the connection tells.
        self._left: int | None = 0

    @classmethod
    async def open(cls, host: str, port: int, context: ssl.SSLContext | None) -> Connection:
        """Raises OSError when nobody is there."""
        reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=_LONGEST_HEAD)
        # A whole answer is silent for minutes; what is in between (NAT, a firewall) forgets silent connections.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return cls(reader, writer)

    async def encrypt(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """From here on through TLS: behind a proxy."""
        await self._writer.start_tls(context, server_hostname=server_hostname)

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent: the last response was read to its end, and the server has not hung up."""
        return self._is_clean and not self._reader.at_eof() and not self._writer.is_closing()

    async def send(self, data: bytes, silence: float | None) -> Head:
        """Post; `silence` is how many seconds may pass without a byte, None when the caller looks at the clock.

        Raises TimeoutError, OSError, BrokenResponseError.
        """
        self._silence, self._is_clean = silence, False
        self._writer.write(data)
        await self._soon(self._writer.drain())
        while (head := _parsed(await self._until(b"\r\n\r\n"))).status // 100 == 1:
            # Remarks on the way, such as 100 Continue and 103 Early Hints.
            pass
        self._is_chunked, self._left = head.is_chunked, 0 if head.is_chunked else head.length
        self._keeps_alive = head.keeps_alive
        return head

    async def piece(self) -> bytes:
        """The next bytes of the body, as they come; none when it has ended."""
        if self._is_clean:
            return b""
        if self._is_chunked and not self._left:
            self._left = await self._next_chunk()
            self._is_chunked = self._left > 0
        if self._left == 0:
            self._is_clean = self._keeps_alive
            self._keeps_alive = False
            return b""
        piece = await self._soon(self._reader.read(_PIECE if self._left is None else min(self._left, _PIECE)))
        if self._left is None:
            return piece
        if not piece:
            raise BrokenResponseError(f"{self._left:,} bytes are missing at the end")
        self._left -= len(piece)
        if self._is_chunked and not self._left and await self._until(b"\r\n") != b"\r\n":
            raise BrokenResponseError("a chunk longer than it says")
        return piece

    def close(self) -> None:
        """At once: what was not sent yet is not sent."""
        self._writer.transport.abort()

    async def _next_chunk(self) -> int:
        """Its size; 0 after the last one and what trails it."""
        digits = (await self._until(b"\r\n")).split(b";", 1)[0].strip()
        # int() also takes signs, spaces and underscores.
        if not digits or digits.strip(b"0123456789abcdefABCDEF"):
            raise BrokenResponseError(f"a chunk of {digits[:20]!r} bytes")
        size = int(digits, 16)
        if size == 0:
            while await self._until(b"\r\n") != b"\r\n":
                pass
        return size

    async def _until(self, mark: bytes) -> bytes:
        try:
            return await self._soon(self._reader.readuntil(mark))
        except asyncio.IncompleteReadError as error:
            raise BrokenResponseError("the connection was closed" if error.partial else "no response") from None
        except asyncio.LimitOverrunError:
            raise BrokenResponseError("a head or a line that does not end") from None

    async def _soon(self, waiting: Awaitable[_Found]) -> _Found:
        if self._silence is None:
            return await waiting
        async with asyncio.timeout(self._silence):
            return await waiting


def _parsed(data: bytes) -> Head:
    first, *lines = data[:-4].decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (
        len(status) == 3 and status.isdecimal() and rest[3:4] in ("", " ")
    ):
        raise BrokenResponseError(f"no HTTP: {first[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BrokenResponseError(f"no header: {line[:80]!r}")
        key, value = name.lower(), value.strip()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    is_chunked, length = _framing(headers)
    # Both a length and chunks: somebody on the way may have read it otherwise.
    ambiguous = is_chunked and length is not None
    keeps_alive = version == "HTTP/1.1" and "close" not in headers.get("connection", "").lower() and not ambiguous
    if int(status) in _WITHOUT_BODY:
        is_chunked, length = False, 0
    return Head(int(status), headers, keeps_alive, is_chunked, None if is_chunked else length)


def _framing(headers: Mapping[str, str]) -> tuple[bool, int | None]:
    """Whether the body comes in chunks, and how long it says it is."""
    coding, text = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None and coding.lower() != "chunked":
        raise BrokenResponseError(f"a Transfer-Encoding of {coding!r}")
    if text is None:
        return coding is not None, None
    # Sent twice and equal is allowed.
    lengths = {part.strip() for part in text.split(",")}
    if len(lengths) != 1 or not (value := lengths.pop()).isdecimal():
        raise BrokenResponseError(f"a Content-Length of {text!r}")
    return coding is not None, int(value)
