"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) on the tokens of `text.tokenize`.

On ASCII text equal to the rouge-score package without stemming. That package keeps only a-z and 0-9 and so sees
nothing of Chinese and half of "está"; here Chinese counts by character and accented words stay whole. A text without
any token scores 0, as there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heedful.metrics._result import MetricResult, References, mean_result, pair, signature
from heedful.text import lcs_length, ngrams, tokenize

KINDS = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two texts share: as a part of the hypothesis, of the reference, and the harmonic mean of the two."""

    precision: float
    recall: float
    f: float


def overlap(num_shared: int, num_hypothesis: int, num_reference: int) -> Overlap:
    """Precision, recall and F from counts; all 0 when nothing is shared."""
    if not num_shared:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = num_shared / num_hypothesis, num_shared / num_reference
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall))


def shared(left: Sequence[object], right: Sequence[object]) -> int:
    """How many elements two bags have in common, repeats counted."""
    return (Counter(left) & Counter(right)).total()


def rouge_overlaps(hypothesis: str, references: Sequence[str]) -> dict[str, Overlap]:
    """Each kind of ROUGE for one answer, against the reference that gives the highest F (the first of equals)."""
    tokens = tokenize(hypothesis)
    found = [_overlaps(tokens, tokenize(reference)) for reference in references]
    return {kind: max((overlaps[kind] for overlaps in found), key=lambda item: item.f) for kind in KINDS}


def rouge(
    hypotheses: Sequence[str], references: References, language: str | Sequence[str] | None = None
) -> dict[str, MetricResult]:
    """F of all three kinds by name, 0 to 1; the corpus value is the mean. The tokeniser needs no language."""
    items = [rouge_overlaps(hypothesis, found) for hypothesis, found in pair(hypotheses, references)]
    return {
        kind: mean_result(
            kind,
            [item[kind].f for item in items],
            signature(kind, measure="F1", tok="heedful.text", stem="no", refs="max"),
        )
        for kind in KINDS
    }


def rouge_1(
    hypotheses: Sequence[str], references: References, language: str | Sequence[str] | None = None
) -> MetricResult:
    """F of shared tokens."""
    return rouge(hypotheses, references)["rouge1"]


def rouge_2(
    hypotheses: Sequence[str], references: References, language: str | Sequence[str] | None = None
) -> MetricResult:
    """F of shared token pairs."""
    return rouge(hypotheses, references)["rouge2"]


def rouge_l(
    hypotheses: Sequence[str], references: References, language: str | Sequence[str] | None = None
) -> MetricResult:
    """F of the longest common subsequence of tokens."""
    return rouge(hypotheses, references)["rougeL"]


def _overlaps(hypothesis: list[str], reference: list[str]) -> dict[str, Overlap]:
    pairs, reference_pairs = ngrams(hypothesis, 2), ngrams(reference, 2)
    return {
        "rouge1": overlap(shared(hypothesis, reference), len(hypothesis), len(reference)),
        "rouge2": overlap(shared(pairs, reference_pairs), len(pairs), len(reference_pairs)),
        "rougeL": overlap(lcs_length(hypothesis, reference), len(hypothesis), len(reference)),
    }
