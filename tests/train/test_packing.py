"""Packed rows: nothing leaks, equal beginnings are read once, and losses and gradients are those of separate rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
    T5Config,
)
from transformers import AutoModelForSeq2SeqLM as Seq2Seq

from heedful.models import LoadedModel, load
from heedful.train.computing.attention import NAME, reads_packed, why_not_packed
from heedful.train.computing.head import _softmax_into, head_loss, why_not_head_loss
from heedful.train.computing.head_rows import is_ours
from heedful.train.objectives.instruction import loss, packed_loss
from heedful.train.rows.batches import TokenRow, pad
from heedful.train.rows.packing import MIN_SHARED, Span, pack
from tiny_runs import gradients

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 50, "num_attention_heads": 4}
FAMILIES = {
    "llama, grouped queries": LlamaConfig(**SMALL, num_key_value_heads=2),
    "llama, tied": LlamaConfig(**SMALL, num_key_value_heads=4, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=8),
    "mistral": MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=None),
    "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=50, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
}


def row(ids: list[int], *, trained_from: int = 1, weight: float = 1.0, name: str = "row") -> TokenRow:
    mask = tuple(place >= max(trained_from, 1) for place in range(len(ids)))
    return TokenRow(name, "test", tuple(ids), mask, weight)


def made(config: Any) -> Any:
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def random_rows(*lengths: int, shared: int = 0) -> list[TokenRow]:
    generator = torch.Generator().manual_seed(7)
    beginning = torch.randint(50, (shared,), generator=generator).tolist()
    return [
        row(
            beginning + torch.randint(50, (length,), generator=generator).tolist(),
            trained_from=shared + 2,
            weight=weight,
        )
        for length, weight in zip(lengths, [1.0, 0.5, 2.0, 1.0, 1.0, 3.0], strict=False)
    ]


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # Models of doubles, too, take their norms in 32 bits.
        assert float((found[name] - value).norm()) <= 1e-6 * float(value.norm()) + 1e-9, name


@pytest.mark.parametrize("shared", [0, 5, 20])
@pytest.mark.parametrize("name", FAMILIES)
def test_packed_equals_padded(name: str, shared: int) -> None:
    model = made(FAMILIES[name])
    some = random_rows(3, 9, 1, 14, 6, shared=shared)
    expected, told = loss(model, pad(some))
    expected_gradients = gradients(model, expected)
    expected = expected.detach()
    assert why_not_packed(model, 40) == ""
    assert why_not_head_loss(model) == ""
    with reads_packed(model):
        batch = pack(some)
        assert batch.num_read == sum(one.num_tokens for one in some) - (4 * shared if shared >= MIN_SHARED else 0)
        found, told_packed = packed_loss(model, batch)
        found_gradients = gradients(model, found)
    assert float(found.detach()) == pytest.approx(float(expected), rel=1e-10)
    assert told_packed == pytest.approx(told)
    assert_equal(found_gradients, expected_gradients)


def test_attention_is_as_it_was_afterwards() -> None:
    model = made(FAMILIES["llama, tied"])
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="planted"), reads_packed(model):
        assert model.config._attn_implementation == NAME
        raise RuntimeError("planted")
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("shares", [True, False])
def test_no_row_sees_another(shares: bool) -> None:
    # Bits, not tolerances: another neighbour of the same length, and not a bit of this row's loss changes.
    model = made(FAMILIES["llama, grouped queries"])
    mine, other, third = random_rows(20, 9, 9, shared=18 if shares else 0)
    with reads_packed(model), torch.no_grad():
        found = [packed_losses(model, pack([mine, neighbour], shares=shares), 0) for neighbour in (other, third)]
    assert torch.equal(found[0], found[1])


def packed_losses(model: Any, batch: Any, owner: int) -> torch.Tensor:
    hidden = model.base_model(
        input_ids=batch.input_ids, position_ids=batch.position_ids, packed_spans=batch.spans, use_cache=False
    ).last_hidden_state[0][batch.predictors]
    losses = head_loss(hidden, model.get_output_embeddings().weight, batch.targets, batch.weights)[1]
    return losses[batch.owners == owner]


def test_what_is_seen_by_hand() -> None:
    shared = list(range(MIN_SHARED))
    batch = pack(
        [row([*shared, 40, 41], trained_from=MIN_SHARED), row([*shared, 42], trained_from=MIN_SHARED), row([7, 8])]
    )
    end = MIN_SHARED
    assert batch.input_ids.tolist() == [[*shared, 40, 41, 42, 7, 8]]
    assert batch.position_ids.tolist() == [[*range(end), end, end + 1, end, 0, 1]]
    spans = (Span(0, end), Span(end, end + 2, ((0, end),)), Span(end + 2, end + 3, ((0, end),)), Span(end + 3, end + 5))
    assert batch.spans == spans
    # 40 and 42 are both predicted by the last shared token.
    assert batch.predictors.tolist() == [end - 1, end, end - 1, end + 3]
    assert batch.targets.tolist() == [40, 41, 42, 8]
    assert batch.owners.tolist() == [0, 0, 1, 2]
    assert (batch.num_tokens, batch.num_read, batch.weight) == (2 * end + 5, end + 5, 4.0)


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=60), min_size=1, max_size=8),
    st.booleans(),
)
def test_every_token_sees_its_own_row_and_nothing_else(texts: list[list[int]], shares: bool) -> None:
    # Rows of three letters share many beginnings; what a place can see, read in order, must be the row itself.
    rows = [row(ids, name=str(number)) for number, ids in enumerate(texts)]
    batch = pack(rows, shares=shares)
    ids, positions = batch.input_ids[0].tolist(), batch.position_ids[0].tolist()
    seen: dict[int, list[int]] = {}
    for span in batch.spans:
        before = [place for start, end in span.before for place in range(start, end)]
        for place in range(span.start, span.end):
            seen[place] = [*before, *range(span.start, place + 1)]
            assert positions[place] == len(seen[place]) - 1
    assert len(seen) == len(ids) == batch.num_read <= batch.num_tokens == sum(map(len, texts))
    trained = list(zip(batch.owners.tolist(), batch.predictors.tolist(), batch.targets.tolist(), strict=True))
    for number, text in enumerate(texts):
        own = [(place, target) for owner, place, target in trained if owner == number]
        assert [target for _, target in own] == text[1:]
        for length, (place, _) in enumerate(own, 1):
            assert [ids[other] for other in seen[place]] == text[:length]


def test_equal_rows_are_read_once_and_trained_twice() -> None:
    batch = pack([row([5] * 30), row([5] * 30)])
    assert (batch.num_read, batch.num_tokens, len(batch.targets)) == (30, 60, 58)


def test_what_cannot_be_packed_says_why() -> None:
    t5 = T5Config(d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=50)
    assert "encoder-decoder" in why_not_packed(Seq2Seq.from_config(t5), 10)
    sliding = made(MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=16))
    assert "slides over 16" in why_not_packed(sliding, 17)
    assert why_not_packed(sliding, 16) == ""
    capped = made(Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=8))
    assert "caps" in why_not_packed(capped, 10)
    assert "caps its logits" in why_not_head_loss(capped)


@pytest.mark.parametrize("num", [1, 64, 65, 1100])
def test_head_loss_equals_cross_entropy(num: int) -> None:
    generator = torch.Generator().manual_seed(num)
    hidden = torch.randn(num, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(30, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(30, (num,), generator=generator)
    factors = torch.rand(num, generator=generator, dtype=torch.float64)
    logits = hidden @ weight.T
    each = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    expected = torch.autograd.grad((each * factors).sum() / 3, [hidden, weight])
    total, losses, correct = head_loss(hidden, weight, targets, factors)
    torch.testing.assert_close(losses, each.detach(), rtol=1e-12, atol=1e-12)
    assert torch.equal(correct, logits.argmax(-1) == targets)
    torch.testing.assert_close(torch.autograd.grad(total / 3, [hidden, weight]), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("num", "size"), [(1, 48), (70, 48), (1030, 160), (70, 50)])
def test_head_loss_in_bf16(num: int, size: int) -> None:
    # Ours where the vocabulary is whole vectors, torch's elsewhere; both are compared with 64 bits on the same bf16 logits.
    generator = torch.Generator().manual_seed(num)
    logits = (torch.randn(num, size, generator=generator) * 5).bfloat16()
    targets = torch.randint(size, (num,), generator=generator)
    targets[::2] = logits[::2].float().argmax(-1)
    factors = torch.rand(num, generator=generator)
    assert is_ours(logits) == (size != 50)
    exact = logits.double().requires_grad_()
    each = torch.nn.functional.cross_entropy(exact, targets, reduction="none")
    (each * factors.double()).sum().backward()
    assert exact.grad is not None
    expected = logits.double().argmax(-1) == targets
    losses, correct = _softmax_into(logits, targets, factors)
    torch.testing.assert_close(losses.double(), each.detach(), rtol=1e-5, atol=1e-5)
    assert torch.equal(correct, expected)
    torch.testing.assert_close(logits.double(), exact.grad, rtol=5e-3, atol=1e-6)


def test_of_equally_likely_tokens_the_first_counts() -> None:
    logits = torch.zeros(3, 32).bfloat16()
    logits[1, 5] = logits[1, 20] = 2
    _, correct = _softmax_into(logits, torch.tensor([0, 20, 1]), torch.ones(3))
    assert correct.tolist() == [True, False, False]


def test_packs_the_real_model(smollm2: LoadedModel) -> None:
    some = random_rows(30, 55, 20, shared=25)
    with torch.no_grad():
        expected = loss(smollm2.model, pad(some))[0]
        with reads_packed(smollm2.model):
            assert float(packed_loss(smollm2.model, pack(some))[0]) == pytest.approx(float(expected), rel=1e-6)


def test_adapters_are_packed_too(tiny_model: Path) -> None:
    from heedful.models import add_lora

    model = add_lora(load(tiny_model), rank=4, alpha=8, dropout=0.0, seed=1).model.double()
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.3)
    some = random_rows(12, 5, 8, shared=20)
    expected = gradients(model, loss(model, pad(some))[0])
    with reads_packed(model):
        assert_equal(gradients(model, packed_loss(model, pack(some))[0]), expected)
    assert all("lora" in name for name in expected)
