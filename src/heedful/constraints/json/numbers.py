"""Numbers: their spelling, and whether one within bounds and divisible as asked can still come of the digits so far.

Integers are written without a point. Exponents are for numbers without bounds only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from typing import Any

from heedful.constraints.json.parts import Part
from heedful.constraints.json.shape import Cursor, Shape

_MAX_DIGITS = 20
_MAX_DECIMALS = 12
_COMPLETE = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BEGUN = re.compile(
    r"(?P<sign>-?)(?P<whole>0|[1-9][0-9]*|)(?P<point>\.?)(?P<decimals>[0-9]*)(?P<power>(?:[eE][+-]?[0-9]{0,2})?)"
)
_MORE = ("0", *map(str, range(1, 100)), ".5", ".25", "-1", "-2", "00", "000", "1.5")
"""Rests to try for another value than the nearest."""
_MAX_KEPT = 4096
_LONGER = ("{}0", "{}00", "{}000", "{}0000", "{}.5", "{}.0", "{}.25", "{}.50", "{}.125", "{}.500", "{}.1250", "{}.5000")
"""Other spellings of a number, or of one near it, that have more digits."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What all schemas together ask of a number."""

    is_integer: bool = False
    low: Fraction | None = None
    high: Fraction | None = None
    is_low_open: bool = False
    is_high_open: bool = False
    step: Fraction | None = None
    """Every number is a multiple of it."""
    divisors: tuple[Part, ...] = ()
    """Who says so; they have the last word, as they divide in floating point."""

    @property
    def is_bounded(self) -> bool:
        return self.low is not None or self.high is not None or self.step is not None

    def allow(self, number: Fraction) -> bool:
        if self.low is not None and (number < self.low or (self.is_low_open and number == self.low)):
            return False
        return self.high is None or not (number > self.high or (self.is_high_open and number == self.high))


