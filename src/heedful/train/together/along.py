"""What the first of several processes tells the others to do: train the same, on their part of the rows.

A job is a tuning run, or a pretraining run whose texts have been tokenized: the folder in which they are must be everyone's.

The others run no command of their own: they touch no project, write nothing, and say nothing but what goes wrong.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from heedful.project import Silent
from heedful.project.settings import parse_settings
from heedful.records import Example, Task, TaskExample, example_from_row, example_to_row
from heedful.train.settings import TuneSettings
from heedful.train.together.parallel import Processes, SeveralProcesses, leave


@dataclass(frozen=True, slots=True)
class Job:
    """One training run, or its beginning."""

    examples: tuple[Example, ...]
    tasks: tuple[Task, ...]
    settings: TuneSettings
    seed: int
    checkpoints: Path
    until: float | None = None
    """Share of the steps after which it pauses at the next evaluation; None goes on to the end."""

    def of(self, settings: TuneSettings, checkpoints: Path, until: float | None = None) -> Job:
        """The same rows with other settings."""
        return replace(self, settings=settings, checkpoints=checkpoints, until=until)


def announce(job: Job, processes: Processes) -> None:
    """The others begin `job`, too."""
    if processes.count > 1:
        tell(_said(job), processes)


def _said(job: Job) -> dict[str, Any]:
    return {
        "examples": [example_to_row(example) for example in job.examples],
        "tasks": [asdict(task) for task in job.tasks],
        "settings": job.settings.model_dump(mode="json"),
        "seed": job.seed,
        "checkpoints": str(job.checkpoints.resolve()),
        "until": job.until,
    }


def tell(said: dict[str, Any], processes: Processes) -> None:
    """The first process's word to those that follow."""
    if processes.count > 1 and processes.is_first:
        processes.from_first(said)


def dismiss() -> None:
    """The command is over: the others may go."""
    SeveralProcesses().from_first(None)
    leave()


def follow() -> int:
    """What every process but the first does, until it is dismissed. Returns the exit code."""
    from heedful.train.pretraining.running import train_along
    from heedful.train.tuning import train

    processes = SeveralProcesses()
    while (said := processes.from_first(None)) is not None:
        if "examples" in said:
            train(_heard(said), Silent())
        else:
            train_along(said, processes)
    leave()
    return 0


def _heard(said: dict[str, Any]) -> Job:
    return Job(
        examples=tuple(example_from_row(row) for row in said["examples"]),
        tasks=tuple(_task(values) for values in said["tasks"]),
        settings=parse_settings(TuneSettings, said["settings"], where="the first process"),
        seed=said["seed"],
        checkpoints=Path(said["checkpoints"]),
        until=said["until"],
    )


def _task(values: dict[str, Any]) -> Task:
    shown = {kind: tuple(TaskExample(**one) for one in values[kind]) for kind in ("positive", "negative")}
    return Task(**{**values, **shown})
