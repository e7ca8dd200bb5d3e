"""HTTP/1.1 responses: bytes in any pieces -> head and body.

Written here, with `connections.py`, because at 64 requests in flight the client has half a millisecond for each: httpx takes 1.3 ms of
one of our cores with its pool left out and 6 ms with it, this less than 0.1 ms. We ask for no compression and follow nothing, so this
is what RFC 9112 lets a server answer; anything else is a broken response. A test holds it against h11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# What a line or the head of a response may take.
_LONGEST_HEAD = 1 << 16
_WITHOUT_BODY = (204, 304)
_HEXADECIMAL = b"0123456789abcdefABCDEF"


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


class ResponseReader:
    """One response. `feed` returns the bytes of the body that came, `end` says that the connection was closed."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.is_complete = False
        self._rest = bytearray()
        # Bytes that are left of the body or of the chunk; None when only the end of the connection tells.
        self._left: int | None = 0
        # What follows a chunk's bytes, and what follows the last chunk.
        self._is_after_chunk = self._is_trailing = False

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection can be used again: nothing came that was not asked for."""
        return self.is_complete and self.head is not None and self.head.keeps_alive and not self._rest

    def feed(self, data: bytes) -> bytes:
        """Raises BrokenResponseError."""
        self._rest += data
        while self.head is None:
            if (block := self._until(b"\r\n\r\n")) is None:
                return b""
            head = _parsed(block)
            # Remarks on the way, such as 100 Continue and 103 Early Hints, are no answer.
            if head.status // 100 != 1:
                self.head, self._left = head, 0 if head.is_chunked else head.length
                self.is_complete = self._left == 0 and not head.is_chunked
        if self.is_complete:
            return b""
        if self.head.is_chunked:
            return self._chunks()
        body = self._taken()
        self.is_complete = self._left == 0
        return body

    def end(self) -> None:
        """Raises BrokenResponseError when something is missing."""
        if self.head is None:
            raise BrokenResponseError("the connection was closed" if self._rest else "no response")
        if self._left is not None and not self.is_complete:
            raise BrokenResponseError("the end of the body is missing")
        self.is_complete = True

    def _chunks(self) -> bytes:
        parts = []
        while True:
            if self._left:
                parts.append(self._taken())
                if self._left:
                    break
                self._is_after_chunk = True
            if (line := self._until(b"\r\n")) is None:
                break
            if self._is_after_chunk:
                if line:
                    raise BrokenResponseError("a chunk longer than it says")
                self._is_after_chunk = False
            elif self._is_trailing:
                if not line:
                    self.is_complete = True
                    break
            else:
                self._left = _size(line)
                self._is_trailing = self._left == 0
        return b"".join(parts)

    def _taken(self) -> bytes:
        """What is there of the body or of the chunk."""
        size = len(self._rest) if self._left is None else min(self._left, len(self._rest))
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        if self._left is not None:
            self._left -= size
        return taken

    def _until(self, mark: bytes) -> bytes | None:
        """What comes before `mark`, which is removed; None as long as it is not there."""
        place = self._rest.find(mark)
        if place > _LONGEST_HEAD or (place < 0 and len(self._rest) > _LONGEST_HEAD):
            raise BrokenResponseError("a head or a line that does not end")
        if place < 0:
            return None
        found = bytes(self._rest[:place])
        del self._rest[: place + len(mark)]
        return found


def _size(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    # int() also takes signs, spaces and underscores.
    if not digits or digits.strip(_HEXADECIMAL):
        raise BrokenResponseError(f"a chunk of {digits[:20]!r} bytes")
    return int(digits, 16)


def _parsed(block: bytes) -> Head:
    first, *lines = block.decode("latin-1").split("\r\n")
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
    if "," in text:
        # Sent twice and equal is allowed.
        text, *others = {part.strip() for part in text.split(",")}
        if others:
            raise BrokenResponseError("two Content-Lengths that differ")
    if not text.isdecimal():
        raise BrokenResponseError(f"a Content-Length of {text!r}")
    return coding is not None, int(text)
