"""`heedful inspect`: looking at settings, the plan, the data, and where a row came from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.session import HERE, JsonOption, ProjectOption, Session, SetOption, opened

if TYPE_CHECKING:
    from heedful.pipeline.rows import Rows
    from heedful.report.rows import DataView


def register(app: typer.Typer) -> None:
    """Add `inspect` with its parts to `app`."""
    inspect = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Look at settings, plan, rows and their lineage."
    )
    inspect.command("settings")(settings)
    inspect.command("plan")(plan)
    inspect.command("data")(data)
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


def data(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Files in any format; without them, the project's rows."),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="train, validation or test.")] = "",
    dropped: Annotated[
        bool | None, typer.Option("--dropped/--kept", help="Only rows that were dropped, or only others.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="NAME", help="Why a row was dropped.")] = "",
    method: Annotated[str, typer.Option("--method", metavar="NAME", help="What made the row.")] = "",
    language: Annotated[str, typer.Option("--language", metavar="CODE", help="en, zh ...")] = "",
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="For example 'templates/*'.")] = "",
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="For example 'python-docs:*'.")] = "",
    search: Annotated[
        str, typer.Option("--search", metavar="TEXT", help="Occurs in a message, whatever its case.")
    ] = "",
    id: Annotated[str, typer.Option("--id", metavar="ID", help="The first characters of the row's id.")] = "",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="How many rows; 10, or 200 with --html.")] = None,
    offset: Annotated[int, typer.Option("--offset", min=0, help="How many matching rows to pass over.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="Long messages to their end.")] = False,
    with_lineage: Annotated[bool, typer.Option("--lineage", help="Also each row's way back to its sources.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the same view as one page without scripts.")
    ] = None,
    page_language: Annotated[
        str, typer.Option("--language-of-page", metavar="CODE", help="en or zh; default: as most rows on it.")
    ] = "",
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Rows, kept and dropped, with reasons. Names in filters may be patterns with *."""
    from heedful.pipeline.rows import RowFilter, file_rows

    session: Session = context.obj
    wanted = RowFilter(
        split=split, dropped=dropped, reason=reason, method=method, language=language,
        task=task, source=source, search=search, id=id,
    )  # fmt: skip
    rows = file_rows(files) if files else _rows_of(session, project, overrides)
    most = limit or (10 if html is None else 200)
    view = rows.view(wanted, offset=offset, limit=most, with_lineage=with_lineage)
    if html is not None:
        from heedful.report.rows_page import write_rows_page

        write_rows_page(html, view, language=page_language)
        text = f"{len(view.rows):,} of {view.matching:,} matching rows ({view.total:,} in all) written to {html}"
        return session.show(text, {**view.as_dict(), "html": str(html)}, as_json=as_json)
    return session.show("" if as_json else _terminal_text(view, full), view.as_dict(), as_json=as_json)


def _rows_of(session: Session, folder: Path, overrides: list[str]) -> Rows:
    from heedful.pipeline.rows import project_rows
    from heedful.pipeline.run import graph_of

    project, settings = opened(folder, overrides)
    return project_rows(graph_of(project, settings, session.watcher), settings.project.name)


def _terminal_text(view: DataView, full: bool) -> str:
    from heedful.cli.rows_view import paint_of_screen, terminal_view

    # COLUMNS, or the terminal's width; 80 where there is neither. Longer lines are hard to read.
    width = min(max(shutil.get_terminal_size((80, 24)).columns, 40), 120)
    return terminal_view(view, width=width, paint=paint_of_screen(), full=full)


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

    session: Session = context.obj
    opened_project, opened_settings = opened(project, overrides)
    known = project_lineage(graph_of(opened_project, opened_settings, session.watcher))
    trail = known.trace(known.resolve(id))
    session.show(str(trail), [ancestor.as_dict() for ancestor in trail], as_json=as_json)
