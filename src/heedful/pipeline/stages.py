"""The stages of the loop, in order: what each reads, what it writes, and which files its artefact holds.

    import     examples.parquet  preferences.jsonl  documents.parquet  detected.txt
    construct  examples.parquet  rejected.jsonl  statement.json
    curate     data.parquet  dropped.parquet  funnel.json
    pretrain   model/  history.json  pretraining.json  report.md        only when asked for by name
    tune       model/  ledger.json  history.json
    evaluate   results.json  answers.parquet  scores.parquet  report.html

Heavy libraries are imported when a stage is built, so that a run with nothing to do is quick to say so.
"""

from __future__ import annotations

import filecmp
import json
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heedful.errors import InputError
from heedful.pipeline.graph import Context, Stage
from heedful.pipeline.settings import HeedfulSettings
from heedful.project.artifacts import MANIFEST, Manifest, file_hash, versions
from heedful.project.atomic import atomic_write, read_json, write_json
from heedful.project.folder import Project
from heedful.project.journal import Journal
from heedful.project.settings import Settings

PYTHON_DOCS = "python_docs"


# -- import ----------------------------------------------------------------------------------------------------


def _import(context: Context) -> None:
    from heedful import records, sources

    settings, root, folder = context.settings.import_, context.project.root, context.draft.folder
    read = sources.read_records([_inside(root, name) for name in settings.seeds], on_error=settings.on_error)
    documents, reports = [], list(read.report)
    for name in settings.documents:
        if name == PYTHON_DOCS:
            documents.extend(sources.python_docs())
        else:
            found, document_reports = sources.read_documents(_inside(root, name))
            documents.extend(found)
            reports.extend(document_reports)
    detected = "\n".join(report.describe() for report in reports)
    context.watcher.say(detected)
    (folder / "detected.txt").write_text(detected + "\n", encoding="utf-8")
    records.write_examples(folder / "examples.parquet", read.examples)
    records.write_documents(folder / "documents.parquet", documents)
    _write_json_lines(folder / "preferences.jsonl", (asdict(preference) for preference in read.preferences))
    counts = {"examples": len(read.examples), "preferences": len(read.preferences), "documents": len(documents)}
    context.draft.counts.update(counts)
    context.draft.summary = ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "nothing read"


def _import_outside(project: Project, settings: HeedfulSettings) -> dict[str, str]:
    outside: dict[str, str] = {}
    for name in (*settings.import_.seeds, *settings.import_.documents):
        if name == PYTHON_DOCS:
            outside[name] = f"{platform.python_implementation()} {platform.python_version()}"
        else:
            outside.update({f"file {path.name} of {name}": file_hash(path) for path in _files(project.root, name)})
    return outside


def _inside(root: Path, name: str) -> str:
    """Names in the settings are relative to the project; remote ones are left as they are."""
    return name if "://" in name else str(root / name)


def _files(root: Path, name: str) -> Iterator[Path]:
    """The files behind a setting. Remote ones cannot be hashed without fetching them: their name stands for them."""
    if "://" in name:
        return
    path = root / name
    if path.is_dir():
        yield from sorted(found for found in path.rglob("*") if found.is_file())
    elif path.is_file():
        yield path
    else:
        parent = Path(path.anchor) if path.is_absolute() else Path()
        yield from sorted(found for found in parent.glob(str(path.relative_to(parent))) if found.is_file())


# -- construct -------------------------------------------------------------------------------------------------


def _construct(context: Context) -> None:
    from heedful.construct import construct
    from heedful.pipeline.engines import open_engine
    from heedful.records import read_documents, read_examples, write_examples

    settings = context.settings.construct_
    with (
        Journal(context.project.journal("construct", context.key), context.watcher) as journal,
        open_engine(settings.model, context.project.request_cache, context.watcher) as engine,
    ):
        result = construct(
            read_documents(context.inputs["import"] / "documents.parquet"),
            read_examples(context.inputs["import"] / "examples.parquet"),
            settings,
            engine=engine,
            journal=journal,
            seed=context.seed,
            watcher=context.watcher,
        )
    folder = context.draft.folder
    write_examples(folder / "examples.parquet", result.examples)
    _write_json_lines(folder / "rejected.jsonl", (rejection.as_dict() for rejection in result.rejections))
    write_json(folder / "statement.json", result.statement)
    context.watcher.say(result.statement["text"])
    context.draft.counts.update(accepted=len(result.examples), rejected=len(result.rejections))
    context.draft.summary = (
        f"{len(result.examples)} of {settings.count} examples made, {len(result.rejections)} candidates rejected"
    )


