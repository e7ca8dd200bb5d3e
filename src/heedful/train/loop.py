"""The one supervised loop: every offline objective is minimised here, and a killed run continues bit for bit.

Why it can: the state after step k is a function of the state after step k - 1 and of k alone. Which rows meet in a
step and what dropout leaves out come from named streams, the learning rate is a formula of the step, and a checkpoint
holds weights, AdamW's moments, the best weights so far and the history. Equal bits are promised for one machine with
one number of threads; elsewhere a run continues too, but sums may be rounded otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch

from heedful.errors import RunError
from heedful.project import Watcher, steps, stream_seed
from heedful.train.batches import epoch_batches, micro_batches
from heedful.train.checkpoint import CheckpointStore, Snapshot
from heedful.train.optimizer import MasterAdamW
from heedful.train.settings import TuneSettings


class Row(Protocol):
    """What the loop must know of a row."""

    @property
    def id(self) -> str: ...

    @property
    def num_tokens(self) -> int: ...


class Batch(Protocol):
    """What the loop must know of a batch."""

    @property
    def num_tokens(self) -> int: ...

    @property
    def weight(self) -> float:
        """What a summed loss is divided by to become a mean: trained tokens, pairs."""

    def to(self, device: torch.device) -> Self: ...


RowType = TypeVar("RowType", bound=Row)
BatchType = TypeVar("BatchType", bound=Batch)


@dataclass(frozen=True, slots=True)
class Objective(Generic[RowType, BatchType]):
    """What is minimised. `loss(model, batch)` returns sums, of the loss and of metrics: the loop divides by weights."""

    name: str
    build: Callable[[Sequence[RowType]], BatchType]
    loss: Callable[[Any, BatchType], tuple[torch.Tensor, dict[str, float]]]
    is_packed: bool = False
    """Whether rows of a batch lie one behind the other, and not in a rectangle as wide as the longest."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where in the run a step is; steps count from 1."""

    num_rows: int
    settings: TuneSettings

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.num_rows / self.settings.batch_size)

    @property
    def num_steps(self) -> int:
        return self.steps_per_epoch * self.settings.epochs

    def learning_rate(self, step: int) -> float:
        """Linear warmup, then a cosine that would reach zero one step after the last."""
        num_warmup = round(self.num_steps * self.settings.warmup_share)
        if step <= num_warmup:
            return self.settings.learning_rate * step / num_warmup
        done = (step - num_warmup) / (self.num_steps - num_warmup + 1)
        return self.settings.learning_rate * (1 + math.cos(math.pi * done)) / 2

    def evaluates(self, step: int) -> bool:
        """True a few times an epoch, evenly spread, always after its last step."""
        place = (step - 1) % self.steps_per_epoch + 1
        number = min(self.settings.evaluations_per_epoch, self.steps_per_epoch)
        return any(place == round(self.steps_per_epoch * k / number) for k in range(1, number + 1))

    def saves(self, step: int) -> bool:
        """True every few steps, and after the last."""
        return step % self.settings.checkpoint_every == 0 or step == self.num_steps


@dataclass(slots=True)
class Progress:
    """What has been reached so far."""

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_step: int = 0
    best_validation_loss: float | None = None
    best: dict[str, torch.Tensor] | None = None
    """A copy of the trained weights at `best_step`, in full precision."""


