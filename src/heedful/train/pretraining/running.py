"""Texts and settings -> a trained model in `out/model`, with history, facts and a report beside it.

Tokenizer, shards, the number of steps and checkpoints are kept in a working folder: killed at any moment and called again
with the same arguments, `pretrain` continues and ends with the same weights.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median_high
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from heedful.errors import InputError
from heedful.models.devices import chosen_device
from heedful.project import Silent, Watcher, atomic_folder, read_json, write_json, write_text
from heedful.project.atomic import remove_partials
from heedful.project.progress import Remembering
from heedful.project.settings import parse_settings
from heedful.records import digest
from heedful.train.computing.numbers import dtype_of
from heedful.train.computing.ways import computed_fast
from heedful.train.loop import Progress, SupervisedLoop
from heedful.train.objectives.pretraining import TextBatch, TextObjective, corrupted_lengths, objective
from heedful.train.pretraining.architectures import KINDS, build, save
from heedful.train.pretraining.corpus import Corpus
from heedful.train.pretraining.rows import (
    MOST_VALIDATION_TOKENS,
    OneEpoch,
    Stretch,
    TextRow,
    TextRows,
    at_most,
    joined,
    num_tokens_in,
    pieces,
    split,
    windows,
)
from heedful.train.pretraining.settings import NUM_EVALUATIONS, PretrainSettings
from heedful.train.pretraining.shards import Shard, documents_of, write_shards
from heedful.train.pretraining.tokenizer import bytes_of_tokens, encoder_of, special_ids, train_tokenizer
from heedful.train.together.along import tell
from heedful.train.together.companions import Companions
from heedful.train.together.parallel import Processes, processes_of
from heedful.train.watching.log import StepLog

_MEASURED_STEPS = 6
_FORWARD_SHARE = 1 / 3  # of a training step's arithmetic


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """What training did; the model is in `model_folder`."""

    model_folder: Path
    history: list[dict[str, Any]]
    """One entry for each step, as `tune` has them."""
    num_parameters: int
    num_text_tokens: int
    """Different tokens that rows were cut from."""
    num_steps: int
    best_step: int
    best_validation_loss: float | None
    """Mean in nats; None without validation rows."""
    bits_per_byte: float | None
    """Of the held-out text, each row begun anew; causal objectives only."""
    tokens_per_second: float | None
    """Of this process, evaluations and checkpoints included; None when there was nothing left to do."""

    def describe(self) -> str:
        """In words, for people."""
        lines = [
            f"{self.num_parameters:,} parameters, {self.num_steps} steps over {self.num_text_tokens:,} tokens of text"
        ]
        if self.best_validation_loss is not None:
            bits = f", {self.bits_per_byte:.3f} bits per byte" if self.bits_per_byte is not None else ""
            lines.append(f"best validation loss {self.best_validation_loss:.3f}{bits}, at step {self.best_step}")
        else:
            lines.append("nothing was held out, so the weights of the last step were kept")
        if self.tokens_per_second is not None:
            lines.append(f"{self.tokens_per_second:,.0f} tokens per second")
        return "; ".join(lines)


@dataclass(frozen=True, slots=True)
class _Data:
    """Rows to learn from and to validate with."""

    tokenizer: PreTrainedTokenizerFast
    objective: TextObjective
    train: TextRows
    validation: TextRows
    identity: str


def pretrain(
    corpus: Corpus,
    settings: PretrainSettings,
    *,
    out: Path,
    work: Path,
    seed: int,
    watcher: Watcher,
    validation: Corpus | None = None,
) -> PretrainResult:
    """Train a model from nothing on `corpus`; what is held out comes from it, or is `validation`.

    `work` is a folder for this run alone, which the caller removes once `out` is safe. Raises InputError for texts that
    are empty or too small for one row.
    """
    processes = processes_of(shards=False)
    identities = corpus.identity, validation.identity if validation else None
    remove_partials(work)
    data = _prepared(corpus, validation, settings, work, seed, watcher)
    model, dtype = _built(settings, data, seed)
    num_steps = _num_steps(model, data, settings, dtype, work, seed, watcher, processes.count)
    job = _Job(identities, settings.model_dump(mode="json"), str(work.resolve()), seed, num_steps)
    tell(asdict(job), processes)
    clock = _Clock(watcher)
    progress = _trained(model, data, settings, job, dtype, Companions(StepLog(work), processes=processes), clock)
    result = _result(model, data, settings, progress, clock, out)
    _save(model, data, settings, result, out, seed)
    return result


@dataclass(frozen=True, slots=True)
class _Job:
    """What every process must know to train along, as plain data."""

    texts: tuple[str, str | None]
    """Identities of what is learned from, and of what is held out if that is not a part of it."""
    settings: dict[str, Any]
    work: str
    seed: int
    num_steps: int


@dataclass(frozen=True, slots=True)
class _Tokenized:
    """Texts whose shards the first process has written."""

    identity: str
    num_bytes = 0

    def documents(self) -> Iterator[Iterable[str]]:
        """None more than there are in shards."""
        return iter(())


def train_along(said: Mapping[str, Any], processes: Processes) -> None:
    """What every process but the first does of `pretrain`; the folder of its work must be one that all can read."""
    job = _Job(**said)
    settings = parse_settings(PretrainSettings, job.settings, where="the first process")
    corpus, validation = (None if text is None else _Tokenized(text) for text in job.texts)
    assert corpus is not None
    data = _prepared(corpus, validation, settings, Path(job.work), job.seed, Silent())
    model, dtype = _built(settings, data, job.seed)
    _trained(model, data, settings, job, dtype, Companions(processes=processes), Silent())


def _built(settings: PretrainSettings, data: _Data, seed: int) -> tuple[Any, torch.dtype]:
    """A model that knows nothing, and the numbers that it is computed in."""
    device = chosen_device()
    return build(settings, data.tokenizer, seed=seed).to(device), dtype_of(settings.precision, device)


def _trained(
    model: Any,
    data: _Data,
    settings: PretrainSettings,
    job: _Job,
    dtype: torch.dtype,
    companions: Companions,
    watcher: Watcher,
) -> Progress:
    """Train in place."""
    rows = data.train.resized(job.num_steps * settings.batch_size)
    identity = digest(["pretraining", data.identity, settings.lasting(), str(dtype), job.seed])
    with computed_fast(model, dtype, packed=False):
        loop: SupervisedLoop[TextRow, TextBatch] = SupervisedLoop(
            model,
            data.objective,
            rows,
            data.validation,
            settings.of_loop(),
            seed=job.seed,
            order=OneEpoch(rows.lengths, settings.batch_size, job.seed),
            companions=companions,
        )
        checkpoints = Path(job.work) / "checkpoints"
        return loop.run(checkpoints, identity=digest([identity, job.num_steps]), watcher=watcher)


# -- data -----------------------------------------------------------------------------------------------------------


def _prepared(
    corpus: Corpus, validation: Corpus | None, settings: PretrainSettings, work: Path, seed: int, watcher: Watcher
) -> _Data:
    learned_from = digest([corpus.identity, settings.architecture, settings.vocabulary_size, settings.context_length])
    tokenizer = _tokenizer(corpus, settings, work / "tokenizer", learned_from, watcher)
    special = special_ids(tokenizer)
    shards = [
        write_shards(
            texts,
            encoder_of(tokenizer),
            work / name,
            end_id=special.end,
            identity=digest([learned_from, texts.identity]),
            watcher=watcher,
        )
        for name, texts in (("shards", corpus), ("validation-shards", validation))
        if texts is not None
    ]
    if validation is None:
        train, held_out = split(shards[0], settings.validation_share, seed=seed)
    else:
        train, held_out = _everything(shards[0]), _everything(shards[1])
    places = _places(shards[0], train, settings)
    num_tokens = num_tokens_in(places)
    if num_tokens < settings.context_length:
        raise InputError(
            f"the texts to learn from have {num_tokens} tokens, fewer than one row of {settings.context_length}; "
            f"give more text, or set pretrain.context_length lower"
        )
    pairs = settings.chosen_objective == "masked_next_sentence"
    chosen = at_most(_places(shards[-1], held_out, settings), MOST_VALIDATION_TOKENS, seed=seed)
    return _Data(
        tokenizer=tokenizer,
        objective=objective(settings.chosen_objective, special, is_recurrent=settings.architecture == "lstm"),
        train=TextRows(shards[0], places, seed=seed, name="train", pairs=pairs),
        validation=TextRows(shards[-1], chosen, seed=seed, name="validation", pairs=pairs),
        identity=digest([learned_from, corpus.identity, validation.identity if validation else ""]),
    )


def _tokenizer(
    corpus: Corpus, settings: PretrainSettings, folder: Path, identity: str, watcher: Watcher
) -> PreTrainedTokenizerFast:
    """Learned now, or read from `folder` where an interrupted run left it."""
    seal = folder / "learned_from.json"
    if not (seal.is_file() and read_json(seal) == identity):
        watcher.say("learning a tokenizer ...")
        learned = train_tokenizer(
            corpus,
            KINDS[settings.architecture],
            vocabulary_size=settings.vocabulary_size,
            max_length=settings.context_length,
        )
        with atomic_folder(folder) as partial:
            learned.save_pretrained(partial)
            write_json(partial / seal.name, identity)
    # Always as it is read back: nothing can differ between a run and its continuation.
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)


def _everything(shards: Sequence[Shard]) -> list[Stretch]:
    return [Stretch(number, *places) for number, shard in enumerate(shards) for places in documents_of(shard)]


def _places(shards: Sequence[Shard], stretches: Sequence[Stretch], settings: PretrainSettings) -> Any:
    length = settings.context_length
    match settings.chosen_objective:
        # An LSTM reads one document at a time: nothing could make it forget the one before.
        case "causal" if settings.architecture == "llama":
            return windows(joined(stretches), length)
        case "causal" | "prefix":
            return pieces(shards, stretches, length, ends=True)
        case "span_corruption":
            # As many tokens as the encoder has room for once spans are left out.
            longest = max(number for number in range(2, 2 * length) if corrupted_lengths(number)[0] <= length)
            return pieces(shards, stretches, longest, ends=False)
        case "masked":
            return pieces(shards, stretches, length - 2, ends=False)
        case _:
            return pieces(shards, stretches, length - 3, ends=False)


# -- steps ----------------------------------------------------------------------------------------------------------


def _num_steps(
    model: Any,
    data: _Data,
    settings: PretrainSettings,
    dtype: torch.dtype,
    work: Path,
    seed: int,
    watcher: Watcher,
    num_processes: int,
) -> int:
    """The budget in steps. Minutes are measured by the first process, and written down for those that continue."""
    budget, batch_size = settings.parsed_budget, settings.batch_size
    tokens_per_step = data.train.num_place_tokens / len(data.train) * batch_size
    if budget.unit == "step":
        return max(1, round(budget.amount))
    if budget.unit == "token":
        return max(1, round(budget.amount / tokens_per_step))
    if budget.unit == "epoch":
        return max(1, math.ceil(budget.amount * len(data.train) / batch_size))
    plan = work / "plan.json"
    if not plan.is_file():
        seconds = _seconds_per_step(model, data, settings, dtype, seed, num_processes)
        spent = NUM_EVALUATIONS * data.validation.num_place_tokens / tokens_per_step * seconds * _FORWARD_SHARE
        left = budget.amount * 60 - spent
        write_json(plan, {"num_steps": max(1, int(left / seconds)), "seconds_per_step": seconds})
    planned = read_json(plan)
    watcher.say(f"a step takes {planned['seconds_per_step']:.2f} s: {planned['num_steps']} steps in {settings.budget}")
    return int(planned["num_steps"])


def _seconds_per_step(
    model: Any, data: _Data, settings: PretrainSettings, dtype: torch.dtype, seed: int, num_processes: int
) -> float:
    """Median of a few steps with a copy of the model; the first, in which memory is fetched, is left out.

    A process computes its part of a step; that the parts are summed is not measured.
    """
    clock = _Clock(Silent())
    tried = copy.deepcopy(model)
    own = settings.model_copy(update={"batch_size": math.ceil(settings.batch_size / num_processes)})
    with TemporaryDirectory() as folder, computed_fast(tried, dtype, packed=False):
        rows = data.train.resized(_MEASURED_STEPS * own.batch_size)
        loop = SupervisedLoop(tried, data.objective, rows, [], own.of_loop(), seed=seed)
        loop.run(Path(folder), identity="measured", watcher=clock)
    return median_high(later - earlier for earlier, later in pairwise(clock.times))


class _Clock(Remembering):
    """Notes when steps were done, and calls the loop's task by this stage's name."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(watcher)
        self.times: list[float] = []
        self.began = time.monotonic()

    def begin(self, task: str, total: int | None, unit: str) -> None:
        self.began = time.monotonic()
        super().begin(_renamed(task), total, unit)

    def advance(self, task: str, amount: int, note: str) -> None:
        super().advance(_renamed(task), amount, note)

    def end(self, task: str) -> None:
        super().end(_renamed(task))

    def milestone(self, name: str) -> None:
        if name == "train.stepped":
            self.times.append(time.monotonic())
        super().milestone(name)


