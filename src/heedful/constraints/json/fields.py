"""What is still to be written, as places of which each may hold one thing or another: a sketch says which, and becomes a text.

They know nothing of each other: more members, more items, another of the listed values, another number, words in a string. An empty
sketch is about the shortest ending.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from heedful import text as texts
from heedful.constraints.fillers import between
from heedful.constraints.json.arrays import ArrayShape
from heedful.constraints.json.literals import LiteralShape, spell
from heedful.constraints.json.numbers import NumberShape
from heedful.constraints.json.objects import ObjectShape
from heedful.constraints.json.shape import Shape
from heedful.constraints.json.strings import StringShape
from heedful.constraints.json.value import Node

_MAX_LEVELS = 4
_MAX_KEYS = 24
MAX_OPTIONS = 24
_MAX_EXTRA_ITEMS = 32
_MAX_SHAPES = 4
_MUCH = 1_000_000
_KEYS_TO_MAKE_UP = ("text", "note", "summary")
MARK = "\0"
"""Stands in a rendered text where free text may come; no JSON text holds it."""

Sketch = Mapping["Field", Any]
"""What the places hold where that is not the usual; never changed."""


class Field:
    """A place."""

    def render(self, sketch: Sketch, *, pads: bool = True, slot: Field | None = None) -> str:
        """What stands there. `pads`: strings that are too short are filled up; `slot` has a mark at the end of its words."""
        raise NotImplementedError

    def inside(self, sketch: Sketch) -> Iterator[Field]:
        """The places in this one that are in use."""
        return iter(())

    def moves(self, sketch: Sketch) -> Iterator[Any]:
        """Other things that it may hold, next."""
        return iter(())


@dataclass(eq=False)
class Text(Field):
    """The words of a string: `sketch` holds a tuple of pieces."""

    least: int
    """Characters that it lacks while it has no pieces."""
    most: int | None
    opening: str = '"'
    before: str = '"'
    """What the first piece stands behind."""
    filler: str = "a"
    is_distinct: bool = False
    """Other strings beside it have to differ: then it is not filled with words, and holds something at once."""

    def body(self, pieces: tuple[str, ...]) -> str:
        found = ""
        for piece in pieces:
            found += between(found[-1:] or self.before, piece) + piece[overlap(found, piece) :]
        return found

    def spare(self, sketch: Sketch) -> int:
        """Characters for which there is still room."""
        return _MUCH if self.most is None else self.most - len(self.body(sketch.get(self, ())))

    def lacking(self, sketch: Sketch) -> int:
        """Characters that it has to have still; below zero, how many more it has."""
        return self.least - len(self.body(sketch.get(self, ())))

    def is_begun(self, sketch: Sketch) -> bool:
        """Whether a word has to keep away from what stands before it."""
        return bool(sketch.get(self)) or not (self.before.endswith('"') or self.before[-1:].isspace())

    def render(self, sketch: Sketch, *, pads: bool = True, slot: Field | None = None) -> str:
        body = self.body(sketch.get(self, ()))
        if slot is self:
            return f'{self.opening}{spell(body)[1:-1]}{MARK}"'
        return f"{self.opening}{spell(body + (self._padding(body) if pads or self.is_distinct else ''))[1:]}"

    def _padding(self, body: str) -> str:
        lacking = self.least - len(body)
        # A word of its own: the last one must stay what it is.
        return " " + self.filler * (lacking - 1) if body and lacking > 1 else ("." if body else self.filler) * lacking


@dataclass(eq=False)
class Choice(Field):
    """One of a few texts: `sketch` holds which."""

    options: tuple[str, ...]

    def render(self, sketch: Sketch, *, pads: bool = True, slot: Field | None = None) -> str:
        return self.options[sketch.get(self, 0)]

    def moves(self, sketch: Sketch) -> Iterator[Any]:
        if self not in sketch:
            yield from range(1, len(self.options))


@dataclass(eq=False)
class Either(Field):
    """One of a few kinds of value: `sketch` holds which."""

    options: tuple[Field, ...]

    def render(self, sketch: Sketch, *, pads: bool = True, slot: Field | None = None) -> str:
        return self.options[sketch.get(self, 0)].render(sketch, pads=pads, slot=slot)

    def inside(self, sketch: Sketch) -> Iterator[Field]:
        yield self.options[sketch.get(self, 0)]

    def moves(self, sketch: Sketch) -> Iterator[Any]:
        if self not in sketch:
            yield from range(1, len(self.options))


class Members(Field):
    """What ends an object that has `keys`: `sketch` holds the keys that come besides those that are needed."""

    def __init__(
        self, shape: ObjectShape, keys: frozenset[str], level: int, opening: str = "{", joint: str = ""
    ) -> None:
        self._shape, self._there, self._level, self._before = shape, keys, level, opening
        self._joint = joint
        self._always = tuple(shape.needed(keys) or ())
        self._order: dict[str, int] = {key: number for number, key in enumerate(shape.keys.known)}
        self._fields: dict[str, Field] = {}

    def _keys(self, sketch: Sketch) -> list[str]:
        found = [*self._always, *sketch.get(self, ())]
        found += [key for key in self._shape.keys.missing(self._there | set(found)) if key not in found]
        return sorted(found, key=lambda key: self._order.get(key, len(self._order)))

    def _field(self, key: str) -> Field:
        if key not in self._fields:
            self._fields[key] = value_field(self._shape.keys.node(key), self._level + 1)
        return self._fields[key]

    def render(self, sketch: Sketch, *, pads: bool = True, slot: Field | None = None) -> str:
        found = [f"{spell(key)}:{self._field(key).render(sketch, pads=pads, slot=slot)}" for key in self._keys(sketch)]
        return f"{self._before}{self._joint if found else ''}{','.join(found)}}}"

    def inside(self, sketch: Sketch) -> Iterator[Field]:
        return map(self._field, self._keys(sketch))

    def moves(self, sketch: Sketch) -> Iterator[Any]:
        keys, added = self._shape.keys, sketch.get(self, ())
        taken = self._there | set(self._keys(sketch))
        for key in (*islice(keys.known, 4 * _MAX_KEYS), *_KEYS_TO_MAKE_UP):
            if key not in taken and len(added) < _MAX_KEYS and keys.may_follow(key, taken):
                yield (*added, key)
                if key not in keys.known:
                    return  # They are all alike.


class Items(Field):
    """What ends a list of `count` items: `sketch` holds how many come besides those that are needed."""

    def __init__(
        self, shape: ArrayShape, count: int, level: int, opening: str = "[", joint: str = "", least: int = 0
    ) -> None:
        self._shape, self._count, self._level, self._before = shape, count, level, opening
        self._joint = joint
        self._least = max(shape.least - count, least)
        self._fields: list[Field] = []

    def inside(self, sketch: Sketch) -> Iterator[Field]:
        number = self._least + sketch.get(self, 0)
        while len(self._fields) < number:
            node = self._shape.node(self._count + len(self._fields))
            field = value_field(node, self._level + 1)
            self._fields.append(_different(field, len(self._fields)) if self._shape.is_unique else field)
        return iter(self._fields[:number])

    def render(self, sketch: Sketch, *, pads: bool = True, slot: Field | None = None) -> str:
        found = [field.render(sketch, pads=pads, slot=slot) for field in self.inside(sketch)]
        return f"{self._before}{self._joint if found else ''}{','.join(found)}]"

    def moves(self, sketch: Sketch) -> Iterator[Any]:
        extra = sketch.get(self, 0)
        if extra < _MAX_EXTRA_ITEMS and self._shape.may_hold(self._count + self._least + extra):
            yield extra + 1


def overlap(text: str, piece: str) -> int:
    """How many characters of `piece` the text ends with; in scripts without spaces only, where words may overlap."""
    if not texts.is_unspaced(piece):
        return 0
    return next((n for n in range(min(len(piece) - 1, len(text)), 0, -1) if text.endswith(piece[:n])), 0)


def _different(field: Field, number: int) -> Field:
    """The same place, holding something that the places before it do not."""
    if isinstance(field, Text):
        filler = chr(ord("a") + number % 26)
        return Text(max(field.least, min(number, 1)), field.most, field.opening, field.before, filler, True)
    if isinstance(field, Choice):
        return Choice((field.options[number % len(field.options)],))
    return field


def value_field(node: Node, level: int) -> Field:
    """A whole value."""
    shortest = node.shortest or "null"
    if level > _MAX_LEVELS:
        return Choice((shortest,))
    usable = [shape for shape in node.shapes[:64] if node.has(shape)]
    usable.sort(key=lambda shape: shape.found != shortest)
    options = tuple(_shape_field(shape, level) for shape in usable[:_MAX_SHAPES])
    return options[0] if len(options) == 1 else Either(options) if options else Choice((shortest,))


def _shape_field(shape: Shape, level: int) -> Field:
    if isinstance(shape, ObjectShape):
        return Members(shape, frozenset(), level)
    if isinstance(shape, ArrayShape) and not shape.wanted:
        return Items(shape, 0, level)
    if isinstance(shape, StringShape) and shape.is_free:
        return Text(shape.least, shape.most)
    if isinstance(shape, LiteralShape):
        return Choice(shape.spellings[:MAX_OPTIONS])
    if isinstance(shape, NumberShape):
        return Choice(tuple(shape.spellings()))
    return Choice((shape.found or "null",))
