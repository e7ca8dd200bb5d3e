"""From schemas to shapes: every alternative (`alternatives.py`) becomes one shape for each kind of value that it allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from math import gcd, lcm
from typing import Any

from heedful.constraints.json.alternatives import Alternative, alternatives
from heedful.constraints.json.arrays import ArrayShape, Items
from heedful.constraints.json.facts import kind_of, literals_of
from heedful.constraints.json.formats import FORMATS
from heedful.constraints.json.keys import Keys, Members
from heedful.constraints.json.literals import LiteralShape, spell
from heedful.constraints.json.numbers import Bounds, NumberShape
from heedful.constraints.json.objects import ObjectShape
from heedful.constraints.json.parts import Part
from heedful.constraints.json.patterns import follow
from heedful.constraints.json.shape import Shape
from heedful.constraints.json.strings import StringShape
from heedful.constraints.json.value import Grammar
from heedful.constraints.regular import Regular, regular

_HUGE = 10**300
_MAX_LISTED = 2_000
"""Values of an `enum` that are compared with what else is said; more are left out."""
_PLAIN = frozenset({"type", "enum"})
"""A schema that says only this need not be asked again."""
_ARRAY_CHECKS = ("contains", "uniqueItems")


def make_shapes(grammar: Grammar, parts: frozenset[Part]) -> list[Shape]:
    """All ways in which a value can satisfy `parts`, as far as they are followed."""
    # In the schema's order, not the set's: what is written must not depend on memory addresses.
    ordered = sorted(parts, key=lambda part: part.number)
    return [shape for one in alternatives(ordered) for shape in _shapes(grammar, one)]


def _shapes(grammar: Grammar, one: Alternative) -> Iterator[Shape]:
    source = next((part for part in one.parts if literals_of(part) is not None), None)
    if source is not None:
        texts = [spell(value) for value in _allowed(source, one)]
    else:
        names = {"null": ["null"], "boolean": ["true", "false"]}
        texts = [text for kind, some in names.items() if kind in one.kinds for text in some]
        texts = [text for text in texts if all(check.holds(json.loads(text)) for check in one.checks)]
    if texts:
        yield LiteralShape(texts)
    if source is not None:
        return
    if "string" in one.kinds and (string := _string(one)) is not None:
        yield string
    if "number" in one.kinds and not any(_is_huge(part) for part in one.parts):
        yield NumberShape(_bounds(one), _ordered(one.checks))
    if "array" in one.kinds:
        yield _array(grammar, one)
    if "object" in one.kinds:
        yield _object(grammar, one)


def _allowed(source: Part, one: Alternative) -> Iterator[Any]:
    """The values that `source` lists and the others allow."""
    others = [part for part in (*one.parts, *one.checks) if part is not source or not part.keywords.keys() <= _PLAIN]
    whole = _is_whole(source.get("type"))
    for value in islice(literals_of(source) or (), _MAX_LISTED if others else None):
        if kind_of(value) not in one.kinds or (isinstance(value, dict) and one.forbidden & value.keys()):
            continue
        if whole and isinstance(value, float):
            continue
        if all(part.holds(value) for part in others):
            yield value


def _ordered(checks: frozenset[Part]) -> list[Part]:
    return sorted(checks, key=lambda part: part.number)


def _largest(one: Alternative, keyword: str) -> int:
    return max((int(part.keywords[keyword]) for part in one.parts if keyword in part.keywords), default=0)


def _smallest(one: Alternative, keyword: str) -> int | None:
    return min((int(part.keywords[keyword]) for part in one.parts if keyword in part.keywords), default=None)


# -- strings --------------------------------------------------------------------------------------------------------


def _string(one: Alternative) -> Shape | None:
    checks = set(one.checks)
    patterns: list[Regular] = []
    for part in one.parts:
        pattern, name = part.get("pattern"), part.get("format")
        if isinstance(pattern, str):
            followed = follow(pattern)
            patterns += followed.machines
            checks |= set() if followed.is_exact else {part}
        if isinstance(name, str) and name in FORMATS:
            patterns.append(regular(FORMATS[name]))
    least, most = _largest(one, "minLength"), _smallest(one, "maxLength")
    if most is not None and most < least:
        return None
    is_free = not any("format" in part.keywords for part in one.parts)
    return StringShape(least, most, list(dict.fromkeys(patterns)), is_free=is_free, checks=_ordered(frozenset(checks)))


# -- numbers --------------------------------------------------------------------------------------------------------


def _bounds(one: Alternative) -> Bounds:
    low: tuple[Fraction, bool] | None = None
    high: tuple[Fraction, bool] | None = None
    step: Fraction | None = None
    divisors = []
    for part in one.parts:
        for end, is_open in _ends(part, "minimum", "exclusiveMinimum"):
            low = max(low or (end, is_open), (end, is_open))
        for end, is_open in _ends(part, "maximum", "exclusiveMaximum"):
            # Of two equal ends the open one is narrower.
            high = min(high or (end, is_open), (end, is_open), key=lambda pair: (pair[0], not pair[1]))
        divisor = _number(part.get("multipleOf", part.get("divisibleBy")))
        if divisor is not None and divisor > 0:
            divisors.append(part)
            step = divisor if step is None else _common_multiple(step, divisor)
    is_integer = any(_is_whole(part.get("type")) for part in one.parts)
    return Bounds(
        is_integer,
        low and low[0],
        high and high[0],
        bool(low and low[1]),
        bool(high and high[1]),
        step,
        tuple(divisors),
    )


def _is_whole(named: Any) -> bool:
    names = named if isinstance(named, list) else [named]
    return "integer" in names and "number" not in names


def _ends(part: Part, name: str, exclusive: str) -> Iterator[tuple[Fraction, bool]]:
    end, other = _number(part.get(name)), part.get(exclusive)
    if end is not None:
        # Up to draft 4 the exclusive keyword is a switch for the other one.
        yield end, other is True
    if (open_end := _number(other)) is not None:
        yield open_end, True


def _is_huge(part: Part) -> bool:
    """Whether a bound is beyond what floating point and everyday digits reach; then no number is written at all."""
    values = (part.get(name) for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))
    return any(isinstance(value, int | float) and not -_HUGE < value < _HUGE for value in values)


def _number(value: Any) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Fraction(str(value))


def _common_multiple(one: Fraction, other: Fraction) -> Fraction:
    return Fraction(lcm(one.numerator, other.numerator), gcd(one.denominator, other.denominator))


# -- lists and objects ----------------------------------------------------------------------------------------------


def _array(grammar: Grammar, one: Alternative) -> Shape:
    items = [each for part in one.parts if (each := _items(part)) is not None]
    checks = one.checks | {
        part for part in one.parts if any(part.get(name, False) is not False for name in _ARRAY_CHECKS)
    }
    wanted = [part.inner(part.keywords["contains"]) for part in one.parts if "contains" in part.keywords]
    is_unique = any(part.get("uniqueItems") is True for part in one.parts)
    return ArrayShape(
        grammar, items, _largest(one, "minItems"), _smallest(one, "maxItems"), wanted=wanted, is_unique=is_unique,
        checks=_ordered(checks),
    )  # fmt: skip


def _items(part: Part) -> Items | None:
    first, others = part.get("prefixItems", []), part.get("items")
    if part.document.items_are_prefix and isinstance(others, list):
        first, others = others, part.get("additionalItems")
    if not first and others is None:
        return None
    return Items(tuple(map(part.inner, first)), None if others is None else part.inner(others))


def _object(grammar: Grammar, one: Alternative) -> Shape:
    members = [each for part in one.parts if (each := _members(part)) is not None]
    for part in one.parts:
        if "unevaluatedProperties" in part.keywords and not any(each.others for each in members):
            known = {key: part.inner(True) for each in members for key in each.properties}
            members.append(Members(known, (), part.inner(part.keywords["unevaluatedProperties"])))
    required: list[str] = []
    needs: dict[str, tuple[str, ...]] = {}
    names = []
    for part in one.parts:
        required += _required(part)
        names += [part.inner(part.keywords["propertyNames"])] if "propertyNames" in part.keywords else []
        for keyword in ("dependentRequired", "dependencies"):
            for key, others in part.get(keyword, {}).items():
                if isinstance(others, list | str):
                    needs[key] = (*needs.get(key, ()), *([others] if isinstance(others, str) else others))
    keys = Keys(
        grammar, tuple(members), tuple(dict.fromkeys(required)), one.forbidden, tuple(names), needs,
        _smallest(one, "maxProperties"),
    )  # fmt: skip
    return ObjectShape(grammar, keys, _largest(one, "minProperties"), _ordered(one.checks))


def _members(part: Part) -> Members | None:
    others = part.get("additionalProperties")
    properties, patterns = part.get("properties", {}), part.get("patternProperties", {})
    if not properties and not patterns and others is None:
        return None
    return Members(
        {key: part.inner(inner) for key, inner in properties.items()},
        tuple((pattern, part.inner(inner)) for pattern, inner in patterns.items()),
        None if others is None else part.inner(others),
    )


def _required(part: Part) -> list[str]:
    if part.document.is_third:
        properties = part.get("properties", {})
        return [key for key, inner in properties.items() if isinstance(inner, dict) and inner.get("required") is True]
    return list(part.get("required", ()))
