"""PagedRunner: continuous batching over a KernelModel. Answers join and leave at every step, long prompts come in pieces.

Keys and values lie in blocks that sequences share as far as they begin the same way: a system prompt, a passage, the
examples before a question, the prompt of n answers. Room for an answer's whole length is promised when it joins, so one
that has begun never waits for memory; what does not fit waits in the queue.

All arithmetic is by row: what an answer says does not depend on what else runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from heedful.generate.local.beams import BeamSearch
from heedful.generate.local.choosing import choose
from heedful.generate.local.kernels.adapters import Adapter
from heedful.generate.local.kernels.attention import BLOCK
from heedful.generate.local.kernels.model import KernelModel, log_sums
from heedful.generate.local.likelihoods import Item, Likelihoods
from heedful.generate.local.rows import Answer, Row, why_no_room
from heedful.generate.local.sequences import Branch, Sequences, num_blocks
from heedful.generate.local.shelf import Shelf


@dataclass(slots=True)
class _Running:
    """An answer under way, and what has been read of it."""

    answer: Answer
    branches: list[Branch]

    @property
    def is_written(self) -> bool:
        """Its prompt is read: what it reads next are tokens that it wrote."""
        return all(branch.num_unread <= 1 for branch in self.branches)


class PagedRunner:
    """Runs answers from a queue."""

    def __init__(self, model: KernelModel, shelf: Shelf, *, max_batch: int, shares: bool = True) -> None:
        """`max_batch` branches are written at once. `shares`: sequences that begin the same way read the beginning once."""
        self._shares, self._shelf = shares, shelf
        self._model, self._max_batch = model, min(max_batch, model.max_rows)
        self._sequences = Sequences(model.num_blocks)
        self._running: list[_Running] = []
        # Scores are computed between steps: answers leave them room for one item of any length.
        self._num_spared = -(-model.max_length // BLOCK)

    @property
    def rows(self) -> list[Answer]:
        """Those that are being written."""
        return [one.answer for one in self._running if not one.answer.finished]

    @property
    def num_tokens_kept(self) -> int:
        """Room that running answers hold, in tokens."""
        return self._sequences.pool.num_read * BLOCK

    def why_never(self, answer: Answer) -> str:
        """Why there can never be room for `answer`; empty when there can. For one branch of `max_length` there is."""
        if answer.num_branches == 1:
            return ""
        wanted = num_blocks(self._begun(answer, None), answer.num_branches)
        room = self._model.num_blocks - self._num_spared
        return why_no_room(answer, self._max_batch, wanted * BLOCK, room * BLOCK)

    def step(self, queue: deque[Answer]) -> None:
        """Read the next tokens of as many answers as fit, and write one for each whose tokens are all read."""
        self.tidy()
        work = self._planned(queue)
        logits = self._read([(branch, count, int(not branch.num_unread)) for _, branch, count in work])
        ready: list[_Running] = []
        for one, branch, _ in work:
            # An answer's branches stand together.
            if not branch.num_unread and (not ready or ready[-1] is not one):
                ready.append(one)
        self._write(ready, logits)
        self.tidy()

    def _write(self, ready: Sequence[_Running], logits: torch.Tensor) -> None:
        """The next token of answers that are read to their ends; `logits` of their branches, one after the other."""
        choosers = [one.answer.chooser if isinstance(one.answer, Row) else None for one in ready for _ in one.branches]
        is_told = any(chooser is not None and chooser.distortion is not None for chooser in choosers)
        chosen = choose(logits, choosers, log_sums(logits) if is_told else None)
        first = 0
        for one in ready:
            rows = slice(first, first + len(one.branches))
            first = rows.stop
            if isinstance(one.answer, Row):
                one.answer.accept(chosen[rows.start], logits[rows.start])
                one.branches[0].ids.append(chosen[rows.start])
            elif isinstance(one.answer, BeamSearch):
                self._branch_off(one, one.answer.advance(logits[rows]))

    def _branch_off(self, one: _Running, new: Sequence[tuple[int, int]]) -> None:
        if new:
            parents = [parent for parent, _ in new]
            one.branches = self._sequences.branched(one.branches, parents, self._model.copy_block)
            for branch, (_, token) in zip(one.branches, new, strict=True):
                branch.ids.append(token)

    def tidy(self) -> None:
        """Free what finished and cancelled answers hold."""
        for one in self._running:
            if one.answer.finished:
                self._sequences.release(one.branches)
                if one.answer.request.adapter:
                    self._shelf.give_back(one.answer.request.adapter)
        self._running = [one for one in self._running if not one.answer.finished]

    def abandon(self) -> None:
        """After a failed step nothing in the blocks can be trusted."""
        for answer in self.rows:
            answer.finish("error")
        self.tidy()
        self._sequences = Sequences(self._model.num_blocks)

    def score(self, items: Sequence[Item]) -> list[float]:
        """For each (ids, how many of the last are scored) their log-likelihood. Answers under way are not touched."""
        run = Likelihoods(items, self._sequences, max_blocks=self._num_spared, shares=self._shares)
        while not run.is_done:
            run.advance(self._model.max_rows, self._read, self._model.copy_block)
        return run.totals

    def close(self) -> None:
        """End the model's threads."""
        self._model.close()

    def _planned(self, queue: deque[Answer]) -> list[tuple[_Running, Branch, int]]:
        """What is read and how many tokens of it: first of answers that are being written, then prompts, then newcomers."""
        room = self._model.max_rows
        work: list[tuple[_Running, Branch, int]] = []
        order = deque(sorted(self._running, key=lambda one: not one.is_written))
        while room:
            one = order.popleft() if order else self._newcomer(queue)
            if one is None:
                break
            for branch in one.branches:
                count = min(room, branch.num_unread)
                self._sequences.advance(branch, count)
                work.append((one, branch, count))
                room -= count
        return work

    def _newcomer(self, queue: deque[Answer]) -> _Running | None:
        """The first of the queue that may join now. Who waits for a beginning that another reads lets others pass."""
        num_running = sum(one.answer.num_branches for one in self._running)
        for place, answer in enumerate(queue):
            if answer.finished:
                continue
            if num_running + answer.num_branches > self._max_batch:
                return None
            name = answer.request.adapter
            adapter = self._shelf.borrow(name) if name else None
            if name and adapter is None:
                return None
            branch = self._begun(answer, adapter)
            num_shareable = len(branch.ids) - 1 if self._shares else 0
            if self._sequences.admit(
                branch, num_shareable, num_branches=answer.num_branches, num_spared=self._num_spared
            ):
                del queue[place]
                self._running.append(_Running(answer, [branch]))
                self._put_prefix(branch)
                return self._running[-1]
            if name:
                self._shelf.give_back(name)
            if not self._sequences.is_coming(branch, num_shareable):
                return None
        return None

    def _begun(self, answer: Answer, adapter: Adapter | None) -> Branch:
        num_virtual = adapter.num_virtual if adapter else 0
        ids = [*range(-num_virtual, 0), *answer.prompt_ids]
        return Branch(ids, len(ids) + answer.num_left, salt=answer.request.adapter or "", adapter=adapter)

    def _put_prefix(self, branch: Branch) -> None:
        """Keys and values that an adapter brings along are written instead of computed."""
        adapter, start = branch.adapter, branch.num_read
        if adapter is not None and adapter.prefix is not None and start < adapter.num_virtual:
            self._sequences.advance(branch, adapter.num_virtual - start)
            self._model.put(branch.table, start, adapter.prefix[:, :, :, start:])

    def _read(self, work: Sequence[tuple[Branch, int, int]]) -> torch.Tensor:
        """Read the last `count` read tokens of each branch; logits after the last `wanted` of them."""
        ids: list[int] = []
        positions: list[int] = []
        tables: list[int] = []
        adapters: list[int] = []
        places: list[int] = []
        virtual: list[tuple[int, torch.Tensor]] = []
        for branch, count, num_wanted in work:
            start = branch.num_read - count
            if branch.adapter is not None and branch.adapter.embeddings is not None:
                for number, vector in enumerate(branch.adapter.embeddings[start : branch.num_read]):
                    virtual.append((len(ids) + number, vector))
            ids += branch.ids[start : branch.num_read]
            positions += range(start, branch.num_read)
            tables += [branch.table.ctypes.data] * count
            adapters += [branch.adapter.address if branch.adapter else 0] * count
            places += range(len(ids) - num_wanted, len(ids))
        rows = [np.array(values, np.int64) for values in (positions, tables, adapters)]
        return self._model.read(ids, rows[0], rows[1], places, rows[2], virtual)
