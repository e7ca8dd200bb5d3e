"""What goes along with a run: those who watch it, those who measure answers, and the processes that share the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from heedful.train.together.parallel import ALONE, Processes
from heedful.train.watching.log import StepLog


@dataclass(frozen=True, slots=True)
class Companions:
    """None of them changes what a step learns; `answers` may change which step is kept."""

    log: StepLog = field(default_factory=StepLog)
    answers: Callable[[], dict[str, float]] | None = None
    """Measures of what the model answers now, by name; asked for at every evaluation."""
    processes: Processes = ALONE
