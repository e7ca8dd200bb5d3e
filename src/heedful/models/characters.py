"""Text <-> ids without a tokenizer: one id per character, or per byte of its UTF-8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from heedful.errors import InputError
from heedful.metrics.bits import SPELLING


class TextIds(Protocol):
    """Turns texts into ids below `num_ids`, or into `num_ids` itself for what has no id."""

    @property
    def num_ids(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def spelling(self, text: str) -> float:
        """Log-likelihood of what the ids do not tell of the text: which characters the unknown ones are. At most 0."""


@dataclass(frozen=True, slots=True)
class ByteIds:
    """The 256 bytes; any text has ids, and they tell all of it."""

    @property
    def num_ids(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8"))

    def spelling(self, text: str) -> float:
        return 0.0


@dataclass(frozen=True)
class CharacterIds:
    """Characters in order of their ids; the id behind the last stands for every other character."""

    characters: str

    def __post_init__(self) -> None:
        twice = [character for character, number in Counter(self.characters).items() if number > 1]
        if twice or not self.characters:
            raise InputError(f"expected different characters, at least one; got {twice[0]!r} twice" if twice
                             else "expected at least one character; got an empty vocabulary")  # fmt: skip

    @classmethod
    def of(cls, texts: Iterable[str]) -> CharacterIds:
        """All characters that occur, sorted by code point."""
        return cls("".join(sorted(set().union(*texts))))

    @property
    def num_ids(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> list[int]:
        ids = self._ids
        return [ids.get(character, len(ids)) for character in text]

    def spelling(self, text: str) -> float:
        ids = self._ids
        return SPELLING * sum(character not in ids for character in text)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.characters)}
