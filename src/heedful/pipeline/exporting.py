"""Project -> something to take away: the tuned model, its adapter, a GGUF file, the data, the feedback.

Everything is written beside its place and appears there by one rename; a place that is taken is refused. Each
function returns what it did as plain data, with a `text` for people.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.errors import InputError, ProjectError, StorageError
from heedful.pipeline.data_formats import FORMATS, write_lines
from heedful.pipeline.graph import Graph
from heedful.pipeline.origins import built_folders
from heedful.pipeline.run import graph_of, tuned_model
from heedful.pipeline.settings import HeedfulSettings
from heedful.project.artifacts import versions
from heedful.project.atomic import atomic_folder, read_json, write_text
from heedful.project.folder import Project
from heedful.project.progress import Watcher, steps
from heedful.project.settings import nearest
from heedful.records import SPLITS, Example, read_examples

if TYPE_CHECKING:
    from heedful.models import LoadedModel
    from heedful.report.cards import ModelFacts

CARD = "README.md"
REFUSED = "refused.jsonl"


@dataclass(frozen=True, slots=True)
class Export:
    """What is wanted."""

    project: Project
    settings: HeedfulSettings
    out: Path
    watcher: Watcher
    format: str = "parquet"
    """Of the data."""
    type: str = "f16"
    """Of the numbers in a GGUF file."""

    @property
    def graph(self) -> Graph:
        return graph_of(self.project, self.settings, self.watcher)


def export(
    project: Project,
    settings: HeedfulSettings,
    what: str,
    out: Path,
    watcher: Watcher,
    *,
    format: str | None = None,
    type: str | None = None,
) -> dict[str, Any]:
    """Write `what` (a name of `EXPORTS`) to `out`; raises a UserError before anything is written."""
    _one_of("--what", what, EXPORTS)
    chosen: dict[str, str] = {}
    if format is not None:
        _belongs("format", what, "data")
        chosen["format"] = _one_of("--format", format, FORMATS)
    if type is not None:
        _belongs("type", what, "gguf")
        from heedful.models.gguf_writer import TYPES

        chosen["type"] = _one_of("--type", type, TYPES)
    _check_place(out, _SUFFIXES.get(what, ""))
    return {"what": what, "out": str(out), **EXPORTS[what](Export(project, settings, out, watcher, **chosen))}


def _belongs(option: str, what: str, to: str) -> None:
    if what != to:
        raise InputError(f"--{option} is for --what {to}; --what {what} has none: leave it out")


def _one_of(option: str, value: str, valid: Iterable[str]) -> str:
    names = list(valid)
    if value not in names:
        raise InputError(f"{option} {value!r}: expected one of {', '.join(names)}; {nearest(value, names)}")
    return value


def _check_free(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise InputError(f"--out {out}: something is there already; name another place, or remove it first")


def _check_place(out: Path, suffix: str) -> None:
    _check_free(out)
    if suffix and out.suffix != suffix:
        raise InputError(f"--out {out}: this writes one file; expected a name that ends in {suffix}")
    parent = next(parent for parent in out.absolute().parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {out}: {parent} is not a folder that you may write into; name another place")


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder that appears at `out` when it is whole, readable by whoever may read what we write."""
    try:
        with atomic_folder(out) as folder:
            yield folder
            # Some libraries write files for their owner's eyes only; the card was written as any other file is.
            mode = (folder / CARD).stat().st_mode
            for path in folder.rglob("*"):
                if path.is_file():
                    path.chmod(mode)
            _check_free(out)  # again: large models take minutes, and the rename would replace a folder
    except PermissionError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror}); name another place") from error


# -- the model -------------------------------------------------------------------------------------------------


def _export_model(wanted: Export) -> dict[str, Any]:
    """Full weights: an ordinary Hugging Face folder."""
    from heedful.models.merging import merged, save_merged
    from heedful.render import renderer_for

    loaded = _load_tuned(wanted)
    renderer, base = renderer_for(loaded), _base(loaded)
    assert loaded.info is not None
    extra = dict(loaded.info.extra)
    # The name says what it was; where it lay on this machine is nobody else's business.
    extra["settings"] = {**extra.get("settings", {}), "model": base.name}
    with steps(wanted.watcher, "write model", None, "files"), _folder(wanted.out) as folder:
        save_merged(
            merged(loaded),
            folder,
            base=base.name,
            end_of_turn_ids=renderer.end_of_turn_ids,
            template_hash=renderer.template_hash,
            extra=extra,
        )
        _write_model_card(wanted, loaded, base, folder, "merged")
    return {
        **_files(wanted.out),
        "text": f"The tuned model, full weights, is in {wanted.out}: transformers loads it, and so does "
        f'`heedful generate --model {wanted.out} "..."`.',
    }


