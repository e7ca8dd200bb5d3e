"""The feedback store -> a file of JSON Lines, which `heedful import` reads back (`sources/feedback_rows.py`)."""

from __future__ import annotations

import json
from pathlib import Path

from heedful.errors import StorageError
from heedful.feedback.store import Store
from heedful.project.atomic import atomic_write


def write_feedback(store: Store, out: Path) -> int:
    """Write everything that people said, one row each; how many rows there are."""
    num_rows = 0
    try:
        with atomic_write(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            for row in store.export_rows():
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
                num_rows += 1
    except OSError as error:
        raise StorageError(
            f"{out}: cannot be written ({error.strerror or error}); free some space, or choose another place"
        ) from None
    return num_rows
