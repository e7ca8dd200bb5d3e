"""Keys and values of the tokens so far, in buffers with room to spare.

transformers' own growing cache copies the whole past for every token; at 16 rows of 500 tokens that is as much memory
traffic as reading the weights of a 135M model. Here a token costs one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

HEADROOM = 256
"""Room added when a buffer is full, in tokens."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped to us
    """One layer's keys and values, (rows, heads, tokens, head_dim); `keys` and `values` are views of the buffers."""

    keys: torch.Tensor
    values: torch.Tensor
    _key_buffer: torch.Tensor
    _value_buffer: torch.Tensor

    def __init__(self, headroom: int = HEADROOM) -> None:
        super().__init__()
        self._headroom = headroom

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append; called by the model's attention."""
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._keep(key_states, value_states)
        else:
            if end > self._key_buffer.shape[-2]:
                self._keep(self.keys, self.values, num_more=key_states.shape[-2])
            self._key_buffer[:, :, start:end] = key_states
            self._value_buffer[:, :, start:end] = value_states
        self.keys, self.values = self._key_buffer[:, :, :end], self._value_buffer[:, :, :end]
        return self.keys, self.values

    def select(self, rows: torch.Tensor, first_column: int) -> None:
        """Keep only `rows`, in this order and as often as they are named, and of them the tokens from `first_column` on."""
        self._keep(self.keys[rows, :, first_column:], self.values[rows, :, first_column:])

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """transformers' own name for it: used where layers of other kinds stand beside ours."""
        self.select(indices, 0)

    def place(self, part: GrowingLayer, rows: list[int], num_rows: int) -> None:
        """Copy the rows of `part` to our `rows`, their last token in our last column.

        The first call makes room for `num_rows`, as wide as `part`; what stays empty is zero, because a masked
        not-a-number would still spread.
        """
        if not self.is_initialized:
            self.lazy_initialization(part.keys, part.values)
            _, heads, width, size = part.keys.shape
            room = width + self._headroom
            self._key_buffer = part.keys.new_zeros(num_rows, heads, room, size)
            self._value_buffer = part.values.new_zeros(num_rows, heads, room, part.values.shape[-1])
            self.keys, self.values = self._key_buffer[:, :, :width], self._value_buffer[:, :, :width]
        first_column = self.keys.shape[-2] - part.keys.shape[-2]
        self.keys[rows, :, first_column:] = part.keys
        self.values[rows, :, first_column:] = part.values

    def twin(self) -> GrowingLayer:
        """An empty layer of the same kind."""
        return GrowingLayer(self._headroom)

    def _keep(self, keys: torch.Tensor, values: torch.Tensor, num_more: int = 0) -> None:
        """These from now on, in buffers with room for `num_more` tokens and the headroom."""
        room, length = num_more + self._headroom, keys.shape[-2]
        self._key_buffer, self._value_buffer = _with_room(keys, room), _with_room(values, room)
        self.keys, self.values = self._key_buffer[:, :, :length], self._value_buffer[:, :, :length]


def _with_room(states: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """A buffer that begins with `states` and has room for `num_tokens` more."""
    buffer = states.new_empty(*states.shape[:2], states.shape[-2] + num_tokens, states.shape[-1])
    buffer[:, :, : states.shape[-2]] = states
    return buffer


def new_cache(config: Any, headroom: int = HEADROOM) -> DynamicCache:
    """An empty cache for a model; layers of other kinds (sliding windows) keep transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer(headroom) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def is_growing(cache: DynamicCache) -> bool:
    """True when every layer is ours: only then can columns be cut and caches be joined."""
    return all(isinstance(layer, GrowingLayer) for layer in cache.layers)


def place(cache: DynamicCache, part: DynamicCache, rows: list[int], num_rows: int) -> None:
    """Copy the rows of `part` into `cache`; the widest part comes first. Both must be growing."""
    for layer, part_layer in zip(cache.layers, part.layers, strict=True):
        layer.place(part_layer, rows, num_rows)


def joined(parts: Sequence[DynamicCache]) -> DynamicCache:
    """One cache with the rows of all `parts`, in their order. All must be growing."""
    cache = DynamicCache()
    cache.layers = [layer.twin() for layer in parts[0].layers]
    ends = [0, *accumulate(part.layers[0].keys.shape[0] for part in parts)]
    places = [list(range(start, end)) for start, end in pairwise(ends)]
    for part, rows in sorted(zip(parts, places, strict=True), key=lambda pair: -pair[0].get_seq_length()):
        place(cache, part, rows, ends[-1])
    return cache


def select(cache: DynamicCache, rows: torch.Tensor, first_column: int) -> int:
    """Keep only `rows`, in this order and as often as they are named; drop the columns before `first_column` where every
    layer can. Returns how many were dropped."""
    if not is_growing(cache):
        cache.batch_select_indices(rows)
        return 0
    for layer in cache.layers:
        layer.select(rows, first_column)
    return first_column
