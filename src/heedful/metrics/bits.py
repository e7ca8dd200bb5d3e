"""Texts -> bits per byte under any language model, comparable whatever the tokenizer is.

A `TextScorer` gives the likelihood of whole texts; those for n-gram, LSTM and causal Transformer models are in
`models.text_scorers`. All of them agree on what is scored: every token of the text, the first one after the model's own
begin; that the text *ends* there is scored by none (some models learnt an end, others none or several). A character that
a vocabulary lacks costs what it takes to spell it out, never nothing.

Masked language models (BERT) are no such scorers: the product of their masked predictions is no probability of a text, so
its bits would look comparable and not be. Their pseudo-log-likelihood (Salazar et al. 2020) is another measure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from heedful.errors import InputError
from heedful.metrics._result import MetricResult, combined_result, signature
from heedful.statistics import ratio

NUM_CHARACTERS = 0x110000 - 0x800
"""Unicode's code points without the surrogates, which are no characters."""
SPELLING = -math.log(NUM_CHARACTERS)
"""Log-likelihood of one character when nothing is known: each is as likely as any other."""

# A certain token may come out of 32-bit arithmetic a little above log 1.
_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class TextScore:
    """What a model makes of one text."""

    logprob: float
    """Natural logarithm of the likelihood of the whole text, its end not included."""
    num_tokens: int
    num_bytes: int
    """Of the text in UTF-8."""

    @property
    def bits_per_byte(self) -> float:
        """Of this text alone."""
        return -self.logprob / math.log(2) / self.num_bytes


class TextScorer(Protocol):
    """Whatever can tell how likely a text is."""

    def score(self, texts: Iterable[str]) -> list[TextScore]:
        """One score per text, in order; raises InputError for a text that it cannot score."""


def text_bits_per_byte(scores: Sequence[TextScore]) -> MetricResult:
    """Total bits over total UTF-8 bytes, so long texts weigh more; of each text alone in `per_item`."""
    if not scores:
        raise InputError("no texts to measure; give at least one score")
    for number, score in enumerate(scores):
        if not math.isfinite(score.logprob) or score.logprob > _ROUNDING or score.num_bytes < 1:
            raise InputError(
                f"text {number}: log-likelihood {score.logprob} of {score.num_bytes} bytes; expected a finite number of at "
                f"most 0 for at least one byte"
            )
    rows = np.array([[-score.logprob / math.log(2), score.num_bytes] for score in scores])
    signed = signature("text_bits_per_byte", begin="model", end="not-scored", average="bytes")
    return combined_result("text_bits_per_byte", rows, ratio, signed, higher_is_better=False)
