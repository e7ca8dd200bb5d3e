"""PagedRunner: continuous batching over a KernelModel. Answers join and leave at every step, long prompts come in pieces.

Keys and values lie in blocks that sequences share as far as they begin the same way: a system prompt, a passage, the
examples before a question, the prompt of n answers. Room for an answer's whole length is promised when it joins, so one
that has begun never waits for memory; what does not fit waits in the queue.

All arithmetic is by row: what an answer says does not depend on what else runs.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
import torch

from heedful.generate.local.blocks import BlockPool, Key, next_key
from heedful.generate.local.choosing import choose
from heedful.generate.local.kernels.attention import BLOCK
from heedful.generate.local.kernels.model import KernelModel
from heedful.generate.local.rows import Row
from heedful.generate.local.shelf import Shelf


class _Sequence:
    """Tokens of which the first `num_read` have keys and values in `blocks`."""

    def __init__(self, ids: Sequence[int], max_length: int, salt: str = "") -> None:
        self.ids = list(ids)
        self.num_read = 0
        self.blocks: list[int] = []
        self.table = np.zeros(-(-max_length // BLOCK), np.int64)
        self.num_promised = 0
        self.adapter = 0
        """Address of an adapter's table; 0 for none."""
        self.announced: list[Key] = []
        """Of the prompt's blocks that are still to be read: others wait for them instead of reading the same."""
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


