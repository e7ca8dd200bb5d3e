"""A schema's `pattern` as automata: one that follows it exactly where there is one, otherwise several or a wider one and a check."""

from __future__ import annotations

from dataclasses import dataclass

import regex

from heedful.constraints.regular import Regular, regular

_PIECES = regex.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", regex.DOTALL)
_AHEAD = "(?="


@dataclass(frozen=True, slots=True)
class Followed:
    """All of `machines` have to match; that is enough if `is_exact`."""

    machines: tuple[Regular, ...]
    is_exact: bool


def follow(pattern: str) -> Followed:
    """What follows a pattern that is searched for."""
    try:
        return Followed((regular(pattern, "search", strict_end=True),), True)
    except ValueError:
        pass
    machines = []
    for part in _apart(pattern):
        try:
            machines.append(regular(part, "search", relaxed=True, strict_end=True))
        except ValueError:
            continue
    return Followed(tuple(machines), False)


def _apart(pattern: str) -> list[str]:
    """`^(?=A)(?=B)C`, as rules for passwords are written, as `^A`, `^B` and `^C`; otherwise the pattern alone."""
    pieces = _PIECES.findall(pattern)
    if pieces[:1] != ["^"] or _has_alternatives(pieces):
        return [pattern]
    found, at = [], 1
    while "".join(pieces[at : at + len(_AHEAD)]) == _AHEAD:
        end = _closing(pieces, at)
        if end is None:
            return [pattern]
        found.append(f"^(?:{''.join(pieces[at + len(_AHEAD) : end])})")
        at = end + 1
    return [*found, "^" + "".join(pieces[at:])]


def _has_alternatives(pieces: list[str]) -> bool:
    """Outside of all groups."""
    level = 0
    for piece in pieces:
        level += (piece == "(") - (piece == ")")
        if piece == "|" and level == 0:
            return True
    return False


def _closing(pieces: list[str], start: int) -> int | None:
    """Where the group that begins at `start` ends."""
    level = 0
    for at in range(start, len(pieces)):
        level += (pieces[at] == "(") - (pieces[at] == ")")
        if level == 0:
            return at
    return None
