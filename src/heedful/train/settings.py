"""What a user may set about tuning. The defaults suit a 135M model and a few hundred rows on a laptop's CPU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from heedful.project.settings import Settings, nearest
from heedful.train.task_settings import EncodingSettings, Grouping, MixingSettings

Precision = Literal["auto", "float32", "bfloat16"]
TooLong = Literal["drop", "split", "cut", "error"]
BestBy = Literal["loss", "rouge_l", "exact_match", "requirements"]
Adapter = Literal["lora", "prefix", "prompt", "none"]
USUAL_RATES: Mapping[str, float] = {"lora": 5e-4, "prefix": 1e-2, "prompt": 1e-2, "none": 5e-5}
"""Learning rates for those who give none; measured for virtual tokens by bench/prefix_tuning.py."""
_NOT_SWEPT = {
    # Losses of other tokens, rows or measures do not compare, and adapters want learning rates of their own.
    *("sweep", "model", "adapter", "max_length", "too_long", "best_by"),
    # How a run is kept and watched changes nothing that it learns.
    *("checkpoint_every", "keep_checkpoints", "tensorboard", "predict", "shards"),
}


class TuneSettings(Settings):
    """Which model is tuned, on how much, how fast."""

    model: str = "smollm2-135m-instruct-q4_1"
    """The base: a packaged model's name, a local folder, or `owner/model` on the hub."""
    learning_rate: float = Field(5e-4, gt=0)
    """Highest learning rate, reached after the warmup. Where none is given: 0.0005 for LoRA, 0.00005 for all weights, and
    0.01 for prefixes and prompts, whose few numbers must move far."""
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
    """Tokens of a row, prompt included."""
    too_long: TooLong = "drop"
    """What becomes of longer rows: left out (drop), parted between turns or into windows (split), cut at the end (cut), or
    refused (error); the ledger counts them."""
    adapter: Adapter = "lora"
    """What is trained: low-rank adapters (lora), keys and values before every prompt (prefix), embeddings there (prompt), or
    all weights (none)."""
    lora_rank: int = Field(16, ge=1)
    """Rank of the adapters on every linear layer."""
    lora_alpha: float = Field(32.0, gt=0)
    """Adapters are scaled by this over the rank."""
    lora_dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Chance that an input of an adapter is left out in training."""
    virtual_tokens: int = Field(32, ge=1)
    """How many tokens a prefix or a prompt holds; they begin as tokens of training rows."""
    four_bit: bool = False
    """The base is held in 4 bits under its adapters: on a GPU, with the extra `heedful[fourbit]`."""
    warmup_share: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of the steps in which the learning rate rises; it then falls as a cosine."""
    weight_decay: float = Field(0.01, ge=0.0)
    """Decoupled decay of matrices (AdamW); norms and biases are left alone."""
    max_gradient_norm: float = Field(1.0, gt=0)
    """Gradients with a larger norm are scaled down to it."""
    evaluations_per_epoch: int = Field(2, ge=1)
    """How often the validation loss is measured; the best weights are kept."""
    best_by: BestBy = "loss"
    """Which weights are the best: lowest validation loss, or by answers to validation prompts (rouge_l, exact_match,
    requirements: the share of answers that keep all of theirs)."""
    evaluation_answers: int = Field(0, ge=0)
    """Validation prompts that are answered and scored at each evaluation; 0: none, or 32 when best_by needs answers."""
    checkpoint_every: int = Field(10, ge=1)
    """Steps between checkpoints from which a killed run continues."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many of them stay; with one, a damaged checkpoint costs the whole run."""
    tensorboard: bool = False
    """Event files beside metrics.jsonl, for TensorBoard; needs the extra `heedful[tensorboard]`."""
    predict: bool = True
    """Time and memory are said before a long run, measured on a few micro-batches; too little memory is refused."""
    sweep: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Values to try of other settings of tuning, in every combination; losers stop early. A table: learning_rate = [...] ..."""
    shards: bool = False
    """Of several processes each keeps a part of the weights (FSDP), not all of them: for models too large for one."""
    mixing: MixingSettings = MixingSettings()
    """Shares of tasks in an epoch, a table: temperature, cap, shares, rows_per_epoch. By default every row is read once."""
    encoding: EncodingSettings = EncodingSettings()
    """How prompts say the task, a table: forms, num_positive, num_negative, explanations. By default as the rows do."""
    negative_weight: float = Field(0.0, ge=0.0)
    """How much a token of a known wrong output counts beside one of a right answer (unlikelihood); 0 leaves them out."""
    contrastive_weight: float = Field(0.0, ge=0.0)
    """Of the term that pulls representations of related rows together and others apart; 0 leaves it out."""
    contrastive_by: Grouping = "task"
    """Which rows are related: those of one task, or those whose meta names the same groups.paraphrase."""
    contrastive_temperature: float = Field(0.1, gt=0)
    """Similarities are divided by this: small values look at the nearest rows only."""
    contrastive_projection: int = Field(0, ge=0)
    """Numbers that a representation is projected to before it is compared, by a layer that is not kept; 0 for none."""

    @field_validator("sweep")
    @classmethod
    def _sweeps_settings(cls, sweep: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        known = [name for name in cls.model_fields if name not in _NOT_SWEPT]
        for name, values in sweep.items():
            if name not in known:
                raise ValueError(f"{name!r} is no setting that can be tried; {nearest(name, known)}")
            if not values:
                raise ValueError(f"{name} has no values; give some, or leave it out")
        return sweep

    @property
    def has_sweep(self) -> bool:
        """Whether there is anything to compare."""
        return math.prod(map(len, self.sweep.values())) > 1

    @model_validator(mode="before")
    @classmethod
    def _usual_rate(cls, values: Any) -> Any:
        adapter = values.get("adapter") if isinstance(values, Mapping) else None
        if isinstance(adapter, str) and adapter in USUAL_RATES:
            return {"learning_rate": USUAL_RATES[adapter], **values}
        return values
