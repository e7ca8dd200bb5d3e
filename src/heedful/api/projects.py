"""A project's folder as an object: run it, look at its rows, results and lineage, and talk to its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.api._watching import watching
from heedful.pipeline import rows as rows_of
from heedful.pipeline.origins import lineage
from heedful.pipeline.run import StageOutcome, graph_of, tuned_model
from heedful.pipeline.run import run as run_stages
from heedful.pipeline.settings import HeedfulSettings, load_settings
from heedful.project.atomic import read_json
from heedful.project.folder import Project
from heedful.project.lineage import Trail
from heedful.project.progress import Silent
from heedful.records import Example

if TYPE_CHECKING:
    from heedful.api.generators import Generator
    from heedful.pipeline.graph import Graph


def open(project: str | Path = ".", *, progress: bool = False, **overrides: Any) -> ProjectHandle:
    """The project in a folder. `overrides` as for `ProjectHandle.run`; `progress` draws on standard error."""
    return ProjectHandle(Project.open(Path(project)), progress=progress, **overrides)


def init(folder: str | Path, *, progress: bool = False) -> ProjectHandle:
    """Make a new project: settings, seed tasks to replace by your own, and a folder for documents."""
    from heedful.starter.create import create_project

    return ProjectHandle(create_project(Path(folder)), progress=progress)


class ProjectHandle:
    """A project, seen with its settings and the overrides that were given. It holds no lock and nothing in memory."""

    def __init__(self, project: Project, *, progress: bool = False, **overrides: Any) -> None:
        self._project, self._progress = project, progress
        self._overrides = _flat(overrides)
        self.notes: tuple[str, ...] = ()
        """What the last run said: counts, warnings, shortfalls."""
        # What is misspelt should be known now, not at the first use.
        _ = self.settings

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self._project.root

    @property
    def settings(self) -> HeedfulSettings:
        """heedful.toml as it is now, with the overrides laid over it."""
        return load_settings(self._project.settings_path, self._overrides)

    def run(self, until: str | None = None, **overrides: Any) -> list[StageOutcome]:
        """Build what is stale, up to and including the stage `until`; killed, the same call continues.

        Overrides are sections, `tune={"epochs": 2}`, or single settings, `**{"tune.epochs": 2}`. They stay in force for
        this object, so that `rows`, `results` and `generator` speak of what was run.
        """
        laid_over = {**self._overrides, **_flat(overrides)}
        settings = load_settings(self._project.settings_path, laid_over)
        self._overrides = laid_over
        with watching(self._progress) as watcher:
            try:
                return run_stages(self._project, settings, watcher, until=until, purpose="heedful.open(...).run()")
            finally:
                self.notes = tuple(watcher.said)

    def rows(
        self,
        split: str = "",
        *,
        dropped: bool | None = False,
        reason: str = "",
        method: str = "",
        language: str = "",
        task: str = "",
        source: str = "",
        search: str = "",
        id: str = "",
    ) -> list[Example]:
        """Curated rows that pass all filters, kept ones unless `dropped` is True (only dropped) or None (both).

        A dropped row says why: `row.meta_value("dropped_because")`. Names may be patterns, `source="python-docs:*"`.
        """
        wanted = rows_of.RowFilter(
            split=split, dropped=True if reason else dropped, reason=reason, method=method, language=language,
            task=task, source=source, search=search, id=id,
        )  # fmt: skip
        found = rows_of.curated_rows(self._graph(), str(self.root)).matching(wanted)
        return [row.record for row in found if isinstance(row.record, Example)]

    def lineage(self, id: str) -> Trail:
        """The way from a row, named by its id's first characters, back to its documents and seeds."""
        known = lineage(self._graph())
        return known.trace(known.resolve(id))

    @property
    def results(self) -> Mapping[str, Any]:
        """What `evaluate` found; `evaluate/results.py` describes its shape."""
        results: Mapping[str, Any] = read_json(self._graph().folder("evaluate") / "results.json")
        return results

    @property
    def report(self) -> Path:
        """The page about the current evaluation."""
        return self._graph().folder("evaluate") / "report.html"

    def generator(self) -> Generator:
        """The tuned model, ready to answer; close it, or use it in a `with` block."""
        from heedful.api.generators import Generator

        return Generator(tuned_model(self._graph()), progress=self._progress)

    def __repr__(self) -> str:
        return f"ProjectHandle({str(self.root)!r})"

    def _graph(self) -> Graph:
        return graph_of(self._project, self.settings, Silent())


def _flat(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """{"tune": {"epochs": 2}, "tune.seed": 1} as single settings. `import_` stands for `import`, a word of Python's."""
    flat: dict[str, Any] = {}
    for name, value in overrides.items():
        section = "import" if name == "import_" else name
        if isinstance(value, Mapping) and "." not in name:
            flat.update({f"{section}.{key}": item for key, item in value.items()})
        else:
            flat[section] = value
    return flat
