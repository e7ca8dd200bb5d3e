"""Public names of a package that load their file when first used: whoever wants settings does not wait for torch.

A package lists its names for type checkers under `TYPE_CHECKING`, and their files here:

    __getattr__ = public_names(__name__, {"tune": "tuning", "TuneSettings": "settings"})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def public_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` (PEP 562): `homes` maps each public name to the file of `package` that defines it."""

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return load
