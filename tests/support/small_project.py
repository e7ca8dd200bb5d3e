"""A small project for tests: real model, real documents, few rows; and the command line over it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SMALL = """
[project]
name = "small"

[import]
documents = ["python_docs"]

[construct]
count = 14
self_instruct = 0
document_qa = 0.07

[tune]
epochs = 1
batch_size = 4
learning_rate = 0.001
checkpoint_every = 2

[evaluate]
max_rows = 4
max_tokens = 12
"""

TINY = """
[project]
name = "tiny"

[import]
documents = ["documents"]

[construct]
count = 6
self_instruct = 0
document_qa = 0
blocks = 2

[tune]
model = {model}
epochs = 1
batch_size = 4

[evaluate]
max_rows = 3
max_tokens = 6
"""
TEA = """# Tea {number}

Tea is a drink made from leaves. Its water is hot, not boiling. Most people drink it warm, some drink it cold.

## Kinds

- green
- black
- white
"""


class Project:
    """A project folder and the command line over it, in a process of its own as users run it."""

    def __init__(self, folder: Path, *, overrides: Sequence[str] = ()) -> None:
        self.folder = folder
        self.overrides = [part for override in overrides for part in ("--set", override)]

    def arguments(self, *arguments: str) -> list[str]:
        """A command's arguments, on this project."""
        return [*arguments, *self.overrides, "--project", str(self.folder)]

    def heedful(self, *arguments: str, prefix: Sequence[str] = ("-m", "heedful")) -> subprocess.CompletedProcess[str]:
        """Run one command on the project."""
        command = [sys.executable, *prefix, *self.arguments(*arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)

    def json(self, *arguments: str) -> Any:
        """The result of a command that must succeed."""
        process = self.heedful(*arguments, "--json")
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)

    def results(self) -> dict[str, str]:
        """Content hashes of all stages, after checking that a run has nothing to do."""
        outcomes = self.json("run")
        assert not any(outcome["built"] for outcome in outcomes)
        return {outcome["stage"]: outcome["content_hash"] for outcome in outcomes}


def small_project(folder: Path) -> Project:
    """A new project with the small profile; nothing is built."""
    return _new_project(folder, SMALL)


def tiny_project(folder: Path, model: Path) -> Project:
    """A project whose whole loop ran, in seconds, on a tiny model: everything is in place, the answers are nonsense."""
    project = _new_project(folder, TINY.format(model=json.dumps(str(model))))
    for number in range(4):
        (folder / "documents" / f"tea{number}.md").write_text(TEA.format(number=number), encoding="utf-8")
    process = project.heedful("run")
    assert process.returncode == 0, process.stderr
    return project


def _new_project(folder: Path, settings: str) -> Project:
    process = subprocess.run(
        [sys.executable, "-m", "heedful", "init", str(folder)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    seeds = folder / "seeds.jsonl"
    rows = seeds.read_text(encoding="utf-8").splitlines(keepends=True)
    # Every eighth keeps most kinds of task and both languages.
    seeds.write_text("".join(rows[::8]), encoding="utf-8")
    (folder / "heedful.toml").write_text(settings, encoding="utf-8")
    return Project(folder)
