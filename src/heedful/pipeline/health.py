"""Whether a project is in order, for `heedful doctor`: settings, models, stages, feedback store. Looks only.

The one thing that looking may change: a feedback store of an older version is brought up to date when it is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from heedful.errors import HeedfulError, ModelError
from heedful.pipeline.doctor import Check
from heedful.pipeline.settings import HeedfulSettings, load_settings
from heedful.project.folder import Project
from heedful.project.progress import Silent


def check_project(project: Project, overrides: Iterable[str]) -> Iterator[Check]:
    """Settings first; with settings that cannot be read nothing else can be judged."""
    try:
        settings = load_settings(project.settings_path, overrides)
    except HeedfulError as error:
        yield Check("settings", "missing", str(error), "heedful inspect settings")
        return
    yield Check("settings", "ok", f"{project.settings_path} is valid")
    yield from check_models([settings.construct_.model, settings.tune.model])
    yield _stages(project, settings)
    yield _store(project, settings)


def check_models(names: Iterable[str]) -> Iterator[Check]:
    """Whether models are at hand, without loading or fetching any."""
    for name in dict.fromkeys(names):
        try:
            yield _model(name)
        except HeedfulError as error:
            yield Check(f"model {name}", "missing", str(error))


def _model(name: str) -> Check:
    from heedful.models.names import conversion_folder, identity_of, is_hub_name, locate
    from heedful.models.packages import PACKAGES

    label = f"model {name}"
    if "://" in name:
        key = "the key in $OPENAI_API_KEY is set" if os.environ.get("OPENAI_API_KEY") else "$OPENAI_API_KEY is not set"
        return Check(label, "note", f"asked over the network when it is needed; {key}")
    if is_hub_name(name):
        return _hub_model(name)
    try:
        location = locate(name)
    except ModelError as error:
        remedy = PACKAGES[name].remedy if name in PACKAGES else "heedful inspect settings"
        return Check(label, "missing", str(error).partition(";")[0], remedy)
    if location.kind == "gguf":
        converted = conversion_folder(location.path).is_dir()
        how = "converted and cached" if converted else "its first use converts it, which takes a minute"
        return Check(label, "ok", f"{location.path.name}, {how}")
    identity_of(location.path)
    return Check(label, "ok", f"{location.path}")


def _hub_model(name: str) -> Check:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = snapshot_download(name, local_files_only=True)
    except (OSError, ValueError, HfHubHTTPError):
        return Check(f"model {name}", "warning", "not fetched from the hub yet", f"hf download {name}")
    return Check(f"model {name}", "ok", f"fetched, in {Path(folder)}")


def _stages(project: Project, settings: HeedfulSettings) -> Check:
    from heedful.pipeline.run import graph_of

    command = f"heedful run --project {project.root}"
    try:
        planned = graph_of(project, settings, Silent()).plan()
    except HeedfulError as error:
        return Check("stages", "warning", f"cannot be judged: {error}")
    stale = [item.stage.name for item in planned if item.manifest is None]
    if stale:
        return Check(
            "stages",
            "note",
            f"{len(planned) - len(stale)} of {len(planned)} built; to build: {', '.join(stale)}",
            command,
        )
    return Check("stages", "ok", f"all {len(planned)} are up to date")


def _store(project: Project, settings: HeedfulSettings) -> Check:
    from heedful.feedback.store import Store

    path = project.state / "feedback.sqlite"
    if not settings.serve.store and not path.exists():
        return Check("feedback", "ok", "nothing was said yet; the store is made when it is needed")
    try:
        store = Store(settings.serve.store_url(project))
    except HeedfulError as error:
        return Check("feedback", "missing", str(error))
    try:
        number = sum(1 for _ in store.export_rows())
    except HeedfulError as error:
        return Check("feedback", "missing", str(error))
    finally:
        store.close()
    return Check("feedback", "ok", f"the store opens; {number} {'answer is' if number == 1 else 'answers are'} rated")
