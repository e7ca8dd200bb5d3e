"""kill -9 anywhere, then the same command again: it finishes, nothing is lost or made twice, the result is the same."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import killer
from forked import Nursery, nursery
from heedful.project import MILESTONES
from interrupted import STAGES, assert_equal_end, before, killed
from small_disk import enlarge, needs_root, small_disk
from small_project import Project, small_project


def milestones(finished: Project, folder: Path) -> dict[str, Counter[str]]:
    """What each stage passes, recorded in a second uninterrupted run on a fresh project."""
    project = small_project(folder)
    record = folder.with_suffix(".milestones")
    process = project.heedful("run", prefix=(killer.__file__, "record", str(record)))
    assert process.returncode == 0, process.stderr
    assert project.results() == finished.results(), "two uninterrupted runs must agree before anything else can"
    passed: dict[str, Counter[str]] = {stage: Counter() for stage in STAGES}
    order = iter(STAGES)
    stage = ""
    for name in record.read_text().split():
        stage = next(order) if name == "stage.begun" else stage
        passed[stage][name] += 1
    return passed


def run_forked(
    forks: Nursery,
    project: Project,
    folder: Path,
    *,
    kill_at: tuple[str, int] | None = None,
    kill_after: float | None = None,
) -> int:
    """`heedful run` in a forked process; its output is shown when it fails."""
    output = folder / "output.txt"
    code = forks.run(project.arguments("run"), output=output, kill_at=kill_at, kill_after=kill_after)
    assert code in (0, -signal.SIGKILL), output.read_text(encoding="utf-8")
    return code


def points(passed: Counter[str]) -> list[tuple[str, int]]:
    """(milestone, occurrence): each name at its first, a middle and its last occurrence."""
    return [(name, count) for name, times in passed.items() for count in sorted({1, (times + 1) // 2, times})]


@pytest.mark.long
def test_killed_again_and_again_on_the_way(finished: Project, tmp_path: Path) -> None:
    """One project, killed at every kind of point in turn, each time continuing from what the last kill left."""
    project = small_project(tmp_path / "chain")
    deaths = [name for name in MILESTONES if killed(project, name, 1)]
    assert set(deaths) >= {
        "stage.begun",
        "stage.committed",
        "journal.appended",
        "cache.stored",
        "checkpoint.written",
        "train.stepped",
    }
    process = project.heedful("run")
    assert process.returncode == 0, process.stderr
    assert_equal_end(project, finished)


@pytest.fixture(scope="session")
def forks() -> Iterator[Nursery]:
    """The process that forks the runs."""
    with nursery() as forking:
        yield forking


@pytest.fixture(scope="session")
def passed(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counter[str]]:
    """The milestones of each stage."""
    return milestones(finished, tmp_path_factory.mktemp("milestones") / "recorded")


@pytest.mark.long
def test_every_milestone_is_passed_by_some_stage(passed: dict[str, Counter[str]]) -> None:
    assert {name for counts in passed.values() for name in counts} == set(MILESTONES), "it would protect nothing"


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_every_point(
    finished: Project, passed: dict[str, Counter[str]], forks: Nursery, stage: str, tmp_path: Path
) -> None:
    for name, count in points(passed[stage]):
        project = before(stage, finished, tmp_path / "killed")
        code = run_forked(forks, project, tmp_path, kill_at=(name, count))
        assert code == -signal.SIGKILL, f"{stage}: {name} was not reached {count} times"
        assert run_forked(forks, project, tmp_path) == 0
        assert_equal_end(project, finished)
        print(f"killed in {stage} at {name} x {count}: equal end", flush=True)
        shutil.rmtree(project.folder)


QUICKER = ("construct.document_qa=0", "evaluate.max_tokens=6", "evaluate.max_rows=3")
"""So that twenty pairs of runs take minutes; the model still trains, answers and is scored."""


@pytest.mark.long
def test_killed_at_random_moments(forks: Nursery, tmp_path: Path) -> None:
    whole = Project(small_project(tmp_path / "whole").folder, overrides=QUICKER)
    started = time.monotonic()
    assert run_forked(forks, whole, tmp_path) == 0
    seconds = time.monotonic() - started
    draws = random.Random(20)
    for number in range(20):
        project = Project(small_project(tmp_path / "killed").folder, overrides=QUICKER)
        after = draws.uniform(0.02, 0.98) * seconds
        code = run_forked(forks, project, tmp_path, kill_after=after)
        assert run_forked(forks, project, tmp_path) == 0
        assert_equal_end(project, whole)
        end = "killed" if code else "already done"
        print(f"{number + 1} of 20: {end} after {after:.2f} of {seconds:.0f} s: equal end", flush=True)
        shutil.rmtree(project.folder)


@pytest.mark.slow
@needs_root
def test_a_full_disk_ends_with_one_message_and_nothing_half_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "200k") as disk:
        project = small_project(disk / "small")
        process = project.heedful("import")
        assert process.returncode == 1, process.stderr
        assert "disk is full" in process.stderr
        assert "Traceback" not in process.stderr
        assert not list((project.folder / ".heedful").rglob("*.parquet"))
        enlarge(disk, "64m")
        assert project.heedful("import").returncode == 0
