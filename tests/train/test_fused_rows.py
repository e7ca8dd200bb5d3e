"""Norms and gated layers in one pass: what transformers computes, forward and backward, to what bf16 can tell apart."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

from heedful.models import load
from heedful.train.computing.fused_rows import fused_rows
from heedful.train.objectives.instruction import loss
from heedful.train.rows.batches import TokenRow, pad


def layers() -> dict[str, Any]:
    config = LlamaConfig(hidden_size=48, intermediate_size=80, num_attention_heads=4)
    torch.manual_seed(0)
    norm = LlamaRMSNorm(48, eps=1e-5)
    torch.nn.init.normal_(norm.weight, mean=1.0)
    return {"norm": norm, "gated": LlamaMLP(config)}


def ran(layer: Any, x: torch.Tensor, outer: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.clone().requires_grad_(True)
    y = layer(x)
    (y.float() * outer.float()).sum().backward()
    found = {"y": y.detach(), "x": x.grad}
    return {name: value.double() for name, value in found.items() if value is not None} | {
        name: value.grad.double() for name, value in layer.named_parameters() if value.grad is not None
    }


@pytest.mark.parametrize("num_rows", [1, 5, 64, 301])
@pytest.mark.parametrize("name", ["norm", "gated"])
def test_as_exact_as_transformers_in_bf16(name: str, num_rows: int) -> None:
    # Both are compared with 64 bits: ours may not be much farther from them than transformers' own bf16 is.
    exact = layers()[name].double()
    rounded = copy.deepcopy(exact).bfloat16()
    exact.load_state_dict({key: value.double() for key, value in rounded.state_dict().items()})
    x, outer = (torch.randn(1, num_rows, 48).bfloat16() * 3 for _ in range(2))
    truth = ran(exact, x.double(), outer)
    plain = ran(copy.deepcopy(rounded), x, outer)
    with fused_rows(rounded) as num:
        assert num == 1
        found = ran(rounded, x, outer)
    assert found.keys() == truth.keys()
    for key, value in truth.items():
        off, theirs = (float((other[key] - value).norm() / value.norm()) for other in (found, plain))
        assert off < 2 * theirs + 1e-4, key
        assert off < 0.01


def test_zeros_and_large_numbers() -> None:
    norm = layers()["norm"].bfloat16()
    x = torch.zeros(2, 48, dtype=torch.bfloat16)
    x[1] = 1e4
    expected = norm(x)
    with fused_rows(norm):
        torch.testing.assert_close(norm(x), expected, rtol=0.01, atol=1e-3)
    gated = layers()["gated"].bfloat16()
    with fused_rows(gated):
        assert torch.isfinite(gated(x * 100)).all()


def test_other_numbers_and_shapes_stay_as_they_are() -> None:
    norm = layers()["norm"]
    x = torch.randn(3, 48)
    expected = norm(x)
    with fused_rows(norm):
        assert torch.equal(norm(x), expected)
    odd = LlamaRMSNorm(20).bfloat16()
    x = torch.randn(3, 20).bfloat16()
    expected = odd(x)
    with fused_rows(odd):
        assert torch.equal(odd(x), expected)
    assert "forward" not in vars(norm)


def test_a_whole_model_learns_the_same(tiny_model: Path) -> None:
    row = TokenRow("a", "test", tuple(range(40)), (False,) + (True,) * 39)
    model = load(tiny_model).model.requires_grad_(True)

    def gradient() -> torch.Tensor:
        model.zero_grad()
        loss(model, pad([row]))[0].backward()
        return torch.cat([value.grad.flatten().double() for value in model.parameters() if value.grad is not None])

    exact = gradient()
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    plain = gradient()
    with fused_rows(model) as num:
        assert num == 2 * 3 + 1
        found = gradient()
    assert float((found - exact).norm()) < 1.2 * float((plain - exact).norm())


def test_equal_bits_every_time() -> None:
    norm = layers()["norm"].bfloat16()
    x, outer = torch.randn(200, 48).bfloat16(), torch.randn(200, 48).bfloat16()
    with fused_rows(norm):
        found = [ran(copy.copy(norm), x, outer)["x"] for _ in range(3)]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
