"""How a command ends whose libraries still have threads."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def end_now(code: int) -> NoReturn:
    """End the process here, when all is closed and written.

    Taking down an interpreter full of libraries takes seconds, and a C++ thread that is still about, such as gloo's
    after a training run of several processes, aborts the process then: what had succeeded would look failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
