"""Which engine answers for a model's name; `open_engine` keeps every answer in the project's request cache.

A name is a model on this machine (see `models/names.py`) or an OpenAI-compatible endpoint, `https://host/v1#model`; the
endpoint's key is read from the environment (`OPENAI_API_KEY`) and kept nowhere.

On this machine more than one engine may be able to answer. The rule is `chosen`, and what it goes by is `ENGINES`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from heedful.errors import InputError, ModelError
from heedful.generate.engine import Engine
from heedful.project.progress import Watcher
from heedful.records import digest

if TYPE_CHECKING:
    from heedful.models import LoadedModel

Need = Literal["several", "adapter", "logprobs", "masks"]
"""What an engine may be asked for beside one answer after the other: many answers at once, an adapter for a request,
log-probabilities, token masks."""

Arithmetic = Literal["float32", "bfloat16", "int8", "fastest"]
"""The precision of weights on this machine; "fastest" is what the engine does best with a model (`make bench-generate`)."""

MANY: frozenset[Need] = frozenset({"several"})
"""What a stage needs, and whoever has a file of prompts."""

ENFORCING: frozenset[Need] = frozenset({"masks"})
"""What holding answers to requirements needs."""


@dataclass(frozen=True, slots=True)
class LocalChoice:
    """An engine that runs on this machine, as far as choosing one goes."""

    name: str
    reads: frozenset[str]
    """Kinds of `models.names.Location`."""
    can: frozenset[Need]
    alone: int
    """Its place by measured speed with one request at a time, 1 for the fastest: `make bench-generate`."""
    package: str = ""
    """The module of an extra without which it cannot run."""


ENGINES = (
    LocalChoice(
        "local",
        reads=frozenset({"gguf", "folder"}),
        can=frozenset({"several", "adapter", "logprobs", "masks"}),
        alone=1,
    ),
    LocalChoice(
        "llamacpp",
        reads=frozenset({"gguf"}),
        can=frozenset({"logprobs", "masks"}),
        alone=2,
        package="llama_cpp",
    ),
)
"""The facts that the choice goes by. Measure again, and change the numbers, when either engine changes."""


def _installed(package: str) -> object:
    return importlib.util.find_spec(package)


def chosen(kind: str, needs: Collection[Need] = (), *, installed: Callable[[str], object] | None = None) -> LocalChoice:
    """The fastest engine for one request at a time that is installed, reads such a model and can do all of `needs`."""
    is_there = installed or _installed
    able = [
        engine
        for engine in ENGINES
        if kind in engine.reads and engine.can.issuperset(needs) and (not engine.package or is_there(engine.package))
    ]
    return min(able, key=lambda engine: engine.alone)


def identity(name: str) -> str:
    """What would answer under this name, without loading it; a change of weights on this machine changes it."""
    if is_endpoint(name):
        return digest(["endpoint", *_endpoint(name)])
    from heedful.models import identity_of

    return identity_of(name)


@contextmanager
def open_engine(name: str, cache: Path, watcher: Watcher) -> Iterator[Engine]:
    """The engine for the model `name`, closed at the end of the block; raises ModelError for a name that is none.

    For stages: they ask for many answers, and their artefacts must not depend on which extras are installed.
    """
    from heedful.generate.cached import CachedEngine

    engine = CachedEngine(new_engine(name, watcher, needs=MANY), cache, watcher)
    try:
        yield engine
    finally:
        engine.close()


def new_engine(
    name: str, watcher: Watcher, *, needs: Collection[Need] = (), precision: Arithmetic = "float32"
) -> Engine:
    """The engine for the model `name`, without a cache; whoever asks closes it."""
    if is_endpoint(name):
        from heedful.generate.remote import RemoteEngine

        if precision not in ("float32", "fastest"):
            raise InputError(f"{name} is an endpoint, which has its own precision; leave out {precision}")

        return RemoteEngine(*_endpoint(name))
    from heedful.models.names import locate

    if chosen(locate(name).kind, needs).name == "llamacpp":
        from heedful.generate.llamacpp import LlamaCppEngine

        return LlamaCppEngine(name, watcher=watcher)
    return local_engine(loaded_for(name, precision, watcher), watcher, precision)


def loaded_for(name: str, precision: Arithmetic, watcher: Watcher) -> LoadedModel:
    """The model as `local_engine` wants it."""
    from heedful.models import load
    from heedful.models.devices import chosen_device

    # A GPU multiplies bf16 several times as fast as 32 bits, and there transformers' own code runs, in what was loaded.
    is_half = chosen_device().type == "cuda" and precision in ("fastest", "bfloat16")
    return load(name, dtype="bfloat16" if is_half else "float32", watcher=watcher)


def keeping(engine: Engine, name: str) -> Engine:
    """`engine`, which answers under `name`, for requests with requirements. On this machine they are enforced as it is; what an
    endpoint cannot enforce is checked and asked for again. Caches stay within, so that they keep every attempt.
    """
    if not is_endpoint(name):
        return engine
    from heedful.generate.checked import CheckedEngine
    from heedful.generate.remote.wire import enforced

    return CheckedEngine(engine, enforced)


def local_engine(loaded: LoadedModel, watcher: Watcher, precision: Arithmetic) -> Engine:
    """The engine of this machine for a loaded model; raises EngineError for a precision that it cannot have."""
    from heedful.generate.local import LocalEngine
    from heedful.generate.local.opening import why_not_kernels

    if precision == "fastest":
        return LocalEngine(loaded, precision=None if why_not_kernels(loaded.model) else "int8", watcher=watcher)
    return LocalEngine(loaded, precision=precision, watcher=watcher)


def is_independent(engine: Engine) -> bool:
    """Whether an answer is the same, to the last bit, whatever else is answered beside it. Engines that do not say so are not."""
    return bool(getattr(engine, "is_independent", False))


def described(engine: Engine) -> str:
    """Which engine this is, for people: "the local engine (float32, 2 threads)". More than its name only if it says so."""
    said = getattr(engine, "description", "")
    names = (_NAMES[kind.__name__] for kind in type(engine).__mro__ if kind.__name__ in _NAMES)
    return str(said) or next(names, "an engine")


_NAMES = {
    "LocalEngine": "the local engine",
    "LlamaCppEngine": "llama.cpp",
    "RemoteEngine": "the endpoint",
    "CheckedEngine": "the endpoint",
    "CachedEngine": "the request cache, and the endpoint behind it",
    "FakeEngine": "the fake engine",
}


def is_endpoint(name: str) -> bool:
    """True for the name of an endpoint, false for that of a model on this machine."""
    return name.startswith(("http://", "https://"))


def _endpoint(name: str) -> tuple[str, str]:
    """Base URL and the model's name there."""
    url, _, model = name.partition("#")
    if not model:
        raise ModelError(
            f"{name}: which model at this endpoint? Write it behind #, for example {url.rstrip('/')}#my-model"
        )
    return url, model
