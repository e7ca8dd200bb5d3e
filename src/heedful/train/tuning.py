"""Examples -> a tuned checkpoint in `out/model`, with the token ledger and the history of losses beside it.

Killed at any moment and called again with the same arguments, `tune` continues and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.errors import SettingsError
from heedful.models import LoadedModel, load, save_checkpoint
from heedful.models.four_bit import in_four_bit
from heedful.project import Silent, Watcher, atomic_folder, stream_seed, write_json
from heedful.project.locks import locked
from heedful.records import Example, Task, digest
from heedful.render import refuse_dated, renderer_for
from heedful.train.adapting import adapt
from heedful.train.computing.numbers import dtype_of
from heedful.train.computing.ways import computed_fast, describe, why_padded
from heedful.train.lessons import Lessons, as_said, lessons
from heedful.train.loop import Progress, SupervisedLoop
from heedful.train.objectives.contrastive import projected
from heedful.train.objectives.seq2seq import PairRow
from heedful.train.optimizer import copy_into
from heedful.train.rows import ledger as token_ledger
from heedful.train.rows.batches import TokenRow
from heedful.train.rows.too_long import fitted
from heedful.train.settings import TuneSettings
from heedful.train.sweep import Candidate, Sweep, describe_sweep
from heedful.train.together.along import Job, announce
from heedful.train.together.companions import Companions
from heedful.train.together.parallel import ALONE, Processes, processes_of
from heedful.train.watching.answers import AnswerMeasures
from heedful.train.watching.log import StepLog
from heedful.train.watching.predicting import LEAST_PASSES, Prediction, num_passes, predict

_SPLITS = ("train", "validation")


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What training did; the model is in `model_folder`."""

    model_folder: Path
    ledger: dict[str, Any]
    """By split: examples, tokens, trained, masked, truncated_examples, truncated_tokens, end_of_turn ..."""
    history: list[dict[str, Any]]
    """One entry for each step: step, epoch, loss, learning_rate, tokens (read so far), validation_loss now and then."""
    num_steps: int
    best_step: int
    """The step whose weights were kept; the last one without validation rows."""
    best_validation_loss: float | None
    """Mean over trained tokens in nats; None without validation rows."""

    best_by: str = "loss"
    best_measure: float | None = None
    """What `tune.best_by` measured of the answers at the best step; None when the loss chose."""
    sweep: tuple[Candidate, ...] = ()
    """What was tried; empty without a sweep."""

    def describe_best(self) -> str:
        """Which step's weights were kept, in words."""
        if self.best_validation_loss is None:
            return f"no validation rows, so the last step ({self.best_step}) was kept"
        if self.best_measure is not None:
            return (
                f"best {self.best_by} {self.best_measure:.3f} at step {self.best_step} "
                f"(validation loss {self.best_validation_loss:.3f})"
            )
        return f"best validation loss {self.best_validation_loss:.3f} at step {self.best_step}"


def tune(
    examples: Sequence[Example],
    settings: TuneSettings,
    *,
    out: Path,
    checkpoints: Path,
    seed: int,
    watcher: Watcher,
    tasks: Sequence[Task] = (),
    log: Path | None = None,
) -> TuneResult:
    """Instruction tuning on the rows of split `train`, the best weights chosen by those of split `validation`.

    `tasks` are records of the rows' tasks, by name, where prompts are to say them otherwise (`tune.encoding`).
    `checkpoints` is a folder for this run alone, which the caller removes once `out` is safe; a second process that
    comes to it gets a ProjectError. `log` is where metrics.jsonl goes, which depends on the clock and is no part of `out`.
    Raises NothingToTrainError, with the token ledger said before, when training could teach nothing, or never to stop;
    StoppedError after SIGTERM.
    """
    with locked(checkpoints / "lock", purpose="heedful tune"):
        job = whole = Job(tuple(examples), tuple(tasks), settings, seed, checkpoints)
        tried: tuple[Candidate, ...] = ()
        if settings.has_sweep:
            sweep = Sweep(settings, checkpoints, watcher, data=digest([row.content_hash for row in examples]))

            def rung(candidate: tuple[TuneSettings, Path], until: float, quiet: Watcher) -> list[dict[str, Any]]:
                return _rung(whole.of(*candidate, until), quiet, log)

            tried = sweep.run(rung)
            job = whole.of(*sweep.winner(tried))
            watcher.say(describe_sweep(tried))
            write_json(out / "sweep.json", [candidate.as_dict() for candidate in tried])
        prepared, progress = train(job, watcher, out=out, log=_log_of(job, log) if tried else log)
        _save(prepared, out, progress, job.settings, seed)
    return _result(prepared, progress, job.settings, out, tried)


