"""Documents and seed examples -> Examples, exactly as many as asked for, or a statement why not.

One file per method (`templates`, `document_qa`, `self_instruct`); `collect` counts and decides, `stage` joins them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful._lazy import public_names

if TYPE_CHECKING:
    from heedful.construct.collect import Rejection
    from heedful.construct.settings import ConstructSettings
    from heedful.construct.stage import ConstructResult, construct

__all__ = ["ConstructResult", "ConstructSettings", "Rejection", "construct"]

__getattr__ = public_names(
    __name__,
    {"ConstructResult": "stage", "construct": "stage", "ConstructSettings": "settings", "Rejection": "collect"},
)
