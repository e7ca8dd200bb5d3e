"""JSON Schemas from strangers, made safe to check with: nothing is fetched, nothing hangs, nothing recurses forever.

`$ref` must lead to the schema itself. Work is counted in steps and has a limit, which does not depend on the machine;
patterns have a time limit besides. List items are compared by a hash. Drafts 3 to 2020-12 are understood, the last one when `$schema` does not say. `format` is checked
for date, email, ipv4, ipv6 and uuid; other formats are remarks, as the standard has them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import referencing
import referencing.exceptions
import referencing.jsonschema
from jsonschema import FormatChecker, validators
from jsonschema.exceptions import SchemaError, ValidationError

from heedful.requirements import patterns
from heedful.requirements.patterns import compile_pattern
from heedful.requirements.strict_json import depth
from heedful.requirements.wording import shorten

MAX_SCHEMA_DEPTH = 128
MAX_PROBLEMS = 20
"""More problems than this in one answer are not looked for."""

_FORMATS = FormatChecker(formats=("date", "email", "ipv4", "ipv6", "uuid"))
_NO_FORMATS = FormatChecker(formats=())
MAX_STEPS = 20_000
"""Keywords applied in one check, about a second. Ordinary answers need hundreds."""

Keyword = Callable[[Any, Any, Any, Mapping[str, Any]], Iterator[ValidationError]]


class UncheckableError(Exception):
    """Why a value cannot be checked against a schema, in words that continue "it cannot be checked: "."""


@dataclass
class _Budget:
    """What the check under way may still use."""

    steps: int
    seconds: float
    """For searching patterns."""


_BUDGET: ContextVar[_Budget] = ContextVar("budget")
"""A context variable because the validators' signatures, which are not ours, have no room for it."""


def check_schema(schema: Any) -> None:
    """Raises ValueError, in words, for a schema that is not one, that leads outside itself, or that is not safe to use."""
    if depth(schema) > MAX_SCHEMA_DEPTH:
        raise ValueError(f"the schema is nested more than {MAX_SCHEMA_DEPTH} levels deep")
    draft = _draft_of(schema)
    try:
        draft.check_schema(schema, format_checker=_NO_FORMATS)
        _check_parts(schema, draft)
        problems(validator_for(schema), None)
    except SchemaError as error:
        raise ValueError(f"not a JSON Schema: at {error.json_path}: {shorten(error.message, 200)}") from None
    except RecursionError:
        raise ValueError("the schema is nested too deeply") from None
    except UncheckableError as error:
        raise ValueError(f"not even the answer null can be checked against the schema: {error}") from None


def validator_for(schema: Any) -> Any:
    """A validator for `problems`; `schema` has passed `check_schema`."""
    # An explicit registry: without one, jsonschema fetches what `$ref` names.
    return _guarded(_draft_of(schema))(schema, registry=referencing.Registry(), format_checker=_FORMATS)


def problems(validator: Any, value: Any) -> list[ValidationError]:
    """What is wrong with `value`, at most `MAX_PROBLEMS`; raises UncheckableError."""
    _BUDGET.set(_Budget(MAX_STEPS, patterns.SECONDS))
    try:
        return list(islice(validator.iter_errors(value), MAX_PROBLEMS))
    except RecursionError:
        raise UncheckableError("answer and schema are nested too deeply, or the schema refers to itself") from None
    except OverflowError:
        raise UncheckableError("it holds a number too large") from None
    except TimeoutError:
        raise UncheckableError(f"its patterns take longer than {patterns.SECONDS:g} s on this answer") from None


def _draft_of(schema: Any) -> Any:
    named = schema.get("$schema") if isinstance(schema, dict) else None
    if named is None:
        return validators.Draft202012Validator
    draft = validators.validator_for(schema, default=None) if isinstance(named, str) else None
    if draft is None:
        raise ValueError(f"unknown $schema {named!r}; use for example https://json-schema.org/draft/2020-12/schema")
    return draft


# -- what a schema may hold -----------------------------------------------------------------------------------------


