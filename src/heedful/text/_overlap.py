"""How much two token sequences have in common, and how much one repeats itself.

All functions take tokens, as `tokenize` gives them; a plain string counts as the sequence of its characters.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from rapidfuzz import process
from rapidfuzz.distance import Indel, LCSseq, Levenshtein

from heedful.text._words import tokenize


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of `n` neighbouring tokens, in order, repeats included."""
    if n < 1:
        raise ValueError(f"an n-gram has at least one token, got n={n}")
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def shingles(text: str, n: int) -> set[str]:
    """The distinct n-grams of a text's tokens, each as one string; a shorter text is one shingle, an empty one none."""
    tokens = tokenize(text)
    if not tokens:
        return set()
    return {" ".join(gram) for gram in ngrams(tokens, n)} or {" ".join(tokens)}


def jaccard(left: Set[str], right: Set[str]) -> float:
    """Size of the intersection over size of the union; two empty sets are equal (1.0)."""
    union = len(left | right)
    return len(left & right) / union if union else 1.0


def lcs_length(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    return int(LCSseq.similarity(left, right))


def edit_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """The fewest insertions, deletions and substitutions of tokens that turn one into the other (Levenshtein)."""
    return int(Levenshtein.distance(left, right))


def similarity(left: Sequence[str], right: Sequence[str]) -> float:
    """Twice the longest common subsequence over the sum of lengths: the F value of ROUGE-L. Two empty ones: 1.0."""
    return float(Indel.normalized_similarity(left, right))


def most_similar(tokens: Sequence[str], pool: Sequence[Sequence[str]]) -> tuple[int, float]:
    """Index and `similarity` of the member of `pool` nearest to `tokens`, the first of equals; (-1, 0.0) if empty."""
    found = process.extractOne(tokens, pool, scorer=Indel.normalized_similarity)
    return (int(found[2]), float(found[1])) if found is not None else (-1, 0.0)


def repetition(tokens: Sequence[str], n: int) -> float:
    """The share of n-grams that occurred before: 0 when all differ, towards 1 for a loop; 0 without n-grams."""
    grams = ngrams(tokens, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
