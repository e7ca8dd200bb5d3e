"""What a run learns from: prompts as tasks are said, how often each task is read, wrong answers, rows to be pulled together.

Each of these is a module of its own (`encodings`, `mixing`, `objectives/negatives`, `objectives/contrastive`); here settings
choose among them, what they did is reported, and what cannot go together is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from heedful.errors import SettingsError
from heedful.project import Watcher
from heedful.records import Example, Message, Task
from heedful.render import PairRenderer, Renderer
from heedful.train.loop import Objective
from heedful.train.objectives import instruction, negatives
from heedful.train.objectives.contrastive import contrastive
from heedful.train.objectives.seq2seq import seq2seq
from heedful.train.rows.batches import Order
from heedful.train.rows.encodings import encode
from heedful.train.rows.mixing import DealtOrder, MixedOrder, Mixture, describe, mix, task_of
from heedful.train.settings import TuneSettings
from heedful.train.task_settings import EncodingSettings, MixingSettings
from heedful.train.together.parallel import num_launched


@dataclass(frozen=True, slots=True)
class Lessons:
    """Rows as the objective takes them, and the order in which they are read."""

    rows: list[Any]
    validation: list[Any]
    objective: Callable[[bool], Objective[Any, Any]]
    """Of whether rows are packed."""
    order: Order | None
    """None: every row once an epoch."""
    report: dict[str, list[Any]]
    """For ledger.json."""
    content: list[Any]
    """What it teaches beyond the rows' tokens, as plain data: runs that differ in it are other runs."""


def as_said(
    examples: Sequence[Example],
    settings: TuneSettings,
    renderer: Renderer,
    tasks: Iterable[Task],
    *,
    seed: int,
    watcher: Watcher,
) -> tuple[list[Example], dict[str, list[Any]]]:
    """The rows with prompts as `tune.encoding` says tasks, and the ledger's entry; by default nothing changes."""
    if settings.encoding == EncodingSettings():
        return list(examples), {}

    def count_tokens(messages: Sequence[Message]) -> int:
        if isinstance(renderer, PairRenderer):
            return len(renderer.pair(messages).source_ids)
        return len(renderer.render(messages).input_ids)

    result, report = encode(
        examples,
        settings.encoding,
        tasks=tasks,
        count_tokens=count_tokens,
        max_tokens=settings.max_length,
        seed=seed,
    )
    watcher.say(report.describe())
    return result, {"encoding": [report.as_dict()]}


def lessons(
    examples: Sequence[Example],
    rows: Sequence[Any],
    validation: Sequence[Any],
    settings: TuneSettings,
    renderer: Renderer,
    *,
    seed: int,
    watcher: Watcher,
) -> Lessons:
    """Training examples, each with its row, and validation rows -> what is learned from; rows without answers are left out."""
    _check(settings, renderer)
    known = [(example, row) for example, row in zip(examples, rows, strict=True) if row.num_trained]
    tasks = [task_of(example) for example, _ in known]
    own = [row for _, row in known]
    mixture = mix(tasks, settings.mixing, seed=seed)
    mixes = settings.mixing != MixingSettings()
    report: dict[str, list[Any]] = {}
    if mixes or len(mixture.counts) > 1:
        report["mixing"] = mixture.report(settings.epochs)
    if mixes:
        watcher.say(describe(mixture, settings.epochs))
    content: list[Any] = tasks if mixes else []
    lengths = [row.num_tokens for row in own]
    order = MixedOrder(mixture, lengths, settings.batch_size, seed) if mixes else None
    usual = Lessons(own, [row for row in validation if row.num_trained], _usual(renderer), order, report, content)
    if settings.negative_weight:
        return _with_wrong(usual, [example for example, _ in known], settings, renderer, watcher)
    if settings.contrastive_weight:
        return _with_groups(usual, [example for example, _ in known], tasks, mixture, settings, seed)
    return usual


def _usual(renderer: Renderer) -> Callable[[bool], Objective[Any, Any]]:
    if isinstance(renderer, PairRenderer):
        return lambda is_packed: seq2seq
    return lambda is_packed: instruction.packed if is_packed else instruction.padded


def _check(settings: TuneSettings, renderer: Renderer) -> None:
    asked = [name for name in ("negative_weight", "contrastive_weight") if getattr(settings, name)]
    if len(asked) > 1:
        raise SettingsError("tune.negative_weight and tune.contrastive_weight are both set: choose one, the other is 0")
    if asked and isinstance(renderer, PairRenderer):
        raise SettingsError(
            f"tune.{asked[0]} needs a decoder-only model; this one reads prompts and writes answers apart"
        )
    if settings.contrastive_weight and num_launched() > 1:
        raise SettingsError(
            f"tune.contrastive_weight compares all rows of a step, and {num_launched()} processes would each see a part; "
            "start one process"
        )


def _with_wrong(
    usual: Lessons, examples: Sequence[Example], settings: TuneSettings, renderer: Renderer, watcher: Watcher
) -> Lessons:
    rows = negatives.answer_rows(examples, usual.rows, renderer, max_length=settings.max_length)
    found = negatives.report(rows)
    if not found[0]["tokens"]:
        raise SettingsError(
            f"tune.negative_weight is {settings.negative_weight}, but no training row knows a wrong output that differs "
            'from its answer; import rows with a field "wrong_output", or set tune.negative_weight = 0'
        )
    watcher.say(
        f"{found[0]['rows']:,} of {len(rows):,} rows know wrong answers ({found[0]['wrong_outputs']:,}), of which "
        f"{found[0]['tokens']:,} tokens are made less likely"
    )
    order = usual.order
    if isinstance(order, MixedOrder):
        order = replace(order, lengths=[row.num_tokens for row in rows])
    return replace(
        usual,
        rows=rows,
        validation=[negatives.AnswerRow(row) for row in usual.validation],
        objective=lambda is_packed: negatives.negatives(settings.negative_weight, is_packed=is_packed),
        order=order,
        report={**usual.report, "wrong_outputs": found},
        content=[*usual.content, [negatives.content(row) for row in rows]],
    )


def _with_groups(
    usual: Lessons,
    examples: Sequence[Example],
    tasks: Sequence[str],
    mixture: Mixture,
    settings: TuneSettings,
    seed: int,
) -> Lessons:
    by = settings.contrastive_by
    groups = list(tasks) if by == "task" else [str(example.groups.get("paraphrase", "")) for example in examples]
    if not any(groups):
        raise SettingsError(
            "tune.contrastive_by is 'paraphrase', but no training row says what it is a paraphrase of; write the same "
            "groups.paraphrase into the meta of rows that ask for the same in other words"
        )
    order = DealtOrder(mixture.rows_of, mixture.num_rows, groups, settings.batch_size, seed)
    order.batches(0)  # Too few pairs are refused before training begins.
    return replace(
        usual,
        rows=[replace(row, group=group) for row, group in zip(usual.rows, groups, strict=True)],
        objective=lambda is_packed: contrastive(
            settings.contrastive_weight, settings.contrastive_temperature, by, is_packed=is_packed
        ),
        order=order,
        content=[*usual.content, groups],
    )
