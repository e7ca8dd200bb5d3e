"""What a person types: whole messages from a terminal, with history and editing, or plain lines from a pipe.

In both, a line that ends with a backslash goes on in the next. On a terminal Alt+Enter makes a new line too, and what
is pasted stays as it is, however many lines it has, until Enter sends it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any, Protocol

from heedful.errors import InputError

_GOES_ON = "\\"


def sound(text: str) -> str:
    """`text` with the halves of characters that a terminal may deliver replaced: nobody can keep or encode them."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Reader(Protocol):
    """Where messages come from."""

    interactive: bool
    """A person sits there: mistakes are told and the chat goes on."""

    def read(self, prompt: str = "> ", *, draft: str | None = None) -> str:
        """The next message; a `draft` is offered for editing. Raises EOFError at the end, KeyboardInterrupt at Ctrl-C."""


def reader_for(history: Path) -> Reader:
    """A terminal's, when there is one at both ends; else lines of standard input."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return TerminalReader(history)
    return LineReader(sys.stdin.buffer)


class LineReader:
    """Messages from UTF-8 lines; empty lines between them are passed over."""

    interactive = False

    def __init__(self, lines: IO[bytes]) -> None:
        self._lines = lines
        self._number = 0

    def read(self, prompt: str = "> ", *, draft: str | None = None) -> str:
        """The next message that says something."""
        parts: list[str] = []
        while (line := self._line()) is not None:
            if line.endswith(_GOES_ON):
                parts.append(line.removesuffix(_GOES_ON))
            elif parts or line.strip():
                return "\n".join([*parts, line])
        if parts:
            return "\n".join(parts)
        raise EOFError

    def _line(self) -> str | None:
        raw = self._lines.readline()
        if not raw:
            return None
        self._number += 1
        try:
            # Some editors begin a file with a mark of the byte order.
            text = raw.decode("utf-8-sig" if self._number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"standard input, line {self._number}: not UTF-8 at byte {error.start}; convert it, for example with iconv"
            ) from None
        return text.rstrip("\r\n")


class TerminalReader:
    """Messages from a person at a terminal. Wide characters and input methods are prompt_toolkit's business."""

    interactive = True

    def __init__(self, history: Path) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import InMemoryHistory

        self._messages: PromptSession[str] = PromptSession(history=_kept_history(history), **_editing())
        self._drafts: PromptSession[str] = PromptSession(history=InMemoryHistory(), **_editing())

    def read(self, prompt: str = "> ", *, draft: str | None = None) -> str:
        """Edit until Enter; a draft is edited in place, and what comes of it is not in the history."""
        session = self._messages if draft is None else self._drafts
        return sound(session.prompt(prompt, default=draft or ""))


def _editing() -> dict[str, Any]:
    return {
        "multiline": True,
        "key_bindings": _keys(),
        "prompt_continuation": lambda width, number, wraps: "" if wraps else "." * (width - 1) + " ",
        "enable_suspend": True,
        "reserve_space_for_menu": 0,
    }


def _keys() -> Any:
    from prompt_toolkit.enums import DEFAULT_BUFFER
    from prompt_toolkit.filters import has_focus
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=typing)
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith(_GOES_ON) and buffer.document.is_cursor_at_the_end:
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=typing)
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys


def _kept_history(path: Path) -> Any:
    """The project's history of messages, which only its owner may read."""
    from prompt_toolkit.history import FileHistory

    class KeptHistory(FileHistory):
        def store_string(self, string: str) -> None:
            super().store_string(sound(string))

    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    return KeptHistory(path)
