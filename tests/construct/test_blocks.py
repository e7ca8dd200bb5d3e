"""Roots are dealt evenly, and the same way in every process."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.construct.blocks import by_size, deal
from heedful.project import stream

STRATA = st.lists(st.sets(st.text(min_size=1, max_size=4)), max_size=8).map(
    lambda sets: [[f"{place}{name}" for name in names] for place, names in enumerate(sets)]
)


@settings(max_examples=40)
@given(STRATA, st.integers(1, 12), st.integers(0, 100))
def test_blocks_differ_by_at_most_one_in_all_and_in_every_stratum(
    strata: list[list[str]], num_blocks: int, seed: int
) -> None:
    blocks = deal(strata, num_blocks, stream(seed, "deal"))
    assert set(blocks) == {name for stratum in strata for name in stratum}
    for names in [*strata, list(blocks)]:
        sizes = Counter(blocks[name] for name in names)
        counts = [sizes[block] for block in range(num_blocks)]
        assert max(counts) - min(counts) <= 1


@settings(max_examples=40)
@given(STRATA, st.integers(1, 12))
def test_the_order_in_which_names_are_given_does_not_matter(strata: list[list[str]], num_blocks: int) -> None:
    turned = [list(reversed(stratum)) for stratum in strata]
    assert deal(strata, num_blocks, stream(1, "deal")) == deal(turned, num_blocks, stream(1, "deal"))


def test_another_seed_deals_otherwise() -> None:
    names = [[f"document {number}" for number in range(40)]]
    assert deal(names, 10, stream(1, "deal")) != deal(names, 10, stream(2, "deal"))


def test_documents_of_similar_size_make_a_stratum() -> None:
    assert by_size({"a": 1, "b": 90, "c": 100, "d": 2, "e": 50}, 2) == [["c", "b"], ["e", "d"], ["a"]]
