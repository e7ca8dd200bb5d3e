"""Step: of rows that say almost the same, one stays. MinHash finds candidates, exact Jaccard similarity decides.

A row is the set of 3-grams of its tokens, over all its messages: instruction, input and answer. So rows of one
template about different passages are not near-duplicates of each other, however alike their instructions are.
Tokens are those of `text.tokenize`, joined by spaces: Daft's MinHash splits on white space, and Chinese without
spaces would be one token. Locality-sensitive hashing as in Broder 1997 and Leskovec et al., Mining of Massive
Datasets, chapter 3: with b bands of r hashes, a pair of similarity s is a candidate with chance 1 - (1 - s^r)^b.

Removal goes by connected cluster: when A is like B and B like C, one of the three stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import daft
from daft import col
from daft import functions as daft_functions

from heedful import text
from heedful.curate._components import Components
from heedful.curate._frame import TEXT, Frame, Reject, drop_positions, kept, per_example
from heedful.curate.exact_duplicates import precedence
from heedful.records import Example

SHINGLE_SIZE = 3
NUM_HASHES = 256
MAX_MISS = 1e-3
"""Chance that a pair exactly at the threshold is missed; pairs above it are missed far less often."""
BUCKET_WINDOW = 32
"""Within a bucket, a row is paired with this many followers. Keeps a bucket of n rows from costing n * n pairs, for
the price that in a crowd of near-equal rows two distant ones may only be linked through others."""

_CODES = daft.DataType.list(daft.DataType.int64())
_CODE_BASE = 2**31
"""A pair travels as the one number left * base + right: Daft hands over structs from Python ten times as slowly."""


class Pair(NamedTuple):
    """Two rows, by position, and the Jaccard similarity of their shingles; `left < right`."""

    left: int
    right: int
    similarity: float


def banding(threshold: float) -> tuple[int, int]:
    """(number of bands, hashes in a band): the most selective bands that miss at most `MAX_MISS` at the threshold."""
    for size in range(16, 1, -1):
        num_bands = NUM_HASHES // size
        if (1 - threshold**size) ** num_bands <= MAX_MISS:
            return num_bands, size
    return NUM_HASHES, 1


def token_text(example: Example) -> str:
    """All tokens of all messages, joined by spaces."""
    return " ".join(token for message in example.messages for token in text.tokenize(message.content))


def jaccard(one: str, other: str) -> float:
    """Similarity of two token texts: shared 3-grams over all 3-grams."""
    return text.jaccard(_shingles(one), _shingles(other))


# A row in a crowd is compared with many; a row of 100 tokens takes some ten kilobytes here.
@lru_cache(maxsize=4096)
def _shingles(tokens: str) -> set[str]:
    return text.shingles(tokens, SHINGLE_SIZE)


def similar_pairs(frame: Frame, threshold: float) -> list[Pair]:
    """Pairs of kept rows with a similarity of at least `threshold`, ordered by position."""
    tokens = kept(frame).select("position", per_example(token_text, TEXT).alias("tokens"))
    # Rows of nothing but symbols have no tokens, and would all look alike.
    tokens = tokens.where(col("tokens") != "").collect()
    sides = [
        tokens.select(col("position").alias(side), col("tokens").alias(f"{side}_tokens")) for side in ("left", "right")
    ]
    pairs = _candidates(tokens, threshold).join(sides[0], on="left").join(sides[1], on="right")
    similarity = daft.func(return_dtype=daft.DataType.float64(), use_process=False)(jaccard)
    pairs = pairs.with_column("similarity", similarity(col("left_tokens"), col("right_tokens")))
    pairs = pairs.where(col("similarity") >= threshold).select("left", "right", "similarity")
    return sorted(Pair(row["left"], row["right"], row["similarity"]) for row in pairs.to_pylist())


def _candidates(tokens: Frame, threshold: float) -> Frame:
    """Distinct (left, right) positions that share a band. Bands need no number: unlike ones do not collide."""
    _, size = banding(threshold)
    signature = daft_functions.minhash(col("tokens"), num_hashes=NUM_HASHES, ngram_size=SHINGLE_SIZE)
    bands = daft_functions.list_map(daft_functions.chunk(signature, size), daft_functions.hash(daft.element()))
    buckets = tokens.select("position", bands.alias("band")).explode("band")
    buckets = buckets.groupby("band").agg(col("position").list_agg().alias("members"))
    buckets = buckets.where(col("members").length() > 1).select(
        daft_functions.list_sort(col("members")).alias("members")
    )
    pairs_within = daft.func(return_dtype=_CODES, use_process=False)(_pairs_within)
    # The same members meet in many bands: forming their pairs once is enough.
    codes = buckets.distinct().select(pairs_within(col("members")).alias("code")).explode("code").distinct()
    return codes.select((col("code") // _CODE_BASE).alias("left"), (col("code") % _CODE_BASE).alias("right"))


def _pairs_within(members: list[int]) -> list[int]:
    return [
        left * _CODE_BASE + right
        for index, left in enumerate(members)
        for right in members[index + 1 : index + 1 + BUCKET_WINDOW]
    ]


def near_duplicates(frame: Frame, pairs: Iterable[Pair], threshold: float) -> Frame:
    """Of every cluster of rows linked by pairs of at least `threshold`, keep the one with the best precedence."""
    clusters = Components()
    involved: set[int] = set()
    for pair in pairs:
        if pair.similarity >= threshold:
            clusters.join(pair.left, pair.right)
            involved.update((pair.left, pair.right))
    if not involved:
        return frame
    rows = {row["position"]: row for row in precedence(frame).select("position", "id", "rank").to_pylist()}
    rejects = {}
    for cluster in clusters.members(sorted(involved)):
        first = min(cluster, key=lambda position: rows[position]["rank"])
        reject = Reject("near_duplicate", f"of {rows[first]['id']}")
        rejects.update({position: reject for position in cluster if position != first})
    return drop_positions(frame, rejects)
