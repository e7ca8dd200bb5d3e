"""Artefacts: what a stage made, in a folder named by the hash of what went in, sealed by a manifest.

`.heedful/artifacts/<stage>/<hash>/` is either complete or absent: a stage writes into a hidden folder, the manifest
comes last, and one rename makes it appear.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from heedful.project.atomic import atomic_folder, read_json, remove_partials, write_json
from heedful.project.progress import Watcher
from heedful.records import digest

MANIFEST = "manifest.json"

# Files that tell the same story in other words: they may differ in bytes (times, plots) while the result is equal.
_UNHASHED_SUFFIXES = (".html", ".svg", ".md")

LIBRARIES = (
    "heedful",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "safetensors",
    "daft",
    "pyarrow",
    "numpy",
    "sacrebleu",
)
"""Libraries whose versions can change a result; their versions are written into every manifest."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artefact is, what it was made from, and what came of it."""

    stage: str
    version: int
    """The stage's own version number, raised by hand when its meaning changes."""
    key: str
    """Hash of stage, version, settings and inputs; the folder's name."""
    inputs: Mapping[str, str]
    """Content hashes of what went in, by name."""
    settings: Mapping[str, Any]
    files: Mapping[str, str]
    """SHA-256 of every file, by its path in the folder."""
    content_hash: str
    """Hash of the files that carry results; equal for an interrupted and an uninterrupted run."""
    counts: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    summary: str = ""
    seconds: float = 0.0
    """Of the process that finished it; time spent by killed processes is not known."""
    created: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def artifact_key(stage: str, version: int, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The name of the artefact's folder."""
    return digest([stage, version, settings, inputs])


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a result; reads package metadata, imports nothing."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@dataclass
class Draft:
    """An artefact being written: the folder to write into, and what the manifest will say."""

    folder: Path
    counts: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    summary: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since it was begun."""
        return round(time.monotonic() - self.started, 3)


class ArtifactStore:
    """The artefacts of one project. Call its writing methods only while holding the project's lock."""

    def __init__(self, root: Path, watcher: Watcher) -> None:
        self._root, self._watcher = root, watcher

    def folder(self, stage: str, key: str) -> Path:
        """Where the artefact is, or would be."""
        return self._root / stage / key

    def manifest(self, stage: str, key: str) -> Manifest | None:
        """The manifest of a complete artefact; None when it is absent or when one of its files is gone."""
        folder = self.folder(stage, key)
        if not (folder / MANIFEST).is_file():
            return None
        manifest = Manifest(**read_json(folder / MANIFEST))
        return manifest if all((folder / name).is_file() for name in manifest.files) else None

    @contextmanager
    def build(
        self, stage: str, version: int, key: str, *, settings: Mapping[str, Any], inputs: Mapping[str, str]
    ) -> Iterator[Draft]:
        """A draft to fill; it becomes the artefact when the block succeeds and vanishes when it fails."""
        remove_partials(self._root / stage)
        with atomic_folder(self.folder(stage, key)) as folder:
            draft = Draft(folder)
            self._watcher.milestone("stage.begun")
            yield draft
            self._watcher.milestone("stage.written")
            files = {
                path.relative_to(folder).as_posix(): file_hash(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
            manifest = Manifest(
                stage=stage,
                version=version,
                key=key,
                inputs=dict(inputs),
                settings=dict(settings),
                files=files,
                content_hash=digest(
                    {name: value for name, value in files.items() if not name.endswith(_UNHASHED_SUFFIXES)}
                ),
                counts=draft.counts,
                metrics=draft.metrics,
                summary=draft.summary,
                seconds=draft.seconds,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                versions=versions(),
            )
            write_json(folder / MANIFEST, asdict(manifest))
            self._watcher.milestone("stage.sealed")
        self._watcher.milestone("stage.committed")
