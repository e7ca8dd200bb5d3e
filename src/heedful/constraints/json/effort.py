"""How much work a check of a finished answer takes at most, told from the schema before there is an answer.

Checks stop at a number of steps (`schemas.MAX_STEPS`) and at a time for patterns, and what they stop at counts as invalid. Where neither
can be reached, what the machine knows to be valid need not be checked to be believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from heedful.constraints.json.loops import reachable, same_value
from heedful.constraints.json.parts import Document, Part
from heedful.requirements.schemas import MAX_STEPS

_MAX_ROUNDS = 16
_ENDLESS = MAX_STEPS + 1
_MOST_MATCHED = 2_000
"""Characters of an answer, where a schema has patterns: they may take time that grows with the square."""
_MOST_READ = 100_000
_UNKNOWN = ("$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems", "disallow")
"""Keywords for which nothing is promised."""
_ONE_OF = ("properties", "additionalProperties", "items", "prefixItems", "additionalItems")
"""Of these at most one schema is asked about each member or item."""
_ALL_OF = ("patternProperties", "contains", "propertyNames")
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_REPEATED = re.compile(r"[*+]|,\}")
_CLEVER = re.compile(r"\(\?[^:]|\\[1-9gk]")
"""Looking around, and back to what was matched."""


class Effort:
    """Of one schema, which has no loops."""

    def __init__(self, document: Document) -> None:
        parts = reachable(document.root, _asked_along)
        is_known = not document.is_third and not any(name in part.keywords for part in parts for name in _UNKNOWN)
        self.per_value = _load(document.root, parts) if is_known else _ENDLESS
        """Steps that are counted for any one value, member's name or item in an answer, by all schemas that are asked about it."""
        patterns = {pattern for part in parts for pattern in _patterns(part)}
        self._most_read = _MOST_READ if not patterns else _MOST_MATCHED if all(map(_is_quick, patterns)) else 0

    def is_small(self, text: str, rest: str) -> bool:
        """Whether checking the answer `text + rest` comes to its end for sure."""
        return self.is_small_with(text, len(rest), num_marks(rest))

    def is_small_with(self, text: str, length: int, marks: int) -> bool:
        """The same of `text` and any `length` characters more with so many `marks` (`num_marks`)."""
        num_values = 1 + num_marks(text) + marks
        return len(text) + length <= self._most_read and 2 * num_values * self.per_value <= MAX_STEPS


def num_marks(text: str) -> int:
    """Each value but the first, and each name, follows one of these; those inside of strings are counted too."""
    return text.count(",") + text.count("[") + text.count("{")


def _asked_along(part: Part) -> list[Part]:
    """Schemas that are asked about the same value, or about members, their names or items in it."""
    return [*same_value(part), *_inner(part, _ONE_OF), *_inner(part, _ALL_OF)]


def _load(root: Part, parts: list[Part]) -> int:
    """Steps for one value at most, wherever it stands."""
    same = {part: list(same_value(part)) for part in parts}
    one_of = {part: list(_inner(part, _ONE_OF)) for part in parts}
    all_of = {part: list(_inner(part, _ALL_OF)) for part in parts}
    steps = {part: sum(map(_steps, part.keywords.values())) for part in parts}
    own, below = dict.fromkeys(parts, 0), dict.fromkeys(parts, 0)

    def load(part: Part) -> int:
        return max(own[part], below[part])

    for _ in range(_MAX_ROUNDS):
        is_settled = True
        # What stands inside of others comes first, so that one round is enough where nothing refers back.
        for part in reversed(parts):
            new_own = steps[part] + sum(own[other] for other in same[part])
            inner = max(map(load, one_of[part]), default=0) + sum(map(load, all_of[part]))
            new_below = inner + sum(below[other] for other in same[part])
            if (new_own, new_below) != (own[part], below[part]):
                is_settled = False
                own[part], below[part] = min(new_own, _ENDLESS), min(new_below, _ENDLESS)
        if is_settled or load(root) == _ENDLESS:
            return max(load(root), 1)
    return _ENDLESS


def _steps(value: object) -> int:
    """As checks count them."""
    return 1 + (len(value) // 16 if isinstance(value, list | dict) else 0)


def _inner(part: Part, names: tuple[str, ...]) -> Iterator[Part]:
    for name in names:
        said = part.get(name)
        if name in ("properties", "patternProperties"):
            some = list((said or {}).values())
        else:
            some = said if isinstance(said, list) else [said]
        yield from (part.inner(schema) for schema in some if isinstance(schema, dict | bool))


def _patterns(part: Part) -> Iterator[str]:
    if isinstance(part.get("pattern"), str):
        yield part.keywords["pattern"]
    yield from part.get("patternProperties", ())


def _is_quick(pattern: str) -> bool:
    """Whether a search takes no more than a time that grows with the square of the text: few repetitions, none within another."""
    if _REPEATED_GROUP.search(pattern) or _CLEVER.search(pattern):
        return False
    return len(_REPEATED.findall(pattern)) <= (2 if pattern.startswith("^") and "|" not in pattern else 1)
