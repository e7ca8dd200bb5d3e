"""Unlikelihood: which tokens it is taken of, what it is, its gradients, and that it makes wrong answers less likely."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from heedful.models import load
from heedful.records import Example, Message, Preference
from heedful.render import Renderer, renderer_for
from heedful.train.computing.attention import reads_packed
from heedful.train.objectives import instruction
from heedful.train.objectives.instruction import rows
from heedful.train.objectives.negatives import (
    AnswerRow,
    answer_rows,
    from_preference,
    head_unlikelihood,
    negatives,
    unlikelihood,
    wrong_outputs,
)
from heedful.train.rows.batches import TokenRow, pad


@pytest.fixture(scope="module")
def renderer(tiny_model: Path) -> Renderer:
    return renderer_for(load(tiny_model))


def example(answer: str, *wrong: str) -> Example:
    messages = (Message("user", "What is it?"), Message("assistant", answer))
    row = Example("e", messages, "import", "test", split="train")
    return row.with_meta(wrong=[{"output": text, "reason": ""} for text in wrong])


def punished(renderer: Renderer, answer: str, wrong: str, *, max_length: int = 500) -> str:
    """Text of the tokens that are made less likely; ■ is the end of turn."""
    one = example(answer, wrong)
    (row,) = answer_rows([one], rows([one], renderer, max_length=max_length), renderer, max_length=max_length)
    if not row.wrong:
        return ""
    ids = [token for token, trained in zip(row.wrong[0].input_ids, row.wrong[0].loss_mask, strict=True) if trained]
    return "".join("■" if token in renderer.end_of_turn_ids else renderer.decode([token]) for token in ids)


# -- which tokens ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "wrong", "expected"),
    [
        ("a dog", "a cat", "cat"),  # "a " is right; ending after "cat" is no fault of its own
        ("a dog", "a", "■"),  # to end here is what is wrong
        ("a", "a dog", " dog"),  # to go on is; the tiny vocabulary has no " d"
        ("dog", "dog", ""),
        ("red", "blue", "blue"),
    ],
)
def test_what_right_and_wrong_have_in_common_is_not_punished(
    renderer: Renderer, answer: str, wrong: str, expected: str
) -> None:
    assert punished(renderer, answer, wrong) == expected


def test_what_is_cut_off_is_not_punished(renderer: Renderer) -> None:
    length = len(renderer.pair(example("a dog").messages).source_ids)
    assert punished(renderer, "a dog", "a cat", max_length=length + 3) == "c"
    assert punished(renderer, "a dog", "a cat", max_length=length + 2) == ""


def test_wrong_answers_come_from_preferences_and_meta() -> None:
    prompt = (Message("user", "Which?"),)
    preference = Preference("p", prompt, "this", "that", "human", "feedback", "test", meta='{"a":1}')
    made = from_preference(preference)
    assert (made.answer, made.prompt, wrong_outputs(made), made.meta_value("a")) == ("this", prompt, ("that",), 1)
    assert wrong_outputs(from_preference(replace(preference, rejected="this"))) == ()
    assert wrong_outputs(example("x", "y", "x", "z")) == ("y", "z")


# -- what it is --------------------------------------------------------------------------------------------------------


def test_by_hand() -> None:
    # Shares 1/2, 1/4, 1/4: making the first less likely costs -log(1/2), the others -log(3/4).
    logits = torch.tensor([[2.0, 1.0, 1.0]]).log().expand(3, 3)
    found = unlikelihood(logits, torch.tensor([0, 1, 2]))
    assert found.tolist() == pytest.approx([math.log(2), math.log(4 / 3), math.log(4 / 3)])


@given(st.integers(0, 10_000))
def test_equals_the_formula(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(5, 7, generator=generator, dtype=torch.float64)
    targets = torch.randint(7, (5,), generator=generator)
    probability = logits.softmax(-1)[torch.arange(5), targets]
    torch.testing.assert_close(unlikelihood(logits, targets), -torch.log(1 - probability))


def test_certain_tokens_cost_what_they_should() -> None:
    # 1 - p is 2e-44 here, which 1 - softmax cannot say: it says 0, and its logarithm is minus infinity.
    logits = torch.tensor([[100.0, 0.0, -1.0]], requires_grad=True)
    value = unlikelihood(logits, torch.tensor([0]))
    assert float(value.detach()) == pytest.approx(100 - math.log(1 + math.exp(-1)), rel=1e-6)
    value.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[0, 0] == pytest.approx(1.0)
    assert torch.isfinite(logits.grad).all()


def test_gradients_by_finite_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 5, 2, 2])
    assert torch.autograd.gradcheck(lambda h, w: head_unlikelihood(h, w, targets), (hidden, weight))


@pytest.mark.parametrize("num", [1, 256, 257, 600])
def test_computed_in_parts_equals_the_whole(num: int) -> None:
    generator = torch.Generator().manual_seed(num)
    hidden = torch.randn(num, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(9, (num,), generator=generator)
    expected = torch.autograd.grad(unlikelihood(hidden @ weight.T, targets).sum(), [hidden, weight])
    found = torch.autograd.grad(head_unlikelihood(hidden, weight, targets).sum(), [hidden, weight])
    torch.testing.assert_close(found, expected)


# -- in a model --------------------------------------------------------------------------------------------------------


def tiny() -> Any:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    model = LlamaForCausalLM(config).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def token_row(ids: list[int], start: int, weight: float = 1.0) -> TokenRow:
    return TokenRow("row", "test", tuple(ids), tuple(place >= start for place in range(len(ids))), weight)


PROMPT = list(range(1, 25))
ROWS = [
    AnswerRow(
        token_row([*PROMPT, 30, 31, 2], 24, 2.0),
        (token_row([*PROMPT, 30, 40, 41], 25, 2.0), token_row([*PROMPT, 42], 24, 2.0)),
    ),
    AnswerRow(token_row([5, 6, 7, 8], 2)),
    AnswerRow(token_row([9, 10, 11], 1, 0.5), (token_row([9, 10, 12, 13], 2, 0.5),)),
]


def losses(model: Any, objective: Any, some: list[AnswerRow]) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    batch = objective.build(some)
    if objective.is_packed:
        with reads_packed(model):
            total, told = objective.loss(model, batch)
            total.backward()
    else:
        total, told = objective.loss(model, batch)
        total.backward()
    assert batch.weight == sum(row.right.weight * row.right.num_trained for row in some)
    return float(total.detach()), {name: value.grad.clone() for name, value in model.named_parameters()} | {
        "told": told
    }


def directly(model: Any, some: list[AnswerRow], negative_weight: float) -> torch.Tensor:
    """Row by row, from probabilities."""
    total = torch.zeros((), dtype=torch.float64)
    for row in some:
        for one, is_wrong in [(row.right, False), *((wrong, True) for wrong in row.wrong)]:
            shares = model(input_ids=torch.tensor([one.input_ids])).logits[0].softmax(-1)
            for place, trained in enumerate(one.loss_mask):
                if trained:
                    share = shares[place - 1, one.input_ids[place]]
                    paid = negative_weight * -torch.log(1 - share) if is_wrong else -torch.log(share)
                    total = total + one.weight * paid
    return total


@pytest.mark.parametrize("is_packed", [True, False])
def test_loss_and_gradients_equal_the_formula(is_packed: bool) -> None:
    model = tiny()
    model.zero_grad()
    expected = directly(model, ROWS, 0.7)
    expected.backward()  # type: ignore[no-untyped-call]
    gradients = {name: value.grad.clone() for name, value in model.named_parameters()}
    found, found_gradients = losses(model, negatives(0.7, is_packed=is_packed), ROWS)
    assert found == pytest.approx(float(expected.detach()), rel=1e-9)
    for name, value in gradients.items():
        assert float((found_gradients[name] - value).norm()) <= 1e-6 * float(value.norm()) + 1e-9, name


@pytest.mark.parametrize("is_packed", [True, False])
def test_sums_do_not_depend_on_how_rows_are_cut_or_ordered(is_packed: bool) -> None:
    model, objective = tiny(), negatives(0.7, is_packed=is_packed)
    whole, gradients = losses(model, objective, ROWS)
    parts = [losses(model, objective, [row]) for row in ROWS[::-1]]
    assert sum(part for part, _ in parts) == pytest.approx(whole, rel=1e-9)
    for name in gradients.keys() - {"told"}:
        torch.testing.assert_close(sum(one[name] for _, one in parts), gradients[name], rtol=1e-6, atol=1e-8)


def test_right_and_wrong_share_the_prompt() -> None:
    batch = negatives(1.0, is_packed=True).build(ROWS[:1]).tokens
    assert batch.num_read == 24 + 3 + 3 + 1  # type: ignore[union-attr]
    assert batch.num_tokens == 3 * 24 + 3 + 3 + 1


@pytest.mark.parametrize("is_packed", [True, False])
def test_validation_is_the_usual_loss(is_packed: bool) -> None:
    model, objective = tiny(), negatives(0.7, is_packed=is_packed)
    assert objective.build_measured is not None
    with reads_packed(model) if is_packed else torch.no_grad():
        found = objective.loss(model, objective.build_measured(ROWS))
    expected = instruction.loss(model, pad([row.right for row in ROWS]))
    assert float(found[0].detach()) == pytest.approx(float(expected[0].detach()))
    assert found[1] == pytest.approx(expected[1])


@pytest.mark.parametrize("seed", range(5))
def test_a_step_never_makes_the_wrong_answer_likelier(seed: int) -> None:
    torch.manual_seed(seed)
    model = tiny()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    # Beside so large a weight nothing but the wrong answer's term is left.
    row = AnswerRow(token_row([1, 2, 3, 4], 2, 1.0), (token_row([1, 2, 3, 5], 3, 1.0),))
    only_wrong = negatives(1e6, is_packed=False)

    def chance() -> float:
        with torch.no_grad():
            return float(model(input_ids=torch.tensor([[1, 2, 3]])).logits[0, -1].softmax(-1)[5])

    before = chance()
    for _ in range(20):
        _, gradients = losses(model, only_wrong, [row])
        with torch.no_grad():
            norm = sum(float(gradients[name].norm()) ** 2 for name, _ in model.named_parameters()) ** 0.5
            for name, value in model.named_parameters():
                value -= 1e-3 * gradients[name] / norm
        after = chance()
        assert after < before
        before = after
