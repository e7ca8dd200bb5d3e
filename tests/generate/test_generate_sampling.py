"""Sampling: the distribution that was asked for, one number of the stream per token."""

from __future__ import annotations

import math

import pytest
import torch

from heedful.generate.engine import Sampling
from heedful.generate.local import sampling as module
from heedful.generate.local.choosing import Chooser, choose
from heedful.generate.local.sampling import draw

# Probabilities 0.5, 0.25, 0.125, 0.125 at temperature 1.
LOGITS = torch.tensor([0.25, 0.5, 0.125, 0.125]).log()


def counts(settings: Sampling, num: int = 1500) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    drawn = [draw(LOGITS, settings, generator) for _ in range(num)]
    return [drawn.count(token) / num for token in range(4)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Sampling(temperature=1), [0.25, 0.5, 0.125, 0.125]),
        # Squared and normalised: 4/64, 16/64 ... of 22/64.
        (Sampling(temperature=0.5), [4 / 22, 16 / 22, 1 / 22, 1 / 22]),
        (Sampling(temperature=1, top_k=1), [0, 1, 0, 0]),
        (Sampling(temperature=1, top_k=2), [1 / 3, 2 / 3, 0, 0]),
        (Sampling(temperature=1, top_p=0.5), [0, 1, 0, 0]),
        (Sampling(temperature=1, top_p=0.6), [1 / 3, 2 / 3, 0, 0]),
        # Of the two likeliest, the first holds two thirds.
        (Sampling(temperature=1, top_k=2, top_p=0.66), [0, 1, 0, 0]),
        (Sampling(temperature=1, top_k=2, top_p=0.67), [1 / 3, 2 / 3, 0, 0]),
        (Sampling(temperature=1e-4), [0, 1, 0, 0]),
    ],
)
@pytest.mark.parametrize("shortlist", [512, 1])
def test_frequencies(
    settings: Sampling, expected: list[float], shortlist: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHORTLIST", shortlist)
    for measured, wanted in zip(counts(settings), expected, strict=True):
        # Four standard deviations of 1500 draws.
        assert abs(measured - wanted) <= 4 * math.sqrt(wanted * (1 - wanted) / 1500)


def test_a_token_costs_one_number_of_the_stream() -> None:
    for settings in (Sampling(temperature=1), Sampling(temperature=1, top_k=1), Sampling(temperature=1, top_p=0.3)):
        used, plain = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
        draw(LOGITS, settings, used)
        torch.rand((), generator=plain, dtype=torch.float64)
        assert torch.equal(used.get_state(), plain.get_state())


def test_impossible_tokens_are_never_drawn() -> None:
    logits = torch.tensor([0.0, -math.inf, 0.0, -math.inf])
    generator = torch.Generator().manual_seed(0)
    assert {draw(logits, Sampling(temperature=1), generator) for _ in range(200)} == {0, 2}


def test_greedy_and_sampled_rows_mix() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = LOGITS.repeat(2, 1)
    choosers = [Chooser(Sampling(), [], [], None), Chooser(Sampling(temperature=1, top_k=1), [], [], generator)]
    assert choose(rows, choosers) == [1, 1]
