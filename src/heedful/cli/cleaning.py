"""`heedful clean`: shows what is no longer used, asks, removes it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.session import HERE, JsonOption, ProjectOption, Session, SetOption, command_line, opened
from heedful.errors import InputError

if TYPE_CHECKING:
    from heedful.pipeline.cleaning import Findings, Leftover
    from heedful.project.folder import Project

_DAY = 24 * 3600
_SIZES = ("B", "kB", "MB", "GB", "TB")


def register(app: typer.Typer) -> None:
    """Add `clean` to `app`."""
    app.command("clean")(clean)


def clean(
    context: typer.Context,
    cache: Annotated[
        bool, typer.Option("--cache", help="Also the request cache, whose answers would be computed or paid for again.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Remove what the current settings no longer use. Shows it and asks first; feedback is never touched."""
    from heedful.pipeline.cleaning import find_leftovers, remove_leftovers

    session: Session = context.obj
    cleaned, settings = opened(project, overrides)
    findings = find_leftovers(cleaned, settings, cache=cache)
    removed: list[Leftover] = []
    if findings.leftovers and not dry_run:
        if not yes and not _agreed(cleaned, findings):
            typer.echo("Nothing was removed.", err=True)
        else:
            # Read again: while the question was open, settings may have changed, and with them what is used.
            cleaned, settings = opened(project, overrides)
            removed = remove_leftovers(cleaned, settings, findings.leftovers, cache=cache, purpose=command_line())
    shown = _described(cleaned, findings) if dry_run or yes or not findings.leftovers else []
    session.show(
        "\n".join([*shown, *_outcome(findings, removed, dry_run=dry_run)]),
        _as_json(cleaned, findings, removed),
        as_json=as_json,
    )


def _agreed(project: Project, findings: Findings) -> bool:
    """Ask. On standard error, since standard output may be somebody's JSON."""
    if not sys.stdin.isatty():
        raise InputError(
            "nobody can be asked: standard input is no terminal. Add --yes to remove without asking, or --dry-run to look"
        )
    typer.echo("\n".join(_described(project, findings)), err=True)
    return typer.confirm(f"Remove {_amount(findings.leftovers)}?", default=False, err=True)


def _described(project: Project, findings: Findings) -> list[str]:
    lines = [
        f"{leftover.kind:<15} {_size(leftover.num_bytes):>9}  {_age(leftover.seconds_old):<12} "
        f"{leftover.path.relative_to(project.root)}  ({leftover.why})"
        for leftover in findings.leftovers
    ]
    if findings.undecided:
        lines.append(
            f"kept: {', '.join(findings.undecided)}: a stage before is to be rebuilt, and may lead to them again; "
            "after `heedful run` they can be judged"
        )
    return lines


def _outcome(findings: Findings, removed: list[Leftover], *, dry_run: bool) -> list[str]:
    if not findings.leftovers:
        return ["Nothing to remove: everything is used by the current settings."]
    if dry_run:
        return [f"Would remove {_amount(findings.leftovers)}."]
    return [f"Removed {_amount(removed)}."] if removed else []


def _amount(leftovers: list[Leftover] | tuple[Leftover, ...]) -> str:
    number = len(leftovers)
    return f"{number} {'thing' if number == 1 else 'things'}, {_size(sum(item.num_bytes for item in leftovers))}"


def _size(num_bytes: int) -> str:
    size, unit = float(num_bytes), 0
    while size >= 1000 and unit < len(_SIZES) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_SIZES[unit]}" if unit == 0 else f"{size:.1f} {_SIZES[unit]}"


def _age(seconds: float) -> str:
    days = int(seconds // _DAY)
    return "today" if days == 0 else f"{days} {'day' if days == 1 else 'days'} old"


def _as_json(project: Project, findings: Findings, removed: list[Leftover]) -> dict[str, Any]:
    gone = {leftover.path for leftover in removed}
    return {
        "leftovers": [
            {
                "kind": leftover.kind,
                "path": leftover.path.relative_to(project.root).as_posix(),
                "bytes": leftover.num_bytes,
                "seconds_old": round(leftover.seconds_old),
                "why": leftover.why,
                "removed": leftover.path in gone,
            }
            for leftover in findings.leftovers
        ],
        "undecided_stages": list(findings.undecided),
        "bytes_removed": sum(leftover.num_bytes for leftover in removed),
    }
