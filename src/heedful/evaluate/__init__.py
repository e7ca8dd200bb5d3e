"""Example (test), Example (train), two Engines -> Scores, differences with intervals, verdicts.

`results.py` joins the parts and documents what comes out; `answers.py` asks the engines, `measures.py` holds the metrics,
`slices.py` says what training never saw, `compare.py` decides, `samples.py` chooses what to show, `describe.py` says it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heedful.evaluate.describe import describe_results
    from heedful.evaluate.results import evaluate
    from heedful.evaluate.settings import EvaluateSettings

__all__ = ["EvaluateSettings", "describe_results", "evaluate"]

_HOMES = {"EvaluateSettings": "settings", "describe_results": "describe", "evaluate": "results"}


def __getattr__(name: str) -> Any:
    """Public names load their file when first used: whoever wants the settings does not wait for the metrics."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
