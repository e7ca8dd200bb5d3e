"""Settings of the import stage."""

from __future__ import annotations

from typing import Literal

from heedful.project.settings import Settings


class ImportSettings(Settings):
    """Where rows and documents come from."""

    seeds: tuple[str, ...] = ("seeds.jsonl",)
    """Files, folders or globs with example rows, relative to the project, in any known format."""
    documents: tuple[str, ...] = ("documents",)
    """Files or folders with texts; `python_docs` stands for the documentation of the running Python's library."""
    on_error: Literal["stop", "skip"] = "stop"
    """What a row that cannot be read does: stop the import, or be skipped and reported."""
