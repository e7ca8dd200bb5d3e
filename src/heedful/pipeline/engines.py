"""Which engine answers for a model's name, with every answer kept in the project's request cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heedful.generate.engine import Engine
from heedful.project.progress import Watcher


def identity(name: str) -> str:
    """What would answer under this name, without loading it; a change of weights changes it."""
    from heedful.models import identity_of

    return identity_of(name)


@contextmanager
def open_engine(name: str, cache: Path, watcher: Watcher) -> Iterator[Engine]:
    """An engine on this machine for the model `name`; closed at the end of the block."""
    from heedful.generate.cached import CachedEngine
    from heedful.generate.local import LocalEngine
    from heedful.models import load

    engine = CachedEngine(LocalEngine(load(name, watcher=watcher)), cache, watcher)
    try:
        yield engine
    finally:
        engine.close()
