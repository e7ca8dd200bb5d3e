"""Small conversations, a watcher that records or breaks off, and a tiny model for training tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heedful.project import Silent
from heedful.records import Example, Message, Split, origin_id

Conversation = Callable[..., Example]


class Recorder(Silent):
    """Remembers milestones and lines; raises KeyboardInterrupt at the `stop_at`-th milestone (from 1)."""

    def __init__(self, stop_at: int = 0) -> None:
        self.milestones: list[str] = []
        self.lines: list[str] = []
        self.notes: list[str] = []
        self._stop_at = stop_at

    def milestone(self, name: str) -> None:
        self.milestones.append(name)
        if len(self.milestones) == self._stop_at:
            raise KeyboardInterrupt(name)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def advance(self, task: str, amount: int, note: str) -> None:
        self.notes.append(note)


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def conversation() -> Conversation:
    """An example of one question and one answer, with an id of its own."""

    def make(question: str, answer: str, *, split: Split = "train", weight: float = 1.0, **values: Any) -> Example:
        messages = (Message("user", question), Message("assistant", answer))
        place = f"{split}:{question}:{answer}"
        return Example(origin_id("test", place), messages, "import", "test", split=split, weight=weight, **values)

    return make


@pytest.fixture
def small_data(conversation: Conversation) -> list[Example]:
    """Seven training rows and three validation rows, of different lengths."""
    train = [conversation(f"add {n} and {n}", f"the sum is {2 * n}" + " ok" * n) for n in range(7)]
    return train + [conversation(f"add {n} to {n}", f"it is {2 * n}", split="validation") for n in range(7, 10)]


@pytest.fixture
def folder_bytes() -> Callable[[Path], dict[str, bytes]]:
    """What a folder holds, by relative path."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    return read
