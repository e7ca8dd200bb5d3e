"""Which models a server offers, under which ids, and how they are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heedful.errors import InputError, ProjectError
from heedful.models.names import is_hub_name, locate
from heedful.models.packages import PACKAGES
from heedful.models.vocabulary import Vocabulary
from heedful.pipeline.engines import Arithmetic, keeping, loaded_for, local_engine, new_engine
from heedful.pipeline.run import graph_of, tuned_model
from heedful.pipeline.settings import HeedfulSettings
from heedful.project.folder import Project
from heedful.project.progress import Watcher, steps
from heedful.serve.state import ServedModel


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model to serve."""

    id: str
    name: str
    """What to load: see `pipeline.engines`."""
    kind: Literal["tuned", "base", "other"]


def wanted_models(project: Project, settings: HeedfulSettings, names: Sequence[str], watcher: Watcher) -> list[Wanted]:
    """The project's tuned model and its base, then `names`; in a project that is not tuned yet, `names` alone."""
    try:
        tuned = tuned_model(graph_of(project, settings, watcher))
    except ProjectError as error:
        if not names:
            raise ProjectError(f"{error}, or name the models to serve with --model NAME") from None
        own = []
    else:
        tuned_id, base_id = own_ids(settings)
        own = [Wanted(tuned_id, tuned, "tuned"), Wanted(base_id, settings.tune.model, "base")]
    wanted = [*own, *(Wanted(model_id(name), name, "other") for name in names)]
    _check(wanted)
    return wanted


def own_ids(settings: HeedfulSettings) -> tuple[str, str]:
    """The ids of the project's tuned model and of its base."""
    tuned, base = settings.project.name or "tuned", model_id(settings.tune.model)
    return tuned, base if base != tuned else f"{base}-base"


def model_id(name: str) -> str:
    """The id for a model's name: that name, but of a folder or file only its last part, since ids leave the machine."""
    if name in PACKAGES or is_hub_name(name):
        return name
    if "://" in name:
        return name.partition("#")[2]
    return Path(name).expanduser().resolve().stem if name.endswith(".gguf") else Path(name).expanduser().resolve().name


def load_models(wanted: Iterable[Wanted], watcher: Watcher, precision: Arithmetic = "fastest") -> list[ServedModel]:
    """Load all of them; on failure those loaded before are closed again."""
    models: list[ServedModel] = []
    wanted = list(wanted)
    try:
        with steps(watcher, "load models", len(wanted), "models") as progress:
            for item in wanted:
                models.append(_load(item, watcher, precision))
                progress.advance(note=item.id)
    except BaseException:
        for model in models:
            model.engine.close()
        raise
    return models


def _check(wanted: Sequence[Wanted]) -> None:
    """Before the long work: all models are there, and no two of them would answer to one id."""
    seen: dict[str, Wanted] = {}
    for item in wanted:
        if (other := seen.setdefault(item.id, item)) is not item:
            raise InputError(
                f"--model {item.name}: {other.name} is served under the id {item.id!r} already; leave one out"
            )
        if "://" not in item.name:
            locate(item.name)


def _load(item: Wanted, watcher: Watcher, precision: Arithmetic) -> ServedModel:
    if "://" in item.name:
        return ServedModel(item.id, keeping(new_engine(item.name, watcher), item.name), item.kind)
    loaded = loaded_for(item.name, precision, watcher)
    vocabulary = Vocabulary(loaded.tokenizer.backend_tokenizer)
    return ServedModel(item.id, local_engine(loaded, watcher, precision), item.kind, vocabulary)
