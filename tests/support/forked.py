"""Run `heedful` in forked processes that have its libraries loaded already, to be killed like any other.

Importing torch, transformers, peft and Daft takes longer than the small runs of the kill tests, so one process loads them and forks a
child for each run. SIGKILL ends a child all the same, without a chance to clean up, and what lies on disk is what a killed run leaves.
That process is one of its own, not the one that runs the tests: a fork copies only the thread that asks for it, and locks or worker
threads that earlier tests left behind (OpenMP, Daft) would hang or crash the child.

    python forked.py        reads one order a line from stdin, answers each with the exit code on stdout
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Nursery:
    """The process that forks, seen from the tests."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        kill_at: tuple[str, int] | None = None,
        kill_after: float | None = None,
    ) -> int:
        """Exit code of `heedful ARGUMENTS`, or minus the signal that ended it.

        It dies at the milestone `kill_at` (name, occurrence), or is sent SIGKILL after `kill_after` seconds; its output goes to a file.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": list(arguments), "output": str(output), "kill_at": kill_at, "kill_after": kill_after}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the forking process ended with {self._process.wait()}"
        return int(answer)


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A forking process for as long as the block runs."""
    # OpenBLAS starts threads when numpy is imported, unless told that one is enough; torch counts with OpenMP all the same.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield Nursery(process)
        finally:
            process.kill()


def _preload() -> None:
    """Load what the stages load, and nothing that starts threads."""
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
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    # jemalloc's threads are made anew after a fork, by jemalloc itself.
    others = [name for name in threads if name != "jemalloc_bg_thd"]
    assert len(others) == 1, f"the imports started {threads}; a forked process would lack them"


def _child(arguments: list[str], output: Path, kill_at: tuple[str, int] | None) -> int:
    """What a forked process does: one command, its output in a file."""
    from heedful.cli import main
    from killer import Killer

    target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, descriptor in ((nothing, 0), (target, 1), (target, 2)):
        os.dup2(source, descriptor)
    return main(arguments, watcher=Killer(*kill_at) if kill_at else None)


def _serve() -> None:
    _preload()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = _child(order["arguments"], Path(order["output"]), order["kill_at"])
            finally:
                os._exit(code)
        if order["kill_after"] is not None:
            time.sleep(order["kill_after"])
            os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
