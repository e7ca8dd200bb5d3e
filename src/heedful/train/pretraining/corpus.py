"""What pretraining reads: documents, one after the other, in parts that need not fit into memory together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from heedful.records import digest

BLOCK = 1 << 16
"""Characters that are tokenized together, at least."""

# Places where a text may be cut without changing its tokens: after a line break, before a single space between words,
# and after a Chinese full stop or comma. `tokenizer.PATTERN` never reaches over them.
_CUT = re.compile(r"\n(?=\S)|(?<=\S)(?= \S)|(?<=[。！？；，])(?=[\u4e00-\u9fff])")


class Corpus(Protocol):
    """Texts that can be read several times, and are the same every time."""

    @property
    def identity(self) -> str:
        """A hash of everything that will be read."""

    @property
    def num_bytes(self) -> int:
        """About how much there is to read, for estimates."""

    def documents(self) -> Iterator[Iterable[str]]:
        """Each document as its parts, in order; parts are read before the next document is asked for."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Documents in memory."""

    texts: Sequence[str]

    @property
    def identity(self) -> str:
        return digest(["texts", *self.texts])

    @property
    def num_bytes(self) -> int:
        return sum(len(text.encode()) for text in self.texts)

    def documents(self) -> Iterator[Iterable[str]]:
        return ([text] for text in self.texts)


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a document."""

    text: str
    is_first: bool
    is_last: bool


def blocks(corpus: Corpus) -> Iterator[Block]:
    """All documents in stretches of BLOCK characters or a little more; documents without text are left out.

    Where stretches end depends on the text alone, not on the parts that it came in.
    """
    for parts in corpus.documents():
        waiting, is_first = "", True
        for text in _stretches(parts):
            if waiting:
                yield Block(waiting, is_first, is_last=False)
                is_first = False
            waiting = text
        if waiting:
            yield Block(waiting, is_first, is_last=True)


def _stretches(parts: Iterable[str]) -> Iterator[str]:
    buffer = ""
    for part in parts:
        buffer += part
        # Two more characters: the patterns look ahead.
        while len(buffer) >= 2 * BLOCK + 2:
            found = _CUT.search(buffer, BLOCK - 1, 2 * BLOCK + 2)
            # 64 thousand characters without a place to cut are no prose: a cut anywhere keeps the text, if not its tokens.
            end = found.end() if found and 0 < found.end() <= 2 * BLOCK else 2 * BLOCK
            yield buffer[:end]
            buffer = buffer[end:]
    if buffer:
        yield buffer
