"""Tuning runs of a few steps, and what the tests of training say about weights and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from heedful.models import LoadedModel, add_lora
from heedful.records import Example
from heedful.train import TuneSettings, tune


def six_steps(model: Path, **values: Any) -> TuneSettings:
    """Seven rows in batches of three, twice; with dropout, so that a continued run must also draw the same numbers."""
    usual = {
        "precision": "float32",
        "learning_rate": 0.02,
        "epochs": 2,
        "batch_size": 3,
        "micro_batch_tokens": 80,
        "lora_rank": 2,
        "lora_dropout": 0.2,
        "checkpoint_every": 2,
    }
    return TuneSettings(model=str(model), **{**usual, **values})


def changed(settings: TuneSettings, **values: Any) -> TuneSettings:
    return TuneSettings(**{**settings.model_dump(), **values})


def run(
    examples: list[Example], settings: TuneSettings, folder: Path, watcher: Any, *, seed: int = 5, **more: Any
) -> Any:
    return tune(
        examples, settings, out=folder / "out", checkpoints=folder / "checkpoints", seed=seed, watcher=watcher, **more
    )


def with_lora(loaded: LoadedModel) -> LoadedModel:
    """Both matrices are random, so that gradients reach both."""
    adapted = add_lora(loaded, rank=3, alpha=6.0, dropout=0.0, seed=1)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(2)
        for name, value in adapted.model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.1)
    return adapted


def gradients(model: Any, total: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Each tensor to a ten-thousandth of its own length."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float((found[name] - value).norm()) <= 1e-4 * float(value.norm()), name
