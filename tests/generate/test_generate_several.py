"""The likeliest of several samples, and what most of them say: chosen by hand-computed rules, in order, without waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.errors import InputError
from heedful.generate import Engine, Event, Request, Sampling, best_of, generate, majority
from heedful.generate.fake import FakeEngine
from heedful.generate.final_answer import final_answer
from heedful.generate.local import LocalEngine
from heedful.generate.several import likeliest, vote
from heedful.models import load
from heedful.records import Generation, Message, Usage

WARM = Sampling(temperature=0.8, max_tokens=12, seed=3)


def sample(text: str, *logprobs: float, index: int = 0) -> Generation:
    return Generation("x", text, logprobs=logprobs or None, usage=Usage(10, len(logprobs)), index=index)


def asked(*texts: str, sampling: Sampling = WARM) -> list[Request]:
    return [Request(f"r{place}", (Message("user", text),), sampling=sampling) for place, text in enumerate(texts)]


class Scripted:
    """Gives prepared samples; notes when it is asked, and when somebody waits."""

    identity, preferred_batch, num_in_flight = "scripted", 3, 0

    def __init__(self, *samples: Sequence[Generation]) -> None:
        self._samples = list(samples)
        self.log: list[str] = []
        self.requests: list[Request] = []

    def submit(self, request: Request) -> Any:
        self.requests.append(request)
        self.log.append(f"ask {request.id}")
        return _ScriptedHandle(self, request, self._samples[len(self.requests) - 1])

    def score(self, items: Any) -> Iterator[Any]:
        raise NotImplementedError

    def close(self) -> None:
        pass


class _ScriptedHandle:
    def __init__(self, engine: Scripted, request: Request, samples: Sequence[Generation]) -> None:
        self._engine, self._request, self._samples = engine, request, samples

    def __iter__(self) -> Iterator[Event]:
        raise NotImplementedError

    def result(self) -> tuple[Generation, ...]:
        self._engine.log.append(f"wait {self._request.id}")
        return tuple(self._samples)

    def cancel(self) -> None:
        pass


# -- the likeliest -------------------------------------------------------------------------------------------------------


def test_likeliest_per_token_not_in_sum() -> None:
    # Sums: -1.0, -1.2, -3.0; means: -1.0, -0.4, -1.5.
    samples = [sample("short", -1.0), sample("longer", -0.4, -0.4, -0.4, index=1), sample("bad", -1.5, -1.5, index=2)]
    best = likeliest(samples)
    assert (best.text, best.index) == ("longer", 1)
    assert best.usage == Usage(10, 6), "the prompt is read once; all that was written is counted"


def test_impossible_and_empty_samples_never_win() -> None:
    samples = [sample("nothing"), sample("impossible", float("-inf"), 0.0), sample("poor", -9.0)]
    assert likeliest(samples).text == "poor"
    assert likeliest(samples[:2]).text == "nothing", "of equals the first"


def test_best_of_an_engine_is_the_best_of_what_it_samples(tiny_model: Path) -> None:
    requests = asked("Say something.", "讲个故事", "Count to ten.")
    with LocalEngine(load(tiny_model)) as engine:
        found = list(best_of(engine, iter(requests), 5))
        for request, best in zip(requests, found, strict=True):
            sampling = Sampling(temperature=0.8, max_tokens=12, seed=3, n=5)
            samples = list(generate(engine, [Request("y", request.messages, sampling=sampling, logprobs=True)]))
            means = [sum(one.logprobs or ()) / len(one.logprobs or ()) for one in samples]
            winner = samples[means.index(max(means))]
            assert (best.text, best.token_ids, best.logprobs) == (winner.text, winner.token_ids, winner.logprobs)
            assert best.request_id == request.id
            assert best.usage.completion_tokens == sum(one.usage.completion_tokens for one in samples)
            assert best.usage.prompt_tokens == samples[0].usage.prompt_tokens
            assert len({one.text for one in samples}) == 5, "five samples, not one sample five times"


# -- what most of them say -----------------------------------------------------------------------------------------------


def test_votes_beat_likelihood() -> None:
    samples = [sample("It is 7.", -0.1), sample("6 * 7 = 42", -2.0), sample("So 42.0", -1.0), sample("forty", -0.1)]
    found = vote(samples)
    assert (found.answer, found.votes) == ("42", (("42", 2), ("7", 1), ("forty", 1)))
    assert found.generation.text == "So 42.0", "the likeliest of those that say so"
    assert found.share == 0.5
    assert found.generation.usage == Usage(10, 4)


def test_ties_go_to_the_likelier_answer_then_to_the_first() -> None:
    # Means: 1 -> (-3 - 1) / 2 = -2; 2 -> (-1.5 - 1.5) / 2 = -1.5.
    samples = [sample("1", -3.0), sample("2", -1.5), sample("1", -1.0), sample("2", -1.5)]
    assert vote(samples).votes == (("2", 2), ("1", 2))
    assert vote([sample("1"), sample("2"), sample("2"), sample("1")]).answer == "1", "nothing is known: the first seen"
    assert vote([sample("2", -1.0), sample("1", -1.0)]).answer == "2"


def test_samples_without_an_answer_have_no_vote() -> None:
    found = vote([sample("", -0.1), sample("...", -0.1), sample("5", -4.0)])
    assert (found.answer, found.votes) == ("5", (("5", 1),))
    assert found.share == pytest.approx(1 / 3)
    nobody = vote([sample("", -0.1), sample("...", -0.05)])
    assert (nobody.answer, nobody.votes, nobody.share, nobody.generation.text) == ("", (), 0.0, "...")


def test_majority_with_an_answer_of_ones_own() -> None:
    engine = Scripted([sample("yes, 1"), sample("no, 2"), sample("yes, 3")])
    (found,) = majority(engine, asked("Is it?"), 3, answer=lambda text: text.split(",")[0])
    assert (found.answer, found.votes) == ("yes", (("yes", 2), ("no", 1)))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-9, 0)), min_size=1, max_size=12))
def test_votes_are_counts(samples: list[tuple[str, float]]) -> None:
    found = vote([sample(text * 3, logprob) for text, logprob in samples])
    counts = Counter(text * 3 for text, _ in samples)
    assert dict(found.votes) == counts
    assert counts[found.answer] == max(counts.values())
    assert found.share == max(counts.values()) / len(samples)
    assert found.generation.text == found.answer
    shuffled = vote([sample(text * 3, logprob) for text, logprob in reversed(samples)])
    assert dict(shuffled.votes) == counts
    assert counts[shuffled.answer] == counts[found.answer]


# -- how engines are asked -----------------------------------------------------------------------------------------------


def test_nobody_waits_for_one_request_before_the_next_is_asked() -> None:
    engine = Scripted(*[[sample("1", -1.0), sample("2", -2.0)]] * 9)
    requests = asked(*"abcdefghi")
    assert [best.text for best in best_of(engine, requests, 2)] == ["1"] * 9
    # Twice the preferred batch is under way before the first one is waited for.
    assert engine.log[:7] == [*(f"ask r{place}" for place in range(6)), "wait r0"]
    assert [line for line in engine.log if line.startswith("wait")] == [f"wait r{place}" for place in range(9)]
    assert all(request.sampling.n == 2 and request.logprobs for request in engine.requests)


def test_requests_are_read_as_they_are_needed() -> None:
    def endless() -> Iterator[Request]:
        number = 0
        while True:
            yield from asked(f"question {number}")
            number += 1

    engine = Scripted(*[[sample("1"), sample("1")]] * 50)
    found = majority(engine, endless(), 2)
    assert [next(found).answer for _ in range(3)] == ["1"] * 3
    assert len(engine.requests) <= 9


def test_engines_that_tell_no_logprobs_can_vote_but_not_choose_the_likeliest() -> None:
    engine: Engine = FakeEngine(lambda request: f"{request.messages[-1].content}: 42")
    (found,) = majority(engine, asked("?"), 3, ties_by_likelihood=False)
    assert (found.answer, found.votes, found.share) == ("42", (("42", 3),), 1.0)
    for choosing in (best_of, majority):
        with pytest.raises(InputError, match="cannot honour logprobs"):
            next(iter(choosing(engine, asked("?"), 3)))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("sampling", "number", "said"),
    [
        (Sampling(), 2, "temperature is 0, which is greedy: all 2 samples would be equal"),
        (Sampling(temperature=1, top_k=1), 2, "top_k is 1, which is greedy"),
        (Sampling(num_beams=4), 4, "temperature is 0"),
        (WARM, 0, "0 samples, expected at least 1"),
        (Sampling(temperature=1, n=3), 2, "n is 3, and one of 2 samples is wanted; leave n at 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(sampling: Sampling, number: int, said: str) -> None:
    for choosing in (best_of, majority):
        engine = Scripted()
        with pytest.raises(InputError, match=f"request 'r0': {said}"):
            list(choosing(engine, asked("?", sampling=sampling), number))  # type: ignore[operator]
        assert engine.log == []


def test_one_sample_may_be_greedy() -> None:
    engine = Scripted([sample("1", -1.0)])
    assert [best.text for best in best_of(engine, asked("?", sampling=Sampling()), 1)] == ["1"]


# -- the final answer in a text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The last number, in one form.
        ("First 3, then 4. So the total is 1,050.50 dollars.", "1050.5"),
        ("总共 １，２３４ 元", "1234"),
        ("答案是３，４，５", "5"),
        ("一共有12个苹果。", "12"),
        ("温度是－７度", "-7"),
        ("It is −3.0", "-3"),
        ("\\boxed{42}", "42"),
        ("**42**", "42"),
        ("$-5", "-5"),
        ("50%", "50"),
        ("is...5", "5"),
        (".5", "0.5"),
        ("007", "7"),
        ("-0", "0"),
        ("6/8", "3/4"),
        ("8/2", "4"),
        ("1/0", "1/0"),
        ("1.5e3", "1.5e3"),
        # A minus between numbers is none, and neither is a slash of a date; a digit in a name is no number.
        ("10-3", "3"),
        ("on 2024-05-07", "7"),
        ("on 5/6/2024", "2024"),
        ("It was GPT2.", "it was gpt2"),
        ("GPT2 says 7", "7"),
        # Letters of choices, however they are written.
        ("There are 12 of them.\nThe answer is (B).", "B"),
        ("(B)", "B"),
        ("**b**", "B"),
        ("B. Paris", "B"),
        ("B、巴黎", "B"),
        ("答案是Ｂ。", "B"),
        ("答案：Ｃ", "C"),
        ("（Ｄ）", "D"),
        ("故选：A", "A"),
        ("选项B正确", "B"),
        ("Answer: c", "C"),
        ("The answer is (B), since option A is wrong.", "B"),
        ("(b) Paris", "B"),
        # What looks like a choice, and is none.
        ("f(A) = 5", "5"),
        ("where (a) is 5 long", "5"),
        ("I. Newton, in 1687", "1687"),
        ("Is it A?\nNo, 7.", "7"),
        # The last line, where there is neither.
        ("I thought about it.\n\n  **Paris**!\n```\n", "paris"),
        ("我想了想。\n是北京。", "是北京"),
        ("The  End", "the end"),
        ("", ""),
        ("...\n---", ""),
    ],
)
def test_final_answers(text: str, expected: str) -> None:
    assert final_answer(text) == expected


@given(st.integers(-(10**30), 10**30))
def test_every_way_to_write_a_whole_number_is_one_answer(number: int) -> None:
    wide = str(number).translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789-"})
    for text in (f"{number}", f"It is {number:,}.", f"一共{wide}个", f"{number}.00", f"= {number:,}.0 !"):
        assert final_answer(text) == str(number)


@given(st.text())
def test_any_text_has_an_answer_or_none(text: str) -> None:
    found = final_answer(text)
    assert found == found.strip()
    assert bool(found) or not any(character.isalnum() for character in text)


@pytest.mark.parametrize(
    "text",
    [
        "1" * 200_000,
        "1,111" * 40_000,
        "answer" + " " * 200_000 + "x",
        "(" * 200_000,
        "1/" * 100_000,
        "*" * 200_000 + "b",
    ],
)
def test_hostile_texts_take_no_time(text: str) -> None:
    # Quadratic time would be minutes.
    final_answer(text)
