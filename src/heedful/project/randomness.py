"""Random choices: every one flows from the project's seed through a named stream.

A stream's numbers depend on the seed and on its own names only, not on what else was drawn before, so work that
continues after a kill draws what it would have drawn.
"""

from __future__ import annotations

import random

from heedful.records import digest


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream `names`."""
    return int(digest(["stream", seed, *[str(name) for name in names]])[:16], 16) >> 1


def stream(seed: int, *names: str | int) -> random.Random:
    """A generator of its own for the stream `names`: `stream(seed, "self_instruct", draw)`."""
    return random.Random(stream_seed(seed, *names))
