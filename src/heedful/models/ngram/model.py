"""The n-gram model: fit it, ask it for log-probabilities of many tokens at once, save and load it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from heedful.errors import InputError, ModelError
from heedful.models._saved import CONFIG, WEIGHTS, read_config
from heedful.models.ngram.counting import Indices, Numbers, Words, adjusted, count, joined
from heedful.models.ngram.smoothing import Discounts, Floats, Table, discounts, smooth
from heedful.project import Settings, Watcher, atomic_folder, write_json

MODEL_TYPE = "heedful-ngram"


class NGramSettings(Settings):
    """How an n-gram model is made."""

    order: int = Field(5, ge=1, le=16)
    """Longest n-gram, in tokens: a token is predicted from the order - 1 before it."""
    discount_fallback: bool = True
    """Where there is too little data to estimate discounts, take 0.5, 1 and 1.5 and say so, rather than refuse."""


@dataclass(frozen=True, slots=True)
class NGramModel:
    """A finished model; `fit` or `NGramModel.load` makes one. Its words are ids below `num_ids`, unknown and end."""

    num_ids: int
    tables: tuple[Table, ...]
    """One per length, from single words to the order."""
    discounts: tuple[Discounts, ...]
    """One per length."""

    @property
    def order(self) -> int:
        return len(self.tables)

    @property
    def words(self) -> Words:
        return Words(self.num_ids)

    @property
    def unknown_id(self) -> int:
        """What stands for a token that the vocabulary lacks."""
        return self.words.unknown

    def logprobs(self, ids: Sequence[int] | Numbers | Indices, *, starts: bool = True, ends: bool = True) -> Floats:
        """Natural logarithm of each token's probability after all that precede it, and last of the end: (T + 1,).

        With `starts` the ids begin a document; without `ends` they do not end one, and the result has length T.
        """
        words = self.words
        given = _checked(ids, words)
        # Without a begin the first token stands after nothing.
        stream = np.concatenate([[words.begin] if starts else [], given, [words.end] if ends else []]).astype(np.int64)
        found = self.tables[0].logprobs[stream]
        numbers = stream
        for shorter, table in zip(self.tables, self.tables[1:], strict=False):
            before, numbers = numbers, np.full(len(stream), -1)
            known = np.flatnonzero(before[:-1] >= 0) + 1
            numbers[known] = _look_up(table.keys, before[known - 1] * len(words) + stream[known])
            seen = numbers[known] >= 0
            here, missed = known[seen], known[~seen]
            found[here] = table.logprobs[numbers[here]]
            found[missed] += shorter.backoffs[before[missed - 1]]
        return found[1:] if starts else found

    def next_logprobs(self, context: Sequence[int], *, starts: bool = True) -> Floats:
        """Natural logarithms for every word that may come next (num_ids + 3,): ids, unknown, begin (-inf), end."""
        words = self.words
        stream = np.concatenate([[words.begin] if starts else [], _checked(context, words)]).astype(np.int64)
        found = self.tables[0].logprobs.copy()
        for length in range(1, self.order):
            number = self._number_of(stream[-length:]) if length <= len(stream) else -1
            if number < 0:
                break
            table = self.tables[length]
            found += self.tables[length - 1].backoffs[number]
            first, last = np.searchsorted(table.keys, [number * len(words), (number + 1) * len(words)])
            found[table.keys[first:last] % len(words)] = table.logprobs[first:last]
        return found

    def _number_of(self, gram: Numbers) -> int:
        number = np.array([int(gram[0])])
        for table, word in zip(self.tables[1:], gram[1:], strict=False):
            number = _look_up(table.keys, number * len(self.words) + word)
            if number[0] < 0:
                break
        return int(number[0])

    def save(self, folder: Path) -> Path:
        """Write `config.json` and `model.safetensors` to a folder of its own, which is replaced if it exists."""
        config = {
            "model_type": MODEL_TYPE,
            "order": self.order,
            "num_ids": self.num_ids,
            "discounts": [asdict(one) for one in self.discounts],
        }
        tensors = {
            f"{length}.{name}": np.ascontiguousarray(getattr(table, name))
            for length, table in enumerate(self.tables, 1)
            for name in ("keys", "logprobs", "backoffs")
        }
        with atomic_folder(folder) as partial:
            write_json(partial / CONFIG, config)
            save_file(tensors, partial / WEIGHTS)
        return folder

    @classmethod
    def load(cls, folder: Path) -> NGramModel:
        """Read what `save` wrote; raises ModelError for anything else."""
        config = read_config(folder, MODEL_TYPE, "an n-gram model")
        try:
            tensors = load_file(folder / WEIGHTS)
            tables = tuple(
                Table(*(tensors[f"{length}.{name}"] for name in ("keys", "logprobs", "backoffs")))
                for length in range(1, config["order"] + 1)
            )
            return cls(config["num_ids"], tables, tuple(Discounts(**one) for one in config["discounts"]))
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise ModelError(f"{folder} holds no complete n-gram model: {error}; fit it again") from None


def fit(
    documents: Iterable[Sequence[int] | Numbers],
    settings: NGramSettings,
    *,
    num_ids: int,
    watcher: Watcher | None = None,
) -> NGramModel:
    """Count the n-grams of documents of token ids below `num_ids` and smooth them.

    Discounts that had to be the fallback are told to `watcher` (without one, as a warning), and kept in the model.
    """
    if num_ids < 1:
        raise InputError(f"a vocabulary of {num_ids} ids; expected at least 1")
    words = Words(num_ids)
    levels = count(joined(documents, words), settings.order, words)
    counts = adjusted(levels, words)
    taken = [discounts(found, length, fallback=settings.discount_fallback) for length, found in enumerate(counts, 1)]
    for length, one in enumerate(taken, 1):
        if one.because:
            _say(watcher, f"{length}-grams: fallback discounts {one.one}, {one.two} and {one.three}, as {one.because}")
    return NGramModel(num_ids, tuple(smooth(levels, counts, taken, words)), tuple(taken))


def _say(watcher: Watcher | None, message: str) -> None:
    if watcher is None:
        warnings.warn(message, stacklevel=3)
    else:
        watcher.say(message)


def _checked(ids: Sequence[int] | Numbers | Indices, words: Words) -> Numbers:
    given = np.asarray(ids, dtype=np.int64)
    if given.size and not (given.min() >= 0 and given.max() <= words.unknown):
        wrong = given.min() if given.min() < 0 else given.max()
        raise InputError(
            f"token id {wrong}; this model's are 0 to {words.num_ids - 1}, and {words.unknown} for an unknown token"
        )
    return given


def _look_up(keys: Numbers, wanted: Numbers) -> Numbers:
    """Place of each wanted key, -1 where it is not among the sorted keys."""
    if not len(keys):
        return np.full(len(wanted), -1)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)
