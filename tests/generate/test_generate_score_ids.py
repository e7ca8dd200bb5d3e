"""Scores of token ids as they are: no template around them, no end of turn behind them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from heedful.errors import InputError
from heedful.generate.cached import CachedEngine
from heedful.generate.cached.keys import score_key
from heedful.generate.engine import ScoreRequest
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, load
from heedful.records import Message, digest
from heedful.render import renderer_for


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load(tiny_model)


@pytest.fixture(params=["kernels", "transformers"])
def engine(loaded: LoadedModel, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LocalEngine:
    if request.param == "transformers":
        monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    return LocalEngine(loaded, max_batch=4)


def ids_of(loaded: LoadedModel, text: str) -> tuple[int, ...]:
    return tuple(loaded.tokenizer(text, add_special_tokens=False).input_ids)


def by_hand(loaded: LoadedModel, item: ScoreRequest) -> float:
    """From the definition: the logits before each continuation token, in 64 bits."""
    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([item.prompt_ids + item.continuation_ids])).logits[0].double()
    logprobs = logits.log_softmax(-1)
    start = len(item.prompt_ids)
    return sum(float(logprobs[start - 1 + place, token]) for place, token in enumerate(item.continuation_ids))


def test_scores_equal_the_definition(engine: LocalEngine, loaded: LoadedModel) -> None:
    # Four options to one context, as in multiple choice; one token after one token; a context of whole blocks; a long option.
    context = ids_of(loaded, "Question: which of these is a fruit?\nAnswer:")
    items = [
        ScoreRequest(text, "", "", context, ids_of(loaded, text)) for text in (" a pear", " a stone", " x", " a pear")
    ]
    items += [ScoreRequest("short", prompt_ids=(5,), continuation_ids=(7,))]
    items += [ScoreRequest("whole blocks", prompt_ids=tuple(range(5, 37)), continuation_ids=(9, 8))]
    items += [ScoreRequest("long", prompt_ids=context[:3], continuation_ids=ids_of(loaded, "long " * 40))]
    results = list(engine.score(items))
    for item, result in zip(items, results, strict=True):
        assert result.id == item.id
        assert result.logprob == pytest.approx(by_hand(loaded, item), abs=1e-4)
        assert result.num_tokens == len(item.continuation_ids)
    assert [result.num_bytes for result in results[:3]] == [len(" a pear"), len(" a stone"), len(" x")]
    assert results[0].logprob == pytest.approx(results[3].logprob, abs=0 if engine.is_independent else 1e-5)


def test_the_ids_of_a_rendered_answer_score_as_the_answer(engine: LocalEngine, loaded: LoadedModel) -> None:
    """Two ways to ask the same: messages, and the ids that the template makes of them, end of turn included."""
    messages, renderer = (Message("user", "Name a fruit. 说一种水果。"),), renderer_for(loaded)
    prompt = tuple(renderer.prompt_ids(messages))
    rendered = renderer.render([*messages, Message("assistant", "a pear")])
    end = max(place for place, is_trained in enumerate(rendered.loss_mask) if is_trained) + 1
    answer = tuple(rendered.input_ids[len(prompt) : end])
    first, second = engine.score(
        [ScoreRequest("m", messages, "a pear"), ScoreRequest("i", prompt_ids=prompt, continuation_ids=answer)]
    )
    assert (second.num_tokens, second.num_bytes) == (first.num_tokens, first.num_bytes)
    assert second.logprob == pytest.approx(first.logprob, abs=1e-5)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (ScoreRequest("s"), "either messages or prompt_ids"),
        (ScoreRequest("s", (Message("user", "a"),), "b", (1,), (2,)), "either messages or prompt_ids"),
        (ScoreRequest("s", (Message("user", "a"),), "b", (), (2,)), "prompt_ids go with continuation_ids"),
        (ScoreRequest("s", prompt_ids=(1,)), "prompt_ids go with continuation_ids"),
        (ScoreRequest("s", prompt_ids=(1,), continuation="b"), "prompt_ids go with continuation_ids"),
        (ScoreRequest("s", prompt_ids=(1,), continuation="b", continuation_ids=(2,)), "messages with continuation"),
        (ScoreRequest("s", prompt_ids=(1, -1), continuation_ids=(2,)), "names token -1"),
        (ScoreRequest("s", prompt_ids=(1,), continuation_ids=(10**9,)), "names token 1000000000"),
        (ScoreRequest("s", prompt_ids=(1,) * 5000, continuation_ids=(2,)), "has 5001 tokens, more than the limit"),
    ],
)
def test_what_cannot_be_scored_is_refused(loaded: LoadedModel, item: ScoreRequest, words: str) -> None:
    with LocalEngine(loaded) as engine, pytest.raises(InputError, match=words):
        list(engine.score([item]))


def test_ids_are_kept_apart_from_messages_and_from_each_other(loaded: LoadedModel, tmp_path: Path) -> None:
    items = [
        ScoreRequest("a", prompt_ids=(5, 6), continuation_ids=(7,)),
        ScoreRequest("b", prompt_ids=(5,), continuation_ids=(6, 7)),
        ScoreRequest("c", (Message("user", "hello"),), "ok"),
    ]
    expected = list(LocalEngine(loaded).score(items))
    for num_computed in (3, 0):
        with CachedEngine(LocalEngine(loaded), tmp_path / "cache.sqlite") as engine:
            assert list(engine.score(items)) == expected
            assert engine.num_computed == num_computed


def test_scores_of_messages_that_were_kept_before_ids_existed_are_still_found() -> None:
    item = ScoreRequest("s", (Message("user", "hello"),), "ok")
    assert score_key("weights", item) == digest(["score", 1, "weights", [["user", "hello"]], "ok"])
