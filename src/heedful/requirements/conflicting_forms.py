"""Conflicts about the form of the whole answer: how it begins and ends, JSON, quotation marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from heedful.requirements.affixes import Affix, EndsWith, StartsWith, bare_text
from heedful.requirements.counts import Bullets
from heedful.requirements.formats import QUOTATION_PAIRS, Quoted
from heedful.requirements.json_schema import JsonSchema
from heedful.requirements.letters import Case, NoCommas
from heedful.requirements.requirement import Requirement, of_type
from heedful.requirements.responses import Repeats, comparable
from heedful.requirements.wording import quote, quote_all, shorten

_MAX_DEPTH = 20
"""Levels of a schema that are looked at."""


def beginnings(requirements: Sequence[Requirement]) -> Iterator[str]:
    """Two texts that the answer begins with, or ends with, of which neither can stand inside the other."""
    groups: tuple[Sequence[Affix], ...] = (of_type(requirements, StartsWith), of_type(requirements, EndsWith))
    for group in groups:
        for one, other in combinations(group, 2):
            if not (_agree(one, other) or _agree(other, one)):
                yield f"{one.kind} both {quote(one.text, 'en')} and {quote(other.text, 'en')}"
    repeated = of_type(requirements, Repeats)
    for repeats in repeated:
        for start in of_type(requirements, StartsWith):
            if not start.loose and not _one_begins_other(comparable(start.text), comparable(repeats.text)):
                yield f"starts_with {quote(start.text, 'en')} and repeats {quote(shorten(repeats.text), 'en')}"
    for first, second in combinations(repeated, 2):
        if not _one_begins_other(comparable(first.text), comparable(second.text)):
            yield f"repeats both {quote(shorten(first.text), 'en')} and {quote(shorten(second.text), 'en')}"


def _agree(one: Affix, other: Affix) -> bool:
    """Whether an answer that keeps `other` may keep `one`."""
    if not (one.loose or other.loose):
        return one.check(other.text).satisfied
    # The loose one does not see quotation marks, and the other may need them.
    bare, inside = bare_text(one.text), bare_text(other.text)
    return inside.startswith(bare) if isinstance(one, StartsWith) else inside.endswith(bare)


def _one_begins_other(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


# -- quotation marks --------------------------------------------------------------------------------------------------


def quotations(requirements: Sequence[Requirement]) -> Iterator[str]:
    """The whole answer between quotation marks, and a first or last character that is none."""
    if not of_type(requirements, Quoted):
        return
    for start in of_type(requirements, StartsWith):
        if not start.loose and start.text[0] not in QUOTATION_PAIRS:
            yield f"the whole answer quoted and starts_with {quote(start.text, 'en')}"
    for end in of_type(requirements, EndsWith):
        if not end.loose and end.text[-1] not in QUOTATION_PAIRS.values():
            yield f"the whole answer quoted and ends_with {quote(end.text, 'en')}"
    for repeats in of_type(requirements, Repeats):
        if repeats.text[0] not in QUOTATION_PAIRS:
            yield f"the whole answer quoted and repeats {quote(shorten(repeats.text), 'en')}"
    for schema in of_type(requirements, JsonSchema):
        if (types := _types(schema.schema_)) and "string" not in types:
            yield f"the whole answer quoted and JSON of type {quote_all(sorted(types), 'en', 'or')}"


# -- JSON -------------------------------------------------------------------------------------------------------------


def json_forms(requirements: Sequence[Requirement]) -> Iterator[str]:
    """JSON, and characters that it cannot begin or end with, or cannot do without."""
    for schema in of_type(requirements, JsonSchema):
        if not schema.allow_code_fence:
            yield from _json_ends(requirements)
        for bullets in of_type(requirements, Bullets):
            # A number may begin a line ("-1"), which is no list but in Markdown.
            if bullets.low and bullets.definition == "any":
                yield f"at least {bullets.units(bullets.low, 'en')} and JSON, whose lines cannot begin with such a mark"
        if of_type(requirements, NoCommas) and (reason := _needs_comma(schema.schema_)):
            yield f"no_commas and JSON with {reason}"
        for case in of_type(requirements, Case):
            names = [name for name in _required(schema.schema_) if name.upper() != name]
            if case.case == "upper" and names:
                yield f"all letters in upper case and JSON with the key {quote(shorten(names[0]), 'en')}"


def _json_ends(requirements: Sequence[Requirement]) -> Iterator[str]:
    for start in of_type(requirements, StartsWith):
        if not start.loose and start.text[0] not in '{["-0123456789tfn':
            yield f"JSON cannot begin with {quote(start.text, 'en')}"
    for end in of_type(requirements, EndsWith):
        if not end.loose and end.text[-1] not in ']}"0123456789el':
            yield f"JSON cannot end with {quote(end.text, 'en')}"
    for repeats in of_type(requirements, Repeats):
        if comparable(repeats.text)[0] not in '{["-0123456789tfn':
            yield f"JSON cannot begin with {quote(shorten(repeats.text), 'en')}"


def _types(schema: Any) -> set[str]:
    """The types that the schema names; empty when it leaves them open."""
    named = schema.get("type") if isinstance(schema, dict) else None
    return {named} if isinstance(named, str) else set(named or ())


def _required(schema: Any) -> list[str]:
    """The keys that every value has; none unless it is an object for certain."""
    return (
        [name for name in schema.get("required", ()) if isinstance(name, str)] if _types(schema) == {"object"} else []
    )


def _needs_comma(schema: Any, depth: int = 0) -> str:
    """What makes a comma necessary, in words, or nothing."""
    if depth > _MAX_DEPTH or not isinstance(schema, dict):
        return ""
    least = {"object": len(set(_required(schema))), "array": 0}
    for kind, keyword, parts in (("object", "minProperties", "properties"), ("array", "minItems", "items")):
        bound = schema.get(keyword, 0)
        if _types(schema) == {kind} and max(least[kind], bound if isinstance(bound, int | float) else 0) >= 2:
            return f"two {parts} or more"
    inner = [schema["properties"][name] for name in _required(schema) if name in schema.get("properties", {})]
    if _types(schema) == {"array"} and isinstance(schema.get("minItems"), int) and schema["minItems"] >= 1:
        inner.append(schema.get("items"))
    return next((reason for part in inner if (reason := _needs_comma(part, depth + 1))), "")
