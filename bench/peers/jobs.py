"""Jobs for a peer's process and its answers, JSON on one line each.

Imports nothing but the standard library: the peer's own Python reads this, too, as `jobs`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

Ask = Callable[[dict[str, Any]], dict[str, Any]]


@contextmanager
def peer(name: str, python: Path, side: str, *arguments: object) -> Iterator[tuple[Ask, dict[str, str]]]:
    """A process of `python` that answers jobs by the script `side` beside this file, and the versions of what it runs.

    What it says on stderr is told where it ends too early: that ends us.
    """
    command = [str(python), str(Path(__file__).with_name(side)), *map(str, arguments)]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        lines, jobs = process.stdout, process.stdin

        def answer() -> dict[str, Any]:
            line = lines.readline()
            if not line:
                said.seek(0)
                sys.exit(f"{name}'s process ended:\n" + said.read().decode(errors="replace")[-2000:])
            content: dict[str, Any] = json.loads(line)
            return content

        def ask(job: dict[str, Any]) -> dict[str, Any]:
            print(json.dumps(job), file=jobs, flush=True)
            return answer()

        try:
            yield ask, answer()["versions"]
        finally:
            jobs.close()


def answer_jobs(packages: Sequence[str], answered: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The peer's side: tell the versions of `packages`, then answer until there are no more jobs."""
    # Libraries print as they like; answers go where nobody else writes.
    answers, sys.stdout = sys.stdout, sys.stderr

    def say(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    say({"versions": {name: version(name) for name in packages}})
    for line in sys.stdin:
        say(answered(json.loads(line)))
