"""Lists: what each item may be, and how many there may be."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from heedful.constraints.json.parts import Part
from heedful.constraints.json.shape import GAP_OPEN, MAX_DEPTH, Cursor, Shape, widen
from heedful.constraints.json.value import Grammar, Node, value_cursor

_MAX_ITEMS = 2000
"""A list that needs more counts as impossible."""
_MAX_VARIANTS = 24


@dataclass(frozen=True, slots=True)
class Items:
    """What one schema says of the items of a list."""

    first: tuple[Part, ...]
    others: Part | None


class ArrayShape(Shape):
    """Lists whose items satisfy all of several schemas."""

    kind = "array"
    opening = frozenset("[")

    def __init__(
        self, grammar: Grammar, items: Sequence[Items], least: int, most: int | None, *, wanted: Sequence[Part] = (),
        is_unique: bool = False, checks: Sequence[Part] = (),
    ) -> None:  # fmt: skip
        super().__init__(checks)
        self._grammar = grammar
        self._items = tuple(items)
        self.least = least
        self.most = most
        self.wanted = tuple(wanted)
        """Schemas that some item has to satisfy; how many is a check."""
        self.is_unique = is_unique
        self._num_first = max((len(each.first) for each in items), default=0)
        self._nodes: dict[int, Node] = {}

    def node(self, index: int) -> Node:
        index = min(index, self._num_first)
        found = self._nodes.get(index)
        if found is None:
            found = self._nodes[index] = self._grammar.node(self._parts(index))
        return found

    def _parts(self, index: int) -> frozenset[Part]:
        found = (each.first[index] if index < len(each.first) else each.others for each in self._items)
        return frozenset(part for part in found if part is not None)

    def may_hold(self, index: int) -> bool:
        """Whether there may be an item with this index."""
        return (self.most is None or index < self.most) and self.node(index).shortest is not None

    def begin(self, parent: Any, start: int, character: str) -> Sequence[Cursor]:
        if parent.depth + self.nesting() > MAX_DEPTH:
            return ()
        is_checked = bool(self.checks) or parent.is_checked
        return (ArrayCursor(self, parent, start, is_checked, parent.depth + 1, 0, "first", GAP_OPEN),)

    def texts(self) -> Iterator[str]:
        return (f"[{rest}" for rest in self.tails(0, 0, []))

    def tails(self, count: int, more: int, known: Sequence[str]) -> Iterator[str]:
        """Texts that end a list of `count` items with at least `more` others; `known` are the items, where they have to differ."""
        needed = max(self.least - count, more)
        if count + needed > (_MAX_ITEMS if self.most is None else self.most):
            return
        plain = [self.node(count + index).shortest for index in range(needed)]
        if None in plain:
            return
        if self.is_unique and (different := self._different(count, needed, known)) is not None:
            yield _joined(count, different)
        if self.wanted:
            yield from self._with_wanted(count, plain)
        yield _joined(count, plain)
        for index in range(min(needed, 4)):
            for other in islice(self.node(count + index).variants(), 1, 6):
                yield _joined(count, [*plain[:index], other, *plain[index + 1 :]])
        for extra in range(1, 4):
            if not self.may_hold(count + needed + extra - 1):
                return
            more_items = [self.node(count + needed + index).shortest for index in range(extra)]
            yield _joined(count, [*plain, *more_items])
            for other in islice(self.node(count + needed + extra - 1).variants(), 1, 6):
                yield _joined(count, [*plain, *more_items[:-1], other])

    def tail_with(self, count: int, item: str) -> str | None:
        """A text that ends a list of `count` items, with `item` as the next one."""
        needed = max(self.least - count, 1)
        others = [self.node(count + index).shortest for index in range(1, min(needed, _MAX_ITEMS))]
        return None if None in others else _joined(count, [item, *others])

    def _with_wanted(self, count: int, plain: Sequence[str | None]) -> Iterator[str]:
        index = max(count + len(plain) - 1, count)
        for instead in (True, False):
            place = index if instead and plain else count + len(plain)
            if self.most is not None and place + len(self.wanted) > self.most:
                continue
            texts = [
                self._grammar.node(self._parts(min(place + offset, self._num_first)) | {part}).shortest
                for offset, part in enumerate(self.wanted)
            ]
            if None not in texts:
                yield _joined(count, [*plain[: place - count], *texts])

    def _different(self, count: int, needed: int, known: Sequence[str]) -> list[str] | None:
        used, found = set(known), []
        for index in range(count, count + needed):
            text = next((text for text in self.node(index).variants() if _key(text) not in used), None)
            if text is None:
                return None
            used.add(_key(text))
            found.append(text)
        return found

    def known(self, text: str) -> list[str]:
        """The items of an unfinished list, each as something to compare."""
        if not self.is_unique:
            return []
        written = text.rstrip(" \n,")
        return [_key(json.dumps(item)) for item in json.loads(written + "]")]


def _joined(count: int, items: Sequence[str | None]) -> str:
    text = ",".join(item for item in items if item is not None)
    return f",{text}]" if count and text else f"{text}]"


def _key(text: str) -> str:
    value = json.loads(text)
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value, sort_keys=True)


@dataclass(frozen=True, slots=True)
class ArrayCursor(Cursor):
    """Inside a list, between its items."""

    count: int
    """Items that are finished."""
    phase: Literal["first", "comma", "inside", "after"]
    gap: int

    def advance(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        shape: ArrayShape = self.shape
        if character in " \n":
            gap = widen(self.gap, character, lines=True)
            # White space goes behind a comma, not before it: after an item it says that no other comes.
            is_allowed = gap is not None and (self.phase != "after" or self.count >= shape.least)
            return (self._at(self.count, self.phase, gap or GAP_OPEN),) if is_allowed else ()
        if character == "]" and self.phase != "comma":
            return self.finish(text, at + 1) if self.count >= shape.least else ()
        if self.phase == "after":
            if character != "," or not self.may_continue():
                return ()
            return (self._at(self.count, "comma", GAP_OPEN),)
        if not shape.may_hold(self.count):
            return ()
        inside = self._at(self.count, "inside", GAP_OPEN)
        return value_cursor(shape.node(self.count), inside, at, self.gap, True).advance(character, text, at)

    def may_continue(self) -> bool:
        """Whether another item may come."""
        return (self.phase != "after" or self.gap == GAP_OPEN) and bool(self.shape.may_hold(self.count))

    def after(self) -> Cursor:
        return self._at(self.count + 1, "after", GAP_OPEN)

    def inner_place(self) -> Hashable:
        return self.count, self.phase, self.gap

    def _at(self, count: int, phase: Any, gap: int) -> ArrayCursor:
        return ArrayCursor(self.shape, self.parent, self.start, self.is_checked, self.depth, count, phase, gap)

    def rests(self, text: str) -> Iterator[str]:
        shape: ArrayShape = self.shape
        known = shape.known(text[self.start :])
        if self.phase != "comma":
            may_continue = self.phase == "first" or self.gap == GAP_OPEN
            yield from (tail for tail in shape.tails(self.count, 0, known) if may_continue or tail == "]")
            return
        # The comma is written already.
        yield from (tail[1:] if self.count else tail for tail in shape.tails(self.count, 1, known) if tail != "]")
