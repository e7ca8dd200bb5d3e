"""Generation and scoring on this machine, with torch: batches, key-value cache, sampling, stop strings."""

from heedful.generate.local.engine import LocalEngine

__all__ = ["LocalEngine"]
