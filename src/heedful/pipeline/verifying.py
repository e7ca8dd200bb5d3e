"""Project or files -> the rows and settings of a tuning run, and the proofs of `heedful.train.verifying` about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heedful.errors import InputError, ProjectError
from heedful.pipeline.settings import HeedfulSettings, Overrides, load_settings, settings_from
from heedful.project.folder import Project
from heedful.project.progress import Watcher
from heedful.records import Example

if TYPE_CHECKING:
    from heedful.train.verifying.invariance import Invariance
    from heedful.train.verifying.mask import MaskProof
    from heedful.train.verifying.resuming import ResumeProof


@dataclass(frozen=True, slots=True)
class Subject:
    """What a proof is about: rows with a split, and settings."""

    title: str
    examples: tuple[Example, ...]
    settings: HeedfulSettings
    tuned: str = ""
    """The project's tuned model, where it is built for these settings; else empty."""


def subject(files: Sequence[str], folder: Path, overrides: Overrides, watcher: Watcher) -> Subject:
    """Rows of `files`, or else the curated rows of the project in `folder`; raises UserErrors for what is not there."""
    if files:
        from heedful import sources

        rows = sources.read_records(files).examples
        if not rows:
            raise InputError(f"{', '.join(files)}: no examples there, so there is nothing to prove")
        return Subject(", ".join(files), tuple(rows), settings_from(overrides))
    from heedful.pipeline.run import graph_of, tuned_model
    from heedful.records import read_examples

    project = Project.open(folder)
    settings = load_settings(project.settings_path, overrides)
    graph = graph_of(project, settings, watcher)
    rows = read_examples(graph.folder("curate") / "data.parquet")
    try:
        tuned = tuned_model(graph)
    except ProjectError:
        tuned = ""
    return Subject(settings.project.name, tuple(rows), settings, tuned)


def mask(about: Subject, watcher: Watcher, *, limit: int, id: str) -> MaskProof:
    """Which tokens are trained; against the project's tuned model, where there is one."""
    from heedful.train.verifying.mask import prove_mask

    settings = about.settings
    return prove_mask(
        about.examples,
        settings.tune,
        seed=settings.project.seed,
        watcher=watcher,
        served=about.tuned,
        limit=limit,
        id=id,
    )


def resume(about: Subject, watcher: Watcher, *, steps: int) -> ResumeProof:
    """Whether interrupted runs end with the same bits."""
    from heedful.train.verifying.resuming import prove_resume

    settings = about.settings
    return prove_resume(about.examples, settings.tune, seed=settings.project.seed, steps=steps, watcher=watcher)


def invariance(about: Subject, watcher: Watcher, *, rows: int, double: bool) -> Invariance:
    """Whether loss and gradients depend on how rows are batched."""
    from heedful.train.verifying.invariance import prove_invariance

    settings = about.settings
    return prove_invariance(
        about.examples, settings.tune, seed=settings.project.seed, num_rows=rows, double=double, watcher=watcher
    )
