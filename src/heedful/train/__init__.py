"""Example with a split -> a checkpoint folder, the token ledger and the history of losses.

`tuning.py` joins the parts; `ledger.py` counts tokens, `batches.py` orders and pads rows, `loop.py` is the one supervised
loop, `objectives/` holds what it can minimise, `checkpoint.py` lets a killed run continue,
`fused_lora.py` makes adapters faster. What is learned from: `lessons.py` joins `encodings.py` (how prompts say tasks),
`mixing.py` (how often each task is read), and the objectives on wrong answers and on rows that belong together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful._lazy import public_names

if TYPE_CHECKING:
    from heedful.train.settings import TuneSettings
    from heedful.train.tuning import TuneResult, tune

__all__ = ["TuneResult", "TuneSettings", "tune"]

__getattr__ = public_names(__name__, {"TuneResult": "tuning", "TuneSettings": "settings", "tune": "tuning"})
