"""PaddedRunner: any causal language model of transformers, and the T5 family, on any device, through the model's own code.

Rows are padded to common lengths, so an answer may depend on its batch where two tokens are almost equally likely.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from heedful.generate.local.batch import Batch
from heedful.generate.local.reading import TOKENS_PER_PASS, Item, reader_for
from heedful.generate.local.rows import Answer, why_no_room

# Logits are what fills memory while scoring: 200 MB in 32-bit floats.
_LOGITS_PER_PASS = 50_000_000


class PaddedRunner:
    """Runs rows from a queue."""

    def __init__(self, model: Any, *, max_batch: int, max_tokens: int, pad_id: int) -> None:
        """`max_tokens`: room for keys and values, padding included; of encoder-decoders those of what was read count too."""
        self._reader, self._max_batch, self._max_tokens = reader_for(model, pad_id), max_batch, max_tokens
        self._num_vocabulary = int(model.config.get_text_config().vocab_size)
        self._batch: Batch | None = None

    @property
    def rows(self) -> list[Answer]:
        """Those that are being written."""
        return self._batch.rows if self._batch else []

    @property
    def num_tokens_kept(self) -> int:
        """Room that running answers hold, in tokens."""
        return self._batch.memory.width * len(self._batch.rows) if self._batch else 0

    def why_never(self, answer: Answer) -> str:
        """Why there can never be room for `answer`; empty when there can."""
        wanted = answer.num_branches * (len(answer.prompt_ids) + answer.num_left)
        return why_no_room(answer, self._max_batch, wanted, self._max_tokens)

    def step(self, queue: deque[Answer]) -> None:
        """Let rows join, and give every row its next token."""
        if self._batch is None or self._batch.memory.can_be_joined:
            self._admit(self._take(queue))
        if self._batch is not None:
            self._batch.step()
        self.tidy()

    def tidy(self) -> None:
        """Free what a batch holds whose rows have all ended; others' rows make room at the next step."""
        if self._batch is not None and not self._batch.rows:
            self._batch = None

    def abandon(self) -> None:
        """After a failed step the cache is in an unknown state."""
        for row in self.rows:
            row.finish("error")
        self._batch = None

    def close(self) -> None:
        """Let go of the model."""
        self._batch = None
        del self._reader

    def score(self, items: Sequence[Item]) -> list[float]:
        """Log-likelihoods. Similar lengths are read together; ties keep their order, so batches are always the same."""
        order = sorted(range(len(items)), key=lambda place: len(items[place][0]))
        results: dict[int, float] = {}
        for places in self._batches(order, items):
            results.update(zip(places, self._score_batch([items[place] for place in places]), strict=True))
        return [results[place] for place in range(len(items))]

    def _admit(self, newcomers: list[Answer]) -> None:
        try:
            if self._batch is None and newcomers:
                self._batch = Batch(self._reader, newcomers)
            elif self._batch is not None and newcomers:
                self._batch.join(newcomers)
        except BaseException:
            for row in newcomers:
                row.finish("error")
            raise

    def _take(self, queue: deque[Answer]) -> list[Answer]:
        """Answers that may join now: from the front of the queue, as many as fit; at least one when nothing runs."""
        running = self.rows
        taken: list[Answer] = []
        memory = self._batch.memory if self._batch else None
        num_slots = sum(answer.num_branches for answer in running)
        longest = 0
        num_left = max((answer.num_left for answer in running), default=0)
        while queue:
            answer = queue[0]
            longest, num_left = max(longest, len(answer.prompt_ids)), max(num_left, answer.num_left)
            num_slots += 0 if answer.finished else answer.num_branches
            width = self._reader.num_columns(memory, longest)
            is_too_much = num_slots > self._max_batch or (width + num_left) * num_slots > self._max_tokens
            if is_too_much and (running or taken):
                break
            queue.popleft()
            if not answer.finished:
                taken.append(answer)
        return taken

    def _batches(self, order: Sequence[int], items: Sequence[Item]) -> Iterator[list[int]]:
        batch: list[int] = []
        for place in order:
            grown = [items[other] for other in (*batch, place)]
            width = max(len(ids) for ids, _ in grown)
            num_logits = (max(num_scored for _, num_scored in grown) + 1) * self._num_vocabulary
            is_full = len(grown) > self._max_batch or len(grown) * width > TOKENS_PER_PASS
            if batch and (is_full or len(grown) * num_logits > _LOGITS_PER_PASS):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    @torch.inference_mode()
    def _score_batch(self, batch: Sequence[Item]) -> Iterator[float]:
        for (ids, num_scored), logits in zip(batch, self._reader.predictions(batch), strict=True):
            own = torch.log_softmax(logits.float(), dim=-1)  # (num_scored, V)
            targets = torch.tensor(ids[-num_scored:], device=own.device)[:, None]
            yield float(own.gather(1, targets).double().sum())
