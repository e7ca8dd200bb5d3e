"""Beam search: equal to transformers', beside other answers, within the memory that was promised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heedful.errors import InputError
from heedful.generate.engine import Request, Sampling
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, load
from heedful.records import Message


@pytest.fixture(scope="module", params=["kernels", "transformers"])
def engine(request: pytest.FixtureRequest, loaded: LoadedModel) -> LocalEngine:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "transformers":
            patch.setenv("HEEDFUL_KERNELS", "0")
        return LocalEngine(loaded, max_length=256)


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load(tiny_model)


def theirs(loaded: LoadedModel, ids: list[int], *, ends: list[int], n: int, **how: object) -> list[list[int]]:
    """Answers of transformers, padding cut off."""
    made = loaded.model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        do_sample=False,
        num_return_sequences=n,
        eos_token_id=ends,
        pad_token_id=ends[0],
        **how,
    )
    answers = [row[len(ids) :].tolist() for row in made]
    return [answer[: next((k + 1 for k, one in enumerate(answer) if one in ends), len(answer))] for answer in answers]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.integers(3, 200), min_size=1, max_size=40),
    num_beams=st.integers(2, 6),
    n=st.integers(1, 3),
    length_penalty=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    max_tokens=st.integers(1, 24),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
)
def test_equal_to_transformers(
    loaded: LoadedModel,
    engine: LocalEngine,
    ids: list[int],
    num_beams: int,
    n: int,
    length_penalty: float,
    max_tokens: int,
    repetition_penalty: float,
) -> None:
    n = min(n, num_beams)
    sampling = Sampling(
        num_beams=num_beams,
        n=n,
        length_penalty=length_penalty,
        max_tokens=max_tokens,
        repetition_penalty=repetition_penalty,
    )
    answers = engine.submit(Request("r", prompt_ids=tuple(ids), sampling=sampling)).result()
    ends = list(engine._renderer.end_of_turn_ids)
    expected = theirs(
        loaded,
        ids,
        ends=ends,
        n=n,
        num_beams=num_beams,
        length_penalty=length_penalty,
        max_new_tokens=max_tokens,
        repetition_penalty=repetition_penalty,
    )
    assert [list(answer.token_ids) for answer in answers] == expected
    assert engine.num_tokens_kept == 0


def test_beams_beside_others_are_the_ones_they_are_alone(loaded: LoadedModel, engine: LocalEngine) -> None:
    texts = ["hello there", "hello there", "what is a cat? " * 9, "你好"]
    how = [{"num_beams": 3, "n": 2}, {}, {"num_beams": 4, "length_penalty": 2.0}, {"temperature": 0.8, "seed": 4}]
    requests = [
        Request(str(number), (Message("user", text),), sampling=Sampling(max_tokens=30, **sampling))
        for number, (text, sampling) in enumerate(zip(texts, how, strict=True))
    ]
    alone = [engine.submit(request).result() for request in requests]
    handles = [engine.submit(request) for request in requests * 3]
    assert [handle.result() for handle in handles] == alone * 3
    assert engine.num_tokens_kept == 0
    assert engine.num_in_flight == 0


def test_the_first_beam_is_likelier_than_the_second_and_than_greedy(loaded: LoadedModel, engine: LocalEngine) -> None:
    def likelihood(**how: Any) -> list[float]:
        sampling = Sampling(max_tokens=12, min_tokens=12, **how)
        request = Request("r", (Message("user", "Tell me more."),), sampling=sampling, logprobs=True)
        return [sum(answer.logprobs or ()) for answer in engine.submit(request).result()]

    beams = likelihood(num_beams=5, n=5)
    assert beams == sorted(beams, reverse=True)
    assert beams[0] >= likelihood()[0]


def test_a_stop_string_ends_a_beam(engine: LocalEngine) -> None:
    # Without a reward for length, what ends early wins.
    sampling = Sampling(num_beams=3, n=3, max_tokens=40, length_penalty=0.0)
    request = Request("r", (Message("user", "hello"),), sampling=sampling)
    first = engine.submit(request).result()[0].text
    stop = first[3:6]
    stopped = engine.submit(replace(request, sampling=replace(request.sampling, stop=(stop,)))).result()
    assert any(answer.finish_reason == "stop" for answer in stopped)
    assert all(stop not in answer.text for answer in stopped)


def test_pieces_join_to_the_text_and_cancelling_frees_everything(engine: LocalEngine) -> None:
    request = Request("r", (Message("user", "hello"),), sampling=Sampling(num_beams=3, n=2, max_tokens=30))
    answers = engine.submit(request).result()
    events = list(engine.submit(request))
    for answer in answers:
        assert "".join(event.text for event in events if event.index == answer.index) == answer.text
    handle = engine.submit(request)
    plain = engine.submit(Request("p", (Message("user", "hi"),), sampling=Sampling(max_tokens=5)))
    plain.result()
    handle.cancel()
    assert {answer.finish_reason for answer in handle.result()} == {"cancelled"}
    assert engine.num_tokens_kept == 0


class Only:
    """A constraint: nothing but these tokens, each at most once."""

    def __init__(self, tokens: tuple[int, ...], vocabulary: int) -> None:
        self._tokens, self._vocabulary = tokens, vocabulary

    def start(self) -> tuple[int, ...]:
        return ()

    def allowed(self, state: tuple[int, ...]) -> torch.Tensor:
        mask = torch.zeros(self._vocabulary, dtype=torch.bool)
        mask[[token for token in self._tokens if token not in state]] = True
        return mask

    def advance(self, state: tuple[int, ...], token: int) -> tuple[int, ...]:
        return (*state, token)


def test_each_beam_has_its_own_state_of_a_constraint(loaded: LoadedModel, engine: LocalEngine) -> None:
    tokens = (50, 60, 70, 80)
    request = Request("r", (Message("user", "hello"),), sampling=Sampling(num_beams=4, n=4, max_tokens=4))
    answers = engine.submit(request, constraint=Only(tokens, loaded.model.config.vocab_size)).result()
    assert all(sorted(answer.token_ids) == list(tokens) for answer in answers)
    assert len({answer.token_ids for answer in answers}) == 4


def test_a_branch_that_ends_leaves_the_others_alone(loaded: LoadedModel, engine: LocalEngine) -> None:
    """Eight beams, of which fewer and fewer can go on."""
    tokens = tuple(range(50, 58))
    ends = engine._renderer.end_of_turn_ids
    constraint = Only((*tokens[:3], ends[0]), loaded.model.config.vocab_size)
    request = Request("r", (Message("user", "hello"),), sampling=Sampling(num_beams=8, n=8, max_tokens=6))
    answers = engine.submit(request, constraint=constraint).result()
    assert len({answer.token_ids for answer in answers}) == 8
    assert all(answer.token_ids[-1] in ends for answer in answers)


def test_what_never_fits_is_refused_at_once(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("r", (Message("user", "hello"),), sampling=Sampling(num_beams=5, max_tokens=150))
    for kernels in ("1", "0"):
        monkeypatch.setenv("HEEDFUL_KERNELS", kernels)
        with LocalEngine(loaded, max_batch=4) as engine, pytest.raises(InputError, match="5 beams are more than the 4"):
            engine.submit(request)
        with LocalEngine(loaded, max_length=200, max_memory=1) as engine:
            with pytest.raises(InputError, match="raise max_memory"):
                engine.submit(request)
            assert engine.num_in_flight == 0
