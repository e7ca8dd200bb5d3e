"""Base against tuned on the test split: answers, scores, differences with intervals, verdicts, files.

`results.json` (also what `evaluate` returns) is stable; scripts and the report rely on it:

    version    1; raised when a key changes its meaning
    meta       n, rows_given, train_rows, seed, confidence, resamples, max_tokens, fewest_rows, engines {base, tuned: identity},
               metrics {name: label, about, direction, unit, maximum, signature}, resampled {by, num, text},
               leakage {checked, rows, by {kind: rows}, ids, text}, holm {text}, errors {base, tuned: answers that failed}
    verdict    a few sentences
    overall    {metric: comparison}
    slices     {name: {n, about, resampled, metrics {metric: comparison}}}
    samples    [{id, chosen: gain | loss | random, method, task, language, prompt, reference, base, tuned}], where base and
               tuned are {text, finish_reason, rougeL, requirements: null | {satisfied, kept, asked, reasons}}

A comparison is {n, base, tuned, difference (tuned - base), low, high, p, better (true, false, or null for "not shown"),
verdict}, overall also p_holm. Values are null where no row has the metric, bounds where there is only one row.

`scores.parquet` has item_id, metric, system, value, signature; `answers.parquet` has item_id, system, text, finish_reason,
tokens, and logprob and reference_tokens of the reference answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from heedful.errors import InputError, RequirementError
from heedful.evaluate.answers import SYSTEMS, Answers, ask
from heedful.evaluate.compare import FEWEST_ROWS, compare, correct_for_many
from heedful.evaluate.describe import verdict
from heedful.evaluate.measures import Measure, measure
from heedful.evaluate.samples import samples
from heedful.evaluate.settings import EvaluateSettings
from heedful.evaluate.slices import Clusters, clusters, leakage, slices
from heedful.generate.engine import Engine
from heedful.project import Watcher, atomic_write, steps, stream, write_json
from heedful.records import Example
from heedful.requirements import parse

_SCORE_COLUMNS = {
    "item_id": pa.string(),
    "metric": pa.string(),
    "system": pa.string(),
    "value": pa.float64(),
    "signature": pa.string(),
}
_ANSWER_COLUMNS = {
    "item_id": pa.string(),
    "system": pa.string(),
    "text": pa.string(),
    "finish_reason": pa.string(),
    "tokens": pa.int64(),
    "logprob": pa.float64(),
    "reference_tokens": pa.int64(),
}


def evaluate(
    test: Sequence[Example],
    train: Sequence[Example],
    engines: Mapping[str, Engine],
    settings: EvaluateSettings,
    *,
    out: Path,
    seed: int,
    watcher: Watcher,
) -> dict[str, Any]:
    """Compare `engines["base"]` and `engines["tuned"]` on `test` and write three files into `out`.

    `train` is what training saw: it decides which test rows are held out, and which leaked.
    """
    rows = _drawn(_checked(test), settings.max_rows, seed)
    answers = [
        ask(engines[name], rows, system=name, max_tokens=settings.max_tokens, watcher=watcher) for name in SYSTEMS
    ]
    measures = measure(rows, answers)
    results = _results(rows, train, answers, measures, settings, seed, watcher)
    results["meta"]["rows_given"] = len(test)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "scores.parquet", _score_rows(rows, measures), _SCORE_COLUMNS)
    _write(out / "answers.parquet", _answer_rows(answers), _ANSWER_COLUMNS)
    write_json(out / "results.json", results)
    return results


def _checked(test: Sequence[Example]) -> Sequence[Example]:
    if not test:
        raise InputError('no test rows to evaluate on; rows need split "test": raise curate\'s test share, or add rows')
    unanswered = [example.id for example in test if not example.answer.strip() or not example.prompt]
    if unanswered:
        raise InputError(
            f"{len(unanswered)} test rows have no prompt or no reference answer, the first is {unanswered[0]}; "
            "`heedful curate` drops such rows with a reason"
        )
    repeated = [name for name, count in Counter(example.id for example in test).items() if count > 1]
    if repeated:
        raise InputError(f"{len(repeated)} ids occur more than once among the test rows, the first is {repeated[0]}")
    for example in test:
        _check_requirements(example)
    return test


def _check_requirements(example: Example) -> None:
    """Before the engines work for minutes, not after."""
    try:
        for spec in example.requirements:
            parse(spec)
    except RequirementError as error:
        raise RequirementError(f"test row {example.id}: {error}") from None


def _drawn(test: Sequence[Example], max_rows: int, seed: int) -> list[Example]:
    """All rows, or `max_rows` of them in their order."""
    if not max_rows or max_rows >= len(test):
        return list(test)
    return [test[row] for row in sorted(stream(seed, "evaluate", "rows").sample(range(len(test)), max_rows))]


def _results(
    test: Sequence[Example],
    train: Sequence[Example],
    answers: Sequence[Answers],
    measures: Sequence[Measure],
    settings: EvaluateSettings,
    seed: int,
    watcher: Watcher,
) -> dict[str, Any]:
    parts = slices(test, train)
    with steps(watcher, "evaluate intervals", 1 + len(parts), "slices") as progress:
        grouped = clusters(test)
        overall = _compared(measures, range(len(test)), grouped, settings, seed)
        progress.advance()
        by_slice = {}
        for part in parts:
            among = clusters([test[row] for row in part.rows])
            compared = _compared(measures, part.rows, among, settings, seed)
            by_slice[part.name] = {
                "n": len(part.rows),
                "about": part.about,
                "resampled": _said(among),
                "metrics": compared,
            }
            progress.advance()
    meta = {
        "n": len(test),
        "rows_given": len(test),
        "train_rows": len(train),
        "seed": seed,
        **settings.model_dump(include={"confidence", "resamples", "max_tokens"}),
        "fewest_rows": FEWEST_ROWS,
        "engines": {item.system: item.identity for item in answers},
        "metrics": {item.name: item.describe() for item in measures},
        "resampled": _said(grouped),
        "leakage": leakage(test, train),
        "holm": {"text": correct_for_many(overall, settings.confidence)},
        "errors": {a.system: sum(g.finish_reason in ("error", "cancelled") for g in a.generations) for a in answers},
    }
    rouge = next(item for item in measures if item.name == "rougeL")
    return {
        "version": 1,
        "meta": meta,
        "verdict": verdict(meta, overall, by_slice),
        "overall": overall,
        "slices": by_slice,
        "samples": samples(test, answers, rouge, num_samples=settings.samples, seed=seed),
    }


def _compared(
    measures: Sequence[Measure], rows: Sequence[int], grouped: Clusters, settings: EvaluateSettings, seed: int
) -> dict[str, Any]:
    return {item.name: compare(item, rows, grouped, settings, seed=seed) for item in measures}


def _said(grouped: Clusters) -> dict[str, Any]:
    return {"by": grouped.by, "num": grouped.num, "text": grouped.text}


# -- files ------------------------------------------------------------------------------------------------------------


def _score_rows(test: Sequence[Example], measures: Sequence[Measure]) -> list[dict[str, Any]]:
    return [
        {"item_id": test[row].id, "metric": item.name, "system": system, "value": value, "signature": result.signature}
        for item in measures
        for system, result in item.results.items()
        for row, value in zip(item.rows, result.per_item, strict=True)
    ]


def _answer_rows(answers: Sequence[Answers]) -> list[dict[str, Any]]:
    return [
        {"item_id": generation.request_id, "system": item.system, "text": generation.text}
        | {"finish_reason": generation.finish_reason, "tokens": generation.usage.completion_tokens}
        | {"logprob": score.logprob, "reference_tokens": score.num_tokens}
        for item in answers
        for generation, score in zip(item.generations, item.scores, strict=True)
    ]


def _write(path: Path, rows: list[dict[str, Any]], columns: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(columns)), temporary, compression="zstd")
