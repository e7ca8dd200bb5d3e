"""The stage graph: what each stage needs, when it is stale, and how a run builds what is.

A stage is a function of its inputs' content, its settings and its own version number; the hash of those names its
artefact. So a change that leads to the same rows rebuilds nothing further on, and going back to old settings finds
the old artefacts again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.errors import ProjectError
from heedful.pipeline.settings import HeedfulSettings
from heedful.project.artifacts import ArtifactStore, Draft, Manifest, artifact_key
from heedful.project.folder import Project
from heedful.project.progress import Watcher
from heedful.project.settings import nearest


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage gets to work with."""

    project: Project
    settings: HeedfulSettings
    inputs: Mapping[str, Path]
    """Folders of the artefacts that the stage needs, by stage name."""
    key: str
    draft: Draft
    watcher: Watcher

    @property
    def seed(self) -> int:
        return self.settings.project.seed


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what it needs and how it is built."""

    name: str
    version: int
    needs: tuple[str, ...]
    settings: Callable[[HeedfulSettings], Mapping[str, Any]]
    """The settings that its result depends on."""
    outside: Callable[[Project, HeedfulSettings], Mapping[str, str]]
    """Hashes of what it reads from outside the project's artefacts: files, models, the interpreter's own texts."""
    build: Callable[[Context], None]
    on_request: bool = False
    """Built only when it is asked for by name; no other stage needs it."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A stage as it stands: fresh when `manifest` is there. `key` is None while an input is not known yet."""

    stage: Stage
    key: str | None
    inputs: Mapping[str, str]
    manifest: Manifest | None
    built: bool = False
    """True when this run has just built it."""


class Graph:
    """Stages in the order in which data flows, over one project."""

    def __init__(self, stages: Sequence[Stage], project: Project, settings: HeedfulSettings, watcher: Watcher) -> None:
        self._stages = stages
        self._project, self._settings, self._watcher = project, settings, watcher
        self.store = ArtifactStore(project.artifacts, watcher)

    def plan(self, *, until: str | None = None) -> list[Planned]:
        """How every stage up to `until` stands now; builds nothing."""
        done: dict[str, Manifest] = {}
        planned = []
        for stage in self._up_to(until):
            item = self._look(stage, done)
            if item.manifest is not None:
                done[stage.name] = item.manifest
            planned.append(item)
        return planned

    def run(self, *, until: str | None = None) -> Iterator[Planned]:
        """Build what is stale, in order, up to and including `until`; yields each stage when it is fresh.

        Call it only while holding the project's lock.
        """
        done: dict[str, Manifest] = {}
        for stage in self._up_to(until):
            item = self._look(stage, done)
            if item.manifest is None:
                item = self._build(stage, item, done)
            assert item.manifest is not None, f"stage {stage.name} left no manifest"
            done[stage.name] = item.manifest
            yield item

    def folder(self, stage: str) -> Path:
        """The current artefact of `stage`; raises ProjectError when it is not built."""
        item = next(item for item in self.plan(until=stage) if item.stage.name == stage)
        if item.manifest is None or item.key is None:
            raise ProjectError(
                f"{self._project.root}: stage {stage!r} is not built for these settings; `heedful run` builds it"
            )
        return self.store.folder(stage, item.key)

    def _up_to(self, until: str | None) -> list[Stage]:
        names = [stage.name for stage in self._stages]
        if until is None:
            return [stage for stage in self._stages if not stage.on_request]
        if until not in names:
            raise ProjectError(f"unknown stage {until!r}; {nearest(until, names)}")
        wanted = self._ancestors(until)
        return [stage for stage in self._stages if stage.name in wanted]

    def _ancestors(self, name: str) -> set[str]:
        stage = next(stage for stage in self._stages if stage.name == name)
        return {name}.union(*(self._ancestors(need) for need in stage.needs))

    def _look(self, stage: Stage, done: Mapping[str, Manifest]) -> Planned:
        if any(need not in done for need in stage.needs):
            return Planned(stage, None, {}, None)
        inputs = {need: done[need].content_hash for need in stage.needs}
        inputs.update(stage.outside(self._project, self._settings))
        key = artifact_key(stage.name, stage.version, self._stage_settings(stage), inputs)
        return Planned(stage, key, inputs, self.store.manifest(stage.name, key))

    def _stage_settings(self, stage: Stage) -> dict[str, Any]:
        return {"seed": self._settings.project.seed, **stage.settings(self._settings)}

    def _build(self, stage: Stage, item: Planned, done: Mapping[str, Manifest]) -> Planned:
        assert item.key is not None, f"stage {stage.name} is built before what it needs"
        settings = self._stage_settings(stage)
        with self.store.build(stage.name, stage.version, item.key, settings=settings, inputs=item.inputs) as draft:
            folders = {need: self.store.folder(need, done[need].key) for need in stage.needs}
            stage.build(Context(self._project, self._settings, folders, item.key, draft, self._watcher))
        return Planned(stage, item.key, item.inputs, self.store.manifest(stage.name, item.key), built=True)
