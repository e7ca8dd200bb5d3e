"""Settings of `evaluate`."""

from __future__ import annotations

from pydantic import Field

from heedful.project import Settings


class EvaluateSettings(Settings):
    """How base and tuned model are compared on the test split."""

    max_tokens: int = Field(default=96, ge=1)
    """Longest answer, in tokens; longer ones are cut and counted."""
    max_rows: int = Field(default=0, ge=0)
    """Test rows to use, drawn by the seed; 0 means all."""
    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples behind each interval."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Share of intervals that would hold the true difference."""
    samples: int = Field(default=12, ge=0)
    """Answers shown side by side in the report: a third gains, a third losses, a third at random."""
