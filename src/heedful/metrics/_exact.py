"""Exact match and token F1, in the manner of SQuAD (Rajpurkar et al. 2016) but for every language."""

from __future__ import annotations

from collections.abc import Sequence

import regex

from heedful.metrics._result import MetricResult, References, mean_result, pair, signature
from heedful.metrics._rouge import overlap, shared
from heedful.text import fold, is_unspaced, tokenize

_SPACE = regex.compile(r"\s+")
_FINAL_MARKS = regex.compile(r"[\s.!?。！？…]+$")
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "「": "」", "『": "』", "«": "»"}


def exact_match(
    hypotheses: Sequence[str], references: References, language: str | Sequence[str] | None = None
) -> MetricResult:
    """1 where the answer equals a reference once `comparable` has removed what is only typography."""
    per_item = []
    for hypothesis, found in pair(hypotheses, references):
        answer = comparable(hypothesis)
        per_item.append(float(any(answer == comparable(reference) for reference in found)))
    return mean_result(
        "exact_match",
        per_item,
        signature("exact_match", norm="nfkc+lower+spaces+outer-quotes+final-marks", refs="any"),
    )


def token_f1(
    hypotheses: Sequence[str], references: References, language: str | Sequence[str] | None = None
) -> MetricResult:
    """F of shared tokens, the best reference's. Articles stay, unlike in SQuAD: no list of them serves all languages.

    Two texts without tokens agree (1.0), as in SQuAD.
    """
    per_item = []
    for hypothesis, found in pair(hypotheses, references):
        tokens = tokenize(hypothesis)
        per_item.append(max(_f1(tokens, tokenize(reference)) for reference in found))
    return mean_result("token_f1", per_item, signature("token_f1", tok="heedful.text", articles="kept", refs="max"))


def comparable(text: str) -> str:
    """Compatibility forms and case folded, white space single, none beside Chinese, no outer quotes, no final mark.

    Other punctuation stays: -5 is not 5, and 3.14 is not 314.
    """
    pieces = _SPACE.split(fold(text).strip())
    joined = pieces[0]
    for piece in pieces[1:]:
        joined += piece if is_unspaced(piece) or is_unspaced(joined[-1:]) else " " + piece
    joined = _FINAL_MARKS.sub("", joined)
    if len(joined) > 1 and _QUOTES.get(joined[0]) == joined[-1]:
        joined = _FINAL_MARKS.sub("", joined[1:-1].strip())
    return str(joined)


def _f1(hypothesis: list[str], reference: list[str]) -> float:
    if not hypothesis and not reference:
        return 1.0
    return overlap(shared(hypothesis, reference), len(hypothesis), len(reference)).f