def _construct_outside(project: Project, settings: HeedfulSettings) -> dict[str, str]:
    from heedful.pipeline.engines import identity

    return {"model": identity(settings.construct_.model)}


# -- curate ----------------------------------------------------------------------------------------------------


def _curate(context: Context) -> None:
    from heedful.curate import curate, describe_funnel
    from heedful.records import read_examples, write_examples

    rows = [
        row for stage in ("import", "construct") for row in read_examples(context.inputs[stage] / "examples.parquet")
    ]
    result = curate(rows, context.settings.curate, seed=context.seed, watcher=context.watcher)
    folder = context.draft.folder
    write_examples(folder / "data.parquet", result.kept)
    write_examples(
        folder / "dropped.parquet", [row.with_meta(dropped_because=reason) for row, reason in result.dropped]
    )
    write_json(folder / "funnel.json", result.funnel)
    context.watcher.say(describe_funnel(result.funnel))
    splits = result.funnel["splits"]
    context.draft.counts.update(kept=len(result.kept), dropped=len(result.dropped), **splits)
    shares = ", ".join(f"{name} {number}" for name, number in splits.items())
    context.draft.summary = f"{len(result.kept)} rows kept, {len(result.dropped)} dropped; {shares}"


# -- pretrain --------------------------------------------------------------------------------------------------


def _pretrain(context: Context) -> None:
    from heedful.pipeline.texts import document_corpus
    from heedful.records import read_documents
    from heedful.train.pretraining import pretrain

    documents = read_documents(context.inputs["import"] / "documents.parquet")
    if not documents:
        raise InputError("this project has no documents to pretrain on; put texts into the folder documents/")
    result = pretrain(
        document_corpus(documents),
        context.settings.pretrain,
        out=context.draft.folder,
        work=context.project.checkpoints("pretrain", context.key),
        seed=context.seed,
        watcher=context.watcher,
    )
    context.draft.counts.update(steps=result.num_steps, best_step=result.best_step, tokens=result.num_text_tokens)
    found = {
        "best_validation_loss": result.best_validation_loss,
        "bits_per_byte": result.bits_per_byte,
        "tokens_per_second": result.tokens_per_second,
    }
    context.draft.metrics.update({name: value for name, value in found.items() if value is not None})
    context.draft.summary = result.describe()


# -- tune ------------------------------------------------------------------------------------------------------


def _tune(context: Context) -> None:
    from heedful.records import read_examples
    from heedful.train import tune

    folder = context.draft.folder
    result = tune(
        read_examples(context.inputs["curate"] / "data.parquet"),
        context.settings.tune,
        out=folder,
        checkpoints=context.project.checkpoints("tune", context.key),
        seed=context.seed,
        watcher=context.watcher,
        log=context.project.training_log("tune", context.key),
    )
    context.draft.counts.update(steps=result.num_steps, best_step=result.best_step)
    if result.best_validation_loss is not None:
        context.draft.metrics.update(best_validation_loss=result.best_validation_loss)
    if result.best_measure is not None:
        context.draft.metrics.update({f"best_{result.best_by}": result.best_measure})
    if result.sweep:
        context.draft.counts.update(tried=len(result.sweep))
    context.draft.summary = f"{result.num_steps} steps; {result.describe_best()}"


def _tune_outside(project: Project, settings: HeedfulSettings) -> dict[str, str]:
    from heedful.pipeline.engines import identity

    return {"model": identity(settings.tune.model)}


# -- evaluate --------------------------------------------------------------------------------------------------