def _check_parts(schema: Any, draft: Any) -> None:
    """Refuse what is no schema, references out of it or to nowhere, patterns that cannot be compiled or timed."""
    specification = referencing.jsonschema.specification_with(draft.ID_OF(draft.META_SCHEMA))
    root = specification.create_resource(schema)
    uri = root.id() or ""
    registry: referencing.Registry[Any] = referencing.Registry().with_resource(uri, root).crawl()
    seen: dict[int, Any] = {}
    # References may lead to where no keyword leads, and from there on.
    targets = [(schema, registry.resolver(uri))]
    while targets:
        target, resolver = targets.pop()
        if id(target) in seen:
            continue
        if target is not schema:
            draft.check_schema(target, format_checker=_NO_FORMATS)
        waiting = [(specification.create_resource(target), resolver)]
        while waiting:
            part, resolver = waiting.pop()
            seen[id(part.contents)] = part.contents
            if isinstance(part.contents, dict):
                _check_patterns(part.contents)
                targets += _referenced(part.contents, resolver)
            waiting += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]
    names = {name for part in seen.values() if isinstance(part, dict) for name in part}
    if {"unevaluatedProperties", "patternProperties"} <= names:
        # jsonschema searches these with `re`, which has no time limit.
        raise ValueError("unevaluatedProperties with patternProperties is not supported; use additionalProperties")


def _referenced(part: dict[str, Any], resolver: Any) -> list[tuple[Any, Any]]:
    found = []
    for name in ("$ref", "$dynamicRef"):
        if isinstance(reference := part.get(name), str):
            try:
                target = resolver.lookup(reference)
            except (referencing.exceptions.Unresolvable, ValueError):
                raise ValueError(
                    f"{name} {reference!r} leads nowhere within the schema, and nothing is fetched; "
                    "copy what it means into $defs"
                ) from None
            found.append((target.contents, target.resolver))
    return found


def _check_patterns(part: dict[str, Any]) -> None:
    own = [part["pattern"]] if "pattern" in part else []
    for pattern in [*own, *part.get("patternProperties", ())]:
        compile_pattern(pattern)


# -- keywords that cannot hang --------------------------------------------------------------------------------------


def _found(pattern: str, text: str) -> bool:
    budget = _BUDGET.get()
    if budget.seconds <= 0:
        raise TimeoutError
    start = time.thread_time()
    try:
        return compile_pattern(pattern).search(text, timeout=budget.seconds) is not None
    finally:
        budget.seconds -= time.thread_time() - start


def _pattern(validator: Any, pattern: str, instance: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _found(pattern, instance):
        yield ValidationError(f"{shorten(instance)!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, properties: Mapping[str, Any], instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, inner in properties.items():
        for key, value in instance.items():
            if _found(pattern, key):
                yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, inner: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    others = schema.get("patternProperties", {})
    for key, value in instance.items():
        if key in schema.get("properties", {}) or any(_found(pattern, key) for pattern in others):
            continue
        if inner is False:
            yield ValidationError(f"the key {shorten(key)!r} is not in the schema")
        else:
            yield from validator.descend(value, inner, path=key)


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    if wanted and validator.is_type(instance, "array") and len({_key(item) for item in instance}) < len(instance):
        yield ValidationError("the list holds an item more than once")


def _key(value: Any) -> str:
    """Equal for values that JSON Schema calls equal: 1 is 1.0, but not true; the order of keys does not matter."""
    return json.dumps(_plain_numbers(value), sort_keys=True)


def _plain_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain_numbers(item) for key, item in value.items()}
    return value


_OURS: dict[str, Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}


def _counted(keyword: Keyword) -> Keyword:
    def apply(validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
        budget = _BUDGET.get()
        # One step more for some of the members of `enum`, `required`, `properties`, which the keyword goes through.
        budget.steps -= 1 + (len(value) // 16 if isinstance(value, list | dict) else 0)
        if budget.steps < 0:
            raise UncheckableError(f"it takes more than {MAX_STEPS} steps")
        yield from keyword(validator, value, instance, schema) or ()

    return apply


@lru_cache(maxsize=16)
def _guarded(draft: Any) -> Any:
    """The validator class of a draft with everything replaced that could take forever."""
    # Counted, because two references to a schema with two references of its own, and so on, ask for a billion steps in
    # thirty lines.
    return validators.extend(
        draft, {name: _counted(_OURS.get(name, keyword)) for name, keyword in draft.VALIDATORS.items()}
    )
