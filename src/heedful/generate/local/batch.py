"""Rows that are decoded together, one token each per step. Rows join between steps and finish on their own.

Prompts are padded on the left, so that all rows write their next token into the same column of the cache.
Legend: B rows, T columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from heedful.generate.local import cache as kv
from heedful.generate.local.choosing import choose
from heedful.generate.local.rows import Row

# Copying the cache to leave finished rows out costs about one step; below this share of live rows it has paid soon.
_COMPACT_BELOW = 0.75
TOKENS_PER_PASS = 2048
"""Padded tokens in one forward pass: enough to keep the cores busy, small enough for the activations."""


class Batch:
    """A running batch. `rows` are the live ones."""

    def __init__(self, model: Any, rows: Sequence[Row], pad_id: int) -> None:
        self._model, self._pad_id = model, pad_id
        self._slots: list[Row | None] = list(rows)
        self._cache = kv.new_cache(model.config)
        _, mask = pad_left([row.prompt_ids for row in rows], pad_id)
        self._mask = mask.to(model.device)  # (B, T)
        self._positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -1:].to(model.device)  # (B, 1), of the last token
        self._logits: torch.Tensor | None = None  # (B, V); None until the first step reads the prompts

    @property
    def rows(self) -> list[Row]:
        """The rows that are still being written."""
        return [row for row in self._slots if row is not None and not row.finished]

    @property
    def width(self) -> int:
        """Columns of the cache that are in use."""
        return int(self._mask.shape[1])

    @property
    def can_be_joined(self) -> bool:
        """False for models whose caches cannot be shifted (sliding windows): newcomers wait for the next batch."""
        return kv.is_growing(self._cache)

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """Take `rows` in; their prompts are read now, and their first tokens come with the next step."""
        old = self._read()
        new = Batch(self._model, rows, self._pad_id)
        logits = new._read()
        self._logits = torch.cat([old, logits])
        width = max(self.width, new.width)
        self._mask = torch.cat(
            [torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in (self._mask, new._mask)]
        )
        self._positions = torch.cat([self._positions, new._positions])
        num_rows, num_old = len(self._slots) + len(rows), len(self._slots)
        parts = [(self._cache, list(range(num_old))), (new._cache, list(range(num_old, num_rows)))]
        self._cache = kv.new_cache(self._model.config)
        for cache, places in sorted(parts, key=lambda part: -part[0].get_seq_length()):
            kv.place(self._cache, cache, places, num_rows)
        self._slots += new._slots

    @torch.inference_mode()
    def step(self) -> None:
        """Give every live row its next token."""
        logits = self._read()
        self._drop_finished()
        live = [(slot, row) for slot, row in enumerate(self._slots) if row is not None]
        if not live:
            return
        logits = logits[[slot for slot, _ in live]].float().cpu()
        chosen = choose(logits, [row.chooser for _, row in live])
        tokens = [self._pad_id] * len(self._slots)
        for (slot, row), token, row_logits in zip(live, chosen, logits, strict=True):
            row.accept(token, row_logits)
            tokens[slot] = token
        if self.rows:
            self._advance(tokens)

    def _read(self) -> torch.Tensor:
        """Logits of each slot's next token, (B, V); the first call reads the prompts."""
        if self._logits is None:
            self._logits = self._read_prompts([row.prompt_ids for row in self._slots if row is not None])
        return self._logits

    def _read_prompts(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits after each prompt, (B, V). Prompts of similar length are read together: padding costs like reading."""
        if not kv.is_growing(self._cache):
            return forward(self._model, pad_left(prompts, self._pad_id)[0], self._mask, cache=self._cache)
        parts: dict[int, torch.Tensor] = {}
        for group in _groups(prompts):
            ids, mask = pad_left([prompts[slot] for slot in group], self._pad_id)
            part = kv.new_cache(self._model.config)
            parts.update(zip(group, forward(self._model, ids, mask, cache=part), strict=True))
            kv.place(self._cache, part, group, len(prompts))
        return torch.stack([parts[slot] for slot in range(len(prompts))])

    def _advance(self, tokens: list[int]) -> None:
        """Feed one token per slot. Slots of finished rows are fed padding; nobody reads what comes of it."""
        kept = self._compact()
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(kept), 1)], dim=1)
        self._positions = self._positions + 1
        ids = torch.tensor([[tokens[slot]] for slot in kept])
        self._logits = forward(self._model, ids, self._mask, cache=self._cache, positions=self._positions)

    def _drop_finished(self) -> None:
        self._slots = [row if row is not None and not row.finished else None for row in self._slots]

    def _compact(self) -> list[int]:
        """Leave finished rows out when that pays; returns the slots that are kept."""
        self._drop_finished()
        live = [slot for slot, row in enumerate(self._slots) if row is not None]
        if len(live) > _COMPACT_BELOW * len(self._slots):
            return list(range(len(self._slots)))
        kept = torch.tensor(live, device=self._mask.device)
        self._mask, self._positions = self._mask[kept], self._positions[kept]
        # Columns that are padding for all who stay are of no use to anyone.
        first_column = int(self._mask.any(dim=0).int().argmax())
        dropped = kv.select(self._cache, kept, first_column)
        self._mask = self._mask[:, dropped:]
        self._slots = [self._slots[slot] for slot in live]
        return live


def _groups(prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Places of `prompts` by falling length, as many together as one pass should read."""
    group: list[int] = []
    for slot in sorted(range(len(prompts)), key=lambda slot: -len(prompts[slot])):
        if group and (len(group) + 1) * len(prompts[group[0]]) > TOKENS_PER_PASS:
            yield group
            group = []
        group.append(slot)
    yield group


def pad_left(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, both (B, T)."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


def forward(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    *,
    cache: Any = None,
    positions: torch.Tensor | None = None,
    num_last: int = 1,
) -> torch.Tensor:
    """Logits of the last token, (B, V); of the last `num_last` tokens, (B, num_last, V), when that is not 1.

    Position ids count real tokens, so that a row sees the same positions with padding and without.
    """
    if positions is None:
        positions = (mask.cumsum(1) - 1).clamp(min=0)
    output = model(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        position_ids=positions.to(model.device),
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=num_last,
    )
    logits: torch.Tensor = output.logits
    return logits[:, -1] if num_last == 1 else logits
