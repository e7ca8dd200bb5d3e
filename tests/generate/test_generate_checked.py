"""What an engine cannot enforce is checked and asked for again: how often, how, which answer stays, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from endpoint import Answer, Asked, Endpoint, Reply, Silence, Status
from heedful.errors import EngineError, InputError, RequirementError
from heedful.generate.cached import CachedEngine
from heedful.generate.checked import CheckedEngine, again
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.fake import FakeEngine
from heedful.generate.remote import Caps, RemoteEngine
from heedful.generate.remote.wire import enforced
from heedful.records import Message, RequirementSpec, Usage

SHORT = RequirementSpec("words", {"maximum": 2})
SOLAR = RequirementSpec("keywords", {"all": ["solar"]})
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
JSON = RequirementSpec("json_schema", {"schema": CLOSED})


class Scripted(FakeEngine):
    """Answers one text after the other; remembers what it was asked."""

    def __init__(self, *texts: str) -> None:
        super().__init__(lambda request: texts[min(len(self.asked), len(texts)) - 1])
        self.asked: list[Request] = []

    def submit(self, request: Request) -> Any:
        self.asked.append(request)
        return super().submit(request)


def ask(*requirements: RequirementSpec, **sampling: Any) -> Request:
    return Request("r", (Message("user", "hello"),), sampling=Sampling(**sampling), requirements=requirements)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


def remote(endpoint: Endpoint, **settings: Any) -> RemoteEngine:
    return RemoteEngine(endpoint.url, "m", first_wait=0.002, timeout=5, **settings)


def says(*texts: str) -> Callable[[Asked], Reply]:
    return lambda asked: Answer(texts[min(asked.number, len(texts) - 1)])


# -- how often, and which answer stays -----------------------------------------------------------------------------------


def test_what_keeps_them_at_once_is_asked_once() -> None:
    engine = Scripted("solar power")
    (answer,) = CheckedEngine(engine).submit(ask(SHORT, SOLAR)).result()
    assert len(engine.asked) == 1
    assert answer.constraint_report == {"treated": ["checked", "checked"], "attempts": 1}


def test_it_is_asked_until_all_are_kept() -> None:
    engine = Scripted("one two three four", "one two three", "one two", "never asked")
    checked = CheckedEngine(engine)
    (answer,) = checked.submit(ask(SHORT, temperature=1)).result()
    assert (answer.text, len(engine.asked), checked.num_asked_again) == ("one two", 3, 2)
    assert answer.constraint_report == {"treated": ["checked"], "attempts": 3}
    # All that was asked, the prompt each time.
    assert answer.usage == Usage(3, 4 + 3 + 2)


def test_the_best_stays_when_none_keeps_them() -> None:
    # The second has three words where two are allowed; the third mentions solar, and is far too long.
    engine = Scripted("a b c d e f g h", "a b solar", "a b c d e f g h solar", "never")
    (answer,) = CheckedEngine(engine).submit(ask(SHORT, SOLAR, temperature=1)).result()
    assert (answer.text, len(engine.asked)) == ("a b solar", 3)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_no_more_than_it_was_told(number: int) -> None:
    engine = Scripted(*(f"too many words {place}" for place in range(9)))
    CheckedEngine(engine, max_attempts_requirements=number).submit(ask(SHORT)).result()
    assert len(engine.asked) == number


def test_only_broken_ones_of_several_are_asked_again() -> None:
    turns = [["one two", "one two three", "one", "one two three four"], ["fine", "a b c d"], ["good"]]

    class Several(Scripted):
        def submit(self, request: Request) -> Any:
            self.asked.append(request)
            texts = turns[len(self.asked) - 1]
            assert request.sampling.n == len(texts)
            return Turn(request, texts)

    engine = Several()
    answers = CheckedEngine(engine).submit(ask(SHORT, n=4, temperature=1)).result()
    assert [(answer.index, answer.text) for answer in answers] == [
        (0, "one two"), (1, "fine"), (2, "one"), (3, "good"),
    ]  # fmt: skip
    assert [answer.constraint_report["attempts"] for answer in answers] == [1, 2, 1, 3]  # type: ignore[index]


class Turn:
    """A handle with given texts."""

    def __init__(self, request: Request, texts: list[str]) -> None:
        self._request, self._texts = request, texts

    def result(self) -> Any:
        parts = [FakeEngine(text).submit(self._request).result()[0] for text in self._texts]
        from dataclasses import replace

        return tuple(replace(part, index=index) for index, part in enumerate(parts))

    def cancel(self) -> None:
        pass


def test_another_seed_and_hotter_only_where_tokens_are_sampled() -> None:
    greedy, warm = Sampling(seed=7), Sampling(seed=2**63 - 1, temperature=1.4)
    assert again(greedy, 1, 1).temperature == 0
    assert len({again(greedy, attempt, 1).seed for attempt in range(5)}) == 5
    assert again(warm, 1, 2) == Sampling(seed=1_000_002, temperature=1.5, n=2)
    assert again(Sampling(temperature=0.7), 1, 1).temperature == 0.9
    assert again(Sampling(temperature=0.7), 2, 1).temperature == 1.1
    assert again(Sampling(temperature=2.0), 1, 1).temperature == 2.0


def test_who_is_greedy_and_says_the_same_again_is_not_asked_a_third_time() -> None:
    engine = Scripted("always these words")
    CheckedEngine(engine).submit(ask(SHORT)).result()
    assert len(engine.asked) == 2


def test_only_checked_ones_are_not_asked_again() -> None:
    engine = Scripted("far too many words")
    (answer,) = CheckedEngine(engine).submit(ask(RequirementSpec("words", {"maximum": 2}, enforce=False))).result()
    assert (len(engine.asked), answer.constraint_report) == (1, None)
    assert engine.asked[0].requirements == (), "the engine within has nothing to do with it"


def test_one_event_for_each_answer() -> None:
    handle = CheckedEngine(Scripted("a b c", "a b")).submit(ask(SHORT, n=2))
    assert [(event.index, event.text) for event in handle] == [(0, "a b"), (1, "a b")]
    assert list(handle) == []


def test_a_first_attempt_that_cannot_be_is_raised() -> None:
    with pytest.raises(InputError, match="expected at least 1"):
        CheckedEngine(Scripted("a")).submit(ask(SHORT, max_tokens=0))


# -- with an endpoint --------------------------------------------------------------------------------------------------------


def test_a_schema_is_left_to_the_endpoint(endpoint: Endpoint) -> None:
    endpoint.behave = says('{"a": 1}')
    with CheckedEngine(remote(endpoint), enforced) as engine:
        (answer,) = engine.submit(ask(JSON, SHORT)).result()
    assert endpoint.asked[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": CLOSED, "strict": True},
    }
    assert "stream" not in endpoint.asked[0].body, "what may be taken back is not shown"
    assert answer.constraint_report == {"treated": ["enforced", "checked"], "attempts": 1}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, {"type": "json_object"}),
        (True, {"type": "json_object"}),
        ({"type": "object"}, {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}),
    ],
)
def test_formats_that_leave_something_open_are_not_strict(endpoint: Endpoint, schema: Any, expected: Any) -> None:
    endpoint.behave = says("{}")
    with CheckedEngine(remote(endpoint), enforced) as engine:
        engine.submit(ask(RequirementSpec("json_schema", {"schema": schema}))).result()
    assert endpoint.asked[0].body["response_format"] == expected


def test_an_endpoint_that_ignores_the_schema_has_not_enforced_it(endpoint: Endpoint) -> None:
    endpoint.behave = says("Sure! Here it is.", "Of course.", "I will.")
    with CheckedEngine(remote(endpoint), enforced) as engine:
        (answer,) = engine.submit(ask(JSON)).result()
    assert answer.constraint_report == {"treated": ["checked"], "attempts": 3}
    assert len({asked.body["seed"] for asked in endpoint.asked}) == 3


def test_of_two_schemas_one_is_checked(endpoint: Endpoint) -> None:
    endpoint.behave = says('{"a": 1}')
    other = RequirementSpec("json_schema", {"schema": {"type": "object"}})
    with CheckedEngine(remote(endpoint), enforced) as engine:
        (answer,) = engine.submit(ask(JSON, other)).result()
    assert answer.constraint_report == {"treated": ["enforced", "checked"], "attempts": 1}


def test_the_endpoint_alone_refuses_what_it_cannot_enforce(endpoint: Endpoint) -> None:
    with remote(endpoint) as engine:
        with pytest.raises(
            RequirementError, match="a chat endpoint cannot enforce the requirement 'words' or 'keywords'"
        ):
            engine.submit(ask(JSON, SHORT, SOLAR))
        with pytest.raises(RequirementError, match='set "enforce": false'):
            engine.submit(ask(RequirementSpec("json_schema", {"schema": False})))
    assert endpoint.asked == []


def test_the_cache_keeps_every_attempt(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.behave = says("one two three", "a b c d", "one two")
    found = []
    for _ in range(2):
        with CheckedEngine(CachedEngine(remote(endpoint), tmp_path / "cache.sqlite"), enforced) as engine:
            found += engine.submit(ask(SHORT, temperature=1)).result()
    assert len(endpoint.asked) == 3, "what was asked is never asked again"
    assert found[0] == found[1]
    assert found[0].text == "one two"


def test_a_cap_ends_the_asking_and_the_best_so_far_stays(endpoint: Endpoint) -> None:
    endpoint.behave = says("one two three four", "one two three")
    # The worst case of two requests fits, of a third it does not.
    with CheckedEngine(remote(endpoint, caps=Caps(requests=2)), enforced) as engine:
        (answer,) = engine.submit(ask(SHORT, temperature=1, max_tokens=10)).result()
    assert answer.text == "one two three"
    report = answer.constraint_report or {}
    assert report["attempts"] == 2
    assert "cap" in report["stopped_by"]


def test_a_first_attempt_that_fails_is_an_error(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Status(400, body={"error": {"message": "response_format is unknown here"}})
    with (
        CheckedEngine(remote(endpoint), enforced) as engine,
        pytest.raises(EngineError, match="response_format is unknown here"),
    ):
        engine.submit(ask(JSON)).result()


def test_cancelled_while_it_is_asked_again(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Answer("one two three") if asked.number == 0 else Silence()
    with CheckedEngine(remote(endpoint), enforced) as engine:
        handle = engine.submit(ask(SHORT))
        while len(endpoint.asked) < 2:
            pass
        handle.cancel()
        (answer,) = handle.result()
    assert answer.text == "one two three"


def test_closing_ends_what_is_under_way(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Silence()
    engine = CheckedEngine(remote(endpoint), enforced)
    handle = engine.submit(ask(SHORT))
    engine.close()
    (answer,) = handle.result()
    assert answer.finish_reason == "cancelled"


def test_many_are_asked_again_side_by_side(endpoint: Endpoint) -> None:
    """Each answer takes two attempts; one after the other they would take four times as long."""
    endpoint.latency = 0.05
    endpoint.behave = lambda asked: Answer("one two three" if asked.times == 0 else "one two")
    requests = [Request(str(number), (Message("user", f"q{number}"),), requirements=(SHORT,)) for number in range(40)]
    with CheckedEngine(remote(endpoint), enforced) as engine:
        answers = list(generate(engine, requests))
    assert [answer.text for answer in answers] == ["one two"] * 40
    assert len(endpoint.asked) == 80
    assert max(count for _, count in endpoint.peaks) > 4
    again_asked = [asked for asked in endpoint.asked if asked.times]
    assert json.dumps(again_asked[0].body["messages"]) == json.dumps(
        [{"role": "user", "content": again_asked[0].prompt}]
    )
