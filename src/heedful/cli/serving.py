"""`heedful serve`: the project's models for other programs and for people."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli.ending import end_now
from heedful.cli.session import (
    HERE,
    INTERRUPTED,
    JsonOption,
    PrecisionOption,
    ProjectOption,
    Session,
    SetOption,
    opened,
)

if TYPE_CHECKING:
    from heedful.serve.state import State


def register(app: typer.Typer) -> None:
    """Add `serve` to `app`."""
    app.command("serve")(serve)


def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="Where to listen; default: the setting serve.host.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one; default: serve.port."),
    ] = None,
    models: Annotated[
        list[str], typer.Option("--model", metavar="NAME", help="Serve this one, too; may be repeated.")
    ] = [],  # noqa: B006  (typer copies it)
    precision: PrecisionOption = "fastest",
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Serve the tuned model and its base. An OpenAI-compatible API and a chat page, until Ctrl-C.

    With the environment variable HEEDFUL_API_KEY set, both ask for that key.
    """
    session: Session = context.obj
    if host is not None:
        overrides = [*overrides, f"serve.host={json.dumps(host)}"]
    if port is not None:
        overrides = [*overrides, f"serve.port={port}"]
    opened_project, settings = opened(project, overrides)

    def ready(url: str, state: State) -> None:
        offered = [
            {"id": model.id, "kind": model.kind, "engine": described(model.engine)} for model in state.models.values()
        ]
        names = "\n".join(
            f"  {model.id} ({model.kind}), answered by {described(model.engine)}" for model in state.models.values()
        )
        text = f"Chat at {url}/, API at {url}/v1, models:\n{names}\nCtrl-C ends the server."
        session.show(text, {"url": url, "models": offered}, as_json=as_json)

    from heedful.pipeline.engines import described
    from heedful.serve.server import serve as serve_project

    number = serve_project(opened_project, settings, models, session.watcher, precision=precision, ready=ready)
    session.close()
    end_now(INTERRUPTED if number == signal.SIGINT else 0)
