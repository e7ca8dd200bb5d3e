"""JSON read as strictly as an answer must be written: what another reader would refuse or read differently is an error."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_LENGTH = 1_000_000
"""Characters; a longer answer is refused rather than left to take minutes."""
MAX_DIGITS = 1000
MAX_DEPTH = 64
"""Levels of nesting. Checking one level costs some ten frames of Python's stack of a thousand."""


class JsonProblemError(ValueError):
    """Why a text is not JSON, in words that continue "the answer is not JSON: "."""


def read_strictly(text: str) -> Any:
    """The value that `text` holds; raises JsonProblemError, also for NaN, repeated keys, endless nesting, huge numbers."""
    if len(text) > MAX_LENGTH:
        raise JsonProblemError(f"it is {len(text)} characters long, at most {MAX_LENGTH} are read")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_bounded_integer,
        )
    except json.JSONDecodeError as error:
        raise JsonProblemError(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise JsonProblemError(_too_deep(MAX_DEPTH)) from None
    if depth(value) > MAX_DEPTH:
        raise JsonProblemError(_too_deep(MAX_DEPTH))
    return value


def depth(value: Any) -> int:
    """How many lists and objects lie within one another in `value`; written without recursion."""
    level, current = 0, [value]
    while current := [item for item in current if isinstance(item, dict | list)]:
        level += 1
        current = [child for item in current for child in (item.values() if isinstance(item, dict) else item)]
    return level


def _too_deep(limit: int) -> str:
    return f"it is nested more than {limit} levels deep"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonProblemError(f"the key {json.dumps(twice, ensure_ascii=False)} occurs more than once in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise JsonProblemError(f"{name} is not a JSON value")


def _finite_float(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise JsonProblemError("it holds a number too large to be read")
    return number


def _bounded_integer(digits: str) -> int:
    # Python itself refuses above 4300 digits; arithmetic with schemas' fractions overflows long before.
    if len(digits) > MAX_DIGITS:
        raise JsonProblemError(f"it holds a number of {len(digits)} digits, at most {MAX_DIGITS} are read")
    return int(digits)
