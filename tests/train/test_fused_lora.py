"""Fused adapters: equal to peft's in value and gradient, and gone afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.models import add_lora, load
from heedful.train.computing.fused_lora import fused_lora


def adapted(folder: Path, dropout: float = 0.0) -> Any:
    """A model in doubles with adapters that are not zero."""
    model = add_lora(load(folder), rank=3, alpha=6.0, dropout=dropout, seed=1).model.double()
    torch.manual_seed(0)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    return model


def outputs(model: Any) -> dict[str, torch.Tensor]:
    """Logits, and the gradient of each trained weight."""
    model.zero_grad()
    logits = model(input_ids=torch.tensor([[3, 5, 7, 11], [4, 9, 2, 8]])).logits
    (logits.sin().sum()).backward()
    return {"logits": logits.detach(), **{n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}}


@pytest.mark.parametrize("with_bias", [False, True])
def test_equals_peft(tiny_model: Path, with_bias: bool) -> None:
    model = adapted(tiny_model)
    if with_bias:
        for module in model.modules():
            if hasattr(module, "base_layer"):
                bias = torch.linspace(-1, 1, module.base_layer.out_features, dtype=torch.float64)
                module.base_layer.bias = torch.nn.Parameter(bias, requires_grad=False)
    theirs = outputs(model)
    with fused_lora(model) as num_layers:
        assert num_layers == 2 * 7  # q, k, v, o, gate, up, down in each of two layers
        ours = outputs(model)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 1 + 2 * num_layers
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value, rtol=1e-9, atol=1e-9), name
        assert bool(value.any())


def test_afterwards_the_model_is_pefts_again(tiny_model: Path) -> None:
    model = adapted(tiny_model)
    before = outputs(model)
    with pytest.raises(KeyboardInterrupt), fused_lora(model):
        raise KeyboardInterrupt
    assert not any("forward" in vars(module) for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in outputs(model).items())


def test_layers_with_dropout_are_left_alone(tiny_model: Path) -> None:
    with fused_lora(adapted(tiny_model, dropout=0.1)) as num_layers:
        assert num_layers == 0


def test_a_model_without_adapters_is_left_alone(tiny_model: Path) -> None:
    with fused_lora(load(tiny_model).model) as num_layers:
        assert num_layers == 0
