"""Schemas that lead back to themselves for the same value, which no check of that value would come to the end of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from heedful.constraints.json.parts import Document, Part

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")


def refuse_loops(document: Document) -> None:
    """Raises ValueError, in words; what goes into a member or an item first is no loop."""
    finished: set[Part] = set()
    for part in reachable(document.root, lambda part: [*same_value(part), *document.inside(part)]):
        _follow(part, finished)


def reachable(root: Part, around: Callable[[Part], Iterable[Part]]) -> list[Part]:
    """`root` and all schemas that `around` leads to, in the order in which they were met first."""
    waiting, known = [root], {root}
    while waiting:
        for other in around(waiting.pop()):
            if other not in known:
                known.add(other)
                waiting.append(other)
    return sorted(known, key=lambda part: part.number)


def _follow(start: Part, finished: set[Part]) -> None:
    """Depth first; a part met again while what it leads to is still looked at is in a loop."""
    path, open_parts = [(start, same_value(start))], {start}
    while path:
        part, others = path[-1]
        other = next(others, None)
        if other is None:
            path.pop()
            open_parts.discard(part)
            finished.add(part)
        elif other in open_parts:
            raise ValueError("a part of it leads back to itself without going into a member or an item")
        elif other not in finished:
            path.append((other, same_value(other)))
            open_parts.add(other)


def same_value(part: Part) -> Iterator[Part]:
    """Schemas that are asked about the same value."""
    for name in _REFERENCES:
        if name in part.keywords:
            yield part.target(part.keywords[name])
    for name in _LISTS:
        yield from (part.inner(inner) for inner in part.get(name, ()))
    for name in _SINGLE:
        if name in part.keywords:
            yield part.inner(part.keywords[name])
    for name in ("dependentSchemas", "dependencies"):
        for inner in part.get(name, {}).values():
            if isinstance(inner, dict | bool):
                yield part.inner(inner)
    extended: Any = part.get("extends", ())
    yield from (part.inner(inner) for inner in (extended if isinstance(extended, list | tuple) else [extended]))
