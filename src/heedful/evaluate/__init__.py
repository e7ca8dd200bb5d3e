"""Example (test), Example (train), two Engines -> Scores, differences with intervals, verdicts.

`results.py` joins the parts and documents what comes out; `answers.py` asks the engines, `measures.py` holds the metrics,
`slices.py` says what training never saw, `compare.py` decides, `samples.py` chooses what to show, `describe.py` says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful._lazy import public_names

if TYPE_CHECKING:
    from heedful.evaluate.describe import describe_results
    from heedful.evaluate.results import evaluate
    from heedful.evaluate.settings import EvaluateSettings

__all__ = ["EvaluateSettings", "describe_results", "evaluate"]

__getattr__ = public_names(
    __name__, {"EvaluateSettings": "settings", "describe_results": "describe", "evaluate": "results"}
)