class _Shared:
    """The pool, and which beginnings are being read just now."""

    def __init__(self, num_blocks: int) -> None:
        self.pool = BlockPool(num_blocks)
        self._coming: Counter[Key] = Counter()

    def admit(self, sequence: _Sequence, num_shareable: int, *, num_spared: int = 0) -> bool:
        """Give room to a new sequence, and the blocks that hold its first `num_shareable` tokens already: what follows
        is read, for its logits are wanted. `num_spared` blocks are left to others. False: not now."""
        keys = sequence.keys(num_shareable)
        if self.is_coming(sequence, num_shareable):
            return False
        blocks = self.pool.known(keys)
        wanted = len(sequence.table) - len(blocks)
        if wanted + self.pool.num_idle(blocks) > self.pool.num_left - num_spared:
            return False
        self.pool.read(blocks)
        self.pool.promise(wanted)
        sequence.num_promised = wanted
        sequence.own(blocks)
        sequence.num_read = len(blocks) * BLOCK
        sequence.announced = keys[len(blocks) :]
        self._coming.update(sequence.announced)
        return True

    def is_coming(self, sequence: _Sequence, num_shareable: int) -> bool:
        """Somebody reads the next block that `sequence` could share."""
        keys = sequence.keys(num_shareable)
        num_known = len(self.pool.known(keys))
        return num_known < len(keys) and self._coming[keys[num_known]] > 0

    def advance(self, sequence: _Sequence, num_tokens: int) -> None:
        """Make room for the next tokens, which the coming step reads. Blocks that get full serve others at once: all of
        a step's keys and values of a layer are written before any of them is looked at."""
        end = sequence.num_read + num_tokens
        while len(sequence.blocks) * BLOCK < end:
            sequence.own([self.pool.take()])
            sequence.num_promised -= 1
        keys = sequence.keys(end)
        for number in range(sequence.num_read // BLOCK, end // BLOCK):
            self.pool.publish(sequence.blocks[number], keys[number])
        num_arrived = min(end // BLOCK - sequence.num_read // BLOCK, len(sequence.announced))
        self._coming.subtract(sequence.announced[:num_arrived])
        sequence.announced = sequence.announced[num_arrived:]
        sequence.num_read = end

    def release(self, sequence: _Sequence) -> None:
        """Let go of a sequence, finished or not."""
        self._coming.subtract(sequence.announced)
        self._coming += Counter()  # Drops what has come down to zero.
        self.pool.forgive(sequence.num_promised)
        self.pool.release(sequence.blocks)
        sequence.num_promised, sequence.blocks, sequence.announced = 0, [], []


class _Scored:
    """Ids of which the last few are scored."""

    def __init__(self, place: int, ids: Sequence[int], num_scored: int, *, shares: bool) -> None:
        self.place, self.ids = place, ids
        # What comes after the last id is not asked for, so it is not read.
        self.sequence = _Sequence(ids[:-1], len(ids) - 1)
        self.num_unscored = len(ids) - 1 - num_scored
        self.num_shareable = self.num_unscored if shares else 0
        """Nobody asks for the logits after these."""


class PagedRunner:
    """Runs rows from a queue."""

    def __init__(self, model: KernelModel, shelf: Shelf, *, max_batch: int, shares: bool = True) -> None:
        """`shares`: sequences that begin the same way read the beginning once; benches switch it off."""
        self._shares, self._shelf = shares, shelf
        self._model, self._max_batch = model, min(max_batch, model.max_rows)
        self._shared = _Shared(model.num_blocks)
        self._running: list[tuple[Row, _Sequence]] = []
        # Scores are computed between steps: answers leave them room for one item of any length.
        self._num_spared = -(-model.max_length // BLOCK)

    @property
    def rows(self) -> list[Row]:
        """Those that are being written."""
        return [row for row, _ in self._running if not row.finished]

    @property
    def num_tokens_kept(self) -> int:
        """Room that running answers hold, in tokens."""
        return self._shared.pool.num_read * BLOCK

    def step(self, queue: deque[Row]) -> None:
        """Read the next tokens of as many answers as fit, and write one for each whose tokens are all read."""
        self.tidy()
        work = self._planned(queue)
        wanted = [not sequence.num_unread for _, sequence, _ in work]
        logits = self._read(
            [(sequence, count, int(is_wanted)) for (_, sequence, count), is_wanted in zip(work, wanted, strict=True)]
        )
        complete = [(row, sequence) for (row, sequence, _), is_wanted in zip(work, wanted, strict=True) if is_wanted]
        chosen = choose(logits, [row.chooser for row, _ in complete])
        for (row, sequence), token, row_logits in zip(complete, chosen, logits, strict=True):
            row.accept(token, row_logits)
            sequence.ids.append(token)
        self.tidy()

    def tidy(self) -> None:
        """Free what finished and cancelled rows hold."""
        for row, sequence in self._running:
            if row.finished:
                self._release(row, sequence)
        self._running = [(row, sequence) for row, sequence in self._running if not row.finished]

    def _release(self, row: Row, sequence: _Sequence) -> None:
        self._shared.release(sequence)
        if row.request.adapter:
            self._shelf.give_back(row.request.adapter)

    def abandon(self) -> None:
        """After a failed step nothing in the blocks can be trusted."""
        for row in self.rows:
            row.finish("error")
        self.tidy()
        self._shared = _Shared(self._model.num_blocks)

    def score(self, items: Sequence[tuple[Sequence[int], int]]) -> list[float]:
        """For each (ids, how many of the last are scored) their log-likelihood. Answers under way are not touched."""
        totals = [0.0] * len(items)
        waiting = deque(
            _Scored(place, ids, num_scored, shares=self._shares) for place, (ids, num_scored) in enumerate(items)
        )
        running: list[_Scored] = []
        while waiting or running:
            work: list[tuple[_Scored, int]] = []
            room = self._model.max_rows
            while room:
                if len(work) == len(running):
                    if not waiting or not self._shared.admit(waiting[0].sequence, waiting[0].num_shareable):
                        break
                    running.append(waiting.popleft())
                item = running[len(work)]
                count = min(room, item.sequence.num_unread)
                self._shared.advance(item.sequence, count)
                work.append((item, count))
                room -= count
            assert work, "the room that answers leave holds the longest item"
            self._score_pass(work, totals)
            for item, _ in work:
                if not item.sequence.num_unread:
                    self._shared.release(item.sequence)
            running = [item for item in running if item.sequence.num_unread]
        return totals

    def _score_pass(self, work: Sequence[tuple[_Scored, int]], totals: list[float]) -> None:
        """Read the tokens that were planned, and add what they tell about the tokens behind them."""
        parts = [(item, min(count, item.sequence.num_read - item.num_unscored)) for item, count in work]
        counted = [(item.sequence, count, max(part, 0)) for (item, count), (_, part) in zip(work, parts, strict=True)]
        logits = self._read(counted)
        start = 0
        for item, count in parts:
            if count > 0:
                end = item.sequence.num_read
                targets = torch.tensor(item.ids[end - count + 1 : end + 1])
                own = logits[start : start + count]
                picked = own.gather(1, targets[:, None])[:, 0] - own.logsumexp(dim=-1)
                totals[item.place] += float(picked.double().sum())
                start += count

    def close(self) -> None:
        """End the model's threads."""
        self._model.close()

    def _planned(self, queue: deque[Row]) -> list[tuple[Row, _Sequence, int]]:
        """Rows and how many tokens each reads: those that write first, then prompts, then newcomers."""
        room = self._model.max_rows
        work: list[tuple[Row, _Sequence, int]] = []
        order = sorted(self._running, key=lambda pair: pair[1].num_unread > 1)
        while room:
            if len(work) == len(order):
                newcomer = self._newcomer(queue)
                if newcomer is None:
                    break
                order.append(newcomer)
            row, sequence = order[len(work)]
            count = min(room, sequence.num_unread)
            self._shared.advance(sequence, count)
            work.append((row, sequence, count))
            room -= count
        return work

    def _newcomer(self, queue: deque[Row]) -> tuple[Row, _Sequence] | None:
        """The first row of the queue that may join now. Who waits for a beginning that another reads lets others pass."""
        if len(self._running) >= self._max_batch:
            return None
        for place, row in enumerate(queue):
            if row.finished:
                continue
            adapter = row.request.adapter
            borrowed = self._shelf.borrow(adapter) if adapter else None
            if adapter and borrowed is None:
                return None
            sequence = _Sequence(row.prompt_ids, len(row.prompt_ids) + row.num_left, adapter or "")
            sequence.adapter = borrowed.address if borrowed else 0
            num_shareable = len(row.prompt_ids) - 1 if self._shares else 0
            if self._shared.admit(sequence, num_shareable, num_spared=self._num_spared):
                del queue[place]
                self._running.append((row, sequence))
                return row, sequence
            if adapter:
                self._shelf.give_back(adapter)
            if not self._shared.is_coming(sequence, num_shareable):
                return None
        return None

    def _read(self, work: Sequence[tuple[_Sequence, int, int]]) -> torch.Tensor:
        """Read the last `count` read tokens of each sequence; logits after the last `wanted` of them."""
        ids: list[int] = []
        positions: list[int] = []
        tables: list[int] = []
        adapters: list[int] = []
        places: list[int] = []
        for sequence, count, num_wanted in work:
            start = sequence.num_read - count
            ids += sequence.ids[start : sequence.num_read]
            positions += range(start, sequence.num_read)
            tables += [sequence.table.ctypes.data] * count
            adapters += [sequence.adapter] * count
            places += range(len(ids) - num_wanted, len(ids))
        rows = [np.array(values, np.int64) for values in (positions, tables, adapters)]
        return self._model.read(ids, rows[0], rows[1], places, rows[2])
