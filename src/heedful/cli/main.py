"""The entry point: runs a command and turns what went wrong into one clear message and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from heedful import __version__
from heedful.cli import (
    chat,
    cleaning,
    commands,
    company,
    doctor,
    exporting,
    generating,
    inspecting,
    serving,
    stages,
    tuning,
    verifying,
)
from heedful.cli.ending import end_now
from heedful.cli.session import INTERRUPTED, Session
from heedful.errors import HeedfulError

if TYPE_CHECKING:
    from heedful.project.progress import Watcher

# The base of everything that typer raises about how a command was written; it has no public name of its own.
_USAGE_ERROR: type[Any] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def application() -> typer.Typer:
    """All commands."""
    app = typer.Typer(
        name="heedful",
        help="Documents, a handful of examples and a base model become a model that follows instructions, with proof.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_top)
    for module in (
        commands,
        stages,
        tuning,
        generating,
        inspecting,
        verifying,
        chat,
        serving,
        exporting,
        doctor,
        cleaning,
    ):
        module.register(app)
    return app


def _top(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=lambda wanted: _version(wanted), help="Print the version."
    ),
) -> None:
    """Options that stand before a command."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heedful {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None, *, watcher: Watcher | None = None) -> int:
    """Run one command; returns the exit code. `watcher` replaces the progress display."""
    session = Session(watcher)
    try:
        result = application()(
            list(sys.argv[1:] if arguments is None else arguments), obj=session, standalone_mode=False
        )
        # typer turns Ctrl-C into its exit code, without a word, and `typer.Exit(1)` into 1.
        if result == INTERRUPTED:
            return _interrupted(session)
        return result if isinstance(result, int) else 0
    except HeedfulError as error:
        return _failed(session, str(error), error.exit_code)
    except typer.Exit as error:
        return error.exit_code
    except _USAGE_ERROR as error:
        session.close()
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(session)
    except Exception as error:
        if (reason := _full_disk(error)) is None:
            session.close()
            raise
        return _failed(session, reason, 1)
    finally:
        session.close()


def _interrupted(session: Session) -> int:
    return _failed(session, "interrupted; what is done is kept, and the same command continues", INTERRUPTED)


def _failed(session: Session, message: str, code: int) -> int:
    session.close()
    typer.echo(f"heedful: {message}", err=True)
    return code


def _full_disk(error: BaseException | None) -> str | None:
    """Libraries report a full disk each in their own way; people need to hear it in one."""
    while error is not None:
        number = getattr(error, "errno", None)
        text = str(error).lower()
        if (
            number in (errno.ENOSPC, errno.EDQUOT)
            or "no space left on device" in text
            or "database or disk is full" in text
        ):
            return "the disk is full; free some space and run the same command again: what is done is kept, nothing is half written"
        error = error.__cause__ or error.__context__
    return None


def console() -> None:
    """What the `heedful` script calls."""
    if company.is_several():
        end_now(company.in_company(main))
    sys.exit(main())