def _result(
    prepared: _Prepared, progress: Progress, settings: TuneSettings, out: Path, tried: tuple[Candidate, ...]
) -> TuneResult:
    best = next((entry for entry in progress.history if entry["step"] == progress.best_step), {})
    return TuneResult(
        model_folder=out / "model",
        ledger=prepared.ledger,
        history=progress.history,
        num_steps=progress.step,
        best_step=progress.best_step,
        best_validation_loss=progress.best_validation_loss,
        best_by=settings.best_by,
        best_measure=None if settings.best_by == "loss" else best.get(f"validation_{settings.best_by}"),
        sweep=tried,
    )


def predict_only(
    examples: Sequence[Example],
    settings: TuneSettings,
    *,
    seed: int,
    watcher: Watcher,
    tasks: Sequence[Task] = (),
) -> Prediction:
    """What `tune` would take, from a dry run; nothing is written."""
    job = Job(tuple(examples), tuple(tasks), settings, seed, Path())
    with _loop(_prepare(job, watcher), job, watcher, Companions()) as (loop, _):
        return predict(loop)


def _rung(job: Job, watcher: Watcher, log: Path | None) -> list[dict[str, Any]]:
    """A candidate's history, trained up to where it is compared with others."""
    return train(job, watcher, log=_log_of(job, log))[1].history


def _log_of(job: Job, log: Path | None) -> Path | None:
    """A candidate of a sweep writes into a folder of its own, which is the winner's to the end."""
    return None if log is None else log / job.checkpoints.name


@dataclass
class _Prepared:
    """Model and rows, ready for a loop."""

    loaded: LoadedModel
    longest: int
    """Tokens of the longest row."""
    learned: Lessons
    validation: list[Example]
    ledger: dict[str, Any]
    template_hash: str
    origin: str
    """Hash of the template, of all rows, and of what else they teach."""


def _prepare(job: Job, watcher: Watcher, out: Path | None = None) -> _Prepared:
    """With `out`, the ledger is written there as soon as it is known."""
    settings, seed = job.settings, job.seed
    loaded = load(settings.model, watcher=watcher)
    renderer = renderer_for(loaded)
    refuse_dated(renderer)
    examples, said = as_said(job.examples, settings, renderer, job.tasks, seed=seed, watcher=watcher)
    parts = {split: fitted((row for row in examples if row.split == split), renderer, settings) for split in _SPLITS}
    by_split: dict[str, list[Any]] = {split: [*split_rows] for split, (_, split_rows) in parts.items()}
    trained = parts["train"][0]
    ledger = _count(by_split, settings, watcher)
    learned = lessons(
        trained, by_split["train"], by_split["validation"], settings, renderer, seed=seed, watcher=watcher
    )
    ledger |= {**said, **learned.report}
    if out is not None:
        write_json(out / "ledger.json", ledger)
    usable = {split: [row for row in split_rows if row.num_trained] for split, split_rows in by_split.items()}
    if settings.four_bit:
        loaded = in_four_bit(loaded)
    read = [row.source_ids if isinstance(row, PairRow) else row.input_ids for row in usable["train"]]
    loaded = adapt(loaded, settings, read, seed=seed)
    if not usable["validation"]:
        watcher.say("no validation rows: the weights of the last step are kept")
    return _Prepared(
        loaded=loaded,
        longest=max(row.num_tokens for split_rows in usable.values() for row in split_rows),
        learned=learned,
        validation=[row for row in examples if row.split == "validation"],
        ledger=ledger,
        template_hash=renderer.template_hash,
        origin=_origin(renderer.template_hash, by_split, learned.content),
    )


@contextmanager
def _loop(
    prepared: _Prepared, job: Job, watcher: Watcher, companions: Companions
) -> Iterator[tuple[SupervisedLoop[Any, Any], str]]:
    """The loop, inside which the model is computed as fast as it can be, and the identity of its checkpoints."""
    settings, seed, model, learned = job.settings, job.seed, prepared.loaded.model, prepared.learned
    why_not = why_padded(model, prepared.longest) if settings.packing else "tune.packing is off"
    dtype = dtype_of(settings.precision, model.device)
    describe(dtype, why_not, watcher)
    identity = _identity(prepared, settings, [str(dtype), bool(why_not), seed])
    size = settings.contrastive_projection if settings.contrastive_weight else 0
    with (
        computed_fast(model, dtype, packed=not why_not),
        projected(model, size, stream_seed(seed, "contrastive_projection")),
    ):
        loop: SupervisedLoop[Any, Any] = SupervisedLoop(
            model,
            learned.objective(not why_not),
            learned.rows,
            learned.validation,
            settings,
            seed=seed,
            order=learned.order,
            companions=companions,
        )
        yield loop, identity


