"""What lies in `.heedful/` and is of no use to the current settings: found, shown with reasons, and removed.

Never touched: feedback, current artefacts, links and what they lead to, anything outside `.heedful/`, and what cannot be
judged: artefacts of a stage whose inputs are to be rebuilt first may turn out to be current again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heedful.errors import StorageError
from heedful.pipeline.run import graph_of
from heedful.pipeline.settings import HeedfulSettings
from heedful.project.folder import Project
from heedful.project.locks import locked
from heedful.project.progress import Silent

Kind = Literal["artefact", "journal", "checkpoints", "training log", "left half done", "request cache"]
# SQLite's companions come first: without them the file is whole, if older; they alone would be of no use.
_DATABASE_PARTS = ("-wal", "-shm", "")
_PARTIAL = ".partial"
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that could go."""

    kind: Kind
    path: Path
    why: str
    num_bytes: int
    seconds_old: float


@dataclass(frozen=True, slots=True)
class Findings:
    """What could go, and what was left out because nobody can tell yet."""

    leftovers: tuple[Leftover, ...]
    undecided: tuple[str, ...]
    """Stages whose artefacts cannot be judged before those that they need are rebuilt."""

    @property
    def num_bytes(self) -> int:
        return sum(leftover.num_bytes for leftover in self.leftovers)


def find_leftovers(project: Project, settings: HeedfulSettings, *, cache: bool = False) -> Findings:
    """Look only. `cache` counts the request cache in, whose answers would have to be computed or paid for again."""
    planned = graph_of(project, settings, Silent()).plan()
    # None while a stage before is stale: its result may be what it was, and then so is everything after it.
    current = {item.stage.name: item.key for item in planned}
    found = [
        *_old_artifacts(project, current),
        *_old_working_state("journal", project.state / "journals", ".jsonl", current),
        *_old_working_state("checkpoints", project.state / "checkpoints", "", current),
        *_old_working_state("training log", project.state / "logs", "", current),
        *_half_done(project.state),
        *(_request_cache(project) if cache else ()),
    ]
    return Findings(tuple(_outermost(found)), tuple(stage for stage, key in current.items() if key is None))


def remove_leftovers(
    project: Project, settings: HeedfulSettings, agreed: Iterable[Leftover], *, cache: bool = False, purpose: str
) -> list[Leftover]:
    """Remove what was agreed on and is still of no use, under the project's lock; returns what was removed.

    A folder gets a hidden name first, so that a kill in the middle leaves no half artefact that looks whole.
    """
    removed = []
    paths = {leftover.path for leftover in agreed}
    with locked(project.state, purpose=purpose):
        for leftover in find_leftovers(project, settings, cache=cache).leftovers:
            if leftover.path in paths:
                _remove(leftover.path)
                removed.append(leftover)
    return removed


# -- finding ---------------------------------------------------------------------------------------------------


def _old_artifacts(project: Project, current: dict[str, str | None]) -> Iterator[Leftover]:
    for stage, key in current.items():
        for path in _entries(project.artifacts / stage):
            if key is not None and path.name != key and _KEY.fullmatch(path.name):
                yield _leftover("artefact", path, f"{stage} of other settings or inputs")


def _old_working_state(kind: Kind, folder: Path, suffix: str, current: dict[str, str | None]) -> Iterator[Leftover]:
    """Entries are called `stage-key` and the suffix; what is called otherwise is nobody's to judge."""
    for path in _entries(folder):
        stage, _, key = path.name.removesuffix(suffix).rpartition("-")
        wanted = current.get(stage)
        if wanted is not None and path.name.endswith(suffix) and key != wanted and _KEY.fullmatch(key):
            yield _leftover(kind, path, f"{stage} of other settings or inputs")


def _half_done(state: Path) -> Iterator[Leftover]:
    """Hidden `.partial` files and folders of processes that were killed."""
    for folder, folders, files in os.walk(state, followlinks=False):
        for name in sorted([*folders, *files]):
            path = Path(folder) / name
            if name.startswith(".") and name.endswith(_PARTIAL) and not path.is_symlink():
                yield _leftover("left half done", path, "a process that wrote it was killed")


def _request_cache(project: Project) -> Iterator[Leftover]:
    for ending in _DATABASE_PARTS:
        path = project.request_cache.with_name(project.request_cache.name + ending)
        if path.is_file() and not path.is_symlink():
            yield _leftover("request cache", path, "its answers are computed or paid for again when they are needed")


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder of ours; links, also one in the folder's own place, lead to what is not."""
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.is_symlink())


def _outermost(found: Iterable[Leftover]) -> Iterator[Leftover]:
    """Leave out what lies within something that goes anyway."""
    everything = list(found)
    folders = {leftover.path for leftover in everything}
    return (leftover for leftover in everything if folders.isdisjoint(leftover.path.parents))


def _leftover(kind: Kind, path: Path, why: str) -> Leftover:
    status = path.lstat()
    return Leftover(kind, path, why, _size(path), max(time.time() - status.st_mtime, 0.0))


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.lstat().st_size
    total = 0
    for folder, _, files in os.walk(path, followlinks=False):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(folder) / name).lstat().st_size
    return total


def _remove(path: Path) -> None:
    try:
        if not path.is_dir():
            path.unlink(missing_ok=True)
            return
        if not path.name.endswith(_PARTIAL):
            hidden = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent))
            path = path.replace(hidden)
        shutil.rmtree(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be removed ({error.strerror or error}); what was removed before it is gone, the rest stays: "
            "mend the permissions and run the same command again"
        ) from None
