"""One open connection, used for one request at a time: sends bytes, waits for the response, looks at the clock."""

from __future__ import annotations

import asyncio
import socket
import ssl

from heedful.generate.remote.http1 import BrokenResponseError, Head, ResponseReader

# No answer is longer; a server that never ends must not fill the memory.
_MOST_BYTES = 64 << 20


class Connection(asyncio.Protocol):
    """After an exception it can only be closed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._reader = ResponseReader()
        self._body = bytearray()
        self._num_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._is_whole = self._is_lost = False
        self._failure: Exception | None = None
        self._seconds, self._deadline = 0.0, 0.0
        self._timer: asyncio.TimerHandle | None = None
        # Before the first request it is as good as after a complete response.
        self._is_new = True

    @classmethod
    async def open(cls, host: str, port: int, context: ssl.SSLContext | None) -> Connection:
        """Raises OSError when nobody is there."""
        transport, connection = await asyncio.get_running_loop().create_connection(cls, host, port, ssl=context)
        # A whole answer is silent for minutes; what is in between (NAT, a firewall) forgets silent connections.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    async def encrypt(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """From here on through TLS: behind a proxy."""
        transport = await self._loop.start_tls(self._transport, self, context, server_hostname=server_hostname)
        assert transport is not None
        self._transport, self._is_new = transport, True

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent: the last response was read to its end, and the server has not hung up."""
        is_free = self._is_new or (self._reader.keeps_alive and not self._body)
        return is_free and not self._is_lost and self._failure is None and not self._transport.is_closing()

    async def send(self, data: bytes, seconds: float, *, whole: bool) -> Head:
        """Post, and wait for the head of the response; with `whole` for the end of its body.

        Raises TimeoutError after `seconds`; without `whole` they begin anew with every byte that comes, also in `piece`. Raises OSError
        and BrokenResponseError.
        """
        self._reader, self._num_bytes, self._is_whole, self._is_new = ResponseReader(), 0, whole, False
        self._seconds, self._deadline = seconds, self._loop.time() + seconds
        self._transport.write(data)
        while self._reader.head is None or (whole and not self._reader.is_complete):
            await self._wait()
        return self._reader.head

    async def piece(self) -> bytes:
        """The next bytes of the body, as they come; none when it has ended."""
        while not self._body and not self._reader.is_complete:
            await self._wait()
        piece = bytes(self._body)
        self._body.clear()
        return piece

    def close(self) -> None:
        """At once: what was not sent yet is not sent."""
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_lost:
            raise BrokenResponseError("the connection was closed")
        self._watch()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._failure is not None:
            raise self._failure

    # -- the clock: one alarm for many requests, since nearly all of them are answered long before --------------------------------

    def _watch(self) -> None:
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline:
            self._watch()
        else:
            self._fail(TimeoutError())

    # -- called by the loop ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._num_bytes += len(data)
        if not self._is_whole:
            self._deadline = self._loop.time() + self._seconds
        try:
            self._body += self._reader.feed(data)
            if self._num_bytes > _MOST_BYTES:
                raise BrokenResponseError(f"more than {_MOST_BYTES:,} bytes")
        except BrokenResponseError as error:
            self._fail(error)
            return
        if self._reader.is_complete or not self._is_whole:
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        try:
            if error is not None:
                raise error
            self._reader.end()
        except (OSError, BrokenResponseError) as failure:
            self._fail(failure)
        else:
            self._wake()

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
