"""Memory that one step of training gives back, the next one takes again, without asking the system for it."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""


@cache
def keep_freed_memory() -> bool:
    """Whether GNU's allocator could be told, for the rest of the process.

    Otherwise it maps what is larger than 32 MB (logits, gradients of embeddings) anew each time, and the system clears every
    page: three to four percent of a step of a small model.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
