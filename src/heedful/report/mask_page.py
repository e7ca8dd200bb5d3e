"""Writes which tokens are trained as one HTML file that loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heedful.report.page import render, write_page


def write_mask_page(path: Path, title: str, proof: Mapping[str, Any]) -> None:
    """`proof` is what `heedful verify mask --json` prints; raises InputError for a file that is no page."""
    write_page(path, render("mask", {"title": title, "proof": proof, "ledger": _table(proof["ledger"])}))


def _table(ledger: Mapping[str, Mapping[str, Any]]) -> dict[str, list[int]]:
    """Counts by name, one for each split."""
    splits = list(ledger.values())
    return {
        name.replace("_", " "): [
            len(split[name]) if isinstance(split[name], list | tuple) else split[name] for split in splits
        ]
        for name in (splits[0] if splits else {})
    }
