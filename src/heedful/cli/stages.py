"""One command per stage: inside a project they build up to that stage; given files, they work without a project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.cli.commands import run_project
from heedful.cli.session import HERE, JsonOption, ProjectOption, Session, SetOption
from heedful.errors import InputError

Files = Annotated[
    list[str] | None, typer.Argument(metavar="[FILE]...", help="Files, folders or globs; without them, the project's.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="PATH", help="Where to write, when files are given.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("import", help=_IMPORT)(_stage("import", "import_files"))
    app.command("construct")(construct)
    app.command("curate", help=_CURATE)(_stage("curate", "curate_files"))
    app.command("pretrain", help=_PRETRAIN)(_stage("pretrain", "pretrain_files"))
    app.command("evaluate")(evaluate)


_IMPORT = "Read rows in any known format. Says what was detected and writes examples (.parquet or .jsonl)."
_CURATE = "Clean, deduplicate and split rows. Every dropped row keeps its reason; no split leaks into another."
_PRETRAIN = "Train a model from nothing on texts. Tokenizer included; killed, it continues from its last checkpoint."


def _stage(name: str, function: str) -> Callable[..., None]:
    """A command that builds the project up to stage `name`, or calls `function` of `pipeline.standalone` on files."""

    def command(
        context: typer.Context,
        files: Files = None,
        out: Out = None,
        project: ProjectOption = HERE,
        overrides: SetOption = [],  # noqa: B006  (typer copies it)
        as_json: JsonOption = False,
    ) -> None:
        session: Session = context.obj
        if not files:
            return run_project(session, project, overrides, until=name, as_json=as_json)
        from heedful.pipeline import standalone

        result = getattr(standalone, function)(files, required(out), overrides, session.watcher)
        return show(session, result, as_json)

    return command


def construct(
    context: typer.Context,
    files: Files = None,
    seeds: Annotated[list[str], typer.Option("--seeds", metavar="FILE", help="Example rows to learn from.")] = [],  # noqa: B006
    out: Out = None,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Make examples from documents and seeds. Exactly as many as asked for, or a clear statement why not."""
    session: Session = context.obj
    if not files:
        return run_project(session, project, overrides, until="construct", as_json=as_json)
    from heedful.pipeline.standalone import construct_files

    return show(session, construct_files(files, seeds, required(out), overrides, session.watcher), as_json)


def evaluate(
    context: typer.Context,
    files: Files = None,
    tuned: Annotated[
        str | None, typer.Option("--tuned", metavar="MODEL", help="The model to judge, with files.")
    ] = None,
    out: Out = None,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Compare base and tuned model. On rows that training never saw, with intervals."""
    session: Session = context.obj
    if not files:
        return run_project(session, project, overrides, until="evaluate", as_json=as_json)
    if tuned is None:
        raise InputError(
            "evaluating files needs --tuned MODEL, a folder or a model name; the base is the setting tune.model"
        )
    from heedful.pipeline.standalone import evaluate_files

    return show(session, evaluate_files(files, tuned, required(out), overrides, session.watcher), as_json)


def required(out: Path | None) -> Path:
    if out is None:
        raise InputError("files were given, so the result needs a place: add --out PATH")
    return out


def show(session: Session, result: dict[str, Any], as_json: bool) -> None:
    session.show(str(result.pop("text")), result, as_json=as_json)
