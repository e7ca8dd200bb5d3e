"""Example -> Example (kept with its split, or dropped with a reason). One file per step, all on Daft data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful._lazy import public_names

if TYPE_CHECKING:
    from heedful.curate.funnel import describe_funnel
    from heedful.curate.settings import CurateSettings
    from heedful.curate.steps import CurateResult, curate

__all__ = ["CurateResult", "CurateSettings", "curate", "describe_funnel"]

__getattr__ = public_names(
    __name__, {"CurateResult": "steps", "curate": "steps", "CurateSettings": "settings", "describe_funnel": "funnel"}
)
