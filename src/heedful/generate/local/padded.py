"""PaddedRunner: any causal language model of transformers, on any device, through the model's own code.

Rows are padded to common lengths, so an answer may depend on its batch where two tokens are almost equally likely.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from heedful.generate.local.batch import TOKENS_PER_PASS, Batch, forward, pad_left
from heedful.generate.local.rows import Row

# Logits are what fills memory while scoring: 200 MB in 32-bit floats.
_LOGITS_PER_PASS = 50_000_000

Item = tuple[Sequence[int], int]
"""Ids, and how many of the last ones are scored."""


class PaddedRunner:
    """Runs rows from a queue."""

    def __init__(self, model: Any, *, max_batch: int, max_tokens: int, pad_id: int) -> None:
        """`max_tokens`: room for keys and values, padding included."""
        self._model, self._max_batch, self._max_tokens, self._pad_id = model, max_batch, max_tokens, pad_id
        self._batch: Batch | None = None

    @property
    def rows(self) -> list[Row]:
        """Those that are being written."""
        return self._batch.rows if self._batch else []

    @property
    def num_tokens_kept(self) -> int:
        """Room that running answers hold, in tokens."""
        return self._batch.width * len(self._batch.rows) if self._batch else 0

    def step(self, queue: deque[Row]) -> None:
        """Let rows join, and give every row its next token."""
        if self._batch is None or self._batch.can_be_joined:
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
        self._batch = self._model = None

    def score(self, items: Sequence[Item]) -> list[float]:
        """Log-likelihoods. Similar lengths are read together; ties keep their order, so batches are always the same."""
        order = sorted(range(len(items)), key=lambda place: len(items[place][0]))
        results: dict[int, float] = {}
        for places in self._batches(order, items):
            results.update(zip(places, self._score_batch([items[place] for place in places]), strict=True))
        return [results[place] for place in range(len(items))]

    def _admit(self, newcomers: list[Row]) -> None:
        try:
            if self._batch is None and newcomers:
                self._batch = Batch(self._model, newcomers, self._pad_id)
            elif self._batch is not None and newcomers:
                self._batch.join(newcomers)
        except BaseException:
            for row in newcomers:
                row.finish("error")
            raise

    def _take(self, queue: deque[Row]) -> list[Row]:
        """Rows that may join now: from the front of the queue, as many as fit; at least one when nothing runs."""
        rows = list(self.rows)
        taken: list[Row] = []
        width = self._batch.width if self._batch else 0
        num_left = max((row.num_left for row in rows), default=0)
        while queue and len(rows) < self._max_batch:
            row = queue[0]
            width, num_left = max(width, len(row.prompt_ids)), max(num_left, row.num_left)
            if rows and (width + num_left) * (len(rows) + 1) > self._max_tokens:
                break
            queue.popleft()
            if not row.finished:
                rows.append(row)
                taken.append(row)
        return taken

    def _batches(self, order: Sequence[int], items: Sequence[Item]) -> Iterator[list[int]]:
        num_vocabulary = self._model.config.get_text_config().vocab_size
        batch: list[int] = []
        for place in order:
            grown = [items[other] for other in (*batch, place)]
            width = max(len(ids) for ids, _ in grown)
            num_logits = (max(num_scored for _, num_scored in grown) + 1) * num_vocabulary
            is_full = len(grown) > self._max_batch or len(grown) * width > TOKENS_PER_PASS
            if batch and (is_full or len(grown) * num_logits > _LOGITS_PER_PASS):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    @torch.inference_mode()
    def _score_batch(self, batch: Sequence[Item]) -> Iterator[float]:
        ids, mask = pad_left([ids for ids, _ in batch], self._pad_id)
        # One more than is scored: the logits that predict a token stand one place before it.
        num_last = max(num_scored for _, num_scored in batch) + 1
        logits = forward(self._model, ids, mask, num_last=num_last)  # (B, num_last, V)
        targets = ids[:, -num_last + 1 :].to(logits.device)  # (B, num_last - 1)
        for row, (_, num_scored) in enumerate(batch):
            own = torch.log_softmax(logits[row, -num_scored - 1 : -1].float(), dim=-1)  # (num_scored, V)
            picked = own.gather(1, targets[row, -num_scored:, None])
            yield float(picked.double().sum())
