"""Projects that are killed on their way, and what must be true of them at the end."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import killer
from heedful.records import read_examples
from small_project import Project

STAGES = ("import", "construct", "curate", "tune", "evaluate")


def before(stage: str, finished: Project, folder: Path) -> Project:
    """A project in which everything before `stage` is built, and nothing of it or after it was ever begun."""
    shutil.copytree(finished.folder, folder)
    state = folder / ".heedful"
    for later in STAGES[STAGES.index(stage) :]:
        shutil.rmtree(state / "artifacts" / later)
        for journal in (state / "journals").glob(f"{later}-*"):
            journal.unlink()
    for kept in [*state.glob("requests.sqlite*"), folder / "report.html"]:
        kept.unlink()
    return Project(folder)


def assert_equal_end(project: Project, finished: Project) -> None:
    """The same data, weights and scores as without interruption, and no row lost or made twice."""
    assert project.results() == finished.results()
    for stage, name in (("construct", "examples.parquet"), ("curate", "data.parquet")):
        rows, expected = (
            read_examples(path)
            for each in (project, finished)
            for path in (each.folder / ".heedful/artifacts" / stage).glob(f"*/{name}")
        )
        assert len({row.id for row in rows}) == len(rows)
        assert [row.id for row in rows] == [row.id for row in expected]
    leftovers = list(project.folder.rglob("*.partial*"))
    assert not leftovers
    assert not any((project.folder / ".heedful" / "checkpoints").glob("*"))


def killed(project: Project, name: str, count: int) -> bool:
    """Run until the milestone; True when it was reached and the process died there."""
    process = project.heedful("run", prefix=(killer.__file__, "kill", name, str(count)))
    assert process.returncode in (0, -signal.SIGKILL), process.stderr
    return process.returncode == -signal.SIGKILL
