"""The instruction loss: equal to transformers' own, whatever the batches, and with gradients only where they belong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.models import LoadedModel, add_lora, load
from heedful.records import Example
from heedful.render import renderer_for
from heedful.train.objectives.instruction import loss, padded, rows
from heedful.train.rows.batches import TokenRow, pad


@pytest.fixture
def loaded(tiny_model: Path) -> LoadedModel:
    model = load(tiny_model)
    # Doubles: sums in another order then differ by 1e-15, and a real difference cannot hide.
    model.model.double()
    return model


@pytest.fixture
def some_rows(loaded: LoadedModel, small_data: list[Example]) -> list[TokenRow]:
    return rows([*small_data, small_data[0]][:8], renderer_for(loaded), max_length=200)


def mean_loss(model: Any, some: list[TokenRow]) -> torch.Tensor:
    batch = pad(some)
    return loss(model, batch)[0] / batch.weight


def test_equals_the_loss_of_transformers(loaded: LoadedModel, some_rows: list[TokenRow]) -> None:
    batch = pad(some_rows)
    labels = batch.input_ids.masked_fill(~batch.loss_mask, -100)
    lengths = torch.tensor([row.num_tokens for row in some_rows])
    attention_mask = (torch.arange(batch.input_ids.shape[1]) < lengths.unsqueeze(1)).long()
    theirs = loaded.model(input_ids=batch.input_ids, attention_mask=attention_mask, labels=labels).loss
    # transformers computes its loss in single precision.
    assert float(mean_loss(loaded.model, some_rows)) == pytest.approx(float(theirs), rel=1e-6)


def test_equals_the_formula(loaded: LoadedModel) -> None:
    # Two trained tokens: the mean of - log p(7 | 3 5) and - log p(2 | 3 5 7).
    row = TokenRow("a", "test", (3, 5, 7, 2, 9), (False, False, True, True, False))
    probabilities = loaded.model(input_ids=torch.tensor([row.input_ids])).logits[0].softmax(-1)
    expected = -(math.log(probabilities[1, 7]) + math.log(probabilities[2, 2])) / 2
    assert float(mean_loss(loaded.model, [row])) == pytest.approx(expected, abs=1e-12)


def test_weights_of_rows_weigh_their_tokens(loaded: LoadedModel, some_rows: list[TokenRow]) -> None:
    first, second = some_rows[0], some_rows[5]
    single = [loss(loaded.model, pad([row]))[0] for row in (first, second)]
    heavy = TokenRow(second.id, "test", second.input_ids, second.loss_mask, weight=3.0)
    expected = (single[0] + 3 * single[1]) / (first.num_trained + 3 * second.num_trained)
    assert torch.allclose(mean_loss(loaded.model, [first, heavy]), expected, rtol=1e-12)


def test_accuracy_counts_the_tokens_that_come_first(loaded: LoadedModel) -> None:
    best = loaded.model(input_ids=torch.tensor([[3, 5, 7]])).logits[0].argmax(-1)
    row = TokenRow("a", "test", (3, 5, int(best[1]), 0), (False, False, True, True))
    right = int(loaded.model(input_ids=torch.tensor([row.input_ids])).logits[0, 2].argmax()) == 0
    assert loss(loaded.model, pad([row]))[1] == {"token_accuracy": 1.0 + right}


def gradients(model: Any, parts: list[list[TokenRow]]) -> dict[str, torch.Tensor]:
    """Of the mean over the trained tokens of all parts, each part a micro-batch."""
    model.zero_grad()
    weight = sum(pad(part).weight for part in parts)
    for part in parts:
        (padded.loss(model, padded.build(part))[0] / weight).backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def test_one_batch_of_eight_equals_eight_accumulated(loaded: LoadedModel, some_rows: list[TokenRow]) -> None:
    assert len({row.num_trained for row in some_rows}) > 3, "with equal lengths a mean of means would pass too"
    loaded.model.requires_grad_(True)
    together = gradients(loaded.model, [some_rows])
    one_by_one = gradients(loaded.model, [[row] for row in some_rows])
    assert together.keys() == one_by_one.keys()
    assert len(together) > 10
    for name, value in together.items():
        assert torch.allclose(value, one_by_one[name], rtol=1e-9, atol=1e-12), name


def test_padding_changes_nothing(loaded: LoadedModel, some_rows: list[TokenRow]) -> None:
    alone = [loss(loaded.model, pad([row]))[0] for row in some_rows]
    together = loss(loaded.model, pad(some_rows))[0]
    assert torch.allclose(sum(alone, torch.tensor(0.0)), together, rtol=1e-12)
    # What stands in the padding is not looked at either.
    batch = pad(some_rows)
    for index, row in enumerate(some_rows):
        batch.input_ids[index, row.num_tokens :] = 99
    assert torch.equal(loss(loaded.model, batch)[0], together)


def test_prompts_are_read_but_not_trained(loaded: LoadedModel, conversation: Any) -> None:
    renderer = renderer_for(loaded)
    row = rows([conversation("add 1 and 2", "3")], renderer, max_length=100)[0]
    trained = [index for index, is_trained in enumerate(row.loss_mask) if is_trained]
    assert renderer.decode([row.input_ids[index] for index in trained]) == "3"
    assert row.input_ids[trained[-1]] == renderer.end_of_turn_ids[0]
    # Changing an untrained target leaves the loss; changing what the answer reads does not.
    before = loss(loaded.model, pad([row]))[0]
    after_answer = TokenRow(row.id, row.source, (*row.input_ids[:-1], 50), row.loss_mask)
    assert torch.equal(loss(loaded.model, pad([after_answer]))[0], before)
    in_prompt = TokenRow(row.id, row.source, (*row.input_ids[:3], 50, *row.input_ids[4:]), row.loss_mask)
    assert not torch.equal(loss(loaded.model, pad([in_prompt]))[0], before)


def test_gradients_reach_adapters_only(loaded: LoadedModel, some_rows: list[TokenRow]) -> None:
    with_lora = add_lora(loaded, rank=2, alpha=4.0, dropout=0.0, seed=1)
    reached = gradients(with_lora.model, [some_rows])
    assert reached
    assert all("lora_" in name for name in reached)
    # B starts at zero, so at first only B is moved; every B is.
    moved = {name for name, value in reached.items() if bool(value.any())}
    assert moved == {name for name in reached if "lora_B" in name}


def test_the_output_layer_is_left_as_it_was(loaded: LoadedModel, some_rows: list[TokenRow]) -> None:
    ids = torch.tensor([[3, 5, 7]])
    before = loaded.model(input_ids=ids).logits
    loss(loaded.model, pad(some_rows))
    assert torch.equal(loaded.model(input_ids=ids).logits, before)
