"""The places that are still to be written, from a cursor outwards to the end of the answer."""

from __future__ import annotations

from itertools import islice

from heedful.constraints.json.arrays import ArrayCursor
from heedful.constraints.json.fields import MAX_OPTIONS, Choice, Field, Items, Members, Text, value_field
from heedful.constraints.json.literals import LiteralCursor
from heedful.constraints.json.numbers import NumberCursor
from heedful.constraints.json.objects import ObjectCursor
from heedful.constraints.json.root import RootCursor
from heedful.constraints.json.shape import Cursor
from heedful.constraints.json.strings import StringCursor, StringShape
from heedful.constraints.json.value import ValueCursor


def fields_from(cursor: Cursor, text: str) -> tuple[Field, ...]:
    """The places from `cursor` to the end of the answer; none where there is no end."""
    found: list[Field] = []
    while not isinstance(cursor, RootCursor):
        found += _open_fields(cursor, text)
        cursor = cursor.parent.after()
    return (*found, Choice((next(iter(cursor.rests(text)), ""),)))


def _open_fields(cursor: Cursor, text: str) -> list[Field]:
    if isinstance(cursor, StringCursor) and cursor.shape.is_free:
        shape: StringShape = cursor.shape
        for rest, length in cursor.after_escape():
            most = None if shape.most is None else shape.most - length
            return [Text(max(shape.least - length, 0), most, rest, (text + ("a" if rest else ""))[-16:])]
    if isinstance(cursor, ValueCursor):
        return [value_field(cursor.shape, 0)]
    if isinstance(cursor, ArrayCursor) and not cursor.shape.wanted:
        if cursor.phase == "after" and not cursor.may_continue():
            return [Choice(("]",))]
        joint = "," if cursor.phase == "after" else ""
        return [Items(cursor.shape, cursor.count, 0, "", joint, cursor.phase == "comma")]
    if isinstance(cursor, ObjectCursor):
        if cursor.phase in ("first", "after"):
            if not cursor.may_continue():
                return [Choice(("}",))]
            return [Members(cursor.shape, cursor.keys, 0, "", "," if cursor.phase == "after" else "")]
        for head, key in cursor.heads():
            value = value_field(cursor.shape.keys.node(key), 0)
            return [Choice((head,)), value, Members(cursor.shape, cursor.keys | {key}, 0, "", ",")]
    most = MAX_OPTIONS if isinstance(cursor, LiteralCursor | NumberCursor) else 1
    return [Choice(tuple(islice(cursor.rests(text), most)) or ("",))]
