"""Llama-like models on x86 processors: our own arithmetic, compiled by numba at first use (seconds, then kept).

simd -> tiles, lanes, attention, team -> forward: one step of a model; weights and model: what Python sees of it.
"""

from hashlib import sha256
from pathlib import Path

import numba

from heedful.models.names import cache_folder

# numba looks only at a function's own file to see whether what it kept is out of date; ours call into each other.
_SOURCES = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:16]
numba.config.CACHE_DIR = str(cache_folder() / "kernels" / _SOURCES)