def train(
    job: Job, watcher: Watcher, *, out: Path | None = None, log: Path | None = None
) -> tuple[_Prepared, Progress]:
    """Train what `job` says, in this process and in all that were launched with it; the model is trained in place."""
    settings, seed = job.settings, job.seed
    processes = processes_of(shards=settings.shards)
    announce(job, processes)
    prepared = _prepare(job, watcher, out)
    companions = Companions(
        StepLog(log, tensorboard=settings.tensorboard), _answers(prepared, settings, seed), processes
    )
    with _loop(prepared, job, watcher, companions) as (loop, identity):
        if settings.predict and job.until is None and processes is ALONE and num_passes(loop) >= LEAST_PASSES:
            predict(loop).said(watcher)
        until = None if job.until is None else loop.schedule.first_evaluation(job.until)
        progress = loop.run(job.checkpoints, identity=identity, watcher=watcher, until=until)
        exact = loop.weights
    _keep(prepared, exact, processes, job)
    return prepared, progress


def _keep(prepared: _Prepared, exact: Mapping[str, Any], processes: Processes, job: Job) -> None:
    """The exact weights, in the model."""
    if processes.shards:
        # The model that was trained is in parts; a whole one takes the weights.
        prepared.loaded = _prepare(job, Silent()).loaded
    model = prepared.loaded.model
    copy_into({name: value for name, value in model.named_parameters() if name in exact}, exact)


def _answers(prepared: _Prepared, settings: TuneSettings, seed: int) -> AnswerMeasures | None:
    if settings.best_by == "loss" and not settings.evaluation_answers:
        return None
    if not prepared.learned.validation:
        return None
    if settings.shards:
        raise SettingsError(
            "tune.best_by and tune.evaluation_answers need a whole model to answer, and tune.shards cuts it into parts; "
            'choose best_by = "loss" and evaluation_answers = 0'
        )
    return AnswerMeasures(prepared.loaded, prepared.validation, settings, seed=seed)


def _count(by_split: dict[str, list[Any]], settings: TuneSettings, watcher: Watcher) -> dict[str, Any]:
    """Say the ledger, then refuse what it shows to be pointless."""
    ledgers = {split: token_ledger.count(split_rows) for split, split_rows in by_split.items()}
    watcher.say(token_ledger.describe(ledgers))
    token_ledger.check(ledgers["train"], max_length=settings.max_length)
    return token_ledger.as_dict(ledgers)


# What changes nothing about the weights; and the model is known better by its identity than by its name.
_NO_IDENTITY = {"model", "checkpoint_every", "keep_checkpoints", "tensorboard", "shards", "predict", "sweep"}


def _identity(prepared: _Prepared, settings: TuneSettings, computation: list[Any]) -> str:
    """Says which run a checkpoint belongs to: everything that the final weights depend on."""
    chosen = settings.model_dump(mode="json", exclude=_NO_IDENTITY)
    return digest(["instruction", prepared.loaded.identity, prepared.origin, chosen, computation])


def _origin(template_hash: str, by_split: dict[str, list[Any]], taught: list[Any]) -> str:
    data = [[split, [_content(row) for row in split_rows]] for split, split_rows in by_split.items()]
    return digest([template_hash, data, taught])


def _content(row: TokenRow | PairRow) -> list[Any]:
    if isinstance(row, PairRow):
        return [row.source_ids, row.target_ids, row.weight]
    return [row.input_ids, row.loss_mask, row.weight]


def _save(prepared: _Prepared, out: Path, progress: Progress, settings: TuneSettings, seed: int) -> None:
    write_json(out / "history.json", progress.history)
    extra = {
        "best_step": progress.best_step,
        "best_validation_loss": progress.best_validation_loss,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
    }
    with atomic_folder(out / "model") as folder:
        save_checkpoint(prepared.loaded, folder, template_hash=prepared.template_hash, extra=extra)
