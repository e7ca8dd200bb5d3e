"""Run `heedful` and kill it with SIGKILL at a chosen point, from inside, where no clean-up code can run.

    python killer.py record FILE ARGUMENTS...          write every milestone that is passed, one a line
    python killer.py kill NAME COUNT ARGUMENTS...      die at the COUNT-th time that milestone NAME is passed

The program itself knows nothing of this: it reports milestones to whichever watcher it is handed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from heedful.cli import main
from heedful.project.watching import LineWatcher


class Recorder(LineWatcher):
    """Writes down the milestones, each with the number of times it has been passed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        path.write_text("")

    def milestone(self, name: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{name}\n")


class Killer(LineWatcher):
    """Dies at one milestone."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__()
        self._name, self._left = name, count

    def milestone(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1] == "record":
        sys.exit(main(sys.argv[3:], watcher=Recorder(Path(sys.argv[2]))))
    assert sys.argv[1] == "kill"
    sys.exit(main(sys.argv[4:], watcher=Killer(sys.argv[2], int(sys.argv[3]))))
