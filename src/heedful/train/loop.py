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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch

from heedful.errors import RunError
from heedful.project import Watcher, steps, stream_seed
from heedful.train.checkpoint import CheckpointStore, Snapshot
from heedful.train.computing.numbers import exact_weights
from heedful.train.optimizer import MasterAdamW
from heedful.train.rows.batches import Order, RandomOrder, micro_batches
from heedful.train.settings import TuneSettings
from heedful.train.together.companions import Companions
from heedful.train.together.parallel import in_parts_like, whole
from heedful.train.watching.goodness import best_entry, goodness_of
from heedful.train.watching.log import Spikes
from heedful.train.watching.stopping import stopping


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
    takes_whole_steps: bool = False
    """Rows of a step are compared with each other, so they go through the model together, however many they are."""
    build_measured: Callable[[Sequence[RowType]], BatchType] | None = None
    """Builds batches of validation rows, where those leave out what only training is to pay for."""


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

    def first_evaluation(self, share: float) -> int:
        """The first step with an evaluation after `share` of all steps."""
        least = math.ceil(self.num_steps * share)
        return next(step for step in range(max(1, least), self.num_steps + 1) if self.evaluates(step))

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
        companions: Companions | None = None,
        order: Order | None = None,
    ) -> None:
        self._with = companions or Companions()
        self._model, self._objective = model, objective
        exact = exact_weights(model)
        # With shards this cuts the model's weights into parts, so it comes before anyone looks at them.
        self._loss = self._with.processes.loss_of(model, objective.loss)
        self._rows, self._settings, self._seed = rows, settings, seed
        self._lengths = [row.num_tokens for row in rows]
        self._order = order or RandomOrder(self._lengths, settings.batch_size, seed)
        self._validation_rows = validation
        own = self._with.processes.share(range(len(validation)), [row.num_tokens for row in validation])
        measured = replace(objective, build=objective.build_measured or objective.build, takes_whole_steps=False)
        self._validation = list(_in_micro_batches(measured, validation, own, settings))
        self._trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._optimizer = MasterAdamW(self._trained, weight_decay=settings.weight_decay, exact=exact)
        self._device = next(iter(self._trained.values())).device
        self._progress = Progress()
        self.schedule = Schedule(self._order.num_rows, settings)

    def run(self, checkpoints: Path, *, identity: str, watcher: Watcher, until: int | None = None) -> Progress:
        """Train from the last checkpoint of `identity` in the folder `checkpoints`, or from the beginning, to the end.

        With `until`, to that step, and the last weights stay in the model: another call goes on from there.
        """
        store = CheckpointStore(checkpoints, identity, watcher, kept=self._settings.keep_checkpoints)
        num_steps = self.schedule.num_steps
        last = num_steps if until is None else until
        with steps(watcher, "tune", num_steps, "steps") as shown, _deterministic(), stopping() as stop:
            if (snapshot := self._latest(store)) is not None:
                self._restore(snapshot)
                watcher.say(f"training continues after step {snapshot.step} of {num_steps}")
                shown.advance(snapshot.step, "from the last checkpoint")
            self._with.log.begin(self._progress.step, self._num_tokens_read)
            for step in range(self._progress.step + 1, last + 1):
                note = self._step_and_evaluate(step, watcher)
                stops = self._with.processes.total([stop.is_asked])[0] > 0
                if self._progress.best_step == step or self.schedule.saves(step) or step == last or stops:
                    self._save(store)
                shown.advance(1, note)
                if stops and step < last:
                    stop.leave(step)
        self._with.log.close()
        if last == num_steps:
            self._finish()
        return self._progress

    def _latest(self, store: CheckpointStore) -> Snapshot | None:
        """The newest checkpoint that is whole; only the first process may remove what is not."""
        processes = self._with.processes
        snapshot = store.latest() if processes.is_first else None
        step = processes.from_first(snapshot.step if snapshot is not None else None)
        return snapshot if processes.is_first or step is None else store.read(step)

    def _save(self, store: CheckpointStore) -> None:
        snapshot = self._snapshot()
        if self._with.processes.is_first:
            store.save(snapshot)

    def _step_and_evaluate(self, step: int, watcher: Watcher) -> str:
        """Take `step` into the progress; returns the note that is shown beside it."""
        with self._with.log.timed():
            entry = self._step(step, watcher)
        watcher.milestone("train.stepped")
        if self._validation_rows and self.schedule.evaluates(step):
            self._evaluate(entry)
        self._progress.step = step
        self._progress.history.append(entry)
        return self._with.log.write(entry)

    @property
    def _num_tokens_read(self) -> int:
        return int(self._progress.history[-1]["tokens"]) if self._progress.history else 0

    def _step(self, step: int, watcher: Watcher) -> dict[str, Any]:
        """One optimiser step, and its line of the history."""
        learning_rate = self.schedule.learning_rate(step)
        means, num_tokens = self._collect(step)
        self._look_at(means["loss"], step, [self._rows[index] for index in self._rows_of(step)], watcher)
        norm = self._optimizer.step(learning_rate, self._settings.max_gradient_norm)
        return {
            "step": step,
            "epoch": round(step / self.schedule.steps_per_epoch, 4),
            **means,
            "gradient_norm": norm,
            "learning_rate": learning_rate,
            "tokens": self._num_tokens_read + num_tokens,
        }

    def gradients(self, step: int) -> tuple[float, dict[str, torch.Tensor]]:
        """Mean loss of a step and its gradients by name, with the weights as they are; nothing is learned from them."""
        with _deterministic():
            means, _ = self._collect(step)
        found = {name: value.grad.clone() for name, value in self._optimizer.masters.items() if value.grad is not None}
        for value in self._optimizer.masters.values():
            value.grad = None
        return means["loss"], found

    def _collect(self, step: int) -> tuple[dict[str, float], int]:
        """Loss and metrics of a step's rows and how many tokens they have; their gradients stay in the optimizer."""
        indices = self._rows_of(step)
        processes = self._with.processes
        own = processes.share(indices, self._lengths)
        batches = list(_in_micro_batches(self._objective, self._rows, own, self._settings))
        sums = [sum(batch.weight for batch in batches), sum(batch.num_tokens for batch in batches)]
        weight, num_tokens = processes.total(sums)
        totals: dict[str, float] = {}
        self._model.train()
        with _fixed_randomness(self._seed_of(step), self._device):
            for batch, factor in processes.evened(batches, lambda: self._objective.build([self._rows[indices[0]]])):
                loss, metrics = self._loss(batch.to(self._device))
                # Dividing each sum by the whole step's weight gives the gradient of one mean over all its tokens.
                (loss / weight * factor).backward()  # type: ignore[no-untyped-call]
                self._optimizer.collect()
                _add(
                    totals, {name: value * factor for name, value in {"loss": float(loss.detach()), **metrics}.items()}
                )
        means = {name: value / weight for name, value in processes.totals(totals).items()}
        processes.sum_gradients(self._optimizer.masters.values())
        return means, int(num_tokens)

    def _seed_of(self, step: int) -> int:
        """Of what dropout leaves out; every process leaves out its own."""
        rank = self._with.processes.rank
        return stream_seed(self._seed, "dropout", step, *([rank] if rank else []))

    def _rows_of(self, step: int) -> list[int]:
        epoch, place = divmod(step - 1, self.schedule.steps_per_epoch)
        return self._order.batches(epoch)[place]

    def _evaluate(self, entry: dict[str, Any]) -> None:
        """Write the validation loss, and measures of answers, into `entry`; keep the weights that are the best so far."""
        processes = self._with.processes
        self._model.eval()
        totals: dict[str, float] = {}
        weight = processes.total([sum(batch.weight for batch in self._validation)])[0]
        with torch.no_grad():
            for batch, factor in processes.evened(
                self._validation, lambda: self._objective.build([self._validation_rows[0]])
            ):
                loss, metrics = self._loss(batch.to(self._device))
                _add(totals, {name: value * factor for name, value in {"loss": float(loss), **metrics}.items()})
        entry.update({f"validation_{name}": value / weight for name, value in processes.totals(totals).items()})
        value = float(entry["validation_loss"])
        self._refuse_not_a_number(value, entry["step"], self._validation_rows)
        if self._with.answers is not None:
            measures = processes.from_first(self._with.answers() if processes.is_first else None)
            entry.update({f"validation_{name}": value for name, value in measures.items()})
        if not self._is_best(entry):
            return
        self._progress.best_step, self._progress.best_validation_loss = entry["step"], value
        self._progress.best = {name: tensor.detach().clone() for name, tensor in self._optimizer.masters.items()}

    def _is_best(self, entry: Mapping[str, Any]) -> bool:
        """True when nothing before was as good."""
        before = best_entry(self._progress.history, self._settings.best_by)
        by = self._settings.best_by
        return before is None or goodness_of(entry, by) > goodness_of(before, by)

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
        return _whole(self._optimizer.masters)

    def _look_at(self, loss: float, step: int, rows: Sequence[RowType], watcher: Watcher) -> None:
        """Refuse a loss that is none, and say which rows made it jump; the weights are still those that gave it."""
        self._refuse_not_a_number(loss, step, rows)
        spikes, history = Spikes(watcher), self._progress.history
        if spikes.are_there(loss, history):
            self._model.eval()  # dropout draws from a stream that nobody else may touch
            with torch.no_grad():
                spikes.say(step, loss, history, [(row.id, self._mean_loss_of(row)) for row in rows])

    def _mean_loss_of(self, row: RowType) -> float:
        batch = self._objective.build([row])
        return float(self._loss(batch.to(self._device))[0]) / batch.weight

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
        return self._loss(self._objective.build([row]).to(self._device))[0]

    # -- trying out ------------------------------------------------------------------------------------------------

    def epoch(self) -> Iterator[list[list[RowType]]]:
        """The rows of the first epoch, by step and micro-batch."""
        for indices in self._order.batches(0):
            yield _in_groups(self._objective, self._rows, indices, self._settings)

    def try_out(self, rows: Sequence[RowType]) -> None:
        """Compute a micro-batch and its gradients, and forget them: no weight and no stream is another afterwards."""
        self._model.train()
        with _fixed_randomness(0, self._device), _deterministic():
            self._loss(self._objective.build(rows).to(self._device))[0].backward()  # type: ignore[no-untyped-call]
        for parameter in self._trained.values():
            parameter.grad = None

    @property
    def is_rounded(self) -> bool:
        """Whether the model computes with fewer bits than its weights have."""
        return any(self._optimizer.masters[name] is not value for name, value in self._trained.items())

    @property
    def num_validation_tokens(self) -> int:
        """Read at each evaluation."""
        return sum(row.num_tokens for row in self._validation_rows)

    # -- snapshots -------------------------------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        progress = self._progress
        return Snapshot(
            step=progress.step,
            weights=_whole(self._optimizer.masters),
            optimizer=_whole(self._optimizer.moments()),
            best=None if progress.best_step == progress.step or progress.best is None else _whole(progress.best),
            state={
                "history": progress.history,
                "best_step": progress.best_step,
                "best_validation_loss": progress.best_validation_loss,
            },
        )

    def _restore(self, snapshot: Snapshot) -> None:
        self._optimizer.set_masters(snapshot.weights)
        self._optimizer.restore(snapshot.optimizer)
        masters = self._optimizer.masters
        best = snapshot.weights if snapshot.best is None else snapshot.best
        has_best = snapshot.state["best_validation_loss"] is not None
        self._progress = Progress(
            step=snapshot.step,
            best={
                name: in_parts_like(tensor.to(self._device, copy=True), masters[name]) for name, tensor in best.items()
            }
            if has_best
            else None,
            **snapshot.state,
        )


def _in_micro_batches(
    objective: Objective[RowType, BatchType], rows: Sequence[RowType], indices: Iterable[int], settings: TuneSettings
) -> Iterator[BatchType]:
    return (objective.build(group) for group in _in_groups(objective, rows, indices, settings))


def _in_groups(
    objective: Objective[RowType, Any], rows: Sequence[RowType], indices: Iterable[int], settings: TuneSettings
) -> list[list[RowType]]:
    """The rows of each micro-batch."""
    if objective.takes_whole_steps:
        return [[rows[index] for index in indices]]
    # Only the rows of this step are looked at: there may be millions, which lie on disk.
    chosen = [rows[index] for index in sorted(indices)]
    lengths = [row.num_tokens for row in chosen]
    groups = micro_batches(range(len(chosen)), lengths, settings.micro_batch_tokens, padded=not objective.is_packed)
    return [[chosen[place] for place in group] for group in groups]


def _add(totals: dict[str, float], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        totals[name] = totals.get(name, 0.0) + value


def _whole(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: whole(tensor) for name, tensor in tensors.items()}


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
