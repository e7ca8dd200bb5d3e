"""Models that can be talked to, by name; each is loaded when it is first asked for, and stays until the end."""

from __future__ import annotations

from pathlib import Path

from heedful.cli.chat.conversation import BASE, TUNED, Voice
from heedful.errors import ModelError
from heedful.models.names import is_hub_name
from heedful.models.packages import PACKAGES
from heedful.pipeline.engines import Arithmetic, keeping, new_engine
from heedful.pipeline.run import graph_of, tuned_model
from heedful.pipeline.settings import HeedfulSettings
from heedful.project.folder import Project
from heedful.project.progress import Watcher
from heedful.project.settings import nearest
from heedful.serve.loading import model_id, own_ids


class Voices:
    """`tuned` and `base` are the project's; any other name is a model's. Answers are kept under the names of the page."""

    def __init__(
        self, project: Project, settings: HeedfulSettings, watcher: Watcher, precision: Arithmetic = "fastest"
    ) -> None:
        self._project, self._settings, self._watcher, self._precision = project, settings, watcher, precision
        self._loaded: dict[str, tuple[str, Voice]] = {}
        """What was loaded, and the voice, by id."""

    def voice(self, name: str) -> Voice:
        """The model `name`, ready to answer; raises ProjectError or ModelError with what to do."""
        id, model = self._meant(name)
        if id not in self._loaded:
            self._loaded[id] = (
                model,
                Voice(id, keeping(new_engine(model, self._watcher, precision=self._precision), model)),
            )
        loaded, voice = self._loaded[id]
        if loaded != model:
            raise ModelError(f"{name}: its answers would be kept as {id!r}, like those of {loaded}; rename one of them")
        return voice

    def describe(self, id: str) -> str:
        """An id as people know it: `tiny (tuned)`."""
        tuned, base = own_ids(self._settings)
        return {tuned: f"{id} ({TUNED})", base: f"{id} ({BASE})"}.get(id, id)

    def close(self) -> None:
        """Let go of all models."""
        for _, voice in self._loaded.values():
            voice.engine.close()

    def _meant(self, name: str) -> tuple[str, str]:
        """The id under which answers are kept, and what to load."""
        tuned, base = own_ids(self._settings)
        if name in (TUNED, tuned):
            return tuned, tuned_model(graph_of(self._project, self._settings, self._watcher))
        if name in (BASE, base, self._settings.tune.model):
            return base, self._settings.tune.model
        known = name in PACKAGES or is_hub_name(name) or "://" in name or Path(name).expanduser().exists()
        if not known:
            raise ModelError(
                f"no model {name!r}: neither {TUNED} nor {BASE}, nor a folder, nor a model's name; "
                f"{nearest(name, [TUNED, BASE, *PACKAGES])}"
            )
        id = model_id(name)
        if id in (tuned, base):
            raise ModelError(f"{name}: its answers would be kept as {id!r}, like those of the project's own; rename it")
        return id, name
