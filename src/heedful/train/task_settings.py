"""What a user may set about the tasks that a model is tuned on: their shares, and how prompts say them."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from heedful.project.settings import Settings

Form = Literal["as_is", "definition", "definition_and_examples", "examples"]
Grouping = Literal["task", "paraphrase"]


class MixingSettings(Settings):
    """Shares of tasks in an epoch. The default reads every row once."""

    temperature: float = Field(1.0, ge=1.0)
    """1 mixes tasks in proportion to their rows; larger values bring them closer to equal shares."""
    cap: int = Field(0, ge=0)
    """A task counts for no more than this many rows; 0 for no limit."""
    shares: dict[str, float] = Field(default_factory=dict)
    """Shares by task instead, of any sum; every task is named, 0 leaves one out."""
    rows_per_epoch: int = Field(0, ge=0)
    """Rows that an epoch reads; 0 for as many as there are (of each task no more than `cap`)."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.shares and (self.temperature != 1 or self.cap):
            raise ValueError("shares are written out, so temperature and cap have nothing to say: leave them out")
        if any(not (math.isfinite(share) and share >= 0) for share in self.shares.values()):
            raise ValueError("a share is a number of 0 or more")
        if self.shares and not sum(self.shares.values()):
            raise ValueError("all shares are 0: nothing would be read")
        return self


def _as_they_are() -> dict[Form, float]:
    return {"as_is": 1.0}


class EncodingSettings(Settings):
    """How training prompts say what the task is; those of evaluation stay as they are."""

    forms: dict[Form, float] = Field(default_factory=_as_they_are)
    """Shares of rows by form: as_is, definition, definition_and_examples, examples (few-shot without definition)."""
    num_positive: int = Field(2, ge=0)
    """Good examples shown, where there are so many and they fit."""
    num_negative: int = Field(0, ge=0)
    """Bad examples shown, after the good ones; only tasks that come with a record have any."""
    explanations: bool = False
    """Say why an example is good, or what is wrong with it."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if any(not (math.isfinite(share) and share >= 0) for share in self.forms.values()):
            raise ValueError("a share is a number of 0 or more")
        if not sum(self.forms.values()):
            raise ValueError("no form has a share: write for example {definition = 1.0}")
        if self.forms.get("examples") and not self.num_positive:
            raise ValueError("the form 'examples' shows nothing but good examples: num_positive must be above 0")
        return self
