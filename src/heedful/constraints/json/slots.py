"""Places for free text in what is still to be written: where keywords and word counts get into an answer that is JSON.

First the string being written, then strings that have to come, then strings that may, then one under a key made up for it. A place
is marked in the text that ends the answer, and the text is cut in two there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from heedful.constraints.json.arrays import ArrayCursor, ArrayShape
from heedful.constraints.json.endings import Budget, endings
from heedful.constraints.json.objects import ObjectCursor, ObjectShape
from heedful.constraints.json.root import RootCursor
from heedful.constraints.json.shape import Cursor
from heedful.constraints.json.strings import StringCursor, StringShape
from heedful.constraints.json.value import Node, ValueCursor
from heedful.constraints.machine import Completion

_MARK = "\0"
"""No JSON text holds it."""
_SAMPLE = "some words, 一些文字 and more"
_MAX_FOUND = 48
_MAX_KEYS = 24
_MAX_NESTING = 3
_NOW, _NEEDED, _POSSIBLE, _MADE_UP = range(4)
_KEYS_TO_MAKE_UP = ("text", "note", "summary")


@dataclass(frozen=True, slots=True)
class _Slot:
    rank: int
    text: str
    """With the mark in it."""
    room: int | None
    is_checked: bool
    """Whether a value on the way has checks, which words may fail."""
    least: int = 0
    """Characters that the string still lacks."""

    def within(self, before: str, after: str = "", *, is_checked: bool = False) -> _Slot:
        """The same place, once the text around it is known."""
        return replace(self, text=before + self.text + after, is_checked=self.is_checked or is_checked)


def slots(cursor: Cursor, text: str, is_good: Callable[[str], bool]) -> Iterator[Completion]:
    """Endings with room for words. `is_good` is asked about endings where the schema has checks: without words, and with some."""
    found = sorted(islice(_outwards(cursor, text), _MAX_FOUND), key=lambda slot: slot.rank)
    for slot in dict.fromkeys(found):
        before, _, after = slot.text.partition(_MARK)
        if cursor.is_checked or slot.is_checked:
            words = _SAMPLE if slot.room is None else _SAMPLE[: slot.room]
            few = "a" * slot.least
            if not all(is_good(before + some + after) for some in (few, words + few[len(words) :])):
                continue
        yield Completion(before, after, slot.room, least=slot.least)


def _outwards(cursor: Cursor, text: str) -> Iterator[_Slot]:
    """Places in the value in hand, then in what is around it once this value is ended shortly."""
    inside = ""
    while not isinstance(cursor, RootCursor):
        around = cursor.parent.after()
        for slot in _within(cursor, text + inside):
            rest = next(endings(around, text + inside + slot.text.replace(_MARK, "a" * slot.least), Budget()), None)
            if rest is not None:
                yield slot.within(inside, rest)
        rest = next(
            (rest for rest in islice(cursor.rests(text + inside), 20) if _is_passed(cursor, text + inside + rest)), None
        )
        if rest is None:
            return
        inside += rest
        cursor = around


def _is_passed(cursor: Cursor, text: str) -> bool:
    return not cursor.shape.checks or cursor.shape.holds(text[cursor.start :])


def _within(cursor: Cursor, text: str) -> Iterator[_Slot]:
    """Ways to end the value that `cursor` stands in."""
    if isinstance(cursor, StringCursor):
        shape: StringShape = cursor.shape
        for pending, length in cursor.after_escape() if shape.is_free else ():
            yield from (slot.within(pending) for slot in _string(shape, length, _NOW))
    elif isinstance(cursor, ValueCursor):
        yield from _in_value(cursor.shape, _MAX_NESTING)
    elif isinstance(cursor, ArrayCursor):
        items: ArrayShape = cursor.shape
        if cursor.phase != "after" or cursor.may_continue():
            for slot in _in_array(items, cursor.count, _MAX_NESTING):
                # The comma may be written already.
                yield replace(slot, text=slot.text[cursor.phase == "comma" and cursor.count > 0 :])
    elif isinstance(cursor, ObjectCursor):
        yield from _in_open_object(cursor)


def _in_open_object(cursor: ObjectCursor) -> Iterator[_Slot]:
    shape: ObjectShape = cursor.shape
    if cursor.phase in ("first", "after"):
        if cursor.may_continue():
            yield from _in_object(shape, cursor.keys, _MAX_NESTING)
        return
    heads = list(islice(cursor.heads(), _MAX_KEYS))
    for head, key in heads:
        tail = next(shape.tails(cursor.keys | {key}), None)
        if tail is not None:
            slots = islice(_in_value(shape.keys.node(key), _MAX_NESTING), 4)
            yield from (slot.within(head, tail) for slot in slots)
    for head, key in heads[:1]:
        value = shape.keys.node(key).shortest or ""
        for slot in _in_object(shape, cursor.keys | {key}, _MAX_NESTING):
            yield slot.within(head + value)


def _string(shape: StringShape, length: int, rank: int) -> Iterator[_Slot]:
    padding = shape.shortest(None, length)
    if padding is None:
        return
    room = None if shape.most is None else shape.most - length
    if room is None or room > 0:
        yield _Slot(rank, f'{_MARK}"', room, bool(shape.checks), len(padding))


def _in_value(node: Node, levels: int) -> Iterator[_Slot]:
    """Whole values."""
    for shape in node.shapes:
        is_checked = bool(shape.checks)
        if isinstance(shape, StringShape):
            if shape.is_free:
                yield from (slot.within('"') for slot in _string(shape, 0, _NEEDED))
        elif levels and isinstance(shape, ObjectShape):
            found = _in_object(shape, frozenset(), levels - 1)
            yield from (slot.within("{", is_checked=is_checked) for slot in found)
        elif levels and isinstance(shape, ArrayShape):
            yield from (slot.within("[", is_checked=is_checked) for slot in _in_array(shape, 0, levels - 1))


def _in_object(shape: ObjectShape, keys: frozenset[str], levels: int) -> Iterator[_Slot]:
    """What ends an object that has `keys`."""
    needed = set(shape.keys.missing(keys))
    for key, rank in _keys(shape, keys, needed):
        for slot in islice(_in_value(shape.keys.node(key), levels), 3):
            tail = shape.tail_with(keys, key, slot.text)
            if tail is not None:
                yield replace(slot, rank=max(rank, slot.rank), text=tail)


def _keys(shape: ObjectShape, keys: frozenset[str], needed: set[str]) -> Iterator[tuple[str, int]]:
    known = [key for key in islice(shape.keys.known, 4 * _MAX_KEYS) if shape.keys.may_follow(key, keys)][:_MAX_KEYS]
    yield from ((key, _NEEDED) for key in known if key in needed)
    yield from ((key, _POSSIBLE) for key in known if key not in needed)
    made_up: Sequence[str] = [key for key in _KEYS_TO_MAKE_UP if key not in shape.keys.known]
    yield from ((key, _MADE_UP) for key in made_up if shape.keys.may_follow(key, keys))


def _in_array(shape: ArrayShape, count: int, levels: int) -> Iterator[_Slot]:
    """What ends a list of `count` items."""
    if not shape.may_hold(count):
        return
    rank = _NEEDED if count < shape.least else _POSSIBLE
    for slot in islice(_in_value(shape.node(count), levels), 3):
        tail = shape.tail_with(count, slot.text)
        if tail is not None:
            yield replace(slot, rank=max(rank, slot.rank), text=tail)
