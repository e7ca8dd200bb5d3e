"""BlockPool: who owns which block of keys and values, and which blocks hold a beginning that others can use.

A full block is known by its tokens and all tokens before them. When its last reader goes, it stays as long as nobody
needs the room: the next prompt that begins the same way finds it. The pool never grows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

Key = bytes


def next_key(before: Key, tokens: Sequence[int]) -> Key:
    """Of a block that holds `tokens`, behind the block whose key is `before` (for the first: what adapter reads them)."""
    return blake2b(before + np.asarray(tokens, np.int64).tobytes(), digest_size=16).digest()


class BlockPool:
    """Counts readers of blocks. A block is free, or read by some, or idle: read by nobody, but still of use."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._free = list(range(num_blocks))[::-1]
        self._num_readers = [0] * num_blocks
        self._key_of: dict[int, Key] = {}
        self._block_of: dict[Key, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._num_promised = 0

    @property
    def num_read(self) -> int:
        """Blocks that somebody reads."""
        return self.num_blocks - len(self._free) - len(self._idle)

    @property
    def num_left(self) -> int:
        """Blocks that can still be promised."""
        return len(self._free) + len(self._idle) - self._num_promised

    def known(self, keys: Iterable[Key]) -> list[int]:
        """Blocks that hold the longest beginning; not yet read by the caller."""
        blocks: list[int] = []
        for key in keys:
            if key not in self._block_of:
                break
            blocks.append(self._block_of[key])
        return blocks

    def num_idle(self, blocks: Iterable[int]) -> int:
        """How many of `blocks` nobody reads: reading these takes them from what is left."""
        return sum(block in self._idle for block in blocks)

    def read(self, blocks: Iterable[int]) -> None:
        """Become a reader of `blocks`."""
        for block in blocks:
            self._idle.pop(block, None)
            self._num_readers[block] += 1

    def promise(self, num_blocks: int) -> None:
        """Set blocks aside for `take`."""
        assert num_blocks <= self.num_left
        self._num_promised += num_blocks

    def forgive(self, num_blocks: int) -> None:
        """Give back promised blocks that will not be taken."""
        self._num_promised -= num_blocks

    def take(self) -> int:
        """A block that was promised, empty, with the caller as its reader. The idle block that rested longest goes first."""
        self._num_promised -= 1
        if not self._free:
            block, _ = self._idle.popitem(last=False)
            del self._block_of[self._key_of.pop(block)]
            self._free.append(block)
        block = self._free.pop()
        self._num_readers[block] = 1
        return block

    def publish(self, block: int, key: Key) -> None:
        """Say what a full block holds; the first one that holds it stays the known one."""
        if key not in self._block_of and block not in self._key_of:
            self._key_of[block], self._block_of[key] = key, block

    def release(self, blocks: Iterable[int]) -> int:
        """Stop reading `blocks`; returns how many of them nobody reads now. A beginning outlives what followed it."""
        num_unread = 0
        for block in reversed(list(blocks)):
            self._num_readers[block] -= 1
            if self._num_readers[block] == 0:
                num_unread += 1
                if block in self._key_of:
                    self._idle[block] = None
                else:
                    self._free.append(block)
        return num_unread

    def forget(self) -> None:
        """Drop all that is idle."""
        for block in self._idle:
            del self._block_of[self._key_of.pop(block)]
            self._free.append(block)
        self._idle.clear()