class NumberShape(Shape):
    """Numbers within bounds."""

    kind = "number"
    opening = frozenset("-0123456789")

    def __init__(self, bounds: Bounds, checks: Sequence[Part] = ()) -> None:
        super().__init__(checks)
        self.bounds = bounds
        ends = [abs(end) for end in (bounds.low, bounds.high) if end is not None]
        self._max_digits = max([_MAX_DIGITS, *(len(str(int(end))) + 1 for end in ends)])
        self._kept: dict[str, bool] = {}

    def begin(self, parent: Any, start: int, character: str) -> Sequence[Cursor]:
        is_checked = bool(self.checks) or parent.is_checked
        cursor = NumberCursor(self, parent, start, is_checked, parent.depth, "")
        return cursor.advance(character, "", start) if self.may_begin(character) else ()

    def texts(self) -> Iterator[str]:
        return self.rests("")

    def may_begin(self, text: str) -> bool:
        """Whether a number that begins with `text` is allowed."""
        if text not in self._kept:
            if len(self._kept) > _MAX_KEPT:
                self._kept.clear()
            self._kept[text] = self._is_spelled(text) and next(self.rests(text), None) is not None
        return self._kept[text]

    def rests(self, text: str) -> Iterator[str]:
        seen = set()
        for rest in chain(("",), islice(self._nearest(text), 12), _MORE):
            whole = text + rest
            if rest not in seen and _COMPLETE.fullmatch(whole) and self._is_spelled(whole) and self._fits(whole):
                seen.add(rest)
                yield rest

    def spellings(self) -> Iterator[str]:
        """A few numbers, the shortest found first, all of different lengths."""
        assert self.found is not None
        first = list(dict.fromkeys((self.found, *islice(self.rests(""), 20))))
        lengths = set()
        for text in (*first, *(longer.format(text) for text in first[:4] for longer in _LONGER)):
            if len(text) not in lengths and _COMPLETE.fullmatch(text) and self._is_spelled(text) and self._fits(text):
                lengths.add(len(text))
                yield text

    def _is_spelled(self, text: str) -> bool:
        begun = _BEGUN.fullmatch(text)
        if begun is None or len(begun["whole"]) > self._max_digits or len(begun["decimals"]) > _MAX_DECIMALS:
            return False
        if begun["point"] and (self.bounds.is_integer or not begun["whole"]):
            return False
        if begun["power"]:
            is_ready = bool(begun["decimals"] if begun["point"] else begun["whole"])
            return is_ready and not self.bounds.is_integer and not self.bounds.is_bounded
        return True

    def _fits(self, text: str) -> bool:
        value = int(text) if text.lstrip("-").isdigit() else float(text)
        if not self.bounds.allow(Fraction(value)):
            return False
        return all(part.holds(value) for part in self.bounds.divisors)

    def _nearest(self, text: str) -> Iterator[str]:
        """Rests that bring the number within bounds, the fewest digits first."""
        if not self.bounds.is_bounded:
            return
        for sign in ("", "-") if text == "" else ("",):
            begun = _BEGUN.fullmatch(sign + text)
            if begun is None or begun["power"]:
                continue
            for rest in self._digits(begun["sign"] == "-", begun["whole"], begun["point"], begun["decimals"]):
                yield sign + rest

    def _digits(self, is_negative: bool, whole: str, point: str, decimals: str) -> Iterator[str]:
        if point:
            for more in range(0 if decimals else 1, 9):
                yield from self._multiples(is_negative, whole + decimals, more, len(decimals) + more)
            return
        room = 0 if whole == "0" else self._max_digits - len(whole)
        for more in range(0 if whole else 1, room + 1):
            yield from self._multiples(is_negative, whole, more, 0)
        if self.bounds.is_integer:
            return
        for more in range(0 if whole else 1, min(room, 3) + 1):
            for places in range(1, 7):
                for digits in self._multiples(is_negative, whole, more + places, places):
                    yield f"{digits[:-places]}.{digits[-places:]}"

    def _multiples(self, is_negative: bool, digits: str, more: int, places: int) -> Iterator[str]:
        """`more` digits after `digits`, of which the last `places` stand behind the point."""
        bounds, scale = self.bounds, 10**places
        first = int(digits or 0) * 10**more
        last = first + 10**more - 1
        if not digits and more > places + 1:
            first = 10 ** (more - 1)
        low, high = (bounds.high, bounds.low) if is_negative else (bounds.low, bounds.high)
        is_low_open = bounds.is_high_open if is_negative else bounds.is_low_open
        step = (bounds.step * scale).numerator if bounds.step else 1
        if low is not None:
            low = abs(low) if (low < 0) == is_negative else Fraction(0)
            first = max(first, math.ceil(low * scale) + (is_low_open and (low * scale).denominator == 1))
        if high is not None:
            if (high < 0) != is_negative and high != 0:
                return
            last = min(last, math.floor(abs(high) * scale))
        first = -(-first // step) * step
        for number in range(first, min(last, first + 3 * step) + 1, step):
            yield str(number).zfill(len(digits) + more)[len(digits) :]


@dataclass(frozen=True, slots=True)
class NumberCursor(Cursor):
    """Inside a number."""

    written: str

    def advance(self, character: str, text: str, at: int) -> Sequence[Cursor]:
        if character in "0123456789.-+eE":
            written = self.written + character
            if not self.shape.may_begin(written):
                return ()
            return (NumberCursor(self.shape, self.parent, self.start, self.is_checked, self.depth, written),)
        if not self.may_end():
            return ()
        return [more for after in self.finish(text, at) for more in after.advance(character, text, at)]

    def may_end(self) -> bool:
        return next(self.shape.rests(self.written), None) == ""

    def inner_place(self) -> Hashable:
        return self.written

    def rests(self, text: str) -> Iterator[str]:
        found: Iterator[str] = self.shape.rests(self.written)
        return found
