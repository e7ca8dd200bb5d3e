"""Beams that look ahead: every answer keeps what is asked for, within its budget, alone as beside others, and with fewer loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from heedful.errors import RequirementError
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.generate.local.banks import BankedSearch, _Candidate, _repeats
from heedful.models import LoadedModel, load
from heedful.records import Message, RequirementSpec
from heedful.requirements import satisfied


def spec(kind: str, **parameters: Any) -> RequirementSpec:
    return RequirementSpec(kind, parameters)


SEARCHED = [
    (spec("keywords", all=["cat", "wind", "hat"]), spec("sentences", exactly=1)),
    (spec("keywords", all=["run", "child"], inflections=True),),
    (spec("keywords", any=["sun", "moon"], times=2),),
    (spec("keywords", all=["one", "two"], in_order=True), spec("ends_with", text="Done.")),
    (spec("words", exactly=7), spec("keywords", all=["wind"])),
    (spec("characters", minimum=10, maximum=30), spec("forbidden", words=["the"])),
    (spec("keywords", all=["太阳", "风"]), spec("script", script="Han")),
]
NOTHING_MISSING = [
    (spec("choice", options=["yes", "no", "never"]),),
    (spec("forbidden", words=["the", "and"]),),
    (spec("json_schema", schema={"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}),),
]


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load(tiny_model)


@pytest.fixture(scope="module", params=["kernels", "transformers"])
def engine(request: pytest.FixtureRequest, loaded: LoadedModel) -> LocalEngine:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "transformers":
            patch.setenv("HEEDFUL_KERNELS", "0")
        return LocalEngine(loaded, max_length=512)


def ask(requirements: tuple[RequirementSpec, ...], number: int = 0, **how: Any) -> Request:
    sampling = Sampling(**{"max_tokens": 80, "num_beams": 4, **how})
    messages = (Message("user", f"Write {number}."),)
    return Request(f"r{number}", messages, sampling=sampling, requirements=requirements, logprobs=True)


@pytest.mark.parametrize("requirements", SEARCHED + NOTHING_MISSING, ids=lambda specs: "+".join(s.kind for s in specs))
@pytest.mark.parametrize(
    "how", [{}, {"num_beams": 2, "n": 2}, {"num_beams": 5, "n": 3, "length_penalty": 0.0, "repetition_penalty": 1.2}]
)
def test_requirements_are_kept_by_every_beam(
    engine: LocalEngine, requirements: tuple[RequirementSpec, ...], how: dict[str, Any]
) -> None:
    request = ask(requirements, **how)
    answers = engine.submit(request).result()
    assert len(answers) == request.sampling.n
    for answer in answers:
        assert satisfied(requirements, answer.text), answer.text
        assert answer.finish_reason == "stop"
        assert len(answer.token_ids) <= request.sampling.max_tokens
    assert engine.num_tokens_kept == 0


@pytest.mark.parametrize("requirements", SEARCHED, ids=lambda specs: "+".join(s.kind for s in specs))
def test_the_promise_holds_in_the_smallest_budget(
    engine: LocalEngine, requirements: tuple[RequirementSpec, ...]
) -> None:
    """Where hardly anything but the plan may come, banks must not lose the branch that can still be finished."""

    def fits(max_tokens: int) -> bool:
        try:
            return engine._enforcer.constraint(ask(requirements), max_tokens) is not None
        except RequirementError:
            return False

    smallest = next(number for number in range(1, 80) if fits(number))
    for more in (0, 1, 3):
        most = smallest + more
        (answer,) = engine.submit(ask(requirements, max_tokens=most)).result()
        assert satisfied(requirements, answer.text), answer.text
        assert len(answer.token_ids) <= most


def test_answers_are_the_same_alone_and_beside_others(loaded: LoadedModel) -> None:
    with LocalEngine(loaded, max_length=512) as engine:
        requests = [ask(one, number) for number, one in enumerate(SEARCHED)]
        requests.append(Request("free", (Message("user", "hello"),), sampling=Sampling(max_tokens=30)))
        alone = [engine.submit(request).result()[0] for request in requests]
        assert list(generate(engine, requests)) == alone
        assert engine.num_tokens_kept == 0


def test_the_report_tells_of_the_tokens_of_the_answer(engine: LocalEngine) -> None:
    for answer in engine.submit(ask(SEARCHED[0], n=2)).result():
        report, logprobs = answer.constraint_report, answer.logprobs
        assert report is not None
        assert logprobs is not None
        assert report["tokens"] == len(answer.token_ids)
        assert report["logprob_per_token"] == pytest.approx(fmean(logprobs), abs=1e-4)
        assert report["free_logprob_per_token"] >= report["logprob_per_token"]


def test_a_stop_string_does_not_end_a_beam_early(engine: LocalEngine) -> None:
    (free,) = engine.submit(ask(SEARCHED[0])).result()
    stop = free.text[2:5]
    (answer,) = engine.submit(ask(SEARCHED[0], stop=(stop,))).result()
    assert satisfied(SEARCHED[0], answer.text)
    assert stop not in answer.text


def test_beams_are_likelier_than_plain_masking_and_repeat_less(loaded: LoadedModel) -> None:
    """A random model loops at once; of what a mask makes of that, the keywords at the end are the least likely part."""
    with LocalEngine(loaded, max_length=512) as engine:

        def mean(num_beams: int) -> tuple[float, float]:
            requests = [ask(SEARCHED[0], number, num_beams=num_beams, max_tokens=48) for number in range(6)]
            found = list(generate(engine, requests))
            repeated = [
                sum(_repeats(one.token_ids[:at], token) for at, token in enumerate(one.token_ids)) for one in found
            ]
            return fmean(fmean(one.logprobs or ()) for one in found), fmean(repeated)

        (masked, loops), (searched, fewer) = mean(1), mean(6)
        assert searched > masked
        assert fewer < loops


def test_without_requirements_the_search_is_the_usual_one(engine: LocalEngine) -> None:
    request = ask(())
    checked_only = replace(request, requirements=tuple(replace(one, enforce=False) for one in SEARCHED[0]))
    assert engine.submit(checked_only).result()[0].text == engine.submit(request).result()[0].text


def best_of_banks(num_branches: int, candidates: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """`candidates`: (things missing, total), best first."""
    search = BankedSearch.__new__(BankedSearch)
    search.num_branches = num_branches
    kept = search._from_all_banks([_Candidate(0, 0, total, missing) for missing, total in candidates])
    return [(one.missing, one.total) for one in kept]


def test_the_best_of_each_bank_comes_first() -> None:
    candidates = [(2, -1.0), (2, -1.5), (2, -2.0), (1, -4.0), (0, -20.0)]
    # One of each bank, though two that lack more are likelier; then the second of the likeliest bank.
    assert best_of_banks(4, candidates) == [(1, -4.0), (2, -1.0), (0, -20.0), (2, -1.5)]
    # Where there are more banks than branches, what is too unlikely for what it has reached goes first.
    assert best_of_banks(2, candidates) == [(1, -4.0), (2, -1.0)]
    assert best_of_banks(9, candidates[:2]) == candidates[:2]


def test_a_repetition_is_three_tokens_that_stood_there_before() -> None:
    assert _repeats((1, 2, 3, 1, 2), 3)
    assert not _repeats((1, 2, 3, 1, 2), 4)
    # Three times the same: the second group begins inside the first.
    assert _repeats((7, 7, 7), 7)
    assert not _repeats((7, 7), 7)
    assert not _repeats((), 7)


def test_what_is_missing_is_brought_nearer(loaded: LoadedModel) -> None:
    """By the first tokens of keywords, by what completes one that is begun, and by nothing once all is there."""
    with LocalEngine(loaded, max_length=512) as engine:
        request = ask((spec("keywords", all=["then", "sun"]),))
        constraint = engine._enforcer.constraint(request, 80)
        assert constraint is not None
        table = loaded.tokenizer

        def follow(text: str) -> tuple[Any, set[str]]:
            state = constraint.start()
            for token in table(text, add_special_tokens=False)["input_ids"]:
                state = constraint.advance(state, token)
            return state, {table.decode([token]) for token in constraint.advancing(state)}

        # Of "then" the tokenizer knows "the", of "sun" only letters, behind a space that is a token of its own.
        assert follow("")[1] == {"the", "s"}
        assert follow("A")[1] == {" the", " "}
        state, tokens = follow("A the")
        assert constraint.num_missing(state) == 2
        assert "n" in tokens
        state, tokens = follow("A then, sun")
        assert constraint.num_missing(state) == 0
        assert not tokens


def test_a_plan_is_not_glued_to_a_word_that_came_instead(loaded: LoadedModel) -> None:
    # "A" came where "so" was planned, and "Aso too now ..." has as many words as were asked for.
    with LocalEngine(loaded, max_length=512) as engine:
        constraint = engine._enforcer.constraint(ask((spec("words", exactly=5),)), 80)
        assert constraint is not None
        (token,) = loaded.tokenizer("A", add_special_tokens=False)["input_ids"]
        state = constraint.advance(constraint.start(), token)
        assert state.plan[0].startswith(b" ")


def test_a_full_stop_may_end_what_must_end(loaded: LoadedModel) -> None:
    with LocalEngine(loaded, max_length=512) as engine:
        constraint = engine._enforcer.constraint(ask((spec("words", exactly=2),)), 80)
        assert constraint is not None
        state = constraint.start()
        for token in loaded.tokenizer("A cat", add_special_tokens=False)["input_ids"]:
            state = constraint.advance(state, token)
        said = [loaded.tokenizer.decode([token]) for token in constraint.sure(state)]
        assert said == ["<|im_end|>", "."]
        assert all(constraint.permits(state, token) for token in constraint.sure(state))
