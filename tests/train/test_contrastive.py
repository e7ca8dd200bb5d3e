"""The supervised contrastive term: by hand, against the formula, its gradients, and what it does to a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from heedful.models import add_lora, load
from heedful.train.computing.attention import reads_packed
from heedful.train.objectives import instruction
from heedful.train.objectives.contrastive import PROJECTION, contrastive, projected, supervised_contrastive
from heedful.train.rows.batches import TokenRow, pad


def formula(states: torch.Tensor, groups: list[int], temperature: float) -> float:
    """Formula 2 of the paper, loop by loop."""
    z = [row / row.norm() for row in states]
    of_rows = []
    for i in range(len(z)):
        positive = [p for p in range(len(z)) if p != i and groups[p] == groups[i] != -1]
        others = sum(math.exp(float(z[i] @ z[a]) / temperature) for a in range(len(z)) if a != i)
        if positive:
            logs = [math.log(math.exp(float(z[i] @ z[p]) / temperature) / others) for p in positive]
            of_rows.append(-sum(logs) / len(positive))
    return sum(of_rows) / len(of_rows) if of_rows else 0.0


def test_by_hand() -> None:
    # Two pairs at right angles, temperature 1: each row has its partner at e, and two others at 1.
    states = torch.tensor([[2.0, 0.0], [0.5, 0.0], [0.0, 1.0], [0.0, 3.0]])
    found = supervised_contrastive(states, torch.tensor([0, 0, 1, 1]), 1.0)
    assert float(found) == pytest.approx(-math.log(math.e / (math.e + 2)))
    # Wrongly grouped: the partner is at 1.
    found = supervised_contrastive(states, torch.tensor([0, 1, 0, 1]), 1.0)
    assert float(found) == pytest.approx(-math.log(1 / (math.e + 2)))


GROUPS = st.lists(st.integers(-1, 3), min_size=1, max_size=9)


@given(GROUPS, st.integers(0, 1000), st.sampled_from([0.1, 0.5, 2.0]))
def test_equals_the_formula(groups: list[int], seed: int, temperature: float) -> None:
    states = torch.randn(len(groups), 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = float(supervised_contrastive(states, torch.tensor(groups), temperature))
    assert found == pytest.approx(formula(states, groups, temperature), rel=1e-9, abs=1e-12)


@given(GROUPS, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_order_length_and_names_of_groups_do_not_matter(groups: list[int], seed: int, random: Any) -> None:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(len(groups), 4, generator=generator, dtype=torch.float64)
    expected = supervised_contrastive(states, torch.tensor(groups), 0.3)
    order = random.sample(range(len(groups)), len(groups))
    lengths = torch.rand(len(groups), 1, generator=generator, dtype=torch.float64) + 0.5
    renamed = torch.tensor([groups[place] if groups[place] < 0 else 7 - groups[place] for place in order])
    torch.testing.assert_close(supervised_contrastive((states * lengths)[order], renamed, 0.3), expected)


@pytest.mark.parametrize("groups", [[0, 0, 1, 1, -1], [0, 1, 2, -1, -1], [0, 0, 0, 0, 0], [-1, 2, 2, 2, 1]])
def test_gradients_by_finite_differences(groups: list[int]) -> None:
    states = torch.randn(5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: supervised_contrastive(s, torch.tensor(groups), 0.4), states)


@pytest.mark.parametrize("groups", [[0], [0, 1, -1, -1]])
def test_nothing_to_pull_is_no_loss(groups: list[int]) -> None:
    states = torch.randn(len(groups), 3, requires_grad=True)
    value = supervised_contrastive(states, torch.tensor(groups), 0.1)
    value.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) == 0
    assert states.grad is not None
    assert torch.equal(states.grad, torch.zeros_like(states))


# -- in a model --------------------------------------------------------------------------------------------------------

PROMPT = list(range(1, 21))


def tiny() -> Any:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    model = LlamaForCausalLM(config).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def row(ids: list[int], start: int, group: str) -> TokenRow:
    return TokenRow("row", "test", tuple(ids), tuple(place >= start for place in range(len(ids))), group=group)


ROWS = [
    row([*PROMPT, 30, 31, 2], 20, "a"),
    row([*PROMPT, 32], 20, "b"),
    row([5, 6, 7, 8], 2, "a"),
    row([9, 10, 11, 12, 13], 3, "b"),
    row([14, 15, 16], 1, ""),
]


def computed(model: Any, objective: Any, some: list[TokenRow]) -> tuple[torch.Tensor, dict[str, float], Any]:
    batch = objective.build(some)
    if objective.is_packed:
        with reads_packed(model):
            return *objective.loss(model, batch), batch
    return *objective.loss(model, batch), batch


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("by", ["task", "paraphrase"])
def test_representations_are_means_over_rows_or_prompts(by: Any, is_packed: bool) -> None:
    model = tiny()
    means = []
    with torch.no_grad():
        for one in ROWS:
            ids = one.input_ids if by == "task" else one.input_ids[: one.loss_mask.index(True)]
            means.append(model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0))
    term = formula(torch.stack(means), [0, 1, 0, 1, -1], 0.5)
    usual, told = instruction.loss(model, pad(ROWS))
    found, metrics, batch = computed(model, contrastive(0.3, 0.5, by, is_packed=is_packed), ROWS)
    # The loop divides by the weight, which makes both means: 3 + 1 + 2 + 2 + 2 trained tokens.
    assert batch.weight == 10
    assert float(found.detach()) / 10 == pytest.approx(float(usual.detach()) / 10 + 0.3 * term, rel=1e-6)
    assert metrics["contrastive"] / 10 == pytest.approx(term, rel=1e-6)
    assert metrics["token_accuracy"] == told["token_accuracy"]
    alone, _, _ = computed(model, contrastive(0.3, 0.5, by, is_packed=is_packed, language_weight=0), ROWS)
    assert float(alone.detach()) / 10 == pytest.approx(0.3 * term, rel=1e-6)


def test_packed_and_padded_gradients_agree() -> None:
    model, found = tiny(), []
    for is_packed in (True, False):
        model.zero_grad()
        computed(model, contrastive(2.0, 0.5, "task", is_packed=is_packed), ROWS)[0].backward()  # type: ignore[no-untyped-call]
        found.append({name: value.grad.clone() for name, value in model.named_parameters()})
    for name, value in found[0].items():
        assert float((found[1][name] - value).norm()) <= 1e-6 * float(value.norm()) + 1e-9, name


@pytest.mark.parametrize("is_packed", [True, False])
def test_validation_is_the_usual_loss(is_packed: bool) -> None:
    model, objective = tiny(), contrastive(2.0, 0.5, "task", is_packed=is_packed)
    assert objective.takes_whole_steps
    assert objective.build_measured is not None
    with reads_packed(model) if is_packed else torch.no_grad():
        total, told = objective.loss(model, objective.build_measured(ROWS))
    expected = instruction.loss(model, pad(ROWS))
    assert float(total.detach()) == pytest.approx(float(expected[0].detach()))
    assert told == pytest.approx(expected[1])


def test_training_pulls_groups_together_and_apart(tiny_model: Path) -> None:
    model = add_lora(load(tiny_model), rank=4, alpha=8, dropout=0.0, seed=1).model
    objective = contrastive(1.0, 0.2, "task", is_packed=False, language_weight=0)

    def similarity() -> tuple[float, float]:
        with torch.no_grad():
            read = model(input_ids=pad(ROWS).input_ids, output_hidden_states=True).hidden_states[-1]
            means = torch.stack([read[n, : one.num_tokens].mean(0) for n, one in enumerate(ROWS)])
            alike = torch.nn.functional.normalize(means, dim=-1) @ torch.nn.functional.normalize(means, dim=-1).T
        return float(alike[0, 2] + alike[1, 3]), float(alike[0, 1] + alike[0, 3] + alike[2, 1] + alike[2, 3])

    before = similarity()
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=0.01)
    for _ in range(15):
        optimizer.zero_grad()
        computed(model, objective, ROWS)[0].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    after = similarity()
    assert after[0] / 2 - after[1] / 4 > before[0] / 2 - before[1] / 4 + 0.2


def test_projection_is_trained_and_not_kept() -> None:
    model = tiny()
    names = [name for name, _ in model.named_parameters()]
    without = float(computed(model, contrastive(1.0, 0.5, "task", is_packed=False), ROWS)[0].detach())
    with projected(model, 4, seed=1):
        assert [name for name, _ in model.named_parameters()] == [*names, f"{PROJECTION}.weight"]
        weight = getattr(model, PROJECTION).weight
        assert weight.shape == (4, 32)
        total = computed(model, contrastive(1.0, 0.5, "task", is_packed=False), ROWS)[0]
        total.backward()  # type: ignore[no-untyped-call]
        assert float(weight.grad.norm()) > 0
        assert float(total.detach()) != pytest.approx(without)
        drawn = weight.detach().clone()
    assert [name for name, _ in model.named_parameters()] == names
    with projected(model, 4, seed=1):
        assert torch.equal(getattr(model, PROJECTION).weight, drawn)
    with projected(model, 0, seed=1):
        assert not hasattr(model, PROJECTION)
