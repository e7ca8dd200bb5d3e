"""Exact weights beside rounded ones: nothing of a small step is lost, and nothing of the weights that came in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heedful.models import load
from heedful.records import Example
from heedful.train.computing.numbers import computed_in, exact_weights
from heedful.train.optimizer import MasterAdamW, round_by
from tiny_runs import changed, run, six_steps


def rounded(exact: list[float], chances: list[int]) -> list[float]:
    into = torch.empty(len(exact), dtype=torch.bfloat16)
    round_by(torch.tensor(chances, dtype=torch.int32), torch.tensor(exact), into)
    return into.tolist()


def test_up_or_down_by_the_chance_of_each_weight() -> None:
    # After 1 come 1 + 1/128 and 1 + 2/128 in bf16; a quarter of the way needs a chance of three quarters.
    quarter = 1 + 1 / 512
    up = 1 + 1 / 128
    assert rounded([quarter] * 4, [0, 49151, 49152, 65535]) == [1.0, 1.0, up, up]
    assert rounded([-quarter] * 4, [0, 49151, 49152, 65535]) == [-1.0, -1.0, -up, -up]
    # Chances begin again; what is a bf16 number stays, zero and the smallest and largest among them.
    largest = torch.finfo(torch.bfloat16).max
    assert rounded([0.0, -1.5, largest, 2.0**-133, quarter], [65535, 0]) == [0.0, -1.5, largest, 2.0**-133, up]


@given(
    st.floats(
        width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False, min_value=-(2.0**99), max_value=2.0**99
    )
)
def test_the_mean_over_all_chances_is_the_number(value: float) -> None:
    chances = torch.arange(1 << 16, dtype=torch.int32)
    into = torch.empty(1 << 16, dtype=torch.bfloat16)
    round_by(chances, torch.full((1 << 16,), value), into)
    assert float(into.double().mean()) == pytest.approx(value, rel=1e-12)


def test_small_steps_from_bf16_numbers_are_taken_on_average() -> None:
    start = torch.linspace(0.51, 0.99, 40_000).bfloat16()
    parameter = torch.nn.Parameter(start.clone())
    optimizer = MasterAdamW({"weight": parameter}, weight_decay=0.0)
    assert torch.equal(parameter, start)
    parameter.grad = torch.ones_like(parameter)
    optimizer.collect()
    optimizer.step(1e-4, max_norm=1e9)
    # A 39th of the way to the next number: rounded to the nearest, no weight would have moved.
    assert torch.equal(optimizer.masters["weight"].bfloat16(), start)
    moved = start.double() - parameter.detach().double()
    assert float(moved.mean()) == pytest.approx(1e-4, rel=0.05)
    assert set(moved.unique().tolist()) == {0.0, 1 / 256}


def test_exact_weights_come_in_and_out_of_a_rounded_model(tiny_model: Path) -> None:
    model = load(tiny_model).model.requires_grad_(True)
    model.lm_head.weight.requires_grad_(False)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    with computed_in(model, torch.bfloat16):
        exact = exact_weights(model)
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        assert exact.keys() == trained.keys()
        assert all(value.dtype == torch.bfloat16 for value in model.parameters())
        optimizer = MasterAdamW(trained, weight_decay=0.0, exact=exact)
        assert all(torch.equal(optimizer.masters[name], before[name]) for name in trained)
        for value in trained.values():
            value.grad = torch.ones_like(value)
        optimizer.collect()
        optimizer.step(1e-3, max_norm=1e9)
    assert exact_weights(model) == {}
    for name, value in trained.items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, before[name] - 1e-3, atol=1e-6), name


def test_wider_numbers_and_none_at_all_leave_nothing_to_keep(tiny_model: Path) -> None:
    model = load(tiny_model).model.requires_grad_(True)
    assert exact_weights(model) == {}
    with computed_in(model, torch.float64):
        assert exact_weights(model) == {}


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_continued_run_in_bf16_has_equal_bits(
    adapter: Any, tiny_model: Path, small_data: list[Example], tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    settings = six_steps(tiny_model, precision="bfloat16", adapter=adapter)
    run(small_data, settings, tmp_path / "whole", recorder())
    with pytest.raises(KeyboardInterrupt):
        run(small_data, settings, tmp_path / "cut", recorder(stop_at=4))
    run(small_data, settings, tmp_path / "cut", recorder())
    assert folder_bytes(tmp_path / "cut" / "out") == folder_bytes(tmp_path / "whole" / "out")
    other = changed(settings, precision="float32")
    run(small_data, other, tmp_path / "exact", recorder())
    assert folder_bytes(tmp_path / "exact" / "out") != folder_bytes(tmp_path / "whole" / "out")
