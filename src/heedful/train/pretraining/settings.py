"""What a user may set about pretraining. The defaults suit a small model on a laptop's CPU and a few megabytes of text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from heedful.project.settings import Settings
from heedful.train.settings import Precision, TuneSettings

Architecture = Literal["llama", "t5", "bert", "lstm"]
ObjectiveName = Literal["auto", "causal", "prefix", "span_corruption", "masked", "masked_next_sentence"]

OBJECTIVES: dict[Architecture, tuple[ObjectiveName, ...]] = {
    "llama": ("causal", "prefix"),
    "t5": ("span_corruption",),
    "bert": ("masked", "masked_next_sentence"),
    "lstm": ("causal",),
}
"""What each architecture can learn by; the first is meant by "auto"."""
SIZES: dict[str, tuple[int, int]] = {"tiny": (2, 64), "small": (6, 256), "medium": (8, 512), "base": (12, 768)}
"""Layers and hidden size."""
_SIZE = re.compile(r"(\d+)x(\d+)")
_BUDGET = re.compile(r"(\d+(?:\.\d+)?) ?([kM]?) ?(steps?|tokens?|minutes?|epochs?)")
_FACTORS = {"": 1, "k": 1_000, "M": 1_000_000}
Unit = Literal["step", "token", "minute", "epoch"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train."""

    amount: float
    unit: Unit


class PretrainSettings(Settings):
    """Which model is made from nothing, from how much text, how fast."""

    architecture: Architecture = "llama"
    """llama (decoder), t5 (encoder-decoder), bert (encoder) or lstm."""
    size: str = "small"
    """tiny, small, medium, base, or layers and hidden size: "6x384". All else is derived."""
    objective: ObjectiveName = "auto"
    """causal or prefix (llama), span_corruption (t5), masked or masked_next_sentence (bert); auto takes the first."""
    vocabulary_size: int = Field(8192, ge=512, le=1 << 20)
    """Most tokens that the tokenizer learns; small texts want small vocabularies."""
    context_length: int = Field(256, ge=16, le=1 << 16)
    """Most tokens that are read together."""
    budget: str = "1 epoch"
    """How long: "2000 steps", "10M tokens", "10 minutes" or "3 epochs"; minutes are measured once, then counted in steps."""
    batch_size: int = Field(16, ge=1)
    """Rows per optimiser step."""
    micro_batch_tokens: int = Field(8192, ge=1)
    """Tokens that go through the model at once: bounds memory, does not change the loss."""
    learning_rate: float = Field(1e-3, gt=0)
    """Highest learning rate, reached after the warmup."""
    precision: Precision = "auto"
    """Of the computation: bfloat16 where the processor has it, with weights exact in 32 bits; or always float32."""
    validation_share: float = Field(0.05, ge=0.0, lt=0.5)
    """Share of the documents, or of the end of each where there are few, that is held out."""
    checkpoint_every: int = Field(100, ge=1)
    """Steps between checkpoints from which a killed run continues."""

    @field_validator("size")
    @classmethod
    def _size_is_known(cls, value: str) -> str:
        _dimensions(value)
        return value

    @field_validator("budget")
    @classmethod
    def _budget_is_readable(cls, value: str) -> str:
        _budget(value)
        return value

    @field_validator("objective")
    @classmethod
    def _objective_fits(cls, value: ObjectiveName, info: ValidationInfo) -> ObjectiveName:
        architecture = info.data.get("architecture")
        # Without a valid architecture there is another error to tell of.
        if architecture is not None and value not in ("auto", *OBJECTIVES[architecture]):
            raise ValueError(f"{architecture} cannot learn so; expected auto, {', '.join(OBJECTIVES[architecture])}")
        return value

    @property
    def chosen_objective(self) -> ObjectiveName:
        """The objective, "auto" resolved."""
        return OBJECTIVES[self.architecture][0] if self.objective == "auto" else self.objective

    @property
    def dimensions(self) -> tuple[int, int]:
        """Layers (of each stack) and hidden size."""
        return _dimensions(self.size)

    @property
    def parsed_budget(self) -> Budget:
        return _budget(self.budget)

    def lasting(self) -> dict[str, Any]:
        """What the weights depend on."""
        return self.model_dump(mode="json", exclude={"checkpoint_every"})

    def of_loop(self) -> TuneSettings:
        """What the loop reads. One epoch: how often a text is seen is a matter of how many rows it is given."""
        return TuneSettings(
            learning_rate=self.learning_rate,
            epochs=1,
            batch_size=self.batch_size,
            micro_batch_tokens=self.micro_batch_tokens,
            precision=self.precision,
            # Usual for models from nothing (as in arXiv:2302.13971).
            warmup_share=0.05,
            weight_decay=0.1,
            max_gradient_norm=1.0,
            evaluations_per_epoch=NUM_EVALUATIONS,
            checkpoint_every=self.checkpoint_every,
        )


NUM_EVALUATIONS = 10
"""How often in a run the validation loss is measured."""


def _dimensions(size: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(size)
    layers, hidden = SIZES.get(size) or ((int(found[1]), int(found[2])) if found else (0, 0))
    if not (1 <= layers <= 200 and 16 <= hidden <= 16384 and hidden % 16 == 0):
        raise ValueError(
            f"expected {', '.join(SIZES)}, or layers and hidden size like '6x384', the latter a multiple of 16"
        )
    return layers, hidden


def _budget(text: str) -> Budget:
    found = _BUDGET.fullmatch(text)
    amount = float(found[1]) * _FACTORS[found[2]] if found else 0.0
    if found is None or amount <= 0:
        raise ValueError("expected for example '2000 steps', '10M tokens', '10 minutes' or '1 epoch'")
    unit: Unit = found[3].removesuffix("s")  # type: ignore[assignment]
    return Budget(amount, unit)
