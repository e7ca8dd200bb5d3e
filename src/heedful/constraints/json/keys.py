"""The keys of an object: which may still come, which must, and how one that has been begun can be ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from heedful.constraints.json.literals import spell
from heedful.constraints.json.parts import Part
from heedful.constraints.json.value import Grammar, Node
from heedful.constraints.regular import Regular, regular
from heedful.requirements.patterns import SECONDS, compile_pattern

_MAX_KEPT = 8192
_ENDINGS = ("", *"abcdefghijklmnopqrstuvwxyz", "key", "a1", "a2", "a3")
"""To make of letters a key that is not taken yet."""


@dataclass(frozen=True, slots=True)
class Members:
    """What one schema says of the members of an object."""

    properties: dict[str, Part]
    patterns: tuple[tuple[str, Part], ...]
    others: Part | None
    """For keys that are neither; None where nothing is said."""

    def parts(self, key: str) -> Iterator[Part]:
        is_known = key in self.properties
        if is_known:
            yield self.properties[key]
        for pattern, part in self.patterns:
            if _found(pattern, key):
                is_known = True
                yield part
        if not is_known and self.others is not None:
            yield self.others

    @property
    def is_closed(self) -> bool:
        return self.others is not None and self.others.schema is False


def _found(pattern: str, key: str) -> bool:
    try:
        return compile_pattern(pattern).search(key, timeout=SECONDS) is not None
    except TimeoutError:
        return False


@dataclass
class Keys:
    """Which keys an object may have. What depends on the keys before is asked with these."""

    grammar: Grammar
    members: Sequence[Members]
    required: tuple[str, ...]
    forbidden: frozenset[str]
    names: tuple[Part, ...]
    """Schemas of the keys themselves."""
    needs: dict[str, tuple[str, ...]]
    """Keys that another one makes necessary."""
    most: int | None
    _nodes: dict[str, Node] = field(default_factory=dict)
    _possible: dict[str, bool] = field(default_factory=dict)
    _rests: dict[tuple[frozenset[str], str], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = [*self.required, *(key for each in self.members for key in each.properties)]
        self.known = {key: spell(key)[1:-1] for key in dict.fromkeys(known)}
        """The keys that the schema names, and how they are written."""
        self._patterns: list[Regular] | None = None

    def node(self, key: str) -> Node:
        found = self._nodes.get(key)
        if found is None:
            if len(self._nodes) > _MAX_KEPT:
                self._nodes.clear()
            parts = frozenset(part for each in self.members for part in each.parts(key))
            found = self._nodes[key] = self.grammar.node(parts)
        return found

    def missing(self, keys: frozenset[str]) -> list[str]:
        """Keys that still have to come, in the schema's order."""
        found = [key for key in self.required if key not in keys]
        if self.needs:
            waiting = [*keys, *found]
            for key in waiting:
                more = [other for other in self.needs.get(key, ()) if other not in keys and other not in found]
                found += more
                waiting += more
        return found

    def may_follow(self, key: str, keys: frozenset[str]) -> bool:
        """Whether `key` may come after `keys`, and an end can still be reached then."""
        if key in keys or not self._is_possible(key):
            return False
        if self.most is None and not self.needs:
            return True
        others = self.missing(keys | {key})
        if self.most is not None and len(keys) + 1 + len(others) > self.most:
            return False
        return all(map(self._is_possible, others))

    def _is_possible(self, key: str) -> bool:
        found = self._possible.get(key)
        if found is None:
            found = key not in self.forbidden and all(part.holds(key) for part in self.names)
            node = self.node(key)
            found = found and node.shortest is not None
            if found or node.is_settled:
                if len(self._possible) > _MAX_KEPT:
                    self._possible.clear()
                self._possible[key] = found
        return found

    def next_keys(self, keys: frozenset[str]) -> Iterator[str]:
        """Keys that may come next: the missing, the known, then one that is made up."""
        seen = set()
        for key in (*self.missing(keys), *self.known):
            if key not in seen and self.may_follow(key, keys):
                seen.add(key)
                yield key
        yield from (key for key in self._made_up("", keys) if key not in self.known)

    def rests(self, begun: str, keys: frozenset[str]) -> list[tuple[str, str]]:
        """(what ends the key that was begun, the whole key), a few; as it is written between the quotation marks."""
        found = self._rests.get((keys, begun))
        if found is None:
            if len(self._rests) > _MAX_KEPT:
                self._rests.clear()
            found = self._rests[keys, begun] = list(islice(self._find_rests(begun, keys), 4))
        return [(spelled[len(begun) :], key) for spelled in found for key in [self.read(spelled)]]

    @cached_property
    def are_listed(self) -> bool:
        """Whether only keys may come that the schema names."""
        return any(each.is_closed for each in self.members) and not self._pattern_machines()

    @cached_property
    def are_alike(self) -> bool:
        """Whether all keys may come, and those alike that are not `special`."""
        is_open = not self.names and not any(each.is_closed or each.patterns for each in self.members)
        return is_open and not self._pattern_machines()

    def special(self, keys: frozenset[str]) -> set[str]:
        """Keys after `keys` that are not like all others, as they are written; where `are_alike`."""
        return {*self.known.values(), *(spell(key)[1:-1] for key in (*keys, *self.forbidden, *self.needs))}

    def is_free(self, begun: str, keys: frozenset[str]) -> bool:
        """Whether a key that begins so after `keys` is like all others."""
        if not self.are_alike or begun == "" or "\\" in begun:
            return False
        return not any(key.startswith(begun) for key in self.special(keys))

    def listed_rests(self, begun: str) -> Iterator[str]:
        """What ends a key that the schema names and that was begun so; not all of them may come."""
        return (spelled[len(begun) :] for spelled in self.known.values() if spelled.startswith(begun))

    def read(self, spelled: str) -> str:
        """The key that is written so."""
        if "\\" not in spelled:
            return spelled
        return next(key for key, spelling in self.known.items() if spelling == spelled)

    def _find_rests(self, begun: str, keys: frozenset[str]) -> Iterator[str]:
        for key, spelled in self.known.items():
            if spelled.startswith(begun) and self.may_follow(key, keys):
                yield spelled
        if "\\" not in begun:
            yield from (key for key in self._made_up(begun, keys) if key not in self.known)

    def _made_up(self, begun: str, keys: frozenset[str]) -> Iterator[str]:
        if not any(each.is_closed for each in self.members):
            for ending in _ENDINGS:
                key = begun + ending
                if key and self.may_follow(key, keys):
                    yield key
        for pattern in self._pattern_machines():
            state = pattern.step(pattern.start(), begun)
            for rest in islice(pattern.rests(state), 30) if state is not None else ():
                key = begun + rest
                if spell(key)[1:-1] == key and self.may_follow(key, keys):
                    yield key

    def _pattern_machines(self) -> list[Regular]:
        if self._patterns is None:
            patterns = [pattern for each in self.members for pattern, _ in each.patterns]
            patterns += [part.get("pattern") for part in self._name_parts() if isinstance(part.get("pattern"), str)]
            self._patterns = [machine for pattern in dict.fromkeys(patterns) if (machine := _machine(pattern))]
        return self._patterns

    def _name_parts(self) -> list[Part]:
        found = list(self.names)
        for part in found:
            found += [part.target(part.keywords["$ref"])] if "$ref" in part.keywords and len(found) < 20 else []
        return found


def _machine(pattern: Any) -> Regular | None:
    try:
        return regular(pattern, "search", strict_end=True)
    except ValueError:
        return None
