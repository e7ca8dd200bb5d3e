"""`heedful verify`: proofs about a tuning run before it is made, on a project's rows or on files, with the same settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli.session import HERE, JsonOption, ProjectOption, Session, SetOption

if TYPE_CHECKING:
    from heedful.cli.rows_view import Paint
    from heedful.train.verifying.invariance import Invariance
    from heedful.train.verifying.mask import MaskedRow, MaskProof
    from heedful.train.verifying.resuming import ResumeProof

Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE]...", help="Rows in any known format; without them, the project's curated rows."),
]
_SHADES = {True: ("green", "bright_green"), False: ("bright_black", "white")}
"""Neighbouring tokens take turns, so that one sees where a token ends."""


def register(app: typer.Typer) -> None:
    """Add `verify` with its parts to `app`."""
    verify = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Prove what tuning would do: tokens trained, resuming, batching.",
    )
    verify.command("mask")(mask)
    verify.command("resume")(resume)
    verify.command("invariance")(invariance)
    app.add_typer(verify, name="verify")


def mask(
    context: typer.Context,
    files: Files = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="How many rows to show; all are checked.")] = 3,
    id: Annotated[str, typer.Option("--id", metavar="ID", help="Show rows whose ids begin so.")] = "",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the same as one page without scripts.")
    ] = None,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Which tokens are trained, and that prompts in use are those of training. What cannot be trained is refused."""
    from heedful.pipeline import verifying

    session: Session = context.obj
    about = verifying.subject(files or [], project, overrides, session.watcher)
    proof = verifying.mask(about, session.watcher, limit=limit, id=id)
    if html is not None:
        from heedful.report.mask_page import write_mask_page

        write_mask_page(html, about.title, proof.as_dict())
    session.show("" if as_json else _shown(proof), proof.as_dict(), as_json=as_json)


def resume(
    context: typer.Context,
    files: Files = None,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Steps of the runs that are compared.")] = 6,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Whether a run that is killed at three random steps ends with the same bits. Exit code 1 when it does not."""
    from heedful.pipeline import verifying

    session: Session = context.obj
    about = verifying.subject(files or [], project, overrides, session.watcher)
    _verdict(session, verifying.resume(about, session.watcher, steps=steps), as_json)


def invariance(
    context: typer.Context,
    files: Files = None,
    rows: Annotated[int, typer.Option("--rows", metavar="N", min=2, help="How many rows a step has.")] = 8,
    double: Annotated[bool, typer.Option("--double", help="In 64 bits, within 1e-10; slower.")] = False,
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Whether loss and gradients depend on how rows are batched and packed. Exit code 1 when they do."""
    from heedful.pipeline import verifying

    session: Session = context.obj
    about = verifying.subject(files or [], project, overrides, session.watcher)
    _verdict(session, verifying.invariance(about, session.watcher, rows=rows, double=double), as_json)


def _verdict(session: Session, proof: ResumeProof | Invariance, as_json: bool) -> None:
    session.show(proof.describe(), proof.as_dict(), as_json=as_json)
    if not proof.holds:
        raise typer.Exit(1)


# -- the mask in a terminal ----------------------------------------------------------------------------------------------


def _shown(proof: MaskProof) -> str:
    from heedful.cli.rows_view import paint_of_screen

    return mask_text(proof, paint_of_screen())


def mask_text(proof: MaskProof, paint: Paint) -> str:
    """Rows with what is trained between « and », in colours too where `paint` has them; then the counts."""
    from heedful.text import visible

    blocks = ["\n".join(_row(row, paint)) for row in proof.rows]
    ends = ", ".join(map(visible, proof.end_of_turn))
    found = [
        f"{proof.num_prompts:,} prompts are the same, token by token, in training and in use",
        f"answers end with {ends}; template {proof.template_hash[:16]}",
    ]
    warnings = [paint(f"warning: {visible(warning)}", "yellow") for warning in proof.warnings]
    return "\n\n".join([*blocks, proof.table, "\n".join([*found, *warnings])])


def _row(row: MaskedRow, paint: Paint) -> Iterator[str]:
    from heedful.text import visible

    part = f", part {row.part + 1}" if row.part else ""
    yield paint(
        f"{row.split} {row.id[:12]}{part}: {row.num_trained:,} of {row.num_tokens:,} tokens trained, "
        f"{row.num_end_of_turn} ends of turn",
        "",
    )
    number = 0
    text = ""
    for stretch in row.stretches:
        shown = []
        for token in stretch.tokens:
            shown.append(paint(visible(token), _SHADES[stretch.trained][number % 2]))
            number += 1
        text += f"«{''.join(shown)}»" if stretch.trained else "".join(shown)
    yield text
