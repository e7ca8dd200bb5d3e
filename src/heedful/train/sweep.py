"""Which settings are the best: several are begun, losers stop early, the winner goes on to the end.

Successive halving (Jamieson & Talwalkar, arXiv:1502.07943). With n candidates there are r = ceil(log2 n) rounds. In round
1 .. r every candidate that is left trains to the first evaluation after 1/2^r, .., 1/4, 1/2 of its steps; the better half
stays, by what `tune.best_by` chooses by. All learning rates fall as in a whole run, so a stopped run is the beginning of a
whole one, and the winner's weights are those that its settings alone would have given. The cost is about r/2 + 1 whole runs.
"""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from heedful.errors import InputError, ProjectError
from heedful.project import Silent, Watcher, read_json, write_json
from heedful.project.settings import parse_settings
from heedful.records import digest
from heedful.train.settings import TuneSettings
from heedful.train.watching.goodness import best_entry, goodness

Rung = Callable[[tuple[TuneSettings, Path], float, Watcher], list[dict[str, Any]]]
"""(settings and checkpoints, share of the steps, watcher) -> history so far."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One combination of values, and how far it came."""

    number: int
    values: dict[str, Any]
    steps: int = 0
    """Steps trained when it was last compared."""
    best_step: int = 0
    validation_loss: float | None = None
    """At its best step."""
    measure: float | None = None
    """What `tune.best_by` measured there; None when the loss chooses."""
    stopped_in_round: int | None = None
    """None for the winner."""

    def as_dict(self) -> dict[str, Any]:
        """For `sweep.json`."""
        return asdict(self)


class Sweep:
    """One sweep in one folder; what was found is kept there, so a killed one goes on."""

    def __init__(self, settings: TuneSettings, checkpoints: Path, watcher: Watcher, *, data: str = "") -> None:
        """`data` names the rows, so that results of others are not taken for these."""
        self._settings, self._folder, self._watcher = settings, checkpoints, watcher
        self._state = checkpoints / "sweep.json"
        self._identity = digest([settings.model_dump(mode="json"), data])
        self._results: dict[str, dict[str, Any]] = self._read()

    def run(self, train: Rung) -> tuple[Candidate, ...]:
        """All candidates, the winner first, then by how far they came."""
        alive = [Candidate(number, values) for number, values in enumerate(combinations(self._settings.sweep), start=1)]
        num_rounds = math.ceil(math.log2(len(alive)))
        stopped: list[Candidate] = []
        for place in range(1, num_rounds + 1):
            share = 2.0 ** (place - 1 - num_rounds)
            ranked = self._ranked([self._trained(one, place, share, train) for one in alive])
            alive, losers = ranked[: math.ceil(len(ranked) / 2)], ranked[math.ceil(len(ranked) / 2) :]
            stopped = [replace(one, stopped_in_round=place) for one in losers] + stopped
            for one in losers:
                shutil.rmtree(self._checkpoints(one), ignore_errors=True)
            self._watcher.say(
                f"sweep, round {place} of {num_rounds}: {len(alive)} of {len(ranked)} go on ({describe_values(alive[0])} leads)"
            )
        return (*alive, *stopped)

    def winner(self, tried: Sequence[Candidate]) -> tuple[TuneSettings, Path]:
        """Its settings, and the folder in which its run goes on."""
        return self._of(tried[0])

    def _of(self, one: Candidate) -> tuple[TuneSettings, Path]:
        values = self._settings.model_dump(mode="json") | one.values | {"sweep": {}}
        return parse_settings(TuneSettings, values, where=f"tune.sweep ({describe_values(one)})"), self._checkpoints(
            one
        )

    def _checkpoints(self, one: Candidate) -> Path:
        return self._folder / f"sweep-{one.number}"

    def _trained(self, one: Candidate, place: int, share: float, train: Rung) -> Candidate:
        key = f"{one.number}/{place}"
        if key not in self._results:
            history = train(self._of(one), share, _Muted(self._watcher))
            self._results[key] = asdict(self._compared(one, history))
            write_json(self._state, {"identity": self._identity, "results": self._results})
        return Candidate(**self._results[key])

    def _compared(self, one: Candidate, history: Sequence[dict[str, Any]]) -> Candidate:
        best = best_entry(history, self._settings.best_by)
        if best is None:
            raise InputError(
                "a sweep compares by validation rows, and there are none; `heedful curate` splits them off"
            )
        chosen_by = self._settings.best_by
        return Candidate(
            number=one.number,
            values=one.values,
            steps=history[-1]["step"],
            best_step=best["step"],
            validation_loss=best["validation_loss"],
            measure=None if chosen_by == "loss" else best[f"validation_{chosen_by}"],
        )

    def _ranked(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        return sorted(candidates, key=lambda one: goodness(one.validation_loss, one.measure), reverse=True)

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self._state.exists():
            return {}
        kept = read_json(self._state)
        if kept["identity"] != self._identity:
            raise ProjectError(
                f"{self._folder} holds another sweep (other settings or data); delete the folder, or give another one"
            )
        return dict(kept["results"])


class _Muted(Silent):
    """A candidate's training shows its steps, and does not say again what is the same for all."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def begin(self, task: str, total: int | None, unit: str) -> None:
        self._watcher.begin(task, total, unit)

    def advance(self, task: str, amount: int, note: str) -> None:
        self._watcher.advance(task, amount, note)

    def end(self, task: str) -> None:
        self._watcher.end(task)

    def milestone(self, name: str) -> None:
        self._watcher.milestone(name)


def combinations(sweep: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values given, in their order."""
    return [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]


def describe_values(one: Candidate) -> str:
    """`learning_rate 0.001, lora_rank 8`."""
    return ", ".join(f"{name} {value}" for name, value in one.values.items())


def describe_sweep(tried: Sequence[Candidate]) -> str:
    """A line for each candidate, the winner first."""
    lines = [f"sweep: {len(tried)} tried, the first goes on to the end"]
    for one in tried:
        measure = "" if one.measure is None else f", measure {one.measure:.3f}"
        fate = "goes on" if one.stopped_in_round is None else f"stopped in round {one.stopped_in_round}"
        lines.append(
            f"  {describe_values(one)}: validation loss {one.validation_loss:.4f}{measure} after {one.steps} steps, {fate}"
        )
    return "\n".join(lines)
