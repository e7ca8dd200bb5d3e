"""Words of documents -> every n-gram once, with its count. Ten million words of order 5 take some ten seconds.

N-grams are kept as a trie, one level per length. An n-gram's number is its place in its level, and its key there is

    key = number of its first n - 1 words (its parent) * number of words + its last word

so keys stay below 2^63 whatever the order is, a sorted array of them is a dictionary that numpy can search for many
words at once, and the n-grams that may follow a context lie side by side. Memory while counting: about 50 bytes per
word of text, beside 16 per different n-gram.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.errors import InputError

Numbers = NDArray[np.int64]
Indices = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Words:
    """Token ids 0 to `num_ids` - 1, and three words of our own behind them: unknown, begin and end of a document."""

    num_ids: int

    @property
    def unknown(self) -> int:
        return self.num_ids

    @property
    def begin(self) -> int:
        return self.num_ids + 1

    @property
    def end(self) -> int:
        return self.num_ids + 2

    def __len__(self) -> int:
        return self.num_ids + 3

    @property
    def num_predicted(self) -> int:
        """All but the begin, which nothing predicts."""
        return self.num_ids + 2


@dataclass(frozen=True, slots=True)
class Level:
    """All n-grams of one length, sorted by key."""

    keys: Numbers  # (G,)
    counts: Numbers  # (G,) how often each was seen
    suffixes: Indices  # (G,) numbers in the level below of what remains without the first word; of single words 0
    begins: NDArray[np.bool_]  # (G,) True where the first word is the begin of a document


def joined(documents: Iterable[Sequence[int] | Numbers], words: Words) -> Indices:
    """All documents as one array, each between a begin and an end; raises InputError for what is not a token id."""
    parts: list[Indices] = []
    begin, end = np.array([words.begin], np.int32), np.array([words.end], np.int32)
    for number, document in enumerate(documents):
        ids = np.asarray(document)
        if not ids.size:
            ids = ids.astype(np.int32)
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise InputError(f"document {number}: expected a list of token ids, got {ids.dtype} of shape {ids.shape}")
        if ids.size and not (ids.min() >= 0 and ids.max() < words.num_ids):
            wrong = ids.min() if ids.min() < 0 else ids.max()
            raise InputError(
                f"document {number} has the token id {wrong}; this vocabulary's are 0 to {words.num_ids - 1}"
            )
        parts += [begin, ids.astype(np.int32), end]
    if not parts:
        raise InputError("no documents to count n-grams in; give at least one list of token ids")
    return np.concatenate(parts)


def count(stream: Indices, order: int, words: Words) -> list[Level]:
    """Levels of n-grams of 1 to `order` words, none of which reaches over the begin of a document."""
    single = Level(
        keys=np.arange(len(words)),
        counts=np.bincount(stream, minlength=len(words)),
        suffixes=np.zeros(len(words), np.int32),
        begins=np.arange(len(words)) == words.begin,
    )
    levels, numbers, age = [single], stream, _words_since_begin(stream, words)
    for length in range(2, order + 1):
        places = np.flatnonzero(age >= length - 1)
        keys = numbers[places - 1].astype(np.int64) * len(words) + stream[places]
        grouped = _group(keys)
        levels.append(
            Level(
                keys=grouped.keys,
                counts=grouped.counts,
                suffixes=numbers[places[grouped.examples]],
                begins=levels[-1].begins[grouped.keys // len(words)],
            )
        )
        # Number of the n-gram of this length that ends at each word.
        numbers = np.full(len(stream), -1, np.int32)
        numbers[places] = grouped.members
    return levels


def adjusted(levels: Sequence[Level], words: Words) -> list[Numbers]:
    """What Kneser-Ney counts: of the longest n-grams how often they occur, of shorter ones what may stand before them.

    An n-gram at the begin of a document has nothing before it and keeps its own count (as lmplz has it).
    """
    counts = []
    for level, longer in zip(levels, [*levels[1:], None], strict=True):
        if longer is None:
            found = level.counts.copy()
        else:
            found = np.bincount(longer.suffixes, minlength=len(level.keys))
            found[level.begins] = level.counts[level.begins]
        counts.append(found)
    # Nothing predicts a begin.
    counts[0][words.begin] = 0
    return counts


def _words_since_begin(stream: Indices, words: Words) -> Indices:
    places = np.arange(len(stream), dtype=np.int32)
    begins = np.where(stream == words.begin, places, 0)
    return places - np.maximum.accumulate(begins)


@dataclass(frozen=True, slots=True)
class _Groups:
    """Equal keys together."""

    keys: Numbers
    counts: Numbers
    examples: Numbers
    """A place of each key."""
    members: Indices
    """The group of each place."""


def _group(keys: Numbers) -> _Groups:
    order = np.argsort(keys)
    ordered = keys[order]
    is_new = np.ones(len(keys), bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_new)
    members = np.empty(len(keys), np.int32)
    members[order] = np.cumsum(is_new, dtype=np.int32) - 1
    return _Groups(ordered[starts], np.diff(starts, append=len(keys)), order[starts], members)
