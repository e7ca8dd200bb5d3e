"""BLEU and chrF: sacrebleu tokenises, counts and signs; the counts are combined here, so that a bootstrap can too.

Papineni et al. 2002 (BLEU), Popović 2015 (chrF), Post 2018 (sacrebleu). On every corpus the values equal sacrebleu's
with `effective_order`: for single sentences its recommendation, for a corpus a difference only where no hypothesis
has four tokens, which without it would be 0 however good the answers are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from heedful.errors import InputError
from heedful.metrics._result import MetricResult, References, combined_result, pair
from heedful.statistics import Array
from heedful.text import script_of

# Scripts without spaces need a tokeniser of their own, or an answer is one token. sacrebleu's `ja-mecab` would need
# another package, so Japanese is cut into characters.
_TOKENIZER_OF_LANGUAGE = {"zh": "zh", "ja": "char", "th": "char", "lo": "char", "km": "char", "my": "char"}
_TOKENIZER_OF_SCRIPT = {
    "Han": "zh",
    "Hiragana": "char",
    "Thai": "char",
    "Lao": "char",
    "Khmer": "char",
    "Myanmar": "char",
}
_TOKENIZER_DEFAULT = "13a"


def bleu(
    hypotheses: Sequence[str], references: References, language: str | Sequence[str] | None = None
) -> MetricResult:
    """Corpus and sentence BLEU, 0 to 100. `language` is that of all or of each item; else the reference's script decides."""
    pairs = pair(hypotheses, references)
    tokenizers = [
        _tokenizer(code, found) for code, (_, found) in zip(_languages(language, len(pairs)), pairs, strict=True)
    ]
    rows = np.empty((len(pairs), 10))
    metric: Any = None
    for name in sorted(set(tokenizers)):
        chosen = [index for index, tokenizer in enumerate(tokenizers) if tokenizer == name]
        # `force`: model answers may look tokenised, and sacrebleu would warn about it on standard error.
        metric = BLEU(tokenize=name, effective_order=True, force=True)
        rows[chosen] = _counts(metric, [pairs[index] for index in chosen])
    signed = metric.get_signature()
    signed.update("tok", "+".join(sorted(set(tokenizers))))
    signed.update("nrefs", _num_references(pairs))
    return combined_result("bleu", rows, bleu_of_counts, f"BLEU|{signed}")


def chrf(
    hypotheses: Sequence[str], references: References, language: str | Sequence[str] | None = None
) -> MetricResult:
    """Corpus and sentence chrF2 (character 6-grams, no words), 0 to 100. It needs no tokeniser, so no language."""
    pairs = pair(hypotheses, references)
    metric = CHRF()
    rows = _counts(metric, pairs)
    return combined_result("chrf", rows, chrf_of_counts, f"chrF2|{metric.get_signature()}")


def bleu_of_counts(sums: Array) -> Array:
    """BLEU (...) of summed counts (..., 10): lengths of hypothesis and reference, n-grams matched, n-grams in all."""
    hypothesis_length, reference_length = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2:6], sums[..., 6:10]
    present = total > 0
    unmatched = present & (matched == 0)
    # Exponential smoothing: the k-th order without a match counts as 1 / 2**k matches.
    matched = np.where(unmatched, 0.5 ** np.cumsum(unmatched, axis=-1), matched)
    precisions = np.where(present, matched, 1.0) / np.where(present, total, 1.0)
    order = np.maximum(present.sum(axis=-1), 1)
    mean_log = np.log(precisions).sum(axis=-1) / order
    log_brevity = np.minimum(0.0, 1 - reference_length / np.maximum(hypothesis_length, 1))
    any_matched = (sums[..., 2:6] > 0).any(axis=-1)
    return np.where(any_matched, 100 * np.exp(mean_log + log_brevity), 0.0)


def chrf_of_counts(sums: Array) -> Array:
    """chrF2 (...) of summed counts (..., 18): for n = 1 to 6, n-grams of the hypothesis, of the reference, in both."""
    hypothesis, reference, both = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    present = (hypothesis > 0) & (reference > 0)
    order = np.maximum(present.sum(axis=-1), 1)
    precision = np.where(present, both / np.maximum(hypothesis, 1), 0.0).sum(axis=-1) / order
    recall = np.where(present, both / np.maximum(reference, 1), 0.0).sum(axis=-1) / order
    scored = precision + recall > 0
    return np.where(scored, 100 * 5 * precision * recall / np.where(scored, 4 * precision + recall, 1.0), 0.0)


def _languages(language: str | Sequence[str] | None, num_items: int) -> list[str]:
    if language is None or isinstance(language, str):
        return [language or ""] * num_items
    if len(language) != num_items:
        raise InputError(f"one language for all items or one for each: {num_items} items, {len(language)} languages")
    return list(language)


def _tokenizer(language: str, references: tuple[str, ...]) -> str:
    """ "zh-CN" counts as "zh"; an unknown language is read off the references' script."""
    code = language.replace("_", "-").split("-")[0].lower()
    if code in ("", "und"):
        return _TOKENIZER_OF_SCRIPT.get(script_of(" ".join(references)), _TOKENIZER_DEFAULT)
    return _TOKENIZER_OF_LANGUAGE.get(code, _TOKENIZER_DEFAULT)


def _num_references(pairs: list[tuple[str, tuple[str, ...]]]) -> int | str:
    found = {len(references) for _, references in pairs}
    return found.pop() if len(found) == 1 else "var"


def _counts(metric: Any, pairs: list[tuple[str, tuple[str, ...]]]) -> Array:
    """The counts of each item (N, K), from the method that sacrebleu's own significance tests use."""
    width = max(len(references) for _, references in pairs)
    streams = [[found[place] if place < len(found) else None for _, found in pairs] for place in range(width)]
    counts = metric._extract_corpus_statistics([hypothesis for hypothesis, _ in pairs], streams)
    return np.asarray(counts, dtype=np.float64)
