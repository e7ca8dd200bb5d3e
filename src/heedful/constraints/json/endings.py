"""Ways to end a whole answer from a place inside it: the value in hand first, then what is around it, outwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from heedful.constraints.json.root import RootCursor
from heedful.constraints.json.shape import Cursor

_MAX_RESTS = 60
"""Ways to end one value that are tried where checks have to be passed."""


@dataclass
class Budget:
    """How many values may still be checked for one question; it ends even where a schema is hostile."""

    checks: int = 300

    def spend(self) -> bool:
        self.checks -= 1
        return self.checks >= 0


def first_ending(cursor: Cursor, text: str, budget: Budget) -> str | None:
    """A way to end, found without a search where what is written is the beginning of a value known to pass."""
    around = cursor
    while cursor.is_checked and not isinstance(around, RootCursor):
        known: str | None = around.shape.found if around.shape.checks else None
        written = text[around.start :]
        if known is not None and known.startswith(written):
            rest = known[len(written) :]
            outer = next(endings(around.parent.after(), text + rest, budget), None)
            if outer is not None:
                return rest + outer
        around = around.parent
    return next(endings(cursor, text, budget), None)


def endings(cursor: Cursor, text: str, budget: Budget) -> Iterator[str]:
    """What may follow `text` to make it a valid answer, the shortest first; all of them have passed the checks on the way."""
    if isinstance(cursor, RootCursor):
        yield from cursor.rests(text)
        return
    for rest in islice(cursor.rests(text), _MAX_RESTS if cursor.is_checked else 1):
        whole = text + rest
        if cursor.shape.checks and not (budget.spend() and cursor.shape.holds(whole[cursor.start :])):
            continue
        for outer in endings(cursor.parent.after(), whole, budget):
            yield rest + outer
        if budget.checks < 0:
            return
