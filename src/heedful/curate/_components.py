"""Connected components of anything hashable (union-find with path halving and union by size)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class Components:
    """Items that belong together, transitively."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}
        self._size: dict[Hashable, int] = {}

    def find(self, item: Hashable) -> Hashable:
        """The item that stands for the component of `item`; a new item is a component of its own."""
        parent = self._parent
        if item not in parent:
            parent[item], self._size[item] = item, 1
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: Hashable, other: Hashable) -> None:
        """From now on the two belong together."""
        large, small = self.find(one), self.find(other)
        if large == small:
            return
        if self._size[large] < self._size[small]:
            large, small = small, large
        self._parent[small] = large
        self._size[large] += self._size[small]

    def members(self, items: Iterable[int]) -> list[list[int]]:
        """`items` by component; order within and among components is that of `items`."""
        found: dict[Hashable, list[int]] = {}
        for item in items:
            found.setdefault(self.find(item), []).append(item)
        return list(found.values())
