"""Counts -> probabilities: interpolated modified Kneser-Ney, as Chen & Goodman (1999, section 4.1.6) and lmplz have it.

For a word w after a context h, with a(.) the adjusted counts of `counting.adjusted` and h' the context without its
first word:

    p(w | h) = (a(h w) - D(a(h w))) / sum_v a(h v)  +  g(h) p(w | h')
    g(h)     = (D1 N1(h) + D2 N2(h) + D3 N3+(h)) / sum_v a(h v)

N1, N2, N3+ are how many different words follow h with an adjusted count of 1, 2, and 3 or more. Below the single words
lies chance, 1 / (number of words that can be predicted: all ids, the end and the unknown word). A context that was never
seen takes nothing: p(w | h) = p(w | h').
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.errors import InputError
from heedful.models.ngram.counting import Level, Numbers, Words

Floats = NDArray[np.float64]

FALLBACK = (0.5, 1.0, 1.5)
"""What lmplz takes with --discount_fallback."""


@dataclass(frozen=True, slots=True)
class Discounts:
    """What is taken off adjusted counts of 1, 2, and 3 or more, for n-grams of one length."""

    one: float
    two: float
    three: float
    because: str = ""
    """Why these are the fallback; empty for discounts that were estimated."""

    def of(self, counts: Numbers) -> Floats:
        """Of each count; nothing is taken from 0."""
        return np.array([0.0, self.one, self.two, self.three])[np.minimum(counts, 3)]


@dataclass(frozen=True, slots=True)
class Table:
    """One level of a finished model, in natural logarithms."""

    keys: Numbers  # (G,)
    logprobs: Floats  # (G,) of the last word after the others
    backoffs: Floats  # (G,) g of the n-gram as a context


def discounts(counts: Numbers, length: int, *, fallback: bool) -> Discounts:
    """Equation 26 of Chen & Goodman; where it has no answer, `fallback` or an InputError."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).tolist()
    missing = [number for number in (1, 2, 3) if not n[number]]
    if missing:
        because = f"no {length}-gram has an adjusted count of {missing[0]}"
    else:
        y = n[1] / (n[1] + 2 * n[2])
        values = [number - (number + 1) * y * n[number + 1] / n[number] for number in (1, 2, 3)]
        # Without any discount nothing would be left for words not seen in a context.
        if all(0 < value <= number for number, value in zip((1, 2, 3), values, strict=True)):
            return Discounts(*values)
        because = f"the counts of {length}-grams give discounts out of range: {', '.join(f'{v:.3f}' for v in values)}"
    if not fallback:
        raise InputError(
            f"cannot estimate discounts: {because}; give more text, a lower order, or set discount_fallback = true "
            f"(which takes {FALLBACK[0]}, {FALLBACK[1]} and {FALLBACK[2]})"
        )
    return Discounts(*FALLBACK, because)


def smooth(levels: Sequence[Level], counts: Sequence[Numbers], taken: Sequence[Discounts], words: Words) -> list[Table]:
    """Probabilities and back-off weights of every n-gram."""
    total = float(counts[0].sum())
    off = taken[0].of(counts[0])
    probabilities = (counts[0] - off) / total + off.sum() / total / words.num_predicted
    probabilities[words.begin] = 0.0
    found = [probabilities]
    weights: list[Floats] = []
    for level, count, discount in zip(levels[1:], counts[1:], taken[1:], strict=True):
        parents, size = level.keys // len(words), len(found[-1])
        off = discount.of(count)
        totals = np.bincount(parents, weights=count, minlength=size)
        weight = np.ones(size)
        np.divide(np.bincount(parents, weights=off, minlength=size), totals, out=weight, where=totals > 0)
        weights.append(weight)
        probabilities = (count - off) / totals[parents] + weight[parents] * found[-1][level.suffixes]
        found.append(probabilities)
    weights.append(np.ones(len(found[-1])))
    with np.errstate(divide="ignore"):
        return [
            Table(level.keys, np.log(probability), np.log(weight))
            for level, probability, weight in zip(levels, found, weights, strict=True)
        ]