def _export_adapter(wanted: Export) -> dict[str, Any]:
    """The adapter as training wrote it, and a card."""
    source = Path(tuned_model(wanted.graph))
    if not (source / "adapter_config.json").is_file():
        raise ProjectError(
            f'{wanted.project.root}: all weights were trained (tune.adapter = "none"), so there is no adapter; '
            "`heedful export --what model` writes the whole model"
        )
    loaded = _load_tuned(wanted)
    base = _base(loaded)
    with _folder(wanted.out) as folder:
        for path in sorted(source.iterdir()):
            shutil.copyfile(path, folder / path.name)
        _write_model_card(wanted, loaded, base, folder, "adapter")
    return {
        **_files(wanted.out),
        "base_model": base.name,
        "text": f"The adapter is in {wanted.out}; peft loads it onto its base, {base.name}.",
    }


def _export_gguf(wanted: Export) -> dict[str, Any]:
    """One file for llama.cpp."""
    from heedful.models.gguf_writer import GgufFacts, check_gguf, write_gguf
    from heedful.models.merging import merged
    from heedful.render import PLAIN_TEMPLATES, renderer_for

    loaded = _load_tuned(wanted)
    renderer, base = renderer_for(loaded), _base(loaded)
    check_gguf(loaded)
    template = loaded.tokenizer.chat_template
    languages = sorted({row.language for row in _rows(wanted) if row.language})
    facts = GgufFacts(
        name=wanted.settings.project.name,
        # llama.cpp takes ChatML for a file without a template, which this model was not trained on.
        chat_template=template or PLAIN_TEMPLATES["plain"],
        end_of_turn=renderer.end_of_turn_ids[0],
        base_model=base.name,
        license=base.license,
        languages=tuple(languages),
    )
    write_gguf(merged(loaded), wanted.out, type=wanted.type, facts=facts, watcher=wanted.watcher)
    text = f"The tuned model is in {wanted.out} ({wanted.type}), with its tokenizer and chat template inside."
    if not template:
        text += (
            " It was trained on plain headings, English and Chinese; the file can hold only one template: the English."
        )
    return {"type": wanted.type, "bytes": wanted.out.stat().st_size, "text": text}


@dataclass(frozen=True, slots=True)
class _Base:
    """What is known of the model that was tuned."""

    name: str
    """As the hub or the package calls it; of a local folder only its own name."""
    on_hub: bool = False
    license: str = ""
    install: str = ""


def _base(loaded: LoadedModel) -> _Base:
    from importlib import metadata

    from heedful.models.names import is_hub_name, locate
    from heedful.models.packages import PACKAGES

    assert loaded.info is not None
    name = loaded.info.base_model
    if name in PACKAGES:
        package = PACKAGES[name]
        if package.terms is not None:
            return _Base(name, license=package.terms.license, install=package.preparation)
        said = metadata.metadata(package.module)
        fields = [field for field in ("License-Expression", "License") if field in said]
        return _Base(name, license=said[fields[0]] if fields else "", install=package.preparation)
    on_hub = is_hub_name(name)
    return _Base(name if on_hub else Path(name).name, on_hub=on_hub, license=_license_in(locate(name).path))


def _license_in(folder: Path) -> str:
    """What a model folder's own card says; empty when it has none, or says nothing."""
    from huggingface_hub import ModelCard

    if not (folder / CARD).is_file():
        return ""
    with contextlib.suppress(Exception):  # someone else's file: whatever is wrong with it, it states no licence
        said = ModelCard.load(folder / CARD).data.get("license")
        return said if isinstance(said, str) else ""
    return ""


def _load_tuned(wanted: Export) -> LoadedModel:
    from heedful.models import load

    return load(tuned_model(wanted.graph), watcher=wanted.watcher)


def _write_model_card(wanted: Export, loaded: LoadedModel, base: _Base, folder: Path, kind: Any) -> None:
    from heedful.report.cards import model_card

    write_text(folder / CARD, model_card(_model_facts(wanted, loaded, base, kind)))


def _model_facts(wanted: Export, loaded: LoadedModel, base: _Base, kind: Any) -> ModelFacts:
    from heedful.report.cards import ModelFacts, summarise

    folders = built_folders(wanted.graph)
    assert loaded.info is not None
    extra = loaded.info.extra
    loss = extra.get("best_validation_loss")
    best = f"the weights of step {extra.get('best_step')} were kept" + (
        f", which had the best validation loss ({loss:.3f})" if loss is not None else ", the last one"
    )
    return ModelFacts(
        name=wanted.settings.project.name,
        kind=kind,
        base_model=base.name,
        base_on_hub=base.on_hub,
        base_license=base.license,
        base_install=base.install,
        data=summarise(_rows(wanted)),
        has_template=bool(loaded.tokenizer.chat_template),
        tune=wanted.settings.tune.model_dump(mode="json"),
        ledger=read_json(folders["tune"] / "ledger.json"),
        best=best,
        versions=versions(),
        results=read_json(folders["evaluate"] / "results.json") if "evaluate" in folders else None,
    )


