"""Requirements on requests to the local engine: kept by every answer, whatever is asked beside them, and told in its report."""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import RequirementError
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, load
from heedful.records import Message, RequirementSpec
from heedful.requirements import check_all


def spec(kind: str, **parameters: Any) -> RequirementSpec:
    return RequirementSpec(kind, parameters)


_LETTERS = string.ascii_letters
COMPOSITIONS = [
    (spec("words", exactly=7), spec("keywords", all=["cat", "wind"])),
    (spec("characters", minimum=10, maximum=30), spec("forbidden", words=["the"]), spec("ends_with", text="done.")),
    (spec("choice", options=["yes", "no"]),),
    (spec("regex", pattern=r"[A-Z]{2}\d{3}", match="full"),),
    (spec("json_schema", schema={"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}),),
    (spec("case", case="upper"), spec("sentences", exactly=2), spec("no_commas")),
    (spec("characters", exactly=12), spec("script", script="Han")),
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
    sampling = Sampling(**{"max_tokens": 120, **how})
    return Request(f"r{number}", (Message("user", f"Write {number}."),), sampling=sampling, requirements=requirements)


@pytest.mark.parametrize("requirements", COMPOSITIONS, ids=lambda specs: "+".join(one.kind for one in specs))
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"temperature": 1.0, "seed": 3, "n": 3},
        {"temperature": 1.3, "top_p": 0.9, "top_k": 40, "min_p": 0.01},
        {"repetition_penalty": 1.3, "logit_bias": ((5, 4.0), (9, -3.0))},
        {"num_beams": 3, "n": 2},
    ],
    ids=lambda how: "+".join(how) or "greedy",
)
def test_every_answer_keeps_its_requirements(
    engine: LocalEngine, requirements: tuple[RequirementSpec, ...], how: dict[str, Any]
) -> None:
    answers = engine.submit(ask(requirements, **how)).result()
    assert len(answers) == how.get("n", 1)
    for answer in answers:
        assert answer.finish_reason == "stop"
        assert all(verdict.satisfied for verdict in check_all(requirements, answer.text)), answer.text
        assert len(answer.token_ids) <= 120


def test_answers_beside_others_are_those_alone(loaded: LoadedModel) -> None:
    # The kernels' answers do not depend on the batch, and neither do constraints.
    requests = [
        ask(requirements, number, temperature=0.9, seed=number)
        for number, requirements in enumerate([*COMPOSITIONS, (), *COMPOSITIONS[::-1], ()])
    ]
    with LocalEngine(loaded, max_length=512) as engine:
        together = list(generate(engine, requests))
    for request, answer in zip(requests, together, strict=True):
        with LocalEngine(loaded, max_length=512) as engine:
            assert engine.submit(request).result()[0].token_ids == answer.token_ids


def test_sampling_draws_from_what_may_come_in_proportion(engine: LocalEngine) -> None:
    """Among two options the model's own chances decide, though nearly all that it would say is refused."""
    requirements = (spec("choice", options=["A", "B"]),)
    requests = [replace(ask(requirements, 7, temperature=1.0, seed=seed), logprobs=True) for seed in range(300)]
    answers = [engine.submit(request).result()[0] for request in requests]
    shares = {text: sum(answer.text == text for answer in answers) / len(answers) for text in "AB"}
    logprobs = {answer.text: answer.logprobs[0] for answer in answers if answer.logprobs}
    chance = math.exp(logprobs["A"]) / (math.exp(logprobs["A"]) + math.exp(logprobs["B"]))
    assert abs(shares["A"] - chance) < 0.12  # Four standard errors.


def test_the_report_tells_what_was_done_to_the_answer(engine: LocalEngine) -> None:
    (free,) = engine.submit(ask(())).result()
    (kept,) = engine.submit(ask(COMPOSITIONS[0])).result()
    assert free.constraint_report is None
    report = kept.constraint_report
    assert report is not None
    assert report["tokens"] == len(kept.token_ids)
    assert 0 < report["forced_tokens"] <= report["tokens"]
    assert 0 < report["removed_probability"] < 1
    assert report["logprob_per_token"] <= report["free_logprob_per_token"] < 0


def test_what_the_model_would_write_anyway_is_not_changed(engine: LocalEngine) -> None:
    (free,) = engine.submit(ask((), max_tokens=30)).result()
    loose = (spec("characters", maximum=100_000),)
    (kept,) = engine.submit(ask(loose, max_tokens=30)).result()
    same = next((n for n, (a, b) in enumerate(zip(free.token_ids, kept.token_ids, strict=False)) if a != b), 30)
    report = kept.constraint_report
    assert report is not None
    # Until the end of the budget, where an end has to come, or the first invisible character.
    assert same >= 1
    assert report["forced_tokens"] <= report["tokens"] - same


@pytest.mark.parametrize(("case", "turn"), [("upper", str.upper), ("lower", str.lower)])
def test_letters_are_written_as_usual_and_shown_in_the_case_asked_for(
    engine: LocalEngine, loaded: LoadedModel, case: str, turn: Callable[[str], str]
) -> None:
    requirements = (spec("case", case=case), spec("keywords", all=[turn("wind")], match="exact"), spec("no_commas"))
    written: set[str] = set()
    for seed in range(4):
        handle = engine.submit(ask(requirements, temperature=1.0, seed=seed))
        events = list(handle)
        (answer,) = handle.result()
        assert "".join(event.text for event in events) == answer.text, "streamed in the same case"
        own = loaded.tokenizer.decode(list(answer.token_ids), skip_special_tokens=True)
        assert own.translate(str.maketrans(_LETTERS, turn(_LETTERS))) == answer.text
        written.update(own)
    # No letter was refused for its case.
    assert any(map(str.islower, written))
    assert any(map(str.isupper, written))


def test_stop_texts_do_not_break_what_is_required(engine: LocalEngine) -> None:
    requirements = (spec("words", exactly=6),)
    for seed in range(5):
        (answer,) = engine.submit(ask(requirements, temperature=1.0, seed=seed, stop=("e", "\n"))).result()
        assert check_all(requirements, answer.text)[0].satisfied
        assert "e" not in answer.text


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        ((spec("words", exactly=50), spec("words", maximum=3)), "at least 50 and at most 3 words"),
        ((spec("words", minimum=500),), r"tokens.*120 are allowed"),
        ((spec("regex", pattern=r"(?=a)a", match="full"),), "enforce"),
        ((spec("wrods", minimum=5),), "did you mean 'words'"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_once(
    engine: LocalEngine, requirements: tuple[RequirementSpec, ...], words: str
) -> None:
    with pytest.raises(RequirementError, match=words):
        engine.submit(ask(requirements))
    assert engine.num_in_flight == 0


def test_what_is_only_checked_is_not_enforced(engine: LocalEngine) -> None:
    wanted = RequirementSpec("words", {"exactly": 1}, enforce=False)
    (free,) = engine.submit(ask((), max_tokens=20)).result()
    (answer,) = engine.submit(ask((wanted,), max_tokens=20)).result()
    assert answer.token_ids == free.token_ids
    assert answer.constraint_report is None


def test_cancelled_answers_free_their_room(loaded: LoadedModel) -> None:
    with LocalEngine(loaded, max_length=512) as engine:
        handle = engine.submit(ask(COMPOSITIONS[0], max_tokens=300))
        next(iter(handle))
        handle.cancel()
        assert engine.num_tokens_kept == 0
