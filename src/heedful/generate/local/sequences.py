"""Sequences of tokens whose keys and values lie in blocks, and what they share: beginnings, and the branches of a beam search.

Room for an answer's whole length is promised when it is admitted; an answer that has begun never waits for memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from heedful.generate.local.blocks import BlockPool, Key, next_key
from heedful.generate.local.kernels.adapters import Adapter
from heedful.generate.local.kernels.attention import BLOCK


class Room:
    """Blocks that are promised to one answer, whatever the number of its branches."""

    def __init__(self) -> None:
        self.num_promised = 0


class Branch:
    """Tokens of which the first `num_read` have keys and values in `blocks`. One answer has one, or as many as beams."""

    def __init__(self, ids: Sequence[int], max_length: int, *, salt: str = "", adapter: Adapter | None = None) -> None:
        """`salt` names the adapter, or whatever else reads tokens in its own way. Ids below zero are an adapter's virtual tokens."""
        self.ids = list(ids)
        self.adapter = adapter
        self.num_read = 0
        self.blocks: list[int] = []
        self.table = np.zeros(-(-max_length // BLOCK), np.int64)
        self.room = Room()
        self.announced: list[Key] = []
        """Of the prompt's blocks that are still to be read: others wait for them instead of reading the same."""
        self.can_be_shared = True
        """Whether others may use its blocks when they are full."""
        self._keys: list[Key] = [salt.encode()]

    @property
    def num_unread(self) -> int:
        return len(self.ids) - self.num_read

    def keys(self, num_tokens: int) -> list[Key]:
        """Of the full blocks among the first `num_tokens`."""
        while len(self._keys) <= num_tokens // BLOCK:
            end = len(self._keys) * BLOCK
            self._keys.append(next_key(self._keys[-1], self.ids[end - BLOCK : end]))
        return self._keys[1 : num_tokens // BLOCK + 1]

    def own(self, blocks: Sequence[int]) -> None:
        """Go on in `blocks`."""
        self.table[len(self.blocks) : len(self.blocks) + len(blocks)] = blocks
        self.blocks += blocks

    def twin(self) -> Branch:
        """A branch of the same answer that holds nothing yet."""
        twin = Branch(self.ids, len(self.table) * BLOCK, adapter=self.adapter)
        twin.num_read, twin.room, twin.can_be_shared = self.num_read, self.room, False
        return twin


class Sequences:
    """The pool, and which beginnings are being read just now."""

    def __init__(self, num_blocks: int) -> None:
        self.pool = BlockPool(num_blocks)
        self._coming: Counter[Key] = Counter()

    def admit(self, branch: Branch, num_shareable: int, *, num_branches: int = 1, num_spared: int = 0) -> bool:
        """Give room to a new answer that will have `num_branches`, and the blocks that hold its first `num_shareable`
        tokens already: what follows is read, for its logits are wanted. `num_spared` blocks are left to others. False: not now."""
        keys = branch.keys(num_shareable)
        if self.is_coming(branch, num_shareable):
            return False
        blocks = self.pool.known(keys)
        wanted = num_blocks(branch, num_branches) - len(blocks)
        if wanted + self.pool.num_idle(blocks) > self.pool.num_left - num_spared:
            return False
        self.pool.read(blocks)
        self.pool.promise(wanted)
        branch.room.num_promised = wanted
        branch.own(blocks)
        branch.num_read = len(blocks) * BLOCK
        branch.announced = keys[len(blocks) :]
        self._coming.update(branch.announced)
        return True

    def is_coming(self, branch: Branch, num_shareable: int) -> bool:
        """Somebody reads the next block that `branch` could share."""
        keys = branch.keys(num_shareable)
        num_known = len(self.pool.known(keys))
        return num_known < len(keys) and self._coming[keys[num_known]] > 0

    def advance(self, branch: Branch, num_tokens: int) -> None:
        """Make room for the next tokens, which the coming step reads. Blocks that get full serve others at once: all of
        a step's keys and values of a layer are written before any of them is looked at."""
        end = branch.num_read + num_tokens
        while len(branch.blocks) * BLOCK < end:
            branch.own([self._taken(branch.room)])
        if branch.can_be_shared:
            keys = branch.keys(end)
            for number in range(branch.num_read // BLOCK, end // BLOCK):
                self.pool.publish(branch.blocks[number], keys[number])
        num_arrived = min(end // BLOCK - branch.num_read // BLOCK, len(branch.announced))
        self._coming.subtract(branch.announced[:num_arrived])
        branch.announced = branch.announced[num_arrived:]
        branch.num_read = end

    def branched(
        self, branches: Sequence[Branch], parents: Sequence[int], copy: Callable[[int, int], None]
    ) -> list[Branch]:
        """For each of `parents` (places in `branches`) a branch that begins like it; those without children are let go.

        A parent goes on as its first child. Others share its full blocks; `copy(source, target)` copies the last one, in
        which each writes its own tokens.
        """
        for place, branch in enumerate(branches):
            if place not in parents:
                # What it held is promised to its sisters again: they may need as much before the end.
                num_freed = self.pool.release(branch.blocks)
                self.pool.promise(num_freed)
                branch.room.num_promised += num_freed
                branch.blocks = []
        for parent in set(parents):
            # Blocks of branches are nobody else's, so that what is promised suffices.
            branches[parent].can_be_shared = False
        children: list[Branch] = []
        for number, place in enumerate(parents):
            is_first = place not in parents[:number]
            children.append(branches[place] if is_first else self._forked(branches[place], copy))
        return children

    def _forked(self, branch: Branch, copy: Callable[[int, int], None]) -> Branch:
        twin, num_full = branch.twin(), branch.num_read // BLOCK
        self.pool.read(branch.blocks[:num_full])
        twin.own(branch.blocks[:num_full])
        if branch.num_read % BLOCK:
            twin.own([self._taken(branch.room)])
            copy(branch.blocks[num_full], twin.blocks[num_full])
        return twin

    def _taken(self, room: Room) -> int:
        room.num_promised -= 1
        assert room.num_promised >= 0, "an answer takes no more than it was promised"
        return self.pool.take()

    def release(self, branches: Sequence[Branch]) -> None:
        """Let go of an answer's branches, finished or not."""
        for branch in branches:
            self._coming.subtract(branch.announced)
            self.pool.forgive(branch.room.num_promised)
            self.pool.release(branch.blocks)
            branch.room.num_promised, branch.blocks, branch.announced = 0, [], []
        self._coming += Counter()  # Drops what has come down to zero.


def num_blocks(branch: Branch, num_branches: int) -> int:
    """That an answer needs: the prompt's full blocks are shared by all branches, each has all others of its own."""
    num_common = len(branch.ids) // BLOCK
    return num_common + num_branches * (len(branch.table) - num_common)
