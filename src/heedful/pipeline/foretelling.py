"""What tuning would take, without tuning: `heedful tune --dry-run`, in a project or on files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heedful.pipeline.run import run
from heedful.pipeline.settings import HeedfulSettings, Overrides, settings_from
from heedful.project.folder import Project
from heedful.project.progress import Watcher
from heedful.records import Example, Task, read_examples


def foretell_project(project: Project, settings: HeedfulSettings, watcher: Watcher, *, purpose: str) -> dict[str, Any]:
    """Of the project's tuning; what comes before it is built if it is stale."""
    curated = run(project, settings, watcher, until="curate", purpose=purpose)[-1]
    rows = read_examples(curated.folder / "data.parquet")
    return _foretold(rows, (), settings, watcher)


def foretell_files(files: Sequence[str], overrides: Overrides, watcher: Watcher) -> dict[str, Any]:
    """Of tuning on rows in any known format."""
    from heedful import sources

    read = sources.read_records(files)
    return _foretold(read.examples, read.tasks, settings_from(overrides), watcher)


def _foretold(
    rows: Sequence[Example], tasks: Sequence[Task], settings: HeedfulSettings, watcher: Watcher
) -> dict[str, Any]:
    from heedful.train.tuning import predict_only

    prediction = predict_only(rows, settings.tune, seed=settings.project.seed, watcher=watcher, tasks=tasks)
    return {"text": str(prediction), **prediction.as_dict()}
