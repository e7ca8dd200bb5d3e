"""KernelModel: a Llama model on this machine's processor, its weights packed, its keys and values in blocks.

It knows tokens, positions and block tables; which sequence owns which block is its caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.generate.local.kernels import forward as step
from heedful.generate.local.kernels.adapters import MAX_RANK
from heedful.generate.local.kernels.attention import BLOCK
from heedful.generate.local.kernels.forward import forward
from heedful.generate.local.kernels.lanes import write_log_sums
from heedful.generate.local.kernels.team import LINE, Team
from heedful.generate.local.kernels.tiles import GROUP
from heedful.generate.local.kernels.weights import Weights, padded

_KINDS = {"float32": step.FLOAT, "bfloat16": step.BF16, "int8": step.INT8}


def log_sums(logits: torch.Tensor) -> NDArray[np.float64]:
    """log(sum(exp(row))) of each row of `logits` (rows, vocabulary), floats on the CPU."""
    found = np.empty(len(logits))
    write_log_sums(logits.data_ptr(), 4 * logits.stride(0), len(logits), logits.shape[1], found)
    return found


class KernelModel:
    """Reads tokens. Not safe to use from several threads at once."""

    def __init__(
        self,
        weights: Weights,
        rotary: tuple[torch.Tensor, torch.Tensor],
        *,
        num_blocks: int,
        max_rows: int,
        threads: int,
    ) -> None:
        """`rotary`: cosines and sines, (positions, head_dim / 2) each. `max_rows` tokens fit into one call."""
        sizes, self._weights = weights.sizes, weights
        self.max_rows, self.num_blocks, self.vocabulary = max_rows, num_blocks, sizes.vocabulary
        self.max_length = len(rotary[0])
        self._team = Team(threads)
        self._owned: list[torch.Tensor] = []
        self._rotary = [table.float().contiguous() for table in rotary]
        # 16-bit floats hold keys and values to 3 decimal digits: enough where the weights are rounded, too.
        halves = weights.precision != "float32"
        shape = (sizes.num_layers, num_blocks, sizes.num_kv_heads, sizes.head_dim * BLOCK)
        # NumPy's zeros take no memory before they are written.
        self._caches = [torch.from_numpy(np.zeros(shape, np.float16 if halves else np.float32)) for _ in range(2)]
        self._layers = np.array(
            [[weights.address(f"{layer}.{name}") for name in _NAMES] for layer in range(sizes.num_layers)], np.int64
        )
        self._counters = np.zeros(((sizes.num_layers + 1) * step.PHASES, LINE // 8), np.int64)
        self._hidden = self._room(max_rows, padded(sizes.hidden))
        self._outputs = self._room(max_rows, padded(sizes.hidden))
        self._plan = self._planned(halves)

    def read(
        self,
        ids: Sequence[int],
        positions: NDArray[np.int64],
        tables: NDArray[np.int64],
        wanted: Sequence[int],
        adapters: NDArray[np.int64] | None = None,
        virtual: Sequence[tuple[int, torch.Tensor]] = (),
    ) -> torch.Tensor:
        """Read tokens; returns the logits after the tokens `wanted` (places in `ids`), (wanted, vocabulary).

        `tables` holds for each token the address of its sequence's block numbers. Keys and values of all earlier positions
        must be in these blocks already, or among the tokens of this call. `adapters`: for each token the address of an
        adapter's table, or 0. `virtual`: places in `ids` with the embedding (hidden,) that is read there instead.
        """
        num_rows = len(ids)
        assert num_rows <= self.max_rows
        sizes = self._weights.sizes
        self._embed(ids)
        for place, vector in virtual:
            self._hidden[place, : sizes.hidden] = vector
        self._counters[:] = 0
        places = np.array(wanted, np.int64)
        logits = torch.empty(len(wanted), padded(sizes.vocabulary))
        moment = step.Step(
            epsilon=np.float32(sizes.epsilon),
            state=self._team.state,
            counters=int(self._counters.ctypes.data),
            hidden=self._hidden.data_ptr(),
            num_rows=num_rows,
            positions=positions,
            tables=tables,
            adapters=np.zeros(num_rows, np.int64) if adapters is None else adapters,
            adapts=int(adapters is not None and bool(adapters.any())),
        )
        arguments = (self._plan, moment, self._layers, places, self._outputs.data_ptr(), logits.data_ptr())
        self._team.run(lambda thread: forward(thread, self._team.size, *arguments))
        return logits[:, : sizes.vocabulary]

    def _embed(self, ids: Sequence[int]) -> None:
        """Write the tokens' embeddings to the step's rows.

        With NumPy: torch would wake its own threads for this moment, and they spin on for milliseconds, on the cores that ours need.
        """
        rows = self._hidden.numpy()[: len(ids), : self._weights.sizes.hidden]
        table = self._weights.embeddings
        if table.dtype == torch.bfloat16:  # NumPy has no such numbers: they are the upper halves of floats.
            halves = table.view(torch.int16).numpy()[list(ids)].astype(np.int32)
            rows[:] = (halves << 16).view(np.float32)
        else:
            rows[:] = table.numpy()[list(ids)]

    def put(self, table: NDArray[np.int64], start: int, values: torch.Tensor) -> None:
        """Write keys and values (layers, 2, key-value heads, tokens, head_dim) of the positions from `start` on."""
        sizes = self._weights.sizes
        shape = (sizes.num_layers, self.num_blocks, sizes.num_kv_heads)
        keys = self._caches[0].view(*shape, sizes.head_dim, BLOCK)
        rest = self._caches[1].view(*shape, BLOCK, sizes.head_dim)
        for number in range(values.shape[3]):
            block, place = int(table[(start + number) // BLOCK]), (start + number) % BLOCK
            keys[:, block, :, :, place] = values[:, 0, :, number].to(keys.dtype)
            rest[:, block, :, place] = values[:, 1, :, number].to(rest.dtype)

    def copy_block(self, source: int, target: int) -> None:
        """Keys and values of all layers."""
        for cache in self._caches:
            cache[:, target] = cache[:, source]

    def close(self) -> None:
        """End the threads."""
        self._team.close()

    def _room(self, *shape: int) -> torch.Tensor:
        tensor = torch.zeros(*shape)
        self._owned.append(tensor)
        return tensor

    def _planned(self, halves: bool) -> Any:
        sizes, rows = self._weights.sizes, self.max_rows
        hidden, intermediate = padded(sizes.hidden), padded(sizes.intermediate)
        attended, qkv = padded(sizes.num_heads * sizes.head_dim), padded(sizes.qkv)
        widest = max(hidden, attended, intermediate)
        rounded = torch.zeros(rows, widest, dtype=torch.int16)
        self._owned.append(rounded)
        cache = self._caches[0]
        size = cache.element_size()
        group = sizes.num_heads // sizes.num_kv_heads
        scores_size = padded(group * padded(self.max_length, BLOCK) * 4, LINE)
        return step.Plan(
            kind=_KINDS[self._weights.precision],
            num_layers=sizes.num_layers,
            hidden=hidden,
            hidden_real=sizes.hidden,
            num_heads=sizes.num_heads,
            num_kv_heads=sizes.num_kv_heads,
            head_dim=sizes.head_dim,
            attended=attended,
            qkv=qkv,
            intermediate=intermediate,
            vocabulary=padded(sizes.vocabulary),
            final_norm=self._weights.address("norm"),
            head=self._weights.address("head"),
            head_scales=self._weights.address("head.scales"),
            cosines=self._rotary[0].data_ptr(),
            sines=self._rotary[1].data_ptr(),
            halves=int(halves),
            keys=self._caches[0].data_ptr(),
            values=self._caches[1].data_ptr(),
            cache_layer=cache.stride(0) * size,
            cache_block=cache.stride(1) * size,
            cache_head=cache.stride(2) * size,
            normed=self._room(rows, hidden).data_ptr(),
            rounded=rounded.data_ptr(),
            round_scales=self._room(rows, widest // GROUP).data_ptr(),
            projected=self._room(rows, qkv).data_ptr(),
            attention=self._room(rows, attended).data_ptr(),
            gate_up=self._room(rows, 2 * intermediate).data_ptr(),
            activated=self._room(rows, intermediate).data_ptr(),
            inner=self._room(rows, 2 * MAX_RANK).data_ptr(),
            scores=self._room(self._team.size, scores_size // 4).data_ptr(),
            scores_size=scores_size,
        )


def block_bytes(weights: Weights) -> int:
    """Memory of a block of keys and values, all layers."""
    sizes = weights.sizes
    numbers = 2 * sizes.num_layers * sizes.num_kv_heads * sizes.head_dim * BLOCK
    return numbers * (4 if weights.precision == "float32" else 2)


# In the order of forward.NORM, QKV ...
_NAMES = (
    *("norm", "qkv", "qkv.scales", "qkv.bias", "out", "out.scales"),
    *("mlp_norm", "gate_up", "gate_up.scales", "down", "down.scales"),
)
