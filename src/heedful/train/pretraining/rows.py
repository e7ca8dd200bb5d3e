"""Shards -> training rows, which are places in a file until they are read.

Two ways to cut. *Windows* of equal length run over the documents of a shard: nothing is padded, and a causal model is kept
from looking into another document by a mask. *Pieces* hold tokens of one document each, for objectives that read in both
directions. Every token but the first of a shard is predicted, or may be hidden, exactly once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np

from heedful.project import stream, stream_seed
from heedful.train.pretraining.shards import Shard, documents_of
from heedful.train.rows.batches import epoch_batches

MOST_VALIDATION_TOKENS = 1 << 18
"""More are not needed to tell two losses apart, and would be read again and again."""
_MANY = 20  # documents, of which whole ones can be held out


@dataclass(frozen=True, slots=True)
class TextRow:
    """Tokens that are read together; `tokens` is a view of a mapped file."""

    id: str
    tokens: np.ndarray  # (N,)
    seed: int
    """Of what is drawn for it: which tokens are hidden, where it is cut."""
    other: np.ndarray | None = None
    """For pairs: tokens from elsewhere, which may stand in the place of the second half; None where there are none."""

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring tokens of one shard, for training or for validation: `start` to `end`, each predicted once."""

    shard: int
    start: int
    end: int


Place = tuple[int, int, int]
"""Shard, first token, after the last: a row to be."""


class TextRows(Sequence[TextRow]):
    """Rows in a number that need not be that of the places: each place is used equally often, give or take one.

    Row i stands for visit i of a place, so what is drawn for it is drawn anew at every visit.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        places: np.ndarray,
        *,
        seed: int,
        name: str,
        num_rows: int | None = None,
        pairs: bool = False,
    ) -> None:
        """`places` (N, 3) are shards, first tokens, and what comes after the last."""
        self._shards, self._places, self._seed, self._name, self._pairs = shards, places, seed, name, pairs
        self._num_rows = len(places) if num_rows is None else num_rows
        # The last visits cover a part of the places: which, is chosen by chance.
        self._last = np.random.default_rng(stream_seed(seed, "pretraining", name, "places")).permutation(len(places))

    def __len__(self) -> int:
        return self._num_rows

    @overload
    def __getitem__(self, index: int) -> TextRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TextRow]: ...
    def __getitem__(self, index: int | slice) -> TextRow | Sequence[TextRow]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._num_rows))]
        if not -self._num_rows <= index < self._num_rows:
            raise IndexError(index)
        index %= self._num_rows
        shard, start, end = self._place(index)
        return TextRow(
            id=f"{self._name} {self._shards[shard].name}:{start}",
            tokens=self._shards[shard].tokens[start:end],
            seed=stream_seed(self._seed, "pretraining", self._name, "row", index),
            other=self._other(index) if self._pairs else None,
        )

    def _place(self, index: int) -> Place:
        place = int(self._last[index % len(self._places)])
        shard, start, end = self._places[place]
        return int(shard), int(start), int(end)

    def _other(self, index: int) -> np.ndarray | None:
        """Tokens of another place."""
        if len(self._places) == 1:
            return None
        random = stream(self._seed, "pretraining", self._name, "other", index)
        own = int(self._last[index % len(self._places)])
        shard, first, end = self._places[(own + random.randrange(1, len(self._places))) % len(self._places)]
        return self._shards[int(shard)].tokens[int(first) : int(end)]

    @property
    def num_place_tokens(self) -> int:
        """Tokens of all places, each counted once."""
        return num_tokens_in(self._places)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row, without touching the rows."""
        sizes = (self._places[:, 2] - self._places[:, 1])[self._last]
        return [int(size) for size in np.resize(sizes, self._num_rows)]

    def resized(self, num_rows: int) -> TextRows:
        """The same places, in another number of rows."""
        return TextRows(
            self._shards, self._places, seed=self._seed, name=self._name, num_rows=num_rows, pairs=self._pairs
        )


