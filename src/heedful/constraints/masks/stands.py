"""Where each phrase is at the end of a text: how often it stands there, what of it is begun, and what the next letter may undo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heedful.constraints.machine import State
from heedful.constraints.masks.texts import NUM_KINDS, POINT
from heedful.constraints.masks.wanted import Wanted
from heedful.constraints.phrases import PhrasesPart

_PROBES = ("a", "1", "的", ".", "#", "\u0903")
"""A text for each kind of beginning."""
NONE_LOST = (False,) * NUM_KINDS


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a phrase is at the end of a text."""

    ending: str
    begun: int
    number: int
    """Occurrences, if the text ended here; no more are told apart than matter."""
    lost: tuple[bool, ...]
    """By kind: whether one of them would be none, as the word went on."""


def stands_of(part: PhrasesPart, wanted: Sequence[Wanted], state: State) -> list[Stand | None]:
    """Where each phrase is; None for one that no token can make any difference to."""
    whole = state.folded + part._fold(state.raw)
    found: list[Stand | None] = []
    for one, count, start in zip(wanted, state.counts, state.starts, strict=True):
        needle, phrase = one.needle, one.phrase
        number = count + needle.count(whole, start)
        lost = NONE_LOST
        if number > count:
            lost = tuple(count + needle.count(whole + probe, start) < number for probe in _PROBES)
            if needle.text[-1].isdecimal():
                lost = (*lost[:POINT], True, *lost[POINT + 1 :])
        low = min(phrase.low, 1) if part._any_of else phrase.low
        if phrase.high is None and number - any(lost) >= low and not part._any_of:
            found.append(None)
            continue
        begun = needle.begun(whole, start)
        most = max(phrase.low, phrase.high or 0) + 1
        found.append(Stand(needle.ending(whole, begun), begun, min(number, most), lost))
    return found


def num_missing(
    wanted: Sequence[Wanted], stands: Sequence[Stand | None], kind: int, completed: dict[int, int], is_group: bool
) -> int:
    numbers = [
        max(one.phrase.low - stand.number + stand.lost[kind] - completed.get(place, 0), 0)
        for place, (one, stand) in enumerate(zip(wanted, stands, strict=True))
        if stand is not None
    ]
    return min(numbers) if is_group else numbers[0]


def is_too_often(
    wanted: Sequence[Wanted], stands: Sequence[Stand | None], kind: int, completed: dict[int, int], is_group: bool
) -> bool:
    """Also where a point or a digit may still tell."""
    one, stand = wanted[0], stands[0]
    if is_group or one.phrase.high is None or stand is None:
        return False
    is_lost = stand.lost[kind] and not (one.needle.text[-1].isdecimal() and kind == POINT)
    return stand.number - is_lost + completed.get(0, 0) > one.phrase.high
