"""Example -> Example (kept with its split, or dropped with a reason). One file per step, all on Daft data frames."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heedful.curate.funnel import describe_funnel
    from heedful.curate.settings import CurateSettings
    from heedful.curate.steps import CurateResult, curate

__all__ = ["CurateResult", "CurateSettings", "curate", "describe_funnel"]

_HOMES = {"CurateResult": "steps", "curate": "steps", "CurateSettings": "settings", "describe_funnel": "funnel"}


def __getattr__(name: str) -> Any:
    """Public names load their file when first used: whoever wants the settings does not wait for Daft."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