def _files(out: Path) -> dict[str, Any]:
    files = {path.relative_to(out).as_posix(): path.stat().st_size for path in sorted(out.rglob("*")) if path.is_file()}
    return {"files": files, "bytes": sum(files.values())}


# -- the data --------------------------------------------------------------------------------------------------


def _rows(wanted: Export) -> list[Example]:
    return read_examples(wanted.graph.folder("curate") / "data.parquet")


def _export_data(wanted: Export) -> dict[str, Any]:
    """One file for each split, and a card."""
    from heedful.report.cards import dataset_card

    chosen = FORMATS[wanted.format]
    rows = _rows(wanted)
    reasons = {row.id: chosen.refuse(row) for row in rows}
    held = [row for row in rows if not reasons[row.id]]
    assert all(row.split in SPLITS for row in rows), "curation gives every row a split"
    refused = [{"id": row.id, "split": row.split, "reason": reasons[row.id]} for row in rows if reasons[row.id]]
    if not held:
        raise InputError(
            f"--format {wanted.format} can hold none of the {len(rows)} rows: {_said(refused)}; --format parquet holds all"
        )
    with _folder(wanted.out) as folder:
        files: dict[str, str] = {}
        for split in SPLITS:
            if of_split := [row for row in held if row.split == split]:
                files[split] = f"{split}{chosen.suffix}"
                chosen.write(folder / files[split], of_split)
        if refused:
            write_lines(folder / REFUSED, refused)
        write_text(folder / CARD, dataset_card(_dataset_facts(wanted, files, held, Counter(_reasons(refused)))))
    text = f"{len(held)} rows are in {wanted.out} ({wanted.format}: {', '.join(files.values())})."
    if refused:
        text += f" {wanted.format} cannot hold {len(refused)} rows: {_said(refused)}; {REFUSED} lists them."
    if chosen.left_out:
        text += f" The format has no place for {chosen.left_out}."
    return {
        **_files(wanted.out),
        "format": wanted.format,
        "rows": dict(Counter(row.split for row in held)),
        "refused": dict(Counter(_reasons(refused))),
        "text": text,
    }  # fmt: skip


def _dataset_facts(wanted: Export, files: Mapping[str, str], held: list[Example], refused: Mapping[str, int]) -> Any:
    from heedful.report.cards import DatasetFacts, summarise

    chosen = FORMATS[wanted.format]
    graph = wanted.graph
    return DatasetFacts(
        name=wanted.settings.project.name,
        format=wanted.format,
        files=files,
        features=chosen.features,
        columns_left_out=chosen.left_out,
        refused=refused,
        refused_file=REFUSED,
        data=summarise(held),
        statement=read_json(graph.folder("construct") / "statement.json"),
        funnel=read_json(graph.folder("curate") / "funnel.json"),
        writing_model=_shown_model(wanted.settings.construct_.model),
        versions=versions(),
    )


def _shown_model(name: str) -> str:
    """A model as others know it: of a local folder only its own name."""
    from heedful.models.names import is_hub_name
    from heedful.models.packages import PACKAGES

    return name if name in PACKAGES or is_hub_name(name) or "://" in name else Path(name).name


def _reasons(refused: list[dict[str, str]]) -> list[str]:
    return [row["reason"] for row in refused]


def _said(refused: list[dict[str, str]]) -> str:
    return ", ".join(f"{count} ({reason})" for reason, count in Counter(_reasons(refused)).most_common())


# -- the feedback ----------------------------------------------------------------------------------------------


def _export_feedback(wanted: Export) -> dict[str, Any]:
    """What people said about answers, as JSON Lines that `heedful import` reads."""
    from heedful.feedback.rows import write_feedback
    from heedful.feedback.store import Store

    store = Store(wanted.settings.serve.store_url(wanted.project))
    try:
        num_rows = write_feedback(store, wanted.out)
    finally:
        store.close()
    text = f"{num_rows} rows of feedback are in {wanted.out}; `heedful import {wanted.out} --out FILE` makes examples of them."
    return {"rows": num_rows, "text": text if num_rows else f"Nobody has said anything yet: {wanted.out} is empty."}


EXPORTS: Mapping[str, Callable[[Export], dict[str, Any]]] = {
    "model": _export_model,
    "adapter": _export_adapter,
    "gguf": _export_gguf,
    "data": _export_data,
    "feedback": _export_feedback,
}
_SUFFIXES = {"gguf": ".gguf", "feedback": ".jsonl"}
