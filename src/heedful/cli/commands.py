"""Commands about a whole project: `init`, `run`, `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli.session import HERE, JsonOption, ProjectOption, Session, SetOption, command_line, opened

if TYPE_CHECKING:
    from heedful.pipeline.run import StageOutcome
    from heedful.project.folder import Project


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("init")(init)
    app.command("run")(run)
    app.command("demo")(demo)


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to make; it may exist, but hold no project.")
    ],
) -> None:
    """Make a new project folder. It gets settings, seed tasks to replace by your own, and a place for documents."""
    from heedful.starter.create import create_project

    created = create_project(folder)
    typer.echo(
        f"Made {created.root}: heedful.toml (settings), seeds.jsonl (examples), documents/ (your texts).\n"
        f"Next: put your own texts into documents/ and your own examples into seeds.jsonl, then `heedful run --project {folder}`."
    )


def run(
    context: typer.Context,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    until: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Build what is stale, stage by stage. Killed, the same command continues."""
    session: Session = context.obj
    run_project(session, project, overrides, until=until, as_json=as_json)


def run_project(session: Session, folder: Path, overrides: list[str], *, until: str | None, as_json: bool) -> None:
    """What `run` and the single stages do on a project."""
    from heedful.pipeline.run import run as run_stages

    project, settings = opened(folder, overrides)
    outcomes = run_stages(project, settings, session.watcher, until=until, purpose=command_line())
    found = [_results(outcome) for outcome in outcomes if outcome.built and outcome.manifest.stage == "evaluate"]
    text = "\n\n".join([*found, _summary(project, outcomes)])
    session.show(text, [outcome.as_dict() for outcome in outcomes], as_json=as_json)


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to make the project.")] = Path("demo"),
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Walk the whole loop on the starter project. Ends with a report of what improved and what did not."""
    from heedful.pipeline.run import run as run_stages
    from heedful.project.folder import SETTINGS_FILE
    from heedful.starter.create import create_project

    session: Session = context.obj
    if not (folder / SETTINGS_FILE).is_file():
        create_project(folder)
    project, settings = opened(folder, overrides)
    outcomes = run_stages(project, settings, session.watcher, purpose=command_line())
    text = f"{_summary(project, outcomes)}\n\n{_what_happened(folder, outcomes)}"
    session.show(text, [outcome.as_dict() for outcome in outcomes], as_json=as_json)


def _summary(project: Project, outcomes: list[StageOutcome]) -> str:
    if not any(outcome.built for outcome in outcomes):
        return f"Nothing to do: all {len(outcomes)} stages of {project.root} are up to date."
    return "\n".join([str(project.root), *(f"  {outcome}" for outcome in outcomes)])


def _results(evaluated: StageOutcome) -> str:
    """What improved by how much, and what did not."""
    from heedful.evaluate import describe_results
    from heedful.project.atomic import read_json

    return describe_results(read_json(evaluated.folder / "results.json"))


def _what_happened(folder: Path, outcomes: list[StageOutcome]) -> str:
    """The end of the demo: what improved by how much, what did not, where everything is, what to do next."""
    evaluated, tuned, curated = (
        next(outcome for outcome in outcomes if outcome.manifest.stage == stage)
        for stage in ("evaluate", "tune", "curate")
    )
    return "\n".join(
        [
            _results(evaluated),
            "",
            "Where everything is",
            f"  the report     {folder / 'report.html'}",
            f"  the model      {tuned.folder / 'model'}  (an adapter that peft loads)",
            f"  the data       {curated.folder / 'data.parquet'}",
            f"  the answers    {evaluated.folder / 'answers.parquet'}",
            "",
            "What to do next",
            f"  look at the report         open {folder / 'report.html'}",
            f'  ask the tuned model        heedful generate --project {folder} "List three uses of a paper clip."',
            f"  follow a row to its origin heedful inspect data --project {folder} --lineage",
            "  build your own             heedful init my-assistant",
        ]
    )
