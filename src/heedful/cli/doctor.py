"""`heedful doctor`: what this machine and this project have, and what is missing."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli.session import HERE, JsonOption, ProjectOption, Session, SetOption

if TYPE_CHECKING:
    from heedful.pipeline.doctor import Check

_COLOURS = {"ok": "green", "note": "blue", "warning": "yellow", "missing": "red"}


def register(app: typer.Typer) -> None:
    """Add `doctor` to `app`."""
    app.command("doctor")(doctor)


def doctor(
    context: typer.Context,
    online: Annotated[bool, typer.Option("--online", help="Also ask whether the model hub can be reached.")] = False,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Say what this machine can do and what is missing. With the one command that brings it; looks only."""
    session: Session = context.obj
    checks = _checks(project, overrides, online=online)
    ready = not any(check.state == "missing" for check in checks)
    session.show(
        _described(checks, ready=ready),
        {"ready": ready, "checks": [asdict(check) for check in checks]},
        as_json=as_json,
    )
    if not ready:
        raise typer.Exit(1)


def _checks(folder: Path, overrides: list[str], *, online: bool) -> list[Check]:
    from heedful.pipeline.doctor import check_hub, check_machine
    from heedful.project.folder import SETTINGS_FILE, Project

    # Without a project here the machine is still worth a look; one that was named must be there.
    inside = folder != HERE or (folder / SETTINGS_FILE).is_file()
    project = Project.open(folder) if inside else None
    checks = list(check_machine(folder))
    if online:
        checks.append(check_hub())
    if all(check.name not in ("python", "libraries") or check.state == "ok" for check in checks):
        # Whatever looks further needs the libraries itself.
        from heedful.pipeline.health import check_models, check_project
        from heedful.pipeline.settings import settings_from

        checks += check_project(project, overrides) if project else check_models([settings_from(overrides).tune.model])
    return checks


def _described(checks: list[Check], *, ready: bool) -> str:
    from heedful.text import visible

    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        state = typer.style(f"{check.state:<8}", fg=None if "NO_COLOR" in os.environ else _COLOURS[check.state])
        lines.append(f"{state} {visible(check.name):<{width}}  {visible(check.found)}")
        if check.remedy:
            lines.append(f"{'':<8} {'':<{width}}  -> {visible(check.remedy)}")
    lines.append("")
    lines.append("Everything needed is here." if ready else "Something needed is missing; see above.")
    return "\n".join(lines)
