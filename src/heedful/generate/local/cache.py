"""Keys and values of the tokens so far, in buffers with room to spare.

transformers' own growing cache copies the whole past for every token; at 16 rows of 500 tokens that is as much memory
traffic as reading the weights of a 135M model. Here a token costs one token.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

# Room added when a buffer is full, in tokens.
_HEADROOM = 256


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped to us
    """One layer's keys and values, (rows, heads, tokens, head_dim); `keys` and `values` are views of the buffers."""

    keys: torch.Tensor
    values: torch.Tensor
    _key_buffer: torch.Tensor
    _value_buffer: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append; called by the model's attention."""
        start = self.get_seq_length()
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._reserve(key_states.new_empty(0), value_states.new_empty(0), key_states, value_states)
        elif start + key_states.shape[-2] > self._key_buffer.shape[-2]:
            self._reserve(self.keys, self.values, key_states, value_states)
        end = start + key_states.shape[-2]
        self._key_buffer[:, :, start:end] = key_states
        self._value_buffer[:, :, start:end] = value_states
        self.keys, self.values = self._key_buffer[:, :, :end], self._value_buffer[:, :, :end]
        return self.keys, self.values

    def select(self, rows: torch.Tensor, first_column: int) -> None:
        """Keep only `rows`, and of them the tokens from `first_column` on."""
        keys, values = self.keys[rows, :, first_column:], self.values[rows, :, first_column:]
        self._key_buffer, self._value_buffer = _with_headroom(keys, keys), _with_headroom(values, values)
        self.keys, self.values = (
            self._key_buffer[:, :, : keys.shape[-2]],
            self._value_buffer[:, :, : values.shape[-2]],
        )

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
            self._key_buffer = part.keys.new_zeros(num_rows, heads, width + _HEADROOM, size)
            self._value_buffer = part.values.new_zeros(num_rows, heads, width + _HEADROOM, part.values.shape[-1])
            self.keys, self.values = self._key_buffer[:, :, :width], self._value_buffer[:, :, :width]
        first_column = self.keys.shape[-2] - part.keys.shape[-2]
        self.keys[rows, :, first_column:] = part.keys
        self.values[rows, :, first_column:] = part.values

    def _reserve(
        self, old_keys: torch.Tensor, old_values: torch.Tensor, new_keys: torch.Tensor, new_values: torch.Tensor
    ) -> None:
        self._key_buffer = _with_headroom(old_keys, new_keys)
        self._value_buffer = _with_headroom(old_values, new_values)


def _with_headroom(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """A buffer that begins with `old` and has room for `new` and more."""
    length = old.shape[-2] if old.numel() else 0
    buffer = new.new_empty(*new.shape[:2], length + new.shape[-2] + _HEADROOM, new.shape[-1])
    if length:
        buffer[:, :, :length] = old
    return buffer


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for a model; layers of other kinds (sliding windows) keep transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def is_growing(cache: DynamicCache) -> bool:
    """True when every layer is ours: only then can columns be cut and caches be joined."""
    return all(isinstance(layer, GrowingLayer) for layer in cache.layers)


def place(cache: DynamicCache, part: DynamicCache, rows: list[int], num_rows: int) -> None:
    """Copy the rows of `part` into `cache`; the widest part comes first. Both must be growing."""
    for layer, part_layer in zip(cache.layers, part.layers, strict=True):
        layer.place(part_layer, rows, num_rows)


def select(cache: DynamicCache, rows: torch.Tensor, first_column: int) -> int:
    """Keep only `rows`; drop the columns before `first_column` where every layer can. Returns how many were dropped."""
    if not is_growing(cache):
        cache.batch_select_indices(rows)
        return 0
    for layer in cache.layers:
        layer.select(rows, first_column)
    return first_column
