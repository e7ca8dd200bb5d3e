"""Schemas inside a schema, each with what it needs to be understood: where its references lead, and who checks values against it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import referencing
import referencing.jsonschema
from jsonschema import validators

from heedful.requirements import schemas

_LOOSE = frozenset({"then", "else", "minContains", "maxContains", "exclusiveMinimum", "exclusiveMaximum"})
"""Keywords that belong to others, and are not in jsonschema's own list."""


class Document:
    """The whole schema, which has passed `schemas.check_schema`."""

    def __init__(self, schema: Any) -> None:
        self.validator = schemas.validator_for(schema)
        draft = validators.validator_for(schema, default=validators.Draft202012Validator)
        uri = str(draft.META_SCHEMA.get("$id", draft.META_SCHEMA.get("id", "")))
        self.is_third = "draft-03" in uri
        self.refs_stand_alone = any(name in uri for name in ("draft-03", "draft-04", "draft-06", "draft-07"))
        """Whether everything beside a `$ref` is ignored."""
        self.items_are_prefix = "prefixItems" not in draft.VALIDATORS
        """Whether a list in `items` is for the first items."""
        self.keywords = frozenset(draft.VALIDATORS) | _LOOSE
        self.deadline: float | None = None
        """Processor time of this thread, after which checks raise ValueError; None is no limit."""
        self._specification = referencing.jsonschema.specification_with(draft.ID_OF(draft.META_SCHEMA))
        root = self._specification.create_resource(schema)
        registry: referencing.Registry[Any] = referencing.Registry().with_resource(root.id() or "", root).crawl()
        self._parts: dict[int, Part] = {}
        self.root = self.part(schema, registry.resolver(root.id() or ""))

    def keep_time(self) -> None:
        if self.deadline is not None and time.thread_time() > self.deadline:
            raise ValueError("looking for a valid document takes too long; use a simpler schema")

    def part(self, schema: Any, resolver: Any) -> Part:
        """The same object for the same place."""
        found = self._parts.get(id(schema))
        if found is None:
            if isinstance(schema, dict):
                resolver = resolver.in_subresource(self._specification.create_resource(schema))
            found = self._parts[id(schema)] = Part(self, schema, resolver, len(self._parts))
        return found

    def inside(self, part: Part) -> list[Part]:
        """All schemas that stand in this one."""
        if not isinstance(part.schema, dict):
            return []
        inner = self._specification.create_resource(part.schema).subresources()
        return [self.part(each.contents, part.resolver) for each in inner]


class Part:
    """One schema where it stands."""

    __slots__ = ("document", "keywords", "number", "resolver", "schema")

    def __init__(self, document: Document, schema: Any, resolver: Any, number: int) -> None:
        self.number = number
        """In the order in which parts are met."""
        self.document = document
        self.schema = schema
        self.resolver = resolver
        self.keywords: dict[str, Any] = {}
        """What is said here, without what this draft ignores."""
        if isinstance(schema, dict):
            names = schema.keys() & document.keywords
            if document.refs_stand_alone and "$ref" in schema:
                names = {"$ref"}
            self.keywords = {name: schema[name] for name in schema if name in names}

    def get(self, keyword: str, default: Any = None) -> Any:
        return self.keywords.get(keyword, default)

    def inner(self, schema: Any) -> Part:
        """A schema that stands inside this one."""
        return self.document.part(schema, self.resolver)

    def target(self, reference: str) -> Part:
        """Where a reference written here leads."""
        found = self.resolver.lookup(reference)
        return self.document.part(found.contents, found.resolver)

    def holds(self, value: Any) -> bool:
        """Whether `value` is valid here; what cannot be checked is not."""
        self.document.keep_time()
        try:
            return not schemas.problems(self, value)
        except schemas.UncheckableError:
            return False

    def iter_errors(self, value: Any) -> Iterator[Any]:
        """The first thing that is wrong: what `schemas.problems` asks a validator for."""
        return islice(self.document.validator.descend(value, self.schema, resolver=self.resolver), 1)
