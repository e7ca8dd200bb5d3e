"""What a user may set about tuning. The defaults suit a 135M model and a few hundred rows on a laptop's CPU."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from heedful.project.settings import Settings

Precision = Literal["auto", "float32", "bfloat16"]


class TuneSettings(Settings):
    """Which model is tuned, on how much, how fast."""

    model: str = "smollm2-135m-instruct-q4_1"
    """The base: a packaged model's name, a local folder, or `owner/model` on the hub."""
    learning_rate: float = Field(5e-4, gt=0)
    """Highest learning rate, reached after the warmup. Full fine-tuning wants about a tenth of LoRA's."""
    epochs: int = Field(2, ge=1)
    """How often each training row is seen."""
    batch_size: int = Field(8, ge=1)
    """Rows per optimiser step."""
    micro_batch_tokens: int = Field(2048, ge=1)
    """Tokens, padding included, that go through the model at once: bounds memory, does not change the loss."""
    packing: bool = True
    """Rows are read one behind the other without padding, and equal beginnings once; where the model cannot, it is said."""
    precision: Precision = "auto"
    """Of the computation: bfloat16 where the processor has it, with weights exact in 32 bits; or always float32."""
    max_length: int = Field(1024, ge=2)
    """Longer rows are cut at the end after this many tokens; the ledger counts what that costs."""
    lora_rank: int = Field(16, ge=0)
    """Rank of the adapters on every linear layer; 0 trains all weights instead."""
    lora_alpha: float = Field(32.0, gt=0)
    """Adapters are scaled by this over the rank."""
    lora_dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Chance that an input of an adapter is left out in training."""
    warmup_share: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of the steps in which the learning rate rises; it then falls as a cosine."""
    weight_decay: float = Field(0.01, ge=0.0)
    """Decoupled decay of matrices (AdamW); norms and biases are left alone."""
    max_gradient_norm: float = Field(1.0, gt=0)
    """Gradients with a larger norm are scaled down to it."""
    evaluations_per_epoch: int = Field(2, ge=1)
    """How often the validation loss is measured; the weights with the lowest one are kept."""
    checkpoint_every: int = Field(10, ge=1)
    """Steps between checkpoints from which a killed run continues."""
