"""What one phrase, or several of which any will do, adds to what is missing: behind tokens in general, and behind single ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.masks.needles import Effects
from heedful.constraints.masks.stands import Stand, is_too_often, num_missing
from heedful.constraints.masks.texts import NUM_KINDS, Batch
from heedful.constraints.masks.wanted import NO_SIZE, Size, Wanted

Needs = NDArray[np.int64]
"""(..., 6): tokens, words at least and at most, characters at least and at most, and whether a phrase occurs too often."""
WIDTH = 6


@dataclass(frozen=True, slots=True)
class Block:
    """One phrase at one place; or several of which any will do, the first of which is `wanted`."""

    wanted: Wanted
    size: Size
    base: Needs
    ids: NDArray[np.int64]
    more: Needs
    is_begun: NDArray[np.bool_]
    """Tokens after which a plan would complete it first."""
    glued: NDArray[np.int64]
    """(tokens, 5): what that saves."""
    at_end: NDArray[np.bool_]
    begun: NDArray[np.int64]


def block_of(
    wanted: Sequence[Wanted],
    size: Size,
    stands: Sequence[Stand | None],
    effects: Sequence[Effects | None],
    kinds: NDArray[np.int64],
    batch: Batch,
) -> Block:
    """One phrase, or several of which any will do."""
    is_group = len(wanted) > 1
    touched: dict[int, list[tuple[int, int, int, bool]]] = defaultdict(list)
    for place, found_ones in enumerate(effects):
        for token, completed_now, begun_now, ends in found_ones.rows() if found_ones else ():
            touched[token].append((place, completed_now, begun_now, ends))
    missing = [num_missing(wanted, stands, kind, {}, is_group) for kind in range(NUM_KINDS)]
    too_many = [is_too_often(wanted, stands, kind, {}, is_group) for kind in range(NUM_KINDS)]
    base = np.array([(*(number * value for value in size.values), bad)
                     for number, bad in zip(missing, too_many, strict=True)], np.int64)  # fmt: skip
    rows = []
    for token, found in touched.items():
        kind = int(kinds[batch.dense[token] - 1])
        completed = {place: number for place, number, _, _ in found}
        number = num_missing(wanted, stands, kind, completed, is_group)
        bad = is_too_often(wanted, stands, kind, completed, is_group)
        more = [(number - missing[kind]) * value for value in size.values]
        begun = next((begun for place, _, begun, _ in found if place == 0), 0)
        rest = wanted[0].rests[begun] if begun and number and size is not NO_SIZE else None
        glued = [one - other for one, other in zip(rest.values, size.values, strict=True)] if rest else [0] * 5
        at_end = any(at_end for *_, at_end in found)
        rows.append((token, *more, bad - too_many[kind], rest is not None, *glued, at_end, begun))
    table = np.array(rows, np.int64).reshape(-1, 15)
    return Block(wanted[0], size, base, table[:, 0], table[:, 1:7], table[:, 7] > 0, table[:, 8:13], table[:, 13] > 0,
                  table[:, 14])  # fmt: skip


def spoiled(blocks: Sequence[Block], begun: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of tokens after which something is begun: where completing it would end another phrase, or write one too often."""
    spoiled = np.zeros(len(begun), bool)
    for block in blocks:
        spoiled |= np.isin(begun, block.ids[block.at_end])
        if block.wanted.phrase.high is None:
            continue
        for token, length in zip(block.ids.tolist(), block.begun.tolist(), strict=True):
            if length and token in begun:
                left = block.wanted.needle.text[:length]
                for other in blocks:
                    if other is not block and (other.is_begun & (other.ids == token)).any():
                        reached = int(other.begun[other.ids == token][0])
                        rest = other.wanted.needle.text[reached:]
                        if block.wanted.needle.text in left + rest:
                            spoiled |= begun == token
    return spoiled
