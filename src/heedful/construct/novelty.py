"""The novelty gate of Self-Instruct (arXiv:2212.10560, section 2.2): is a new instruction unlike all earlier ones?

The ROUGE-L F measure of two texts of m and n tokens whose longest common subsequence has length l is 2l / (m + n).
Two upper bounds spare nearly all computations of l without changing a decision: l <= min(m, n), and l <= the number
of tokens that the two have in common. Tokens are those of `text.tokenize`, which sees Chinese.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from heedful.text import lcs_length, tokenize


class NoveltyGate:
    """Remembers texts; tells whether another one is new."""

    def __init__(self, threshold: float, texts: Iterable[str] = ()) -> None:
        self._threshold = threshold
        self._by_length: dict[int, dict[tuple[str, ...], Counter[str]]] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """From now on nothing like `text` is new."""
        tokens = tuple(tokenize(text))
        self._by_length.setdefault(len(tokens), {})[tokens] = Counter(tokens)

    def is_novel(self, text: str) -> bool:
        """Whether ROUGE-L F with every remembered text is at most the threshold; a text without tokens never is."""
        tokens = tuple(tokenize(text))
        counts = Counter(tokens)
        return bool(tokens) and not any(
            self._alike(tokens, counts, other, other_counts)
            for length, others in self._by_length.items()
            if self._exceeds(min(len(tokens), length), len(tokens) + length)
            for other, other_counts in others.items()
        )

    def _alike(
        self, one: tuple[str, ...], counts: Counter[str], other: tuple[str, ...], other_counts: Counter[str]
    ) -> bool:
        total = len(one) + len(other)
        shared = sum(min(count, other_counts[token]) for token, count in counts.items())
        return self._exceeds(shared, total) and self._exceeds(lcs_length(one, other), total)

    def _exceeds(self, common: int, total: int) -> bool:
        return 2 * common / total > self._threshold
