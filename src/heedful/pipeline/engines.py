"""Which engine answers for a model's name; `open_engine` keeps every answer in the project's request cache.

A name is a model on this machine (see `models/names.py`) or an OpenAI-compatible endpoint, `https://host/v1#model`; the
endpoint's key is read from the environment (`OPENAI_API_KEY`) and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heedful.errors import ModelError
from heedful.generate.engine import Engine
from heedful.project.progress import Watcher
from heedful.records import digest


def identity(name: str) -> str:
    """What would answer under this name, without loading it; a change of weights on this machine changes it."""
    if _is_endpoint(name):
        return digest(["endpoint", *_endpoint(name)])
    from heedful.models import identity_of

    return identity_of(name)


@contextmanager
def open_engine(name: str, cache: Path, watcher: Watcher) -> Iterator[Engine]:
    """The engine for the model `name`, closed at the end of the block; raises ModelError for a name that is none."""
    from heedful.generate.cached import CachedEngine

    engine = CachedEngine(new_engine(name, watcher), cache, watcher)
    try:
        yield engine
    finally:
        engine.close()


def new_engine(name: str, watcher: Watcher) -> Engine:
    """The engine for the model `name`, without a cache; whoever asks closes it."""
    if _is_endpoint(name):
        from heedful.generate.remote import RemoteEngine

        return RemoteEngine(*_endpoint(name))
    from heedful.generate.local import LocalEngine
    from heedful.models import load

    return LocalEngine(load(name, watcher=watcher), watcher=watcher)


def _is_endpoint(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _endpoint(name: str) -> tuple[str, str]:
    """Base URL and the model's name there."""
    url, _, model = name.partition("#")
    if not model:
        raise ModelError(
            f"{name}: which model at this endpoint? Write it behind #, for example {url.rstrip('/')}#my-model"
        )
    return url, model
