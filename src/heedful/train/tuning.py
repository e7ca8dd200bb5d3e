"""Examples -> a tuned checkpoint in `out/model`, with the token ledger and the history of losses beside it.

Killed at any moment and called again with the same arguments, `tune` continues and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.models import LoadedModel, load, save_checkpoint
from heedful.models.four_bit import in_four_bit
from heedful.project import Watcher, atomic_folder, stream_seed, write_json
from heedful.records import Example, Task, digest
from heedful.render import renderer_for
from heedful.train import ledger as token_ledger
from heedful.train.adapting import adapt
from heedful.train.batches import TokenRow
from heedful.train.computing import computed_fast, describe, dtype_of, why_padded
from heedful.train.lessons import Lessons, as_said, lessons
from heedful.train.loop import Progress, SupervisedLoop
from heedful.train.objectives.contrastive import projected
from heedful.train.objectives.instruction import rows
from heedful.train.objectives.seq2seq import PairRow, pair_rows
from heedful.train.optimizer import copy_into
from heedful.train.settings import TuneSettings

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

    def describe_best(self) -> str:
        """Which step's weights were kept, in words."""
        if self.best_validation_loss is None:
            return f"no validation rows, so the last step ({self.best_step}) was kept"
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
) -> TuneResult:
    """Instruction tuning on the rows of split `train`, the best weights chosen by those of split `validation`.

    `tasks` are records of the rows' tasks, by name, where prompts are to say them otherwise (`tune.encoding`).
    `checkpoints` is a folder for this run alone, which the caller removes once `out` is safe. Raises
    NothingToTrainError, with the token ledger said before, when training could teach nothing, or never to stop.
    """
    loaded = load(settings.model, watcher=watcher)
    renderer = renderer_for(loaded)
    examples, said = as_said(examples, settings, renderer, tasks, seed=seed, watcher=watcher)
    render = pair_rows if loaded.is_encoder_decoder else rows
    by_split: dict[str, list[Any]] = {
        split: [*render((row for row in examples if row.split == split), renderer, max_length=settings.max_length)]
        for split in _SPLITS
    }
    ledger = _count(by_split, settings, watcher)
    trained = [row for row in examples if row.split == "train"]
    learned = lessons(
        trained, by_split["train"], by_split["validation"], settings, renderer, seed=seed, watcher=watcher
    )
    ledger |= {**said, **learned.report}
    write_json(out / "ledger.json", ledger)
    usable = {split: [row for row in split_rows if row.num_trained] for split, split_rows in by_split.items()}
    if settings.four_bit:
        loaded = in_four_bit(loaded)
    loaded = adapt(loaded, settings, [getattr(row, "input_ids", ()) for row in usable["train"]], seed=seed)
    if not usable["validation"]:
        watcher.say("no validation rows: the weights of the last step are kept")
    origin = [renderer.template_hash, by_split, learned.content]
    progress = _trained(loaded, usable, learned, settings, seed, checkpoints, watcher, origin)
    _save(loaded, out, renderer.template_hash, progress, settings, seed)
    return TuneResult(
        model_folder=out / "model",
        ledger=ledger,
        history=progress.history,
        num_steps=progress.step,
        best_step=progress.best_step,
        best_validation_loss=progress.best_validation_loss,
    )


def _trained(
    loaded: LoadedModel,
    usable: dict[str, list[Any]],
    learned: Lessons,
    settings: TuneSettings,
    seed: int,
    checkpoints: Path,
    watcher: Watcher,
    origin: list[Any],
) -> Progress:
    """Train the model in place, computed as fast as it can be."""
    model = loaded.model
    longest = max(row.num_tokens for split_rows in usable.values() for row in split_rows)
    why_not = why_padded(model, longest) if settings.packing else "tune.packing is off"
    dtype = dtype_of(settings.precision, model.device)
    describe(dtype, why_not, watcher)
    identity = _identity(loaded, origin, settings, [str(dtype), bool(why_not), seed])
    objective = learned.objective(not why_not)
    size = settings.contrastive_projection if settings.contrastive_weight else 0
    with (
        computed_fast(model, dtype, packed=not why_not),
        projected(model, size, stream_seed(seed, "contrastive_projection")),
    ):
        loop: SupervisedLoop[Any, Any] = SupervisedLoop(
            model, objective, learned.rows, learned.validation, settings, seed=seed, order=learned.order
        )
        progress = loop.run(checkpoints, identity=identity, watcher=watcher)
    exact = loop.weights
    copy_into({name: value for name, value in model.named_parameters() if name in exact}, exact)
    return progress


def _count(by_split: dict[str, list[Any]], settings: TuneSettings, watcher: Watcher) -> dict[str, Any]:
    """Say the ledger, then refuse what it shows to be pointless."""
    ledgers = {split: token_ledger.count(split_rows) for split, split_rows in by_split.items()}
    watcher.say(token_ledger.describe(ledgers))
    token_ledger.check(ledgers["train"], max_length=settings.max_length)
    return token_ledger.as_dict(ledgers)


def _identity(loaded: LoadedModel, origin: list[Any], settings: TuneSettings, computation: list[Any]) -> str:
    """Says which run a checkpoint belongs to: everything that the final weights depend on."""
    template_hash, by_split, *taught = origin
    data = [[split, [_content(row) for row in split_rows]] for split, split_rows in by_split.items()]
    # How often checkpoints are written changes nothing, and the model is known better by its identity than by its name.
    chosen = settings.model_dump(mode="json", exclude={"checkpoint_every", "model"})
    return digest(["instruction", loaded.identity, template_hash, data, *taught, chosen, computation])


def _content(row: TokenRow | PairRow) -> list[Any]:
    if isinstance(row, PairRow):
        return [row.source_ids, row.target_ids, row.weight]
    return [row.input_ids, row.loss_mask, row.weight]


def _save(
    loaded: LoadedModel, out: Path, template_hash: str, progress: Progress, settings: TuneSettings, seed: int
) -> None:
    write_json(out / "history.json", progress.history)
    extra = {
        "best_step": progress.best_step,
        "best_validation_loss": progress.best_validation_loss,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
    }
    with atomic_folder(out / "model") as folder:
        save_checkpoint(loaded, folder, template_hash=template_hash, extra=extra)
