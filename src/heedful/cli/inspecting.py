"""`heedful inspect`: looking at settings, the plan, rows, and where a row came from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from heedful.cli.session import HERE, JsonOption, ProjectOption, Session, SetOption, opened


def register(app: typer.Typer) -> None:
    """Add `inspect` with its parts to `app`."""
    inspect = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Look at settings, plan, rows and their lineage."
    )
    inspect.command("settings")(settings)
    inspect.command("plan")(plan)
    inspect.command("rows")(rows)
    inspect.command("lineage")(lineage)
    app.add_typer(inspect, name="inspect")


def settings(
    context: typer.Context,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Every setting with its value, default and meaning."""
    from heedful.pipeline.settings import describe_settings

    session: Session = context.obj
    described = describe_settings(opened(project, overrides)[1])
    lines = []
    for key, value, default, meaning in described:
        changed = "" if value == default else f"   (default {default!r})"
        lines.append(f"{key} = {value!r}{changed}\n    {' '.join(meaning.split())}")
    values = {
        key: {"value": value, "default": default, "meaning": meaning} for key, value, default, meaning in described
    }
    session.show("\n".join(lines), values, as_json=as_json)


def plan(
    context: typer.Context,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Which stages are up to date, and which a run would build."""
    from heedful.pipeline.run import graph_of

    session: Session = context.obj
    opened_project, opened_settings = opened(project, overrides)
    states: list[dict[str, Any]] = []
    for item in graph_of(opened_project, opened_settings, session.watcher).plan():
        state = "up to date" if item.manifest else "to build"
        states.append(
            {
                "stage": item.stage.name,
                "state": state,
                "key": item.key,
                "summary": item.manifest.summary if item.manifest else "",
            }
        )
    session.show(
        "\n".join(f"{row['stage']:<10} {row['state']:<11} {row['summary']}" for row in states), states, as_json=as_json
    )


def rows(
    context: typer.Context,
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="train, validation, test, or dropped.")
    ] = "train",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many.")] = 10,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Rows of a split with their ids, or dropped rows with their reasons."""
    from heedful.pipeline.origins import show_rows
    from heedful.pipeline.run import graph_of

    session: Session = context.obj
    opened_project, opened_settings = opened(project, overrides)
    text, value = show_rows(graph_of(opened_project, opened_settings, session.watcher), split, limit)
    session.show(text, value, as_json=as_json)


def lineage(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="A row's id, or its first characters.")],
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """The way from a row back to the documents and seeds that it came from."""
    from heedful.pipeline.origins import lineage as project_lineage
    from heedful.pipeline.run import graph_of
    from heedful.project.lineage import describe

    session: Session = context.obj
    opened_project, opened_settings = opened(project, overrides)
    known = project_lineage(graph_of(opened_project, opened_settings, session.watcher))
    trail = known.trace(known.resolve(id))
    value = [
        {"id": a.node.id, "depth": a.depth, "stage": a.node.stage, "what": a.node.what, "text": a.node.text}
        for a in trail
    ]
    session.show(describe(trail), value, as_json=as_json)
