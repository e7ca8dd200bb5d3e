"""Shelf: adapters by name, read from disk when an answer needs one, put away when the room is needed for another."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path

from heedful.errors import EngineError, ModelError
from heedful.generate.local.kernels.adapters import Adapter, read_adapter
from heedful.generate.local.kernels.weights import Sizes


class Shelf:
    """Holds at most `max_bytes` of adapters. Who borrows one gives it back."""

    def __init__(self, folders: Mapping[str, Path], sizes: Sizes, max_bytes: int) -> None:
        """Every adapter is read once, so that a wrong one is told now and not to somebody who asks for it later."""
        self._folders, self._sizes, self._max_bytes = dict(folders), sizes, max_bytes
        read = {name: read_adapter(folder, sizes) for name, folder in folders.items()}
        self._num_bytes = {name: adapter.num_bytes for name, adapter in read.items()}
        self.max_virtual = max((adapter.num_virtual for adapter in read.values()), default=0)
        """The most tokens that any adapter puts before a prompt."""
        for name, size in self._num_bytes.items():
            if size > max_bytes:
                raise EngineError(
                    f"adapter {name!r} takes {size:,} bytes, more than the {max_bytes:,} that adapters may take; raise "
                    "max_adapter_memory"
                )
        self._held: OrderedDict[str, Adapter] = OrderedDict()
        self._num_borrowed: Counter[str] = Counter()

    @property
    def num_bytes(self) -> int:
        """Memory in use."""
        return sum(self._num_bytes[name] for name in self._held)

    def borrow(self, name: str) -> Adapter | None:
        """None while the room is taken by adapters that others use: ask again later."""
        if name not in self._held:
            idle = [held for held in self._held if not self._num_borrowed[held]]
            surplus = self.num_bytes + self._num_bytes[name] - self._max_bytes
            if surplus > sum(self._num_bytes[held] for held in idle):
                return None
            while surplus > 0:
                surplus -= self._num_bytes[idle[0]]
                del self._held[idle.pop(0)]
            self._held[name] = self._read(name)
        self._num_borrowed[name] += 1
        self._held.move_to_end(name)
        return self._held[name]

    def give_back(self, name: str) -> None:
        """It stays as long as there is room."""
        self._num_borrowed[name] -= 1

    def _read(self, name: str) -> Adapter:
        adapter = read_adapter(self._folders[name], self._sizes)
        if adapter.num_bytes != self._num_bytes[name]:
            raise ModelError(f"{self._folders[name]} has changed since the engine was opened; open it again")
        return adapter
