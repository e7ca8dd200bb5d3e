"""Places for a value: what may stand there, the shortest of it, and further texts to try where a check is not satisfied.

The shortest text is found depth first. A place that is met again while it is being looked at cannot help itself to an end, so it
counts as impossible there, and what failed only because of that is looked at again later.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from heedful.constraints.json.parts import Part
from heedful.constraints.json.shape import MAX_DEPTH, Cursor, Shape, widen

_MAX_TRIES = 300
"""Texts tried for one shape with checks."""
_MAX_WORK = 3_000
"""Texts tried for one question."""
_MAX_VARIANTS = 200


class Node:
    """What may stand in one place: valid for all of `parts`."""

    checks = ()
    """The shapes have them, not the place."""

    def __init__(self, grammar: Grammar, parts: frozenset[Part]) -> None:
        self._grammar = grammar
        self.parts = parts
        self.found: str | None = None
        self.is_settled = False
        self._shapes: list[Shape] | None = None
        self._variants: list[str] = []
        self._source: Iterator[str] | None = None
        self._is_running = False

    @property
    def shapes(self) -> list[Shape]:
        if self._shapes is None:
            self._shapes = self._grammar.make_shapes(self._grammar, self.parts)
        return self._shapes

    @property
    def shortest(self) -> str | None:
        """A short valid text; None where there is none, or none was found."""
        return self.found if self.is_settled else self._grammar.find(self)

    def usable(self, character: str) -> Iterator[Shape]:
        """Shapes of which a value beginning with `character` can be finished."""
        for shape in self.shapes:
            if character in shape.opening and self._grammar.find_in(shape) is not None:
                yield shape

    def has(self, shape: Shape) -> bool:
        """Whether a value of this shape was found; it is `shape.found` then."""
        return self._grammar.find_in(shape) is not None

    def variants(self) -> Iterator[str]:
        """Different valid texts, `shortest` first, no more than a few hundred."""
        if self.shortest is None:
            return
        at = 0
        while at < _MAX_VARIANTS:
            if at == len(self._variants) and not self._find_more():
                return
            yield self._variants[at]
            at += 1

    def _find_more(self) -> bool:
        if self._is_running:
            return False
        self._source = self._source or self._texts()
        self._is_running = True
        try:
            text = next(self._source, None)
        finally:
            self._is_running = False
        if text is None:
            return False
        self._variants.append(text)
        return True

    def _texts(self) -> Iterator[str]:
        assert self.found is not None
        seen = {self.found}
        yield self.found
        sources = [filter(shape.holds, islice(shape.texts(), _MAX_TRIES)) for shape in self.shapes]
        while sources:
            # One of each kind in turn: what fails as a number may pass as a string.
            for source in list(sources):
                text = next(source, None)
                if text is None:
                    sources.remove(source)
                elif text not in seen:
                    seen.add(text)
                    yield text


class Grammar:
    """All places of a schema, and the search for their shortest texts."""

    def __init__(self, make_shapes: Callable[[Grammar, frozenset[Part]], list[Shape]]) -> None:
        self.make_shapes = make_shapes
        self._nodes: dict[frozenset[Part], Node] = {}
        self._path: dict[Node, int] = {}
        self._lowest = sys.maxsize
        """The outermost place under way that something failed because of."""
        self._work = 0

    def node(self, parts: frozenset[Part]) -> Node:
        """The same object for the same schemas."""
        parts = frozenset(part for part in parts if part.schema is not True and part.schema != {})
        found = self._nodes.get(parts)
        if found is None:
            found = self._nodes[parts] = Node(self, parts)
        return found

    def find(self, node: Node) -> str | None:
        if node.is_settled:
            return node.found
        if node in self._path or len(self._path) > MAX_DEPTH:
            self._lowest = min(self._lowest, self._path.get(node, 0))
            return None
        if not self._path:
            self._work = 0
        index = self._path[node] = len(self._path)
        outer, self._lowest = self._lowest, sys.maxsize
        try:
            found = [text for shape in node.shapes if (text := self.find_in(shape)) is not None]
        finally:
            del self._path[node]
            own, self._lowest = self._lowest, outer
        if found or own >= index:
            node.is_settled = True
            node.found = min(found, key=len, default=None)
        else:
            self._lowest = min(outer, own)
        return node.found

    def find_in(self, shape: Shape) -> str | None:
        """The first text of `shape` that passes its checks."""
        if shape.is_settled:
            return shape.found
        if not self._path:
            self._work = 0
        for text in islice(shape.texts(), _MAX_TRIES if shape.checks else 1):
            self._work += 1
            if self._work > _MAX_WORK:
                break
            if shape.holds(text):
                shape.found = text
                break
        shape.is_settled = shape.found is not None or not self._path
        return shape.found


@dataclass(frozen=True, slots=True)
class ValueCursor(Cursor):
    """Where a value is to begin. `shape` is the place's `Node`."""

    gap: int
    lines: bool
    """Whether a line break may come first."""

    def advance(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        if character in " \n":
            gap = widen(self.gap, character, lines=self.lines)
            return () if gap is None else (value_cursor(self.shape, self.parent, at, gap, self.lines),)
        found: list[Cursor] = []
        for shape in self.shape.usable(character):
            found += shape.begin(self.parent, at, character)
        return found

    def inner_place(self) -> Hashable:
        return self.gap, self.lines

    def rests(self, text: str) -> Iterator[str]:
        found: Iterator[str] = self.shape.variants()
        return found


def value_cursor(node: Node, parent: Any, start: int, gap: int, lines: bool) -> ValueCursor:
    return ValueCursor(node, parent, start, parent.is_checked, parent.depth, gap, lines)
