"""Single stages on files, without a project: the same functions, reading any known format and writing one file or folder.

Each returns what it did as plain data, with a `text` for people.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from heedful.errors import InputError
from heedful.pipeline.settings import Overrides, settings_from
from heedful.project.atomic import atomic_folder, atomic_write, write_json, write_text
from heedful.project.journal import Journal
from heedful.project.progress import Watcher
from heedful.records import Example, digest, example_to_row, write_examples

if TYPE_CHECKING:
    from heedful.curate import CurateResult

FORMATS = (".parquet", ".jsonl")


def import_files(files: Sequence[str], out: Path, overrides: Overrides, watcher: Watcher) -> dict[str, Any]:
    """Rows of any known format -> examples."""
    from heedful import sources

    check_format(out)
    read = sources.read_records(files, on_error=settings_from(overrides).import_.on_error)
    save(out, read.examples)
    lines = [*(report.describe() for report in read.report), f"{len(read.examples)} examples written to {out}"]
    if read.preferences:
        beside = out.with_name(f"{out.stem}.preferences.jsonl")
        write_text(beside, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in read.preferences))
        lines.append(f"{len(read.preferences)} preferences written to {beside}")
    counts = {"examples": len(read.examples), "preferences": len(read.preferences)}
    return {"text": "\n".join(lines), **counts, "out": str(out)}


def curate_files(files: Sequence[str], out: Path, overrides: Overrides, watcher: Watcher) -> dict[str, Any]:
    """Rows -> kept rows in `out`, dropped ones with reasons beside it."""
    from heedful.curate import describe_funnel

    check_format(out)
    result = curated(files, overrides, watcher)
    dropped = save_curated(result, out)
    text = f"{describe_funnel(result.funnel)}\n{len(result.kept)} rows written to {out}, {len(result.dropped)} dropped ones to {dropped}"
    return {"text": text, "funnel": result.funnel, "out": str(out), "dropped": str(dropped)}


def curated(files: Sequence[str], overrides: Overrides, watcher: Watcher) -> CurateResult:
    """Rows -> kept and dropped ones, in memory."""
    from heedful import sources
    from heedful.curate import curate

    settings = settings_from(overrides)
    return curate(sources.read_records(files).examples, settings.curate, seed=settings.project.seed, watcher=watcher)


def save_curated(result: CurateResult, out: Path) -> Path:
    """Write the kept rows to `out` and the dropped ones, with their reasons, to the file beside it that is returned."""
    check_format(out)
    dropped = out.with_name(f"{out.stem}.dropped{out.suffix}")
    save(out, result.kept)
    save(dropped, [row.with_meta(dropped_because=reason) for row, reason in result.dropped])
    return dropped


def construct_files(
    files: Sequence[str], seeds: Sequence[str], out: Path, overrides: Overrides, watcher: Watcher
) -> dict[str, Any]:
    """Documents and seeds -> new examples."""
    from heedful import sources
    from heedful.construct import construct
    from heedful.pipeline.engines import open_engine
    from heedful.pipeline.stages import PYTHON_DOCS

    check_format(out)
    settings = settings_from(overrides)
    documents = [
        document
        for name in files
        for document in (sources.python_docs() if name == PYTHON_DOCS else sources.read_documents(name)[0])
    ]
    rows = sources.read_records(seeds).examples if seeds else []
    with (
        TemporaryDirectory() as scratch,
        Journal(Path(scratch) / "journal.jsonl", watcher) as journal,
        open_engine(settings.construct_.model, out.with_name(f"{out.name}.requests.sqlite"), watcher) as engine,
    ):
        result = construct(
            documents,
            rows,
            settings.construct_,
            engine=engine,
            journal=journal,
            seed=settings.project.seed,
            watcher=watcher,
        )
    save(out, result.examples)
    text = f"{result.statement['text']}\n{len(result.examples)} examples written to {out}"
    return {"text": text, "statement": result.statement, "out": str(out)}


def pretrain_files(files: Sequence[str], out: Path, overrides: Overrides, watcher: Watcher) -> dict[str, Any]:
    """Texts -> a model from nothing in the folder `out`."""
    from heedful.pipeline.texts import FileCorpus
    from heedful.train.pretraining import pretrain

    settings = settings_from(overrides)
    corpus = FileCorpus(files, watcher)
    run = digest([settings.pretrain.lasting(), settings.project.seed, corpus.identity])[:16]
    work = out.parent / f".{out.name}.checkpoints-{run}"
    with atomic_folder(out) as folder:
        result = pretrain(corpus, settings.pretrain, out=folder, work=work, seed=settings.project.seed, watcher=watcher)
    _remove(work)
    text = f"{result.describe()}; the model is in {out / 'model'}"
    found = {
        "num_parameters": result.num_parameters,
        "num_steps": result.num_steps,
        "best_step": result.best_step,
        "best_validation_loss": result.best_validation_loss,
        "bits_per_byte": result.bits_per_byte,
        "tokens_per_second": result.tokens_per_second,
    }
    return {"text": text, **found, "out": str(out)}


def tune_files(files: Sequence[str], out: Path, overrides: Overrides, watcher: Watcher) -> dict[str, Any]:
    """Split rows -> an adapter (or a model) in the folder `out`."""
    from heedful import sources
    from heedful.train import tune

    settings = settings_from(overrides)
    read = sources.read_records(files)
    rows = _split_rows(read.examples, ("train", "validation"))
    run = digest([settings.model_dump(mode="json"), [row.content_hash for row in rows]])[:16]
    checkpoints = out.parent / f".{out.name}.checkpoints-{run}"
    with atomic_folder(out) as folder:
        result = tune(
            rows,
            settings.tune,
            out=folder,
            checkpoints=checkpoints,
            seed=settings.project.seed,
            watcher=watcher,
            tasks=read.tasks,
            log=out.with_name(f"{out.name}.log"),
        )
        write_json(folder / "settings.json", settings.tune.model_dump(mode="json"))
    _remove(checkpoints)
    text = f"{result.describe_best()}; the model is in {out / 'model'}, each step's numbers in {out}.log"
    return {"text": text, "ledger": result.ledger, "best_step": result.best_step, "out": str(out)}


def evaluate_files(
    files: Sequence[str], tuned: str, out: Path, overrides: Overrides, watcher: Watcher
) -> dict[str, Any]:
    """Test rows and two models -> results in the folder `out`."""
    from heedful import sources
    from heedful.evaluate import describe_results, evaluate
    from heedful.pipeline.engines import open_engine

    settings = settings_from(overrides)
    rows = _split_rows(sources.read_records(files).examples, ("test",))
    cache = out.parent / f".{out.name}.requests.sqlite"
    with (
        open_engine(settings.tune.model, cache, watcher) as base,
        open_engine(tuned, cache, watcher) as other,
        atomic_folder(out) as folder,
    ):
        results = evaluate(
            [row for row in rows if row.split == "test"],
            [row for row in rows if row.split == "train"],
            {"base": base, "tuned": other},
            settings.evaluate,
            out=folder,
            seed=settings.project.seed,
            watcher=watcher,
        )
    return {"text": f"{describe_results(results)}\nresults are in {out}", "results": results, "out": str(out)}


def save(path: Path, examples: Sequence[Example]) -> None:
    """Write examples as parquet or jsonl, by the name's ending."""
    with atomic_write(path) as temporary:
        if path.suffix == ".parquet":
            write_examples(temporary, examples)
        else:
            lines = (json.dumps(example_to_row(example), ensure_ascii=False) + "\n" for example in examples)
            temporary.write_text("".join(lines), encoding="utf-8")


def check_format(out: Path) -> None:
    """Before the work, not after it: raises InputError for a name that no rows can be written to."""
    if out.suffix not in FORMATS:
        raise InputError(f"{out}: expected a name that ends in {' or '.join(FORMATS)}")


def _split_rows(rows: list[Example], needed: tuple[str, ...]) -> list[Example]:
    present = {row.split for row in rows}
    missing = [split for split in needed if split not in present]
    if missing:
        raise InputError(
            f"no rows in split {', '.join(missing)} (found: {', '.join(sorted(present)) or 'no rows'}); "
            f"`heedful curate FILE --out split.parquet` gives every row a split"
        )
    return rows


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