def _evaluate(context: Context) -> None:
    from heedful.evaluate import evaluate
    from heedful.pipeline.engines import open_engine
    from heedful.records import read_examples

    cache, watcher = context.project.request_cache, context.watcher
    rows = read_examples(context.inputs["curate"] / "data.parquet")
    with (
        open_engine(context.settings.tune.model, cache, watcher) as base,
        open_engine(str(context.inputs["tune"] / "model"), cache, watcher) as tuned,
    ):
        results = evaluate(
            [row for row in rows if row.split == "test"],
            [row for row in rows if row.split == "train"],
            {"base": base, "tuned": tuned},
            context.settings.evaluate,
            out=context.draft.folder,
            seed=context.seed,
            watcher=watcher,
        )
    _write_report(context, results)
    context.draft.counts.update(items=results["meta"]["n"])
    context.draft.metrics.update({name: metric["difference"] for name, metric in results["overall"].items()})
    context.draft.summary = f"{results['meta']['n']} test rows answered by base and tuned model"


def _write_report(context: Context, results: Mapping[str, Any]) -> None:
    from heedful.report import ReportData, write_report

    made = {stage: read_json(folder / MANIFEST) for stage, folder in context.inputs.items()}
    sweep = _sweep_of(context.inputs["tune"])
    write_report(
        context.draft.folder / "report.html",
        ReportData(
            title=context.settings.project.name,
            results=results,
            construct=read_json(context.inputs["construct"] / "statement.json"),
            funnel=read_json(context.inputs["curate"] / "funnel.json"),
            ledger=read_json(context.inputs["tune"] / "ledger.json"),
            history=read_json(context.inputs["tune"] / "history.json"),
            best_step=made["tune"]["counts"].get("best_step"),
            metrics=_metrics_of(context, sweep),
            sweep=sweep,
            settings=context.settings.model_dump(mode="json"),
            versions=versions(),
            seconds={
                **{stage: manifest["seconds"] for stage, manifest in made.items()},
                "evaluate": context.draft.seconds,
            },
        ),
    )


def _metrics_of(context: Context, tried: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What training logged; of the sweep `tried` the winner's, who stands first."""
    from heedful.train.watching.log import read_metrics

    log = context.project.training_log("tune", context.inputs["tune"].name)
    return read_metrics(log / f"sweep-{tried[0]['number']}" if tried else log)


def _sweep_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / "sweep.json"
    return list(read_json(path)) if path.exists() else []


# -- the graph -------------------------------------------------------------------------------------------------


def _section(name: str, *keys: str) -> Any:
    def settings_of(settings: HeedfulSettings) -> dict[str, Any]:
        section: Settings = getattr(settings, name)
        return section.model_dump(mode="json", include=set(keys) if keys else None)

    return settings_of


def _nothing_outside(project: Project, settings: HeedfulSettings) -> dict[str, str]:
    return {}


STAGES: tuple[Stage, ...] = (
    Stage("import", 1, (), _section("import_"), _import_outside, _import),
    Stage("construct", 1, ("import",), _section("construct_"), _construct_outside, _construct),
    Stage("curate", 1, ("import", "construct"), _section("curate"), _nothing_outside, _curate),
    Stage("pretrain", 1, ("import",), _section("pretrain"), _nothing_outside, _pretrain, on_request=True),
    Stage("tune", 1, ("curate",), _section("tune"), _tune_outside, _tune),
    Stage("evaluate", 1, ("import", "construct", "curate", "tune"), _section("evaluate"), _tune_outside, _evaluate),
)


def publish_report(project: Project, artifact: Path) -> bool:
    """Put the current evaluation's report beside the settings; False when it lies there already.

    Compared by content: an earlier run may have been killed before this point, or old settings may be current again.
    """
    source = artifact / "report.html"
    if project.report.is_file() and filecmp.cmp(source, project.report, shallow=False):
        return False
    with atomic_write(project.report) as temporary:
        shutil.copyfile(source, temporary)
    return True


def forget_working_state(project: Project, manifest: Manifest) -> None:
    """Remove checkpoints of a run whose artefact is complete; journals and cached answers stay."""
    shutil.rmtree(project.checkpoints(manifest.stage, manifest.key), ignore_errors=True)


def _write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
