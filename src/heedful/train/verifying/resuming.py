"""Does a run that is killed and continued end like one that is not? Tried with the user's own rows and settings, a few steps long.

One process trains to the end. Another is killed (SIGKILL, in the middle of its work) after a step that is drawn at random, a
third continues from the checkpoints it left and is killed, too, and so on; the last one ends. Then both results are compared
by hash: weights and history, every bit.

    python -m heedful.train.verifying.resuming FOLDER NAME STEP     one process: train NAME of FOLDER, die after STEP (0: never)

Promised for one machine and one number of threads. Checkpoints are written more often than usual (that changes nothing else),
so that there is something to continue from; a sweep's candidates are not tried.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from heedful.errors import InputError, RunError
from heedful.project import Silent, Watcher, read_json, stream, write_json
from heedful.project.artifacts import file_hash
from heedful.records import Example, read_examples, write_examples
from heedful.train.settings import TuneSettings

Launch = Callable[[Path, str, int], int]
"""(folder, name, step to die after) -> exit code of the process; negative for one that was killed."""

NUM_INTERRUPTIONS = 3
_ROWS, _JOB = "rows.parquet", "job.json"


@dataclass(frozen=True, slots=True)
class ResumeProof:
    """Where it was interrupted, and what came out."""

    model: str
    num_steps: int
    killed_after: tuple[int, ...]
    """Steps after which a process was killed."""
    continued_from: tuple[int, ...]
    """The step of the checkpoint that the next process found; 0 for none."""
    hashes: Mapping[str, tuple[str, str]]
    """SHA-256 of each file of the result, uninterrupted and interrupted; empty for a file that is not there."""

    @property
    def holds(self) -> bool:
        """Whether all bits are equal."""
        return bool(self.hashes) and all(one == other for one, other in self.hashes.values())

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "holds": self.holds}

    def describe(self) -> str:
        """Steps, hashes and the verdict."""
        lines = [f"{self.model}: {self.num_steps} steps, uninterrupted and interrupted {len(self.killed_after)} times"]
        lines += [
            f"  killed after step {step}, continued after step {start}"
            for step, start in zip(self.killed_after, self.continued_from, strict=True)
        ]
        width = max(map(len, self.hashes), default=0)
        for name, (one, other) in self.hashes.items():
            said = (
                f"{one[:16]}  equal"
                if one == other
                else f"{one[:16] or 'missing'}  {other[:16] or 'missing'}  DIFFERENT"
            )
            lines.append(f"  {name.ljust(width)}  {said}")
        verdict = "holds: every bit is equal" if self.holds else "IS BROKEN: the results differ"
        return "\n".join([*lines, f"resuming {verdict}"])


def prove_resume(
    examples: Sequence[Example],
    settings: TuneSettings,
    *,
    seed: int,
    watcher: Watcher,
    steps: int = 6,
    launch: Launch | None = None,
) -> ResumeProof:
    """Train `steps` steps with and without interruptions. `launch` starts a process; tests put their own in its place."""
    if steps < NUM_INTERRUPTIONS + 1:
        raise InputError(f"{steps} steps leave no room for {NUM_INTERRUPTIONS} interruptions; use --steps 4 or more")
    launch = launch or in_process
    rows, short = _short(examples, settings, seed=seed, steps=steps)
    with TemporaryDirectory(prefix="heedful-verify-") as temporary:
        folder = Path(temporary)
        write_examples(folder / _ROWS, rows)
        write_json(folder / _JOB, {"settings": short.model_dump(mode="json"), "seed": seed})
        watcher.say("training without an interruption")
        _launched(launch, folder, "whole", 0)
        num_steps = len(read_json(folder / "whole" / "out" / "history.json"))
        random = stream(seed, "verify resume", num_steps)
        killed = sorted(random.sample(range(1, num_steps), min(NUM_INTERRUPTIONS, num_steps - 1)))
        found = []
        for step in killed:
            watcher.say(f"training, killed after step {step}")
            _launched(launch, folder, "interrupted", step)
            found.append(_latest(folder / "interrupted"))
        watcher.say("training to the end")
        _launched(launch, folder, "interrupted", 0)
        return ResumeProof(
            model=settings.model,
            num_steps=num_steps,
            killed_after=tuple(killed),
            continued_from=tuple(found),
            hashes=_compared(folder / "whole" / "out", folder / "interrupted" / "out"),
        )


def _short(
    examples: Sequence[Example], settings: TuneSettings, *, seed: int, steps: int
) -> tuple[list[Example], TuneSettings]:
    """Rows and settings of a run of about `steps` steps: as many epochs as usual, of fewer rows."""
    random = stream(seed, "verify resume", "rows")
    by_split: dict[str, list[Example]] = {"train": [], "validation": []}
    for row in examples:
        if (split := row.split or "train") in by_split:
            by_split[split].append(replace(row, split="train") if split == "train" else row)
    epochs = min(settings.epochs, steps)
    wanted = {"train": math.ceil(steps / epochs) * settings.batch_size, "validation": 2 * settings.batch_size}
    rows = {split: random.sample(found, min(len(found), wanted[split])) for split, found in by_split.items()}
    steps_per_epoch = max(math.ceil(len(rows["train"]) / settings.batch_size), 1)
    short = settings.model_dump(mode="json") | {
        "epochs": max(epochs, math.ceil(steps / steps_per_epoch)),
        "checkpoint_every": min(settings.checkpoint_every, max(steps // NUM_INTERRUPTIONS, 1)),
        "tensorboard": False,
    }
    short.pop("sweep", None)
    return [*rows["train"], *rows["validation"]], TuneSettings(**short)


def _compared(one: Path, other: Path) -> dict[str, tuple[str, str]]:
    names = {
        path.relative_to(folder).as_posix()
        for folder in (one, other)
        for path in folder.rglob("*")
        if path.suffix == ".safetensors" or path.name == "history.json"
    }
    return {name: (_hash(one / name), _hash(other / name)) for name in sorted(names)}


def _hash(path: Path) -> str:
    return file_hash(path) if path.is_file() else ""


def _latest(run: Path) -> int:
    """The step of the newest checkpoint of a run; 0 for none."""
    return max((int(path.name.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*")), default=0)


# -- one process ---------------------------------------------------------------------------------------------------------


def _launched(launch: Launch, folder: Path, name: str, step: int) -> None:
    code = launch(folder, name, step)
    if step and code >= 0:
        raise RunError(f"the run that was to die after step {step} ended with exit code {code}; nothing was proven")
    if not step and code:
        raise RunError(f"training ended with exit code {code}, not interrupted by us; its words are above")


def in_process(folder: Path, name: str, step: int) -> int:
    """A fresh process of this Python; what it says on standard error is seen."""
    command = [sys.executable, "-m", "heedful.train.verifying.resuming", str(folder), name, str(step)]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


def train_job(folder: Path, name: str, watcher: Watcher) -> None:
    """Train what `prove_resume` wrote to `folder`, into its subfolder `name`, from where that stands."""
    from heedful.train.tuning import tune

    job, run = read_json(folder / _JOB), folder / name
    run.mkdir(exist_ok=True)
    (run / "out").mkdir(exist_ok=True)
    tune(
        read_examples(folder / _ROWS),
        TuneSettings(**job["settings"]),
        out=run / "out",
        checkpoints=run / "checkpoints",
        seed=job["seed"],
        watcher=watcher,
    )


class Dying(Silent):
    """Calls `die` when the run has taken `step`, before anything is kept of it."""

    def __init__(self, step: int, start: int, die: Callable[[], None]) -> None:
        self._left, self._die = step - start, die

    def milestone(self, name: str) -> None:
        if name == "train.stepped":
            self._left -= 1
            if self._left == 0:
                self._die()


def dying_after(folder: Path, name: str, step: int, die: Callable[[], None]) -> Watcher:
    """The watcher of a process that is to die after `step`, counted from the run's beginning; 0: never."""
    return Dying(step, _latest(folder / name), die) if step else Silent()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _, where, what, after = sys.argv
    train_job(Path(where), what, dying_after(Path(where), what, int(after), _kill))
