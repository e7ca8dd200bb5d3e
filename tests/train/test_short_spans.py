"""Attention of short spans in our own loops: torch's, forward and backward; equal bits with any threads and any neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from heedful.generate.local.kernels.tiles import BF16_DOTS
from heedful.train.computing import threads
from heedful.train.computing.short_spans import ShortSpans, is_ours
from heedful.train.rows.batches import TokenRow
from heedful.train.rows.packing import Span, pack

PRECISIONS = [torch.float32, *([torch.bfloat16] if BF16_DOTS else [])]
Tensors = tuple[torch.Tensor, ...]


def spans_of(lengths: list[int], shared: int) -> tuple[Span, ...]:
    """Of rows with one beginning; the last row shares twice as much with the first."""
    rows = [[*range(shared), *(1000 * number + place for place in range(n))] for number, n in enumerate(lengths, 1)]
    if shared:
        rows.append([*rows[0][: 2 * shared], 7])
    return pack([TokenRow(str(n), "test", tuple(ids), (True,) * len(ids)) for n, ids in enumerate(rows)]).spans


def drawn(num: int, heads: int, shared: int, depth: int) -> Tensors:
    """Queries, keys, values and the gradient of what comes out; bf16 numbers, kept as doubles."""
    generator = torch.Generator().manual_seed(num)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).bfloat16().double()

    query, key, value = (some(1, num, count, depth).transpose(1, 2) for count in (heads, shared, shared))
    return query, key, value, some(1, num, heads, depth)


def of_torch(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, spans: tuple[Span, ...]) -> torch.Tensor:
    """A mask over everything: place by place who sees whom."""
    seen = torch.zeros(query.shape[2], query.shape[2], dtype=torch.bool)
    for span in spans:
        for place in range(span.start, span.end):
            for start, end in (*span.before, (span.start, place + 1)):
                seen[place, start:end] = True
    return scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=0.3, enable_gqa=True).transpose(1, 2)


def with_gradients(function: Any, tensors: Tensors, dtype: torch.dtype, *more: Any) -> Tensors:
    inputs = [tensor.to(dtype, copy=True).requires_grad_() for tensor in tensors[:3]]
    out = function(*inputs, *more)
    out.backward(tensors[3].to(dtype))
    return (out.detach(), *(tensor.grad for tensor in inputs if tensor.grad is not None))


def ours(tensors: Tensors, dtype: torch.dtype, spans: tuple[Span, ...]) -> Tensors:
    return with_gradients(ShortSpans.apply, tensors, dtype, 0.3, spans)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize(("heads", "shared", "depth"), [(9, 3, 64), (4, 4, 16), (2, 1, 80)])
@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=5), common=st.sampled_from([0, 16, 37]))
def test_equals_torch(dtype: Any, heads: int, shared: int, depth: int, lengths: list[int], common: int) -> None:
    spans = spans_of(lengths, common)
    tensors = drawn(spans[-1].end, heads, shared, depth)
    assert is_ours(tensors[0].to(dtype))
    exact = with_gradients(of_torch, tensors, torch.float64, spans)
    found = ours(tensors, dtype, spans)
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == dtype
        assert one.shape == other.shape
        off = float((one.double() - other).norm() / other.norm().clamp_min(1e-9))
        assert off < (1e-2 if dtype is torch.bfloat16 else 2e-6)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.usefixtures("two_threads")
def test_equal_bits_whoever_computes(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = spans_of([5, 60, 33, 90, 1], 40)
    tensors = drawn(spans[-1].end, 6, 2, 64)
    found = ours(tensors, dtype, spans)
    with monkeypatch.context() as without:
        # Where torch has another OpenMP.
        without.setattr(threads, "_gomp_parallel", lambda: None)
        threads._in_all_threads.cache_clear()
        assert all(torch.equal(*both) for both in zip(found, ours(tensors, dtype, spans), strict=True))
    threads._in_all_threads.cache_clear()
    torch.set_num_threads(1)
    assert all(torch.equal(*both) for both in zip(found, ours(tensors, dtype, spans), strict=True))


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_no_row_sees_another(dtype: Any) -> None:
    # Bits, not tolerances: of the first row nothing changes when its neighbours do, and nothing is infinite that they have.
    spans = (Span(0, 20), Span(20, 49, ((0, 20),)), Span(49, 80))
    query, key, value, outer = drawn(80, 4, 2, 32)
    found = ours((query, key, value, outer), dtype, spans)
    for tensor in (query, key, value):
        tensor[:, :, 49:] = torch.inf
    outer[:, 49:] = 0
    again = ours((query, key, value, outer), dtype, spans)
    assert torch.equal(found[0][:, :49], again[0][:, :49])
    for one, other in zip(found[1:], again[1:], strict=True):
        assert torch.equal(one[:, :, :49], other[:, :, :49])


def test_what_is_left_to_torch() -> None:
    assert not is_ours(torch.zeros(1, 2, 3, 64, dtype=torch.float64))
    assert not is_ours(torch.zeros(1, 2, 3, 40))
    assert not is_ours(torch.zeros(1, 2, 3, 64, dtype=torch.float16))
    assert is_ours(torch.zeros(1, 2, 3, 48))
