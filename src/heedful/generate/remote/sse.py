"""Server-sent events: bytes in any pieces -> the data of each event.

As the HTML standard describes them: lines end with LF, CR or CRLF, a blank line ends an event, lines that begin with a
colon are comments. Fields other than `data` say nothing here. Pieces may be cut anywhere, also inside a character.
"""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventParser:
    """One stream. `feed` returns what became complete, `end` what the last bytes held without a blank line after them."""

    def __init__(self) -> None:
        # Parts of a line are joined when it ends: a long line that comes in small pieces stays linear.
        self._unfinished: list[bytes] = []
        self._after_return = False
        self._first_line = True
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of all events that end in `piece`."""
        if self._after_return and piece:
            # The second half of a CRLF whose first half ended the line already.
            piece = piece.removeprefix(b"\n")
            self._after_return = False
        if not piece:
            return []
        first, *others = _LINE_END.split(piece)
        self._after_return = piece.endswith(b"\r")
        self._unfinished.append(first)
        if not others:
            return []
        lines = [b"".join(self._unfinished), *others[:-1]]
        self._unfinished = [others[-1]]
        return [event for line in lines if (event := self._line(line)) is not None]

    def end(self) -> list[bytes]:
        """An event that nothing followed: some servers leave out the last blank line."""
        last = [self._line(b"".join(self._unfinished)), self._line(b"")]
        self._unfinished = []
        return [event for event in last if event is not None]

    def _line(self, line: bytes) -> bytes | None:
        if self._first_line:
            line, self._first_line = line.removeprefix(_BYTE_ORDER_MARK), False
        if not line:
            event, self._data = self._data, []
            return b"\n".join(event) if event else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        return None
