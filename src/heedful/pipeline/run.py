"""One run of a project: under its lock, stage by stage, with a report at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.pipeline.graph import Graph
from heedful.pipeline.settings import HeedfulSettings
from heedful.pipeline.stages import STAGES, forget_working_state, publish_report
from heedful.project.artifacts import Manifest
from heedful.project.atomic import remove_partials
from heedful.project.folder import Project
from heedful.project.locks import locked
from heedful.project.progress import Watcher
from heedful.project.watching import duration


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a run did about one stage."""

    manifest: Manifest
    folder: Path
    built: bool
    """False when the artefact was there already."""

    def __str__(self) -> str:
        state = f"built in {duration(self.manifest.seconds)}" if self.built else "up to date"
        return f"{self.manifest.stage:<10} {state:<20} {self.manifest.summary}"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        manifest = self.manifest
        return {
            "stage": manifest.stage,
            "built": self.built,
            "folder": str(self.folder),
            "content_hash": manifest.content_hash,
            "counts": dict(manifest.counts),
            "metrics": dict(manifest.metrics),
            "seconds": manifest.seconds,
        }


def graph_of(project: Project, settings: HeedfulSettings, watcher: Watcher) -> Graph:
    """The stage graph over a project."""
    return Graph(STAGES, project, settings, watcher)


def tuned_model(graph: Graph) -> str:
    """The folder of the project's tuned model, a name that `load` takes; raises ProjectError when it is not built."""
    return str(graph.folder("tune") / "model")


def run(
    project: Project,
    settings: HeedfulSettings,
    watcher: Watcher,
    *,
    until: str | None = None,
    purpose: str = "heedful run",
) -> list[StageOutcome]:
    """Build what is stale up to `until`. Raises ProjectError when another process works in this project."""
    with locked(project.state, purpose=purpose):
        remove_partials(project.root, project.report.name)
        graph = graph_of(project, settings, watcher)
        outcomes = []
        for item in graph.run(until=until):
            assert item.manifest is not None
            folder = graph.store.folder(item.stage.name, item.manifest.key)
            outcomes.append(StageOutcome(item.manifest, folder, item.built))
            if item.built:
                watcher.say(f"{item.stage.name}: {item.manifest.summary}")
            forget_working_state(project, item.manifest)
            if item.stage.name == "evaluate" and publish_report(project, folder):
                watcher.milestone("report.written")
        return outcomes
