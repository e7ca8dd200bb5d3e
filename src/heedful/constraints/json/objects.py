"""Objects: a key, a colon, a value, in any order of the keys; and the members that have to come before the end."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from heedful.constraints.json.keys import Keys
from heedful.constraints.json.literals import spell
from heedful.constraints.json.parts import Part
from heedful.constraints.json.shape import GAP_OPEN, MAX_DEPTH, Cursor, Shape, widen
from heedful.constraints.json.value import Grammar, value_cursor

_MAX_MEMBERS = 1000
"""An object that needs more counts as impossible."""
_MAX_OTHERS = 6
"""Values tried for one member, or keys beside those that are needed, when a check asks for something else."""

Phase = Literal["first", "comma", "key", "colon", "inside", "after"]


class ObjectShape(Shape):
    """Objects whose members satisfy all of several schemas."""

    kind = "object"
    opening = frozenset("{")

    def __init__(self, grammar: Grammar, keys: Keys, least: int, checks: Sequence[Part] = ()) -> None:
        super().__init__(checks)
        self._grammar = grammar
        self.keys = keys
        self.least = least

    def begin(self, parent: Any, start: int, character: str) -> Sequence[Cursor]:
        if parent.depth + self.nesting() > MAX_DEPTH:
            return ()
        is_checked = bool(self.checks) or parent.is_checked
        cursor = ObjectCursor(self, parent, start, is_checked, parent.depth + 1, frozenset(), "first", GAP_OPEN, "")
        return (cursor,)

    def texts(self) -> Iterator[str]:
        return (f"{{{rest}" for rest in self.tails(frozenset()))

    def tails(self, keys: frozenset[str]) -> Iterator[str]:
        """Texts that end an object which has `keys`."""
        needed = self.needed(keys)
        if needed is None:
            return
        nodes = [self.keys.node(key) for key in needed]
        plain = [node.shortest for node in nodes]
        if None in plain:
            return
        yield _joined(keys, needed, plain)
        for index, node in enumerate(nodes):
            for other in islice(node.variants(), 1, _MAX_OTHERS):
                yield _joined(keys, needed, [*plain[:index], other, *plain[index + 1 :]])
        more = list(islice(self._more(keys, needed), 40))
        for key in more:
            for other in islice(self.keys.node(key).variants(), _MAX_OTHERS):
                yield _joined(keys, [*needed, key], [*plain, other])
        for index, node in enumerate(nodes):
            for other in islice(node.variants(), _MAX_OTHERS, 60):
                yield _joined(keys, needed, [*plain[:index], other, *plain[index + 1 :]])
        for first, key in enumerate(more[:_MAX_OTHERS]):
            for second in more[first + 1 : _MAX_OTHERS]:
                if self.keys.may_follow(second, keys | {*needed, key}):
                    both = [key, second]
                    yield _joined(keys, [*needed, *both], [*plain, *(self.keys.node(one).shortest for one in both)])

    def tail_with(self, keys: frozenset[str], key: str, value: str) -> str | None:
        """A text that ends an object which has `keys`, with this member and what else is needed."""
        needed = self.needed(keys)
        if needed is not None and key not in needed:
            more = self.needed(keys | {key})
            needed = None if more is None else [key, *more]
        if needed is None:
            return None
        values = [value if name == key else self.keys.node(name).shortest for name in needed]
        return None if None in values else _joined(keys, needed, values)

    def needed(self, keys: frozenset[str]) -> list[str] | None:
        """Keys that make the object complete; None where that cannot be."""
        needed = self.keys.missing(keys)
        if max(self.least, len(needed)) > _MAX_MEMBERS:
            return None
        taken = keys
        for key in needed:
            if not self.keys.may_follow(key, taken):
                return None
            taken = taken | {key}
        while len(taken) < self.least:
            key = next((key for key in self.keys.next_keys(taken) if key not in taken), "")
            if key == "" and not self.keys.may_follow(key, taken):
                return None
            needed.append(key)
            taken = taken | {key}
            for other in self.keys.missing(taken):
                needed.append(other)
                taken = taken | {other}
        return needed

    def _more(self, keys: frozenset[str], needed: Sequence[str]) -> Iterator[str]:
        """Keys that may come besides, and need no others."""
        taken = keys | set(needed)
        return (key for key in self.keys.next_keys(taken) if not self.keys.missing(taken | {key}))


def _joined(keys: frozenset[str], names: Sequence[str], values: Sequence[str | None]) -> str:
    text = ",".join(f"{spell(name)}:{value}" for name, value in zip(names, values, strict=True))
    return f",{text}}}" if keys and text else f"{text}}}"


@dataclass(frozen=True, slots=True)
class ObjectCursor(Cursor):
    """Inside an object, outside of its values."""

    keys: frozenset[str]
    """Those whose values are finished."""
    phase: Phase
    gap: int
    key: str
    """The key being written, as it is written; then the one whose value comes."""

    def advance(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        if self.phase == "key":
            return self._advance_key(character)
        if self.phase == "colon":
            return self._advance_colon(character, text, at)
        if character in " \n":
            gap = widen(self.gap, character, lines=True)
            # White space goes behind a comma, not before it: after a member it says that no other comes.
            is_allowed = gap is not None and (self.phase != "after" or self._may_end())
            return (self._at(self.keys, self.phase, gap or GAP_OPEN, ""),) if is_allowed else ()
        if character == "}" and self.phase != "comma":
            return self.finish(text, at + 1) if self._may_end() else ()
        if character == "," and self.phase == "after" and self.may_continue():
            return (self._at(self.keys, "comma", GAP_OPEN, ""),)
        if character == '"' and self.phase in ("first", "comma") and self.may_continue():
            return (self._at(self.keys, "key", GAP_OPEN, ""),)
        return ()

    def _may_end(self) -> bool:
        return len(self.keys) >= self.shape.least and not self.shape.keys.missing(self.keys)

    def may_continue(self) -> bool:
        """Whether another member may come."""
        return (self.phase != "after" or self.gap == GAP_OPEN) and bool(self.shape.keys.rests("", self.keys))

    def _advance_key(self, character: str) -> Sequence[Cursor]:
        keys: Keys = self.shape.keys
        if character == '"' and not _is_escaping(self.key):
            if not any(rest == "" for rest, _ in keys.rests(self.key, self.keys)):
                return ()
            return (self._at(self.keys, "colon", GAP_OPEN, keys.read(self.key)),)
        if character < " " or "\ud800" <= character < "\ue000" or not keys.rests(self.key + character, self.keys):
            return ()
        return (self._at(self.keys, "key", GAP_OPEN, self.key + character),)

    def _advance_colon(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        if character != ":":
            return ()
        inside = self._at(self.keys, "inside", GAP_OPEN, self.key)
        return (value_cursor(self.shape.keys.node(self.key), inside, at + 1, GAP_OPEN, False),)

    def after(self) -> Cursor:
        return self._at(self.keys | {self.key}, "after", GAP_OPEN, "")

    def inner_place(self) -> Hashable:
        is_free = self.phase == "key" and self.shape.keys.is_free(self.key, self.keys)
        return self.keys, self.phase, self.gap, None if is_free else self.key

    def with_key(self, key: str) -> ObjectCursor:
        """The same object when `key` is what is written of the key."""
        return self._at(self.keys, "key", GAP_OPEN, key)

    def may_have_key(self) -> bool:
        """Whether a key may come that begins as what is written."""
        return bool(self.shape.keys.rests(self.key, self.keys))

    def _at(self, keys: frozenset[str], phase: Phase, gap: int, key: str) -> ObjectCursor:
        return ObjectCursor(self.shape, self.parent, self.start, self.is_checked, self.depth, keys, phase, gap, key)

    def rests(self, text: str) -> Iterator[str]:
        shape: ObjectShape = self.shape
        if self.phase in ("first", "after"):
            yield from (tail for tail in shape.tails(self.keys) if self.may_continue() or tail == "}")
            return
        for head, key in self.heads():
            for value in islice(shape.keys.node(key).variants(), _MAX_OTHERS):
                yield from (head + value + tail for tail in islice(shape.tails(self.keys | {key}), 60))

    def heads(self) -> Iterator[tuple[str, str]]:
        """(what comes before the value of the member being written, its key)."""
        keys: Keys = self.shape.keys
        if self.phase == "comma":
            yield from ((f"{spell(key)}:", key) for key in islice(keys.next_keys(self.keys), _MAX_OTHERS))
        elif self.phase == "key":
            yield from ((f'{rest}":', key) for rest, key in keys.rests(self.key, self.keys))
        else:
            yield ":", self.key


def _is_escaping(key: str) -> bool:
    """Whether a backslash waits for what it makes of the next character."""
    return (len(key) - len(key.rstrip("\\"))) % 2 == 1
