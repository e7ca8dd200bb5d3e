"""Numbers and verdicts in words: one place, so that the terminal, the files and the report say the same thing."""

from __future__ import annotations

# A metric's unit is `share` (0 to 1, said in per cent), or anything else, said as it is.


def value_in_words(value: float | None, unit: str) -> str:
    """`62.1%`, `0.314`, `14.2`; a dash for what could not be measured."""
    if value is None:
        return "–"
    return f"{100 * value:.1f}%" if unit == "share" else f"{value:.{_decimals(value)}f}"


def difference_in_words(difference: float, low: float | None, high: float | None, unit: str) -> str:
    """`+0.211 [+0.152, +0.270]`; for shares `+21.1 points [+15.2, +27.0]`; no brackets without an interval."""
    bounds = [bound for bound in (low, high) if bound is not None]
    factor, decimals, noun = (100, 1, " points") if unit == "share" else (1, _decimals(difference, *bounds), "")
    said, *edges = (_signed(factor * number, decimals) for number in (difference, *bounds))
    return f"{said}{noun} [{', '.join(edges)}]" if edges else f"{said}{noun}"


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _decimals(*values: float) -> int:
    """About three significant digits for the largest of the values."""
    size = max(abs(value) for value in values)
    return 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    # "-0.0" and "+0.0" would both claim a direction that the digits do not show.
    return text[1:] if float(text) == 0 else text
