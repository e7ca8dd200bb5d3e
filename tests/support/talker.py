"""`heedful chat` with a model that says what it heard, so that a test at a terminal need not load a real one.

    python talker.py FOLDER      conversations in FOLDER/feedback.sqlite, history in FOLDER/chat_history

A message with "long" in it is answered word by word for many seconds, one with "steer" with what would rename a
terminal's window, and any other with its own text as Python writes it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from heedful.cli.chat.conversation import Chat, Voice
from heedful.cli.chat.dialogue import Dialogue
from heedful.cli.chat.reading import reader_for
from heedful.cli.chat.screen import Screen
from heedful.feedback.store import Store
from heedful.generate.engine import Event, Request, Sampling
from heedful.generate.fake import FakeEngine, FakeHandle

STEERING = "\x1b]0;owned\x07\x1b[2Jsafe \x9b31m\u202e"


class Slowly:
    """A handle whose words take time."""

    def __init__(self, handle: FakeHandle, seconds: float) -> None:
        self._handle, self._seconds = handle, seconds

    def __iter__(self) -> Iterator[Event]:
        for event in self._handle:
            time.sleep(self._seconds)
            yield event

    def cancel(self) -> None:
        self._handle.cancel()


class Hearing(FakeEngine):
    """Says what it was told."""

    def __init__(self) -> None:
        super().__init__(_answer)

    def submit(self, request: Request) -> Slowly:
        return Slowly(super().submit(request), 0.02)


class OneVoice:
    """Stands for the project's models."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def voice(self, name: str) -> Voice:
        return self._voice

    def describe(self, id: str) -> str:
        return id


def _answer(request: Request) -> str:
    said = request.messages[-1].content
    if "long" in said:
        return " ".join(f"word{number}" for number in range(2000))
    return STEERING if "steer" in said else f"heard {said!r} after {len(request.messages)}"


def main(folder: Path) -> None:
    store = Store(f"sqlite:///{folder / 'feedback.sqlite'}")
    voice = Voice("hearing", Hearing())
    reader = reader_for(folder / "chat_history")
    chat = Chat(store, voice, sampling=Sampling(max_tokens=5000))
    Dialogue(chat, OneVoice(voice), reader, Screen(interactive=reader.interactive)).run()
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
