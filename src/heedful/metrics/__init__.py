"""hypotheses, references -> MetricResult: value per item, value of the corpus, and a signature that says how.

BLEU and chrF are on sacrebleu's scale of 0 to 100; the others lie between 0 and 1; perplexity is at least 1. Every
metric takes one reference, or several, per hypothesis, in any language.
"""

from collections.abc import Callable

from heedful.metrics._exact import exact_match, token_f1
from heedful.metrics._likelihood import Scored, bits_per_byte, perplexity
from heedful.metrics._ngram import bleu, chrf
from heedful.metrics._result import MetricResult, References, mean_result, signature
from heedful.metrics._rouge import Overlap, rouge, rouge_1, rouge_2, rouge_l, rouge_overlaps

METRICS: dict[str, Callable[..., MetricResult]] = {
    "bleu": bleu,
    "chrf": chrf,
    "rouge1": rouge_1,
    "rouge2": rouge_2,
    "rougeL": rouge_l,
    "exact_match": exact_match,
    "token_f1": token_f1,
}
"""Metrics of texts by name: `METRICS[name](hypotheses, references)`. Those of likelihoods take other input."""

__all__ = [
    "METRICS",
    "MetricResult",
    "Overlap",
    "References",
    "Scored",
    "bits_per_byte",
    "bleu",
    "chrf",
    "exact_match",
    "mean_result",
    "perplexity",
    "rouge",
    "rouge_1",
    "rouge_2",
    "rouge_l",
    "rouge_overlaps",
    "signature",
    "token_f1",
]
