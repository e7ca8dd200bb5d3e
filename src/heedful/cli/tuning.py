"""`heedful tune`: as every stage, and with `--dry-run` only what it would take."""

from __future__ import annotations

from typing import Annotated

import typer

from heedful.cli.commands import run_project
from heedful.cli.session import HERE, JsonOption, ProjectOption, Session, SetOption, command_line, opened
from heedful.cli.stages import Files, Out, required, show

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how long it would take, and how much memory.")]


def register(app: typer.Typer) -> None:
    """Add this file's command to `app`."""
    app.command("tune")(tune)


def tune(
    context: typer.Context,
    files: Files = None,
    out: Out = None,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    dry_run: DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Tune the model on the training split. Only answers are learnt; killed, it continues from its last checkpoint."""
    session: Session = context.obj
    if dry_run:
        return _foretell(session, files, project, overrides, as_json=as_json)
    if not files:
        return run_project(session, project, overrides, until="tune", as_json=as_json)
    from heedful.pipeline.standalone import tune_files

    return show(session, tune_files(files, required(out), overrides, session.watcher), as_json)


def _foretell(
    session: Session, files: list[str] | None, project: ProjectOption, overrides: list[str], *, as_json: bool
) -> None:
    from heedful.pipeline.foretelling import foretell_files, foretell_project

    if files:
        return show(session, foretell_files(files, overrides, session.watcher), as_json)
    found, settings = opened(project, overrides)
    return show(session, foretell_project(found, settings, session.watcher, purpose=command_line()), as_json)
