"""Making a new project folder from the starter: settings, seed tasks, a folder for documents."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from heedful.errors import ProjectError
from heedful.project.atomic import write_text
from heedful.project.folder import SETTINGS_FILE, Project

_FILES = ("seeds.jsonl", SETTINGS_FILE)
"""The settings come last: a folder without them is not a project yet, so a killed `init` can simply be repeated."""


def create_project(folder: Path) -> Project:
    """Fill `folder` from the starter; raises ProjectError when a project or a file of the same name is there already."""
    if folder.exists() and not folder.is_dir():
        raise ProjectError(f"{folder} is a file; name a folder, for example `heedful init my-assistant`")
    if (folder / SETTINGS_FILE).exists():
        raise ProjectError(f"{folder} holds a project already; `heedful run --project {folder}` builds it")
    for name in _FILES:
        target = folder / name
        if not target.exists():
            write_text(target, (resources.files("heedful.starter") / name).read_text(encoding="utf-8"))
    (folder / "documents").mkdir(exist_ok=True)
    return Project.open(folder)
