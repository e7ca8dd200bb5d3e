"""`heedful export`: the tuned model, the data or the feedback of a project, for other tools and other people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heedful.cli.session import HERE, JsonOption, ProjectOption, Session, SetOption, opened


def register(app: typer.Typer) -> None:
    """Add this file's command to `app`."""
    app.command("export")(export)


def export(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Option(
            "--what",
            metavar="WHAT",
            help="model (full weights), adapter (as it was trained), gguf (llama.cpp), data, or feedback.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="A new folder; for gguf and feedback a new file.")],
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Of data: parquet (default), jsonl, alpaca, sharegpt."),
    ] = None,
    type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Of gguf: f16 (default), f32, q8_0.")
    ] = None,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Take the model, the data or the feedback away. With a card that says what it is and what was not checked."""
    from heedful.pipeline.exporting import export as write

    session: Session = context.obj
    opened_project, settings = opened(project, overrides)
    result = write(opened_project, settings, what, out, session.watcher, format=format, type=type)
    session.show(str(result.pop("text")), result, as_json=as_json)
