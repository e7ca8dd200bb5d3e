"""A generator answers as the command does, streams what it answers, and says what is wrong with a question at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import heedful
from heedful.api.generators import Generator, specs_of
from heedful.cli import main
from heedful.errors import EngineError, InputError, ModelError, RequirementError
from heedful.generate.engine import Sampling
from heedful.generate.fake import FakeEngine
from heedful.pipeline.answering import Answerer, prompt_of
from heedful.pipeline.requiring import Wanted
from heedful.records import RequirementSpec
from heedful.requirements import parse

WORDS = RequirementSpec("words", {"minimum": 2, "maximum": 3})


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Iterator[Generator]:
    with heedful.generator(tiny_model) as generator:
        yield generator


def answered_with(text: str) -> Answerer:
    return Answerer(FakeEngine(text))


def test_the_command_and_the_api_give_the_same_answer(
    tiny: Generator, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--words", "2:3", "--max-tokens", "9", "--temperature", "0.7", "--seed", "5", "--input", "Some tea."]
    assert main(["generate", "Say yes.", "--model", str(tiny_model), *flags, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    answer = tiny("Say yes.", "Some tea.", requirements=[WORDS], max_tokens=9, temperature=0.7, seed=5)
    assert answer.as_dict() == expected
    assert str(answer) == answer.text == expected["text"]


def test_streamed_pieces_are_the_answer(tiny: Generator) -> None:
    stream = tiny.stream("Tell me a story.", max_tokens=24, temperature=1.0, seed=2)
    pieces = list(stream)
    whole = tiny("Tell me a story.", max_tokens=24, temperature=1.0, seed=2)
    assert len(pieces) > 1
    assert "".join(pieces) == stream.answer.text == whole.text
    assert stream.answer == whole
    assert list(stream) == [], "a stream is read once"


def test_leaving_a_stream_ends_the_writing(tiny: Generator) -> None:
    stream = tiny.stream("Tell me a long story.", max_tokens=1000, temperature=1.0)
    first = next(iter(stream))
    for _ in stream:
        break
    answer = stream.answer
    assert answer.finish_reason == "cancelled"
    assert answer.text.startswith(first)
    assert answer.usage.completion_tokens < 50
    # The engine is free for others.
    assert tiny("Say no.", max_tokens=3).usage.completion_tokens <= 3


def test_requirements_are_said_and_checked_one_by_one() -> None:
    specs = specs_of(
        ["words=2:3", {"kind": "keywords", "all": ["solar"]}, parse(RequirementSpec("sentences", {"exactly": 1}))]
    )
    assert [spec.kind for spec in specs] == ["words", "keywords", "sentences"]
    answer = answered_with("Wind and rain again.").stream("Say.", "", Wanted(specs), Sampling()).answer
    assert [verdict.satisfied for verdict in answer.verdicts] == [False, False, True]
    assert answer.complaints == (
        "not satisfied: 4 words, 2 to 3 expected",
        'not satisfied: does not mention "solar"',
    )
    assert answered_with("Solar power.").stream("Say.", "", Wanted(specs), Sampling()).answer.complaints == ()


def test_requirements_are_enforced_unless_only_checked(tiny: Generator) -> None:
    answer = tiny("Is tea good?", requirements=["choice=yes|no"])
    assert (answer.text in ("yes", "no"), answer.treated, answer.complaints) == (True, ("enforced",), ())
    assert answer.verdicts[0].satisfied
    assert answer.requirements == (RequirementSpec("choice", {"options": ["yes", "no"]}),)
    loose = tiny("Is tea good?", requirements=["choice=yes|no"], check_only=True, max_tokens=9)
    assert (loose.treated, loose.verdicts[0].satisfied) == (("checked",), False)
    stream = tiny.stream("Is tea good?", requirements=["choice=yes|no"])
    assert "".join(stream) == stream.answer.text == answer.text


def test_what_the_instruction_states_is_required_when_asked(tiny: Generator) -> None:
    answer = tiny("Describe tea in at most 5 words.", auto_require=True, max_tokens=90)
    assert (answer.requirements[0].kind, answer.treated, answer.verdicts[0].satisfied) == ("words", ("enforced",), True)
    assert tiny("Describe tea in at most 5 words.", max_tokens=9).requirements == ()


def test_what_cannot_be_kept_is_refused_at_once(tiny: Generator) -> None:
    with pytest.raises(RequirementError, match="9 are allowed; raise max_tokens"):
        tiny("Praise tea.", requirements=["words=50:"], max_tokens=9)
    with pytest.raises(RequirementError, match='set "enforce": false'):
        tiny.stream("Praise tea.", requirements=[r"regex=(a|b)\1"])
    once = {"kind": "regex", "pattern": r"(a|b)\1", "match": "full", "enforce": False}
    assert tiny("Praise tea.", requirements=[once], max_tokens=4).treated == ("checked",)


def test_a_cut_answer_says_how_long_it_is() -> None:
    answer = answered_with("one two three four").stream("Count.", "", Wanted(), Sampling(max_tokens=2)).answer
    assert answer.finish_reason == "length"
    assert answer.complaints == ("cut off after 2 tokens; raise max_tokens (--max-tokens) to allow more",)


def test_the_prompt_asks_in_the_language_of_the_instruction() -> None:
    english = prompt_of("Describe the sea.", "It is cold.", (WORDS,), seed=0)
    chinese = prompt_of("写一写大海是什么样子。", "", (WORDS,), seed=0)
    assert english.startswith("Describe the sea. ")
    assert english.endswith("\n\nIt is cold.")
    assert "3 words" in english
    assert chinese.startswith("写一写大海是什么样子。")
    assert "3" in chinese
    assert "word" not in chinese


@pytest.mark.parametrize(
    ("requirements", "said"),
    [
        ("words=2:3", "put it in brackets"),
        (WORDS, "put it in brackets"),
        ([3], "requirement 1 is 3; expected"),
        ([{"maximum": 3}], 'requirement 1: .*"kind"'),
        (["wrods=3"], "did you mean 'words'"),
        ([WORDS, {"kind": "words", "maximm": 3}], "requirement 2: .*did you mean 'maximum'"),
        (["words=2:3", "words=5:9"], "no answer can satisfy these requirements together"),
    ],
)
def test_wrong_requirements_are_named(tiny: Generator, requirements: Any, said: str) -> None:
    with pytest.raises(RequirementError, match=said):
        tiny("Say yes.", requirements=requirements)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": "8"}, "max_tokens is '8', expected a whole number"),
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": "hot"}, "temperature is 'hot', expected a number"),
        ({"seed": 1.5}, "seed is 1.5, expected a whole number"),
        ({"input": None}, "input is None, expected a text"),
        ({"instruction": 5}, "instruction is 5, expected a text"),
    ],
)
def test_wrong_values_are_named(tiny: Generator, values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        tiny(**{"instruction": "Say yes.", **values})


def test_models_that_are_none_and_generators_that_are_closed(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="no model 'absent'"):
        heedful.generator("absent")
    with heedful.generator(str(tiny_model)) as generator:
        assert repr(generator) == f"Generator({str(tiny_model)!r})"
    with pytest.raises(EngineError, match="closed"):
        generator("Say yes.")


def test_threads_share_one_model(tiny: Generator) -> None:
    from concurrent.futures import ThreadPoolExecutor

    prompts = [f"Name number {number}." for number in range(6)]
    alone = [tiny(prompt, max_tokens=5).text for prompt in prompts]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda prompt: tiny(prompt, max_tokens=5).text, prompts))
    assert together == alone
