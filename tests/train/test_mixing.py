"""Mixing of tasks: counts are exact, rows take turns, batches hold pairs, and all of it is a function of seed and epoch."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.errors import SettingsError
from heedful.project.settings import parse_settings
from heedful.train.rows.mixing import DealtOrder, MixedOrder, apportion, describe, mix, task_counts
from heedful.train.task_settings import MixingSettings

SIZES = {"large": 80, "middle": 16, "small": 4}


def tasks(sizes: dict[str, int]) -> list[str]:
    return [task for task, size in sizes.items() for _ in range(size)]


# -- shares, by hand --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # All rows, as they are.
        (MixingSettings(), {"large": 80, "middle": 16, "small": 4}),
        # 20 + 16 + 4: a cap makes the epoch shorter.
        (MixingSettings(cap=20), {"large": 20, "middle": 16, "small": 4}),
        # 60 rows in proportion 20 : 16 : 4.
        (MixingSettings(cap=20, rows_per_epoch=60), {"large": 30, "middle": 24, "small": 6}),
        # Roots 8.944 : 4 : 2 of 100 rows are 59.85, 26.77 and 13.38; the two largest remainders are rounded up.
        (MixingSettings(temperature=2), {"large": 60, "middle": 27, "small": 13}),
        # Far beyond all temperatures shares are equal: 33.3 each, and the first name takes the row that is left.
        (MixingSettings(temperature=1e9), {"large": 34, "middle": 33, "small": 33}),
        (MixingSettings(shares={"large": 1, "middle": 0, "small": 3}), {"large": 25, "middle": 0, "small": 75}),
        (MixingSettings(rows_per_epoch=25), {"large": 20, "middle": 4, "small": 1}),
    ],
)
def test_counts_by_hand(settings: MixingSettings, expected: dict[str, int]) -> None:
    assert task_counts(SIZES, settings) == expected


@given(st.integers(0, 500), st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(sum))
def test_apportioning_is_exact(total: int, weights: list[int]) -> None:
    named = {f"task {number}": weight for number, weight in enumerate(weights)}
    counts = apportion(total, named)
    assert sum(counts.values()) == total
    for name, weight in named.items():
        assert abs(counts[name] - Fraction(total * weight, sum(weights))) < 1
    # Who weighs more never gets less.
    for one, count in counts.items():
        assert all(count >= counts[other] for other in named if named[one] > named[other])


def test_shares_name_every_task() -> None:
    with pytest.raises(SettingsError, match="did you mean 'small'"):
        task_counts(SIZES, MixingSettings(shares={"large": 1, "middle": 1, "smal": 1}))
    with pytest.raises(SettingsError, match=r"does not name 'small'.*0 to leave it out"):
        task_counts(SIZES, MixingSettings(shares={"large": 1, "middle": 1}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"shares": {"a": 1.0}, "cap": 3}, "nothing to say"),
        ({"shares": {"a": 0.0}}, "nothing would be read"),
        ({"shares": {"a": -1.0}}, "0 or more"),
        ({"shares": {"a": float("nan")}}, "0 or more"),
        ({"temprature": 2.0}, "did you mean 'temperature'"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_settings(MixingSettings, values, where="here")


# -- rows --------------------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(1, 12), min_size=1),
    st.integers(1, 40),
    st.integers(1, 5),
    st.sampled_from([1.0, 2.0, 50.0]),
)
def test_rows_take_turns_over_epochs(sizes: dict[str, int], rows: int, epochs: int, temperature: float) -> None:
    mixture = mix(tasks(sizes), MixingSettings(temperature=temperature, rows_per_epoch=rows), seed=4)
    seen: Counter[int] = Counter()
    for epoch in range(epochs):
        chosen = mixture.rows_of(epoch)
        assert chosen == mixture.rows_of(epoch), "a run that continues asks again"
        assert len(chosen) == mixture.num_rows == rows
        assert Counter(tasks(sizes)[place] for place in chosen) == Counter(
            {task: count for task, count in mixture.counts.items() if count}
        )
        seen.update(chosen)
    report = {entry["task"]: entry for entry in mixture.report(epochs)}
    for task, places in mixture.rows.items():
        readings = [seen[place] for place in places]
        assert [min(readings), max(readings)] == report[task]["readings_of_a_row"]
        assert max(readings) - min(readings) <= 1


def test_the_default_reads_each_row_once() -> None:
    mixture = mix(tasks(SIZES), MixingSettings(), seed=0)
    assert sorted(mixture.rows_of(0)) == sorted(mixture.rows_of(1)) == list(range(100))


def test_order_depends_on_the_seed_and_the_epoch() -> None:
    settings = MixingSettings(temperature=2)
    orders = [
        MixedOrder(mix(tasks(SIZES), settings, seed=seed), [1] * 100, 8, seed).batches(epoch)
        for seed, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
    assert [len(batch) for batch in orders[0]].count(8) == 12
    again = MixedOrder(mix(tasks(SIZES), settings, seed=1), [1] * 100, 8, 1)
    assert again.batches(0) == orders[0]


def test_what_is_told() -> None:
    mixture = mix(tasks(SIZES), MixingSettings(temperature=2), seed=0)
    assert mixture.report(3)[2] == {
        "task": "small",
        "rows": 4,
        "rows_per_epoch": 13,
        "share": 0.13,
        "readings_of_a_row": [9, 10],  # 39 readings of 4 rows
    }
    lines = describe(mixture, 3).splitlines()
    assert lines[1].split() == ["large", "80", "60", "60.0%", "2", "or", "3", "times"]
    many = mix([f"task {n}" for n in range(30)], MixingSettings(), seed=0)
    assert describe(many, 1).splitlines()[-1] == "and 10 smaller tasks; ledger.json lists all"


# -- batches with pairs ------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=8),
    st.integers(0, 5),
    st.sampled_from([2, 4, 8]),
    st.integers(0, 3),
)
def test_every_batch_holds_a_pair(sizes: list[int], num_alone: int, batch_size: int, epoch: int) -> None:
    groups = [f"group {number}" for number, size in enumerate(sizes) for _ in range(size)] + [""] * num_alone
    order = DealtOrder(lambda _: list(range(len(groups))), len(groups), groups, batch_size, 7)
    num_batches = -(-len(groups) // batch_size)
    if sum(size // 2 for size in sizes) < num_batches:
        with pytest.raises(SettingsError, match="pairs of rows"):
            order.batches(epoch)
        return
    batches = order.batches(epoch)
    assert batches == order.batches(epoch)
    assert len(batches) == num_batches
    assert sorted(place for batch in batches for place in batch) == list(range(len(groups)))
    for batch in batches:
        assert 0 < len(batch) <= batch_size
        counts = Counter(groups[place] for place in batch if groups[place])
        assert max(counts.values()) >= 2


def test_a_batch_holds_several_groups() -> None:
    # Eight groups of eight rows in eight batches: each batch has a pair of as many groups as it has pairs.
    groups = [f"group {number}" for number in range(8) for _ in range(8)]
    for batch in DealtOrder(lambda _: list(range(64)), 64, groups, 8, 1).batches(0):
        assert sorted(Counter(groups[place] for place in batch).values()) == [2, 2, 2, 2]


def test_odd_batches_are_refused() -> None:
    with pytest.raises(SettingsError, match="even number"):
        DealtOrder(lambda _: [0, 1], 2, ["a", "a"], 3, 1).batches(0)
