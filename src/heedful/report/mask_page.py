"""Writes which tokens are trained as one HTML file that loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heedful.errors import InputError
from heedful.project import write_text
from heedful.report.page import render


def write_mask_page(path: Path, title: str, proof: Mapping[str, Any]) -> None:
    """`proof` is what `heedful verify mask --json` prints; raises InputError for a file that is no page."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: expected a name that ends in .html, so that no data is overwritten by a page")
    try:
        write_text(path, render("mask", {"title": title, "proof": proof, "ledger": _table(proof["ledger"])}))
    except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name a file in a folder of yours") from None


def _table(ledger: Mapping[str, Mapping[str, Any]]) -> dict[str, list[int]]:
    """Counts by name, one for each split."""
    splits = list(ledger.values())
    return {
        name.replace("_", " "): [
            len(split[name]) if isinstance(split[name], list | tuple) else split[name] for split in splits
        ]
        for name in (splits[0] if splits else {})
    }
