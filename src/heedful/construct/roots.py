"""What rows are built from: documents, wordings and seeds, each in one block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heedful.records import Example


@dataclass(frozen=True, slots=True)
class Roots:
    """The block of every root, by id. Rows combine only roots of one block."""

    documents: Mapping[str, int]
    wordings: Mapping[str, int]
    seeds: Mapping[str, int]
    num_blocks: int
    """Blocks that have documents; wordings are dealt to these."""


def seed_root(row: Example) -> str:
    """The root of a seed: several rows of one task share it."""
    return row.groups.get("seed", row.id)
