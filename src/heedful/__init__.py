"""Heedful: documents, a handful of examples and a base model become a model that follows instructions, with proof.

    heedful.open(project)            a project: .run() .rows() .results .lineage(id) .generator()
    heedful.init(folder)             a new project
    heedful.generator(model)         a model that answers: generator(instruction, input, requirements=[...])
    heedful.read(path)               rows of any known format
    heedful.curate(path)             kept rows, dropped rows with reasons, the funnel
    heedful.evaluate(path, tuned, out=folder)
    heedful.generate_file(path, model, out=file)      every row answered, in order

Importing this package is cheap: everything heavy is imported when it is first asked for.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from heedful import errors
from heedful._lazy import public_names
from heedful._quiet import switch_off_telemetry

if TYPE_CHECKING:
    from heedful.api.files import curate, evaluate, generate_file, read
    from heedful.api.generators import generator
    from heedful.api.projects import init, open

__all__ = ["__version__", "curate", "errors", "evaluate", "generate_file", "generator", "init", "open", "read"]

__version__ = "0.1.0"

switch_off_telemetry()

_HOMES = {
    "curate": "api.files",
    "evaluate": "api.files",
    "generate_file": "api.files",
    "generator": "api.generators",
    "init": "api.projects",
    "open": "api.projects",
    "read": "api.files",
}

__getattr__ = public_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


class _Package(ModuleType):
    """Python binds a package's parts to it when they are imported; `heedful.curate` stays the function all the same.

    `from heedful.curate import ...` finds the room as ever.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
