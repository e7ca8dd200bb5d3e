"""The fake engine: what it says is decided by the test that made it."""

from __future__ import annotations

import math

import pytest

from heedful.errors import EngineError, InputError
from heedful.generate.engine import Request, Sampling, ScoreRequest, generate
from heedful.generate.fake import FakeEngine
from heedful.records import Message, RequirementSpec

HELLO = Request("r", (Message("user", "hello"),))


def test_the_three_ways_to_decide_an_answer() -> None:
    for answer in ("one two", {"hello": "one two"}, lambda request: "one " + "two" * len(request.messages)):
        (generation,) = generate(FakeEngine(answer), [HELLO])
        assert (generation.text, generation.finish_reason) == ("one two", "stop")
    with pytest.raises(InputError, match="no answer to 'hello'"):
        FakeEngine({}).submit(HELLO)


def test_streaming_limits_and_stops() -> None:
    request = Request("r", HELLO.messages, sampling=Sampling(max_tokens=2, n=2, stop=("four",)))
    handle = FakeEngine("one  two three four").submit(request)
    assert [event.text for event in handle] == ["one", "  two", "", "one", "  two", ""]
    assert [(g.text, g.finish_reason, g.index) for g in handle.result()] == [
        ("one  two", "length", 0),
        ("one  two", "length", 1),
    ]
    stopped = (
        FakeEngine("one two three four").submit(Request("r", HELLO.messages, sampling=Sampling(stop=("t",)))).result()
    )
    assert (stopped[0].text, stopped[0].finish_reason) == ("one ", "stop")


def test_cancelling() -> None:
    handle = FakeEngine("one two three").submit(HELLO)
    next(iter(handle))
    handle.cancel()
    (generation,) = handle.result()
    assert (generation.text, generation.finish_reason) == ("one", "cancelled")


def test_scores_are_frequencies_of_the_prompts_bytes() -> None:
    (result,) = FakeEngine().score([ScoreRequest("s", (Message("user", "aab"),), "ab")])
    # Three bytes seen and 257 symbols smoothed: (2 + 1) / 260, (1 + 1) / 260, and 1 / 260 for the end.
    assert result.logprob == pytest.approx(math.log(3 / 260) + math.log(2 / 260) + math.log(1 / 260))
    assert (result.num_tokens, result.num_bytes) == (3, 2)


def test_ids_mean_nothing_to_it() -> None:
    with pytest.raises(InputError, match="the fake engine cannot score prompt_ids"):
        list(FakeEngine().score([ScoreRequest("s", prompt_ids=(1, 2), continuation_ids=(3,))]))


def test_a_closed_engine_answers_nothing() -> None:
    with FakeEngine() as engine:
        engine.submit(HELLO)
    with pytest.raises(EngineError, match="closed"):
        engine.submit(HELLO)


def test_requirements_are_taken_and_change_nothing() -> None:
    """Its answers are given; that it reports nothing says that it enforced nothing."""
    request = Request("r", (Message("user", "a"),), requirements=(RequirementSpec("words", {"maximum": 1}),))
    (answer,) = FakeEngine("two words").submit(request).result()
    assert (answer.text, answer.constraint_report) == ("two words", None)
