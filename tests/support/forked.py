"""Run `heedful` in a forked process that has its libraries loaded already, to be killed like any other.

Importing torch, transformers, peft and Daft takes longer than the small runs of the kill tests. A forked child starts with them in memory;
SIGKILL ends it all the same, without a chance to clean up, and what lies on disk is what a killed run leaves.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from heedful.project import Watcher


def preload() -> None:
    """Load what the stages load, and nothing that starts threads: a forked process has only one."""
    import daft
    import peft
    import transformers

    import heedful.construct.stage
    import heedful.curate.steps
    import heedful.evaluate.results
    import heedful.report
    import heedful.sources
    import heedful.train.tuning

    assert all((daft, peft, transformers, heedful))


def run(
    arguments: Sequence[str], *, output: Path, watcher: Watcher | None = None, kill_after: float | None = None
) -> int:
    """Exit code of the command, or minus the signal that ended it. `kill_after` seconds it is sent SIGKILL."""
    from heedful.cli import main

    child = os.fork()
    if child == 0:
        code = 70
        try:
            target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(target, 1)
            os.dup2(target, 2)
            code = main(list(arguments), watcher=watcher)
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
