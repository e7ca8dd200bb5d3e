"""ARPA: the text format of n-gram models that KenLM, SRILM and speech recognisers read. Logarithms there are of base 10."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from heedful.errors import InputError
from heedful.models.ngram.counting import Numbers, Words
from heedful.models.ngram.model import NGramModel
from heedful.project import atomic_write

_CHUNK = 1 << 16
_NEVER = -99.0
"""By custom the logarithm of what cannot happen."""


def write_arpa(model: NGramModel, path: Path, *, tokens: Sequence[str] | None = None) -> Path:
    """Write `model` with its ids called `tokens` (by default "0", "1", ...); unknown, begin and end are <unk> <s> </s>.

    Raises InputError for tokens that the format cannot hold: empty ones, equal ones, any with white space in them.
    """
    names = [*_checked(tokens, model.words), "<unk>", "<s>", "</s>"]
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        sizes = [f"ngram {length}={len(table.keys)}\n" for length, table in enumerate(model.tables, 1)]
        file.write("\\data\\\n" + "".join(sizes))
        for length in range(1, model.order + 1):
            file.write(f"\n\\{length}-grams:\n")
            _write_level(file, model, length, names)
        file.write("\n\\end\\\n")
    return path


def _write_level(file: TextIO, model: NGramModel, length: int, names: Sequence[str]) -> None:
    table = model.tables[length - 1]
    logprobs, backoffs = np.maximum(table.logprobs / math.log(10), _NEVER), table.backoffs / math.log(10)
    for start in range(0, len(table.keys), _CHUNK):
        part = slice(start, start + _CHUNK)
        grams = _spelled(model, length, part, names)
        if length == model.order:
            lines = [f"{p:.9g}\t{gram}\n" for p, gram in zip(logprobs[part].tolist(), grams, strict=True)]
        else:
            values = zip(logprobs[part].tolist(), grams, backoffs[part].tolist(), strict=True)
            lines = [f"{p:.9g}\t{gram}\t{b:.9g}\n" for p, gram, b in values]
        file.write("".join(lines))


def _spelled(model: NGramModel, length: int, part: slice, names: Sequence[str]) -> Iterator[str]:
    """The words of each n-gram of a level's part: the trie is walked up to the first word."""
    num_words = len(model.words)
    columns: list[list[str]] = []
    numbers: Numbers = np.arange(*part.indices(len(model.tables[length - 1].keys)))
    for level in range(length, 0, -1):
        keys = model.tables[level - 1].keys[numbers]
        columns.append([names[word] for word in (keys % num_words).tolist()])
        numbers = keys // num_words
    return map(" ".join, zip(*reversed(columns), strict=True))


def _checked(tokens: Sequence[str] | None, words: Words) -> Sequence[str]:
    if tokens is None:
        return [str(number) for number in range(words.num_ids)]
    if len(tokens) != words.num_ids:
        raise InputError(f"{len(tokens)} tokens for a model of {words.num_ids} ids; give one for each id")
    special = {"<unk>", "<s>", "</s>"}
    wrong = next((token for token in tokens if token.split() != [token] or token in special), None)
    if wrong is not None:
        raise InputError(
            f"ARPA cannot hold the token {wrong!r}: it needs names without white space other than {special}"
        )
    if len(set(tokens)) != len(tokens):
        raise InputError("two ids have the same token, which ARPA cannot tell apart; give each a name of its own")
    return tokens