class SupervisedLoop(Generic[RowType, BatchType]):
    """One run: owns the optimizer and the progress. `run` leaves the best weights in the model."""

    def __init__(
        self,
        model: Any,
        objective: Objective[RowType, BatchType],
        rows: Sequence[RowType],
        validation: Sequence[RowType],
        settings: TuneSettings,
        *,
        seed: int,
    ) -> None:
        self._model, self._objective = model, objective
        self._rows, self._settings, self._seed = rows, settings, seed
        self._lengths = [row.num_tokens for row in rows]
        self._validation_rows = validation
        self._validation = list(_in_micro_batches(objective, validation, range(len(validation)), settings))
        self._trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._optimizer = MasterAdamW(self._trained, weight_decay=settings.weight_decay)
        self._device = next(iter(self._trained.values())).device
        self._progress = Progress()
        self.schedule = Schedule(len(rows), settings)

    def run(self, checkpoints: Path, *, identity: str, watcher: Watcher) -> Progress:
        """Train from the last checkpoint of `identity` in the folder `checkpoints`, or from the beginning, to the end."""
        store = CheckpointStore(checkpoints, identity, watcher)
        num_steps = self.schedule.num_steps
        with steps(watcher, "tune", num_steps, "steps") as shown, _deterministic():
            if (snapshot := store.latest()) is not None:
                self._restore(snapshot)
                watcher.say(f"training continues after step {snapshot.step} of {num_steps}")
                shown.advance(snapshot.step, "from the last checkpoint")
            for step in range(self._progress.step + 1, num_steps + 1):
                entry = self._step(step)
                watcher.milestone("train.stepped")
                improved = self._evaluate(entry) if self._validation and self.schedule.evaluates(step) else False
                self._progress.step = step
                self._progress.history.append(entry)
                if improved or self.schedule.saves(step):
                    store.save(self._snapshot())
                shown.advance(1, _note(entry))
        self._finish()
        return self._progress

    def _step(self, step: int) -> dict[str, Any]:
        """One optimiser step, and its line of the history."""
        learning_rate = self.schedule.learning_rate(step)
        indices = self._rows_of(step)
        batches = list(_in_micro_batches(self._objective, self._rows, indices, self._settings))
        weight = sum(batch.weight for batch in batches)
        totals: dict[str, float] = {}
        self._model.train()
        with _fixed_randomness(stream_seed(self._seed, "dropout", step), self._device):
            for batch in batches:
                loss, metrics = self._objective.loss(self._model, batch.to(self._device))
                # Dividing each sum by the whole step's weight gives the gradient of one mean over all its tokens.
                (loss / weight).backward()  # type: ignore[no-untyped-call]
                self._optimizer.collect()
                _add(totals, {"loss": float(loss.detach()), **metrics})
        means = {name: value / weight for name, value in totals.items()}
        self._refuse_not_a_number(means["loss"], step, [self._rows[index] for index in indices])
        norm = self._optimizer.step(learning_rate, self._settings.max_gradient_norm)
        seen = self._progress.history[-1]["tokens"] if self._progress.history else 0
        return {
            "step": step,
            "epoch": round(step / self.schedule.steps_per_epoch, 4),
            **means,
            "gradient_norm": norm,
            "learning_rate": learning_rate,
            "tokens": seen + sum(batch.num_tokens for batch in batches),
        }

    def _rows_of(self, step: int) -> list[int]:
        epoch, place = divmod(step - 1, self.schedule.steps_per_epoch)
        return epoch_batches(self._lengths, self._settings.batch_size, seed=self._seed, epoch=epoch)[place]

    def _evaluate(self, entry: dict[str, Any]) -> bool:
        """Write the validation loss into `entry`; True when it is the lowest so far, whose weights are then kept."""
        self._model.eval()
        totals: dict[str, float] = {}
        with torch.no_grad():
            for batch in self._validation:
                loss, metrics = self._objective.loss(self._model, batch.to(self._device))
                _add(totals, {"loss": float(loss), **metrics})
        weight = sum(batch.weight for batch in self._validation)
        entry.update({f"validation_{name}": value / weight for name, value in totals.items()})
        value = float(entry["validation_loss"])
        self._refuse_not_a_number(value, entry["step"], self._validation_rows)
        best = self._progress.best_validation_loss
        if best is not None and value >= best:
            return False
        self._progress.best_step, self._progress.best_validation_loss = entry["step"], value
        self._progress.best = {name: tensor.detach().clone() for name, tensor in self._optimizer.masters.items()}
        return True

    def _finish(self) -> None:
        progress = self._progress
        if progress.best is None:
            progress.best_step = progress.step
        else:
            self._optimizer.set_masters(progress.best)
        self._model.eval()

    @property
    def weights(self) -> Mapping[str, torch.Tensor]:
        """The trained weights by name, in full precision."""
        return self._optimizer.masters

    def _refuse_not_a_number(self, loss: float, step: int, rows: Sequence[RowType]) -> None:
        """Name the rows whose own loss is none; a model that has become useless makes all rows so."""
        if math.isfinite(loss):
            return
        with torch.no_grad():
            bad = [row.id for row in rows if not math.isfinite(float(self._loss_alone(row)))]
        which = (
            f"for {len(bad)} of the step's {len(rows)} rows ({', '.join(bad[:5])}{' ...' if len(bad) > 5 else ''})"
            if 0 < len(bad) < len(rows)
            else f"for every row of the step ({', '.join(row.id for row in rows[:5])} ...)"
        )
        advice = "look at these rows" if 0 < len(bad) < len(rows) else "training diverged; lower the learning rate"
        raise RunError(f"the loss became {loss} at step {step}, {which}: {advice}")

    def _loss_alone(self, row: RowType) -> torch.Tensor:
        return self._objective.loss(self._model, self._objective.build([row]).to(self._device))[0]

    # -- snapshots -------------------------------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        progress = self._progress
        return Snapshot(
            step=progress.step,
            weights=self._optimizer.masters,
            optimizer=self._optimizer.moments(),
            best=None if progress.best_step == progress.step else progress.best,
            state={
                "history": progress.history,
                "best_step": progress.best_step,
                "best_validation_loss": progress.best_validation_loss,
            },
        )

    def _restore(self, snapshot: Snapshot) -> None:
        self._optimizer.set_masters(snapshot.weights)
        self._optimizer.restore(snapshot.optimizer)
        best = snapshot.weights if snapshot.best is None else snapshot.best
        has_best = snapshot.state["best_validation_loss"] is not None
        self._progress = Progress(
            step=snapshot.step,
            best={name: tensor.to(self._device, copy=True) for name, tensor in best.items()} if has_best else None,
            **snapshot.state,
        )


def _in_micro_batches(
    objective: Objective[RowType, BatchType], rows: Sequence[RowType], indices: Iterable[int], settings: TuneSettings
) -> Iterator[BatchType]:
    lengths = [row.num_tokens for row in rows]
    for group in micro_batches(list(indices), lengths, settings.micro_batch_tokens, padded=not objective.is_packed):
        yield objective.build([rows[index] for index in group])


def _add(totals: dict[str, float], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        totals[name] = totals.get(name, 0.0) + value


def _note(entry: Mapping[str, Any]) -> str:
    note = f"loss {entry['loss']:.2f}"
    return f"{note}, validation {entry['validation_loss']:.2f}" if "validation_loss" in entry else note


@contextmanager
def _fixed_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """torch's generators start from `seed` inside, and are as they were afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def _deterministic() -> Iterator[None]:
    """Only algorithms that give the same bits every time, inside."""
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory with not-a-number finds bugs in kernels, and costs a pass over every tensor.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]
