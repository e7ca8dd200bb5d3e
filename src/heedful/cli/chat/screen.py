"""What a chat shows: answers on standard output, remarks beside them. Nothing that others wrote steers the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from heedful.text import visible

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class Screen:
    """A terminal gets remarks among the answers, dimmed; for a pipe they go to standard error, without colours."""

    def __init__(self, *, interactive: bool) -> None:
        self._answers: TextIO = sys.stdout
        self._remarks: TextIO = sys.stdout if interactive else sys.stderr
        self._dims = interactive and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show Chinese shows its codes: better than to stop in the middle of an answer.
            getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")

    def answer(self, pieces: Iterable[str]) -> None:
        """Show an answer as it comes, and end its last line."""
        try:
            for piece in pieces:
                self._answers.write(visible(piece))
                self._answers.flush()
        finally:
            self._answers.write("\n")
            self._answers.flush()

    def remark(self, text: str) -> None:
        """Say something that is not part of an answer."""
        shown = visible(text)
        self._remarks.write(f"{_DIM}{shown}{_PLAIN}\n" if self._dims else f"{shown}\n")
        self._remarks.flush()
