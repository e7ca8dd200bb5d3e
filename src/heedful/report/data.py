"""What a report is made of: plain values that the stages left behind, gathered by whoever runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything on the page. A part that a run did not have stays empty; the page then says so instead of hiding it."""

    title: str
    results: Mapping[str, Any]
    """What `evaluate` returned; its shape is documented in `evaluate/results.py`."""
    construct: Mapping[str, Any] = field(default_factory=dict)
    """What the stage says it was asked for and made: {"asked", "accepted", "candidates", "text", "methods": [...]}."""
    funnel: Mapping[str, Any] = field(default_factory=dict)
    """What `curate` kept and dropped: {"steps": [{"name", "received", "dropped", "reasons"}], "received", "kept", ...}."""
    ledger: Mapping[str, Any] = field(default_factory=dict)
    """Tokens trained and not, by split: {"train": {"examples", "tokens", "trained", "masked", ...}, "validation": {...}}."""
    history: Sequence[Mapping[str, Any]] = ()
    """One entry for each logged step: {"step", "loss", "validation_loss"?, ...}."""
    best_step: int | None = None
    """Whose weights were kept; None takes the one with the lowest validation loss."""
    metrics: Sequence[Mapping[str, Any]] = ()
    """One entry for each step with what depends on the clock: {"step", "tokens_per_second", "memory_bytes"}."""
    sweep: Sequence[Mapping[str, Any]] = ()
    """What was tried, the winner first: {"values", "steps", "validation_loss", "measure", "stopped_in_round"}."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The resolved settings, by section."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Name and version of the libraries and models that took part."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock seconds by stage."""
