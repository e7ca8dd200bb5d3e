"""Which of two states of a model is better, by what `tune.best_by` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]


def goodness(validation_loss: float | None, measure: float | None) -> tuple[float, float]:
    """More is better. Answers are scored coarsely, so of equals the lower loss is better; what has no loss is worst."""
    loss = float("inf") if validation_loss is None else validation_loss
    return (0.0 if measure is None else measure), -loss


def goodness_of(entry: Entry, best_by: str) -> tuple[float, float]:
    """Of an entry of the history that has a validation loss."""
    return goodness(entry["validation_loss"], None if best_by == "loss" else entry[f"validation_{best_by}"])


def best_entry(history: Sequence[Entry], best_by: str) -> Entry | None:
    """The best one that was evaluated; of equals the first. None when none was."""
    evaluated = [entry for entry in history if "validation_loss" in entry]
    return max(evaluated, key=lambda entry: goodness_of(entry, best_by)) if evaluated else None
