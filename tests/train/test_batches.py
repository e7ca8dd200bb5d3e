"""Order, grouping and padding of rows."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from heedful.train.rows.batches import TokenRow, epoch_batches, micro_batches, pad


@given(st.lists(st.integers(1, 50), min_size=1, max_size=150), st.integers(1, 9), st.integers(0, 3))
def test_every_row_comes_once_an_epoch(lengths: list[int], batch_size: int, epoch: int) -> None:
    batches = epoch_batches(lengths, batch_size, seed=3, epoch=epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    assert sum(len(batch) < batch_size for batch in batches) <= 1


def test_order_depends_on_seed_and_epoch_only() -> None:
    lengths = [index % 7 + 1 for index in range(40)]
    first = epoch_batches(lengths, 4, seed=1, epoch=0)
    assert first == epoch_batches(lengths, 4, seed=1, epoch=0)
    assert first != epoch_batches(lengths, 4, seed=1, epoch=1)
    assert first != epoch_batches(lengths, 4, seed=2, epoch=0)


def test_similar_lengths_meet() -> None:
    # Rows of 10 and of 100 tokens by turns: taken as they come, nearly half of every batch would be padding.
    lengths = [10 if index % 2 else 100 for index in range(64)]
    batches = epoch_batches(lengths, 8, seed=0, epoch=0)
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded == sum(lengths)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 120))
def test_micro_batches_keep_all_rows_within_the_limit(lengths: list[int], limit: int) -> None:
    groups = micro_batches(range(len(lengths)), lengths, limit)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) * max(lengths[index] for index in group) <= limit or len(group) == 1


def test_padding_written_out_by_hand() -> None:
    batch = pad(
        [
            TokenRow("a", "test", (5, 6, 7), (False, True, True), weight=2.0),
            TokenRow("b", "test", (8,), (False,)),
        ]
    )
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.loss_mask.tolist() == [[False, True, True], [False, False, False]]
    assert torch.equal(batch.row_weights, torch.tensor([2.0, 1.0]))
    assert batch.num_tokens == 4
    assert batch.weight == 4.0  # two trained tokens, each of weight 2
