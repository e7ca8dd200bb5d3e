"""Example with a split -> a checkpoint folder, the token ledger and the history of losses.

`tuning.py` joins the parts; `loop.py` is the one supervised loop, `optimizer.py` its steps, `checkpoint.py` lets a killed run continue,
`adapting.py` says which weights are trained, `sweep.py` compares settings. `rows/`: tokens in batches, padded or packed, tasks mixed and said;
`lessons.py` joins them with `objectives/`, what is minimised. `computing/` makes it fast, `watching/` tells of it, `together/` shares it
among processes, `verifying/` proves it. `pretraining/` begins from plain texts; `classification.py` is the question classifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful._lazy import public_names

if TYPE_CHECKING:
    from heedful.train.settings import TuneSettings
    from heedful.train.tuning import TuneResult, tune

__all__ = ["TuneResult", "TuneSettings", "tune"]

__getattr__ = public_names(__name__, {"TuneResult": "tuning", "TuneSettings": "settings", "tune": "tuning"})
