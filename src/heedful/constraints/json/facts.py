"""Simple things to know about a schema without going deep: which kinds of value it allows, whether two exclude each other."""

from __future__ import annotations

import json
from typing import Any

from heedful.constraints.json.parts import Part

ALL_KINDS = frozenset({"null", "boolean", "number", "string", "array", "object"})
"""Integers are numbers here; that they must be whole is asked of the number itself."""
_MAX_DEPTH = 8


def kinds_of(part: Part) -> frozenset[str]:
    """What `type` allows, everything where it does not say."""
    named = part.get("type")
    if named is None:
        return ALL_KINDS
    names = named if isinstance(named, list) else [named]
    if not all(isinstance(name, str) and (name in ALL_KINDS or name == "integer") for name in names):
        return ALL_KINDS
    return frozenset("number" if name == "integer" else name for name in names)


def kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def literals_of(part: Part) -> list[Any] | None:
    """The values listed in `enum` or `const`; None where there is neither."""
    if "const" in part.keywords:
        return [part.keywords["const"]]
    if isinstance(part.get("enum"), list):
        return list(part.keywords["enum"])
    return None


def are_apart(one: Part, other: Part, kinds: frozenset[str]) -> bool:
    """Whether no value of these kinds can be valid for both, as far as it is plain to see."""
    first, second = _Facts(one), _Facts(other)
    kinds = kinds & first.kinds & second.kinds
    if not kinds or _listed_apart(first.literals, second.literals):
        return True
    if kinds != {"object"}:
        return False
    for key in first.required & second.required:
        if _listed_apart(first.values.get(key), second.values.get(key)):
            return True
    return first.is_closed_to(second.required) or second.is_closed_to(first.required)


def _listed_apart(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is not None and other is not None and not one & other


class _Facts:
    """What a part, its references and its `allOf` say together."""

    def __init__(self, part: Part) -> None:
        self.kinds = ALL_KINDS
        self.literals: frozenset[str] | None = None
        self.required: frozenset[str] = frozenset()
        self.values: dict[str, frozenset[str]] = {}
        """For keys with listed values: these."""
        self._allowed: list[frozenset[str]] = []
        for each in _together(part, _MAX_DEPTH):
            self._take(each)

    def is_closed_to(self, keys: frozenset[str]) -> bool:
        return any(keys - allowed for allowed in self._allowed)

    def _take(self, part: Part) -> None:
        self.kinds &= kinds_of(part)
        if (literals := literals_of(part)) is not None:
            self.literals = frozenset(map(_key, literals))
        required = part.get("required")
        if isinstance(required, list):
            self.required |= frozenset(required)
        properties = part.get("properties", {})
        for key, inner in properties.items():
            for each in _together(part.inner(inner), 2):
                if (literals := literals_of(each)) is not None:
                    self.values[key] = frozenset(map(_key, literals))
        if part.get("additionalProperties") is False and not part.get("patternProperties"):
            self._allowed.append(frozenset(properties))


def _together(part: Part, depth: int) -> list[Part]:
    """The part and what must hold with it."""
    if depth == 0:
        return []
    inner = [part.target(part.keywords["$ref"])] if "$ref" in part.keywords else []
    inner += [part.inner(each) for each in part.get("allOf", ())]
    return [part, *(more for each in inner for more in _together(each, depth - 1))]


def _key(value: Any) -> str:
    """Different for values that are different; 1 and 1.0 must not count as that."""
    plain = int(value) if isinstance(value, float) and value.is_integer() else value
    # Inside lists and objects numbers may be equal in other ways: then nothing is said.
    return json.dumps(plain, sort_keys=True) if not isinstance(plain, list | dict) else "?"