class OneEpoch:
    """Every row once, in a random order that is made once: a step must not cost more because there are many."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.num_rows = len(lengths)
        self._batches = epoch_batches(lengths, batch_size, seed=seed, epoch=0)

    def batches(self, epoch: int) -> list[list[int]]:
        """Where the rows of each step are."""
        assert epoch == 0, "what is seen again is a row of its own"
        return self._batches


def split(shards: Sequence[Shard], share: float, *, seed: int) -> tuple[list[Stretch], list[Stretch]]:
    """Stretches to train on and to validate with: whole documents where there are many, else the end of each."""
    train: list[Stretch] = []
    validation: list[Stretch] = []
    documents = [(number, *places) for number, shard in enumerate(shards) for places in documents_of(shard)]
    if sum(shard.header.num_documents for shard in shards) < _MANY:
        for number, start, end in documents:
            cut = end - round(share * (end - start))
            train += [Stretch(number, start, cut)]
            validation += [Stretch(number, cut, end)] if cut < end else []
        return train, validation
    held_out = _held_out(shards, share, seed)
    ordinal = 0
    for number, start, end in documents:
        # What continues in a shard stays where its document began.
        is_continued = shards[number].header.continues and start == 0
        ordinal += 0 if is_continued else 1
        _extend(validation if ordinal - 1 in held_out else train, Stretch(number, start, end))
    return train, validation


def _held_out(shards: Sequence[Shard], share: float, seed: int) -> frozenset[int]:
    """Numbers of documents; `share` of all, at least one unless `share` is zero."""
    number = sum(shard.header.num_documents for shard in shards)
    chosen = min(number - 1, max(1, round(share * number))) if share > 0 else 0
    random = np.random.default_rng(stream_seed(seed, "pretraining", "validation documents"))
    return frozenset(int(index) for index in random.choice(number, chosen, replace=False))


def joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Neighbours become one: windows may run over the ends of documents."""
    found: list[Stretch] = []
    for stretch in stretches:
        _extend(found, stretch)
    return found


def _extend(stretches: list[Stretch], stretch: Stretch) -> None:
    """Append, or lengthen the last one when they are neighbours."""
    if stretches and (stretches[-1].shard, stretches[-1].end) == (stretch.shard, stretch.start):
        stretches[-1] = Stretch(stretch.shard, stretches[-1].start, stretch.end)
    else:
        stretches.append(stretch)


def windows(stretches: Iterable[Stretch], length: int) -> np.ndarray:
    """(N, 3) places of `length` + 1 tokens, of which all but the first are predicted; the last of a stretch is shorter."""
    return _as_places(place for stretch in stretches for place in _windows(stretch, length))


def _windows(stretch: Stretch, length: int) -> Iterator[Place]:
    # The token before predicts the first one; nothing comes before the first of a shard.
    first = max(stretch.start - 1, 0)
    for start in range(first, stretch.end - 1, length):
        yield stretch.shard, start, min(start + length + 1, stretch.end)


def pieces(shards: Sequence[Shard], stretches: Iterable[Stretch], length: int, *, ends: bool) -> np.ndarray:
    """(N, 3) places within one document each.

    With `ends`, `length` + 1 tokens from the end token before a document to its own, as `windows` has them; without, at
    most `length` tokens of text, at least two of them.
    """
    return _as_places(place for stretch in stretches for place in _pieces(shards, stretch, length, ends))


def _pieces(shards: Sequence[Shard], stretch: Stretch, length: int, ends: bool) -> Iterator[Place]:
    shard = shards[stretch.shard]
    for start, end in _documents_in(shard, stretch):
        if ends:
            yield from _windows(Stretch(stretch.shard, start, end), length)
            continue
        end -= int(shard.tokens[end - 1] == shard.header.end_id)
        for first in range(start, end - 1, length):
            yield stretch.shard, first, min(first + length, end)


def _documents_in(shard: Shard, stretch: Stretch) -> Iterator[tuple[int, int]]:
    inside = shard.starts[
        np.searchsorted(shard.starts, stretch.start, "right") : np.searchsorted(shard.starts, stretch.end)
    ]
    edges = [stretch.start, *(int(start) for start in inside), stretch.end]
    return pairwise(edges)


def _as_places(places: Iterable[Place]) -> np.ndarray:
    return np.array(list(places), dtype=np.int64).reshape(-1, 3)


def num_tokens_in(places: np.ndarray) -> int:
    """Tokens of all `places` (N, 3), each counted once."""
    return int((places[:, 2] - places[:, 1]).sum())


def at_most(places: np.ndarray, num_tokens: int, *, seed: int) -> np.ndarray:
    """Places of about `num_tokens` in all, chosen by chance, in their order; at least one if there are any."""
    total = num_tokens_in(places)
    if total <= num_tokens:
        return places
    number = max(1, len(places) * num_tokens // total)
    random = np.random.default_rng(stream_seed(seed, "pretraining", "validation rows"))
    return places[np.sort(random.choice(len(places), number, replace=False))]
