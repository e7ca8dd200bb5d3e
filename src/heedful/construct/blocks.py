"""Documents, wordings and seeds -> blocks. Rows combine only roots of one block, so a split can cut between blocks.

Without blocks every document soon meets every wording, all rows hang together, and no test set could hold documents
*and* wordings that training never saw.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence


def deal(strata: Iterable[Sequence[str]], num_blocks: int, generator: random.Random) -> dict[str, int]:
    """The block (from 0) of every name.

    Each stratum (names that should be spread evenly: wordings of one kind, seeds of one language, documents of about
    one size) is shuffled and dealt round the table; the next stratum goes on where the last one ended. So the blocks
    differ by at most one name in all and within each stratum.
    """
    order = list(range(num_blocks))
    generator.shuffle(order)
    blocks: dict[str, int] = {}
    for stratum in strata:
        names = sorted(set(stratum))
        generator.shuffle(names)
        for name in names:
            assert name not in blocks, f"{name!r} stands in two strata"
            blocks[name] = order[len(blocks) % num_blocks]
    return blocks


def by_size(sizes: dict[str, int], num_blocks: int) -> list[list[str]]:
    """Strata of `num_blocks` names of similar size, the largest first."""
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    return [names[start : start + num_blocks] for start in range(0, len(names), num_blocks)]
