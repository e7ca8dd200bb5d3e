"""What every command shares: its options, the watcher that draws progress, and how results are printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from heedful.pipeline.settings import HeedfulSettings
    from heedful.project.folder import Project
    from heedful.project.progress import Watcher

ProjectOption = Annotated[Path, typer.Option("--project", metavar="DIR", help="The project's folder.")]
SetOption = Annotated[
    list[str],
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Lay a setting over heedful.toml; may be repeated."),
]
Precision = Literal["float32", "bfloat16", "int8", "fastest"]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="Of weights on this machine: float32 is what evaluation uses, int8 the fastest."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output, all else on standard error.")
]

HERE = Path()
INTERRUPTED = 130
"""The exit code after Ctrl-C."""


class Session:
    """One command's surroundings. Progress goes to standard error, results to standard output."""

    def __init__(self, watcher: Watcher | None = None) -> None:
        self._watcher = watcher

    @property
    def watcher(self) -> Watcher:
        """Made when first needed: drawing needs libraries that `--help` does not."""
        if self._watcher is None:
            from heedful.project.watching import terminal_watcher

            self._watcher = terminal_watcher()
        return self._watcher

    def close(self) -> None:
        """Leave the terminal as it was found."""
        close = getattr(self._watcher, "close", None)
        if close is not None:
            close()

    def show(self, text: str, value: Any, *, as_json: bool) -> None:
        """The command's result: `value` as JSON, or `text` for people."""
        self.close()
        typer.echo(json.dumps(value, ensure_ascii=False, indent=1) if as_json else text)


def opened(folder: Path, overrides: list[str]) -> tuple[Project, HeedfulSettings]:
    """The project in `folder` and its settings."""
    from heedful.pipeline.settings import load_settings
    from heedful.project.folder import Project

    project = Project.open(folder)
    return project, load_settings(project.settings_path, overrides)


def command_line() -> str:
    """The command as typed, for messages to others who find the project in use."""
    return " ".join(["heedful", *sys.argv[1:3]])