def _renamed(task: str) -> str:
    return "pretrain" if task == "tune" else task


# -- results --------------------------------------------------------------------------------------------------------


def _result(
    model: Any, data: _Data, settings: PretrainSettings, progress: Progress, clock: _Clock, out: Path
) -> PretrainResult:
    return PretrainResult(
        model_folder=out / "model",
        history=progress.history,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        num_text_tokens=data.train.num_place_tokens,
        num_steps=progress.step,
        best_step=progress.best_step,
        best_validation_loss=progress.best_validation_loss,
        bits_per_byte=_bits_per_byte(data, settings, progress.best_validation_loss),
        tokens_per_second=_speed(progress.history, clock),
    )


def _bits_per_byte(data: _Data, settings: PretrainSettings, loss: float | None) -> float | None:
    """Cross entropy of the held-out tokens over the bytes that they stand for."""
    if loss is None or settings.chosen_objective != "causal":
        return None
    num_bytes = bytes_of_tokens(data.tokenizer)
    targets = [row.tokens[1:] for row in data.validation]
    return loss * sum(map(len, targets)) / math.log(2) / float(sum(num_bytes[ids].sum() for ids in targets))


def _speed(history: Sequence[dict[str, Any]], clock: _Clock) -> float | None:
    num_here = len(clock.times)
    if num_here == 0:
        return None
    before = history[-num_here - 1]["tokens"] if num_here < len(history) else 0
    return float((history[-1]["tokens"] - before) / max(clock.times[-1] - clock.began, 1e-9))


def _save(model: Any, data: _Data, settings: PretrainSettings, result: PretrainResult, out: Path, seed: int) -> None:
    write_json(out / "history.json", result.history)
    facts = {
        "objective": settings.chosen_objective,
        "num_parameters": result.num_parameters,
        "num_text_tokens": result.num_text_tokens,
        "num_steps": result.num_steps,
        "best_step": result.best_step,
        "best_validation_loss": result.best_validation_loss,
        "bits_per_byte": result.bits_per_byte,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
    }
    write_json(out / "pretraining.json", facts)
    with atomic_folder(out / "model") as folder:
        save(model.eval(), data.tokenizer, folder)
    report = f"# Pretraining: {settings.architecture}, {settings.chosen_objective}\n\n{result.describe()}\n"
    write_text(out / "report.md", report)
