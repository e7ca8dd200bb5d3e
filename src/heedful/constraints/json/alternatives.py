"""What several schemas ask of the same value, as a list of simpler things of which one has to hold.

`allOf` and `$ref` are put together, `anyOf`, `oneOf` and `if` become alternatives. What cannot be said simply, mostly `not` and
the "exactly" of `oneOf`, is left as a check on the finished value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from heedful.constraints.json.facts import ALL_KINDS, are_apart, kinds_of
from heedful.constraints.json.parts import Part

MAX_ALTERNATIVES = 256
"""For one value; more are left out, and what only they allow is refused."""
_MAX_STEPS = 20_000
_MAX_OPTIONS = 8
"""Ways to say what a branch of `oneOf` must not be; more are left as a check."""
_LEFT_AS_CHECKS = ("disallow", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to satisfy all: the keywords of `parts` that speak of the value itself, and the rest here."""

    parts: tuple[Part, ...] = ()
    checks: frozenset[Part] = frozenset()
    """To be asked about the finished value."""
    kinds: frozenset[str] = ALL_KINDS
    forbidden: frozenset[str] = frozenset()
    """Keys that an object may not have."""
    waiting: tuple[Part, ...] = ()
    """Not yet looked at; empty when done."""

    def wait_for(self, *parts: Part) -> Alternative:
        return replace(self, waiting=(*self.waiting, *parts))

    def check(self, part: Part) -> Alternative:
        return replace(self, checks=self.checks | {part})


def alternatives(parts: Iterable[Part]) -> list[Alternative]:
    """At most `MAX_ALTERNATIVES`; none when the parts contradict each other plainly."""
    stack = [Alternative(waiting=tuple(parts))]
    found: dict[Alternative, None] = {}
    for _ in range(_MAX_STEPS):
        if not stack or len(found) >= MAX_ALTERNATIVES:
            break
        current = stack.pop()
        if not current.kinds:
            continue
        if not current.waiting:
            found[current] = None
            continue
        part = current.waiting[0]
        part.document.keep_time()
        following = replace(current, waiting=current.waiting[1:])
        stack += reversed([following] if part in current.parts else _split(part, following))
    return list(found)


def _split(part: Part, current: Alternative) -> list[Alternative]:
    """`current` with `part` taken in."""
    if part.schema is False:
        return []
    current = replace(current, parts=(*current.parts, part), kinds=current.kinds & kinds_of(part))
    if any(name in part.keywords for name in _LEFT_AS_CHECKS):
        current = current.check(part)
    for name in ("$ref", "$dynamicRef", "$recursiveRef"):
        if name in part.keywords:
            current = current.wait_for(part.target(part.keywords[name]))
    current = current.wait_for(*(part.inner(inner) for inner in part.get("allOf", ())))
    if "extends" in part.keywords:
        extended = part.keywords["extends"]
        current = current.wait_for(*map(part.inner, extended if isinstance(extended, list) else [extended]))
    found = [current]
    if "not" in part.keywords:
        found = [more for one in found for more in _excluded(part.inner(part.keywords["not"]), part, one)]
    if "anyOf" in part.keywords:
        found = [one.wait_for(part.inner(inner)) for one in found for inner in part.keywords["anyOf"]]
    if "oneOf" in part.keywords:
        found = [more for one in found for more in _exactly_one(part, one)]
    if "if" in part.keywords:
        found = [more for one in found for more in _conditional(part, one)]
    for name in ("dependencies", "dependentSchemas"):
        for key, inner in part.get(name, {}).items():
            if isinstance(inner, dict | bool):
                # More than is asked where the key is missing, which the alternative beside it allows.
                found = [
                    more
                    for one in found
                    for more in (one.wait_for(part.inner(inner)), replace(one, forbidden=one.forbidden | {key}))
                ]
    return found


def _exactly_one(part: Part, current: Alternative) -> list[Alternative]:
    branches = [part.inner(inner) for inner in part.keywords["oneOf"]]
    found = []
    for chosen in branches:
        options = [current.wait_for(chosen)]
        for other in branches:
            if other is chosen or are_apart(chosen, other, current.kinds):
                continue
            narrowed = [more for one in options for more in _excluded(other, part, one)]
            options = narrowed if len(narrowed) <= _MAX_OPTIONS else [one.check(part) for one in options]
        found += options
    return found


def _conditional(part: Part, current: Alternative) -> list[Alternative]:
    if "then" not in part.keywords and "else" not in part.keywords:
        return [current]
    condition = part.inner(part.keywords["if"])
    met = current.wait_for(condition, part.inner(part.get("then", True)))
    not_met = current.wait_for(part.inner(part.get("else", True)))
    return [met, *_excluded(condition, part, not_met)]


def _excluded(excluded: Part, where: Part, current: Alternative) -> list[Alternative]:
    """`current` with what `excluded` allows left out; where that is not simple, as a check of `where`."""
    if excluded.schema is False:
        return [current]
    names = excluded.keywords.keys()
    if not names:
        return []
    kinds = current.kinds & kinds_of(excluded)
    if not kinds:
        return [current]
    others = replace(current, kinds=current.kinds - kinds_of(excluded))
    if names == {"type"} and not _mentions_integer(excluded.keywords["type"]):
        return [others]
    if names <= {"type", "required"} and kinds == {"object"} and isinstance(excluded.get("required"), list):
        objects = replace(current, kinds=kinds)
        found = [replace(objects, forbidden=objects.forbidden | {key}) for key in excluded.keywords["required"]]
        return [*found, others] if others.kinds else found
    if names == {"anyOf"}:
        found = [current]
        for inner in excluded.keywords["anyOf"]:
            found = [more for one in found for more in _excluded(excluded.inner(inner), where, one)]
        if len(found) <= _MAX_OPTIONS:
            return found
    return [current.check(where)]


def _mentions_integer(kinds: Any) -> bool:
    return kinds == "integer" or (isinstance(kinds, list) and "integer" in kinds)
