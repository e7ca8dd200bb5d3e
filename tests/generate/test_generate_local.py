"""The local engine: batches change nothing, streams tell everything, cancelling frees at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, MistralConfig, Qwen3Config

from heedful.errors import EngineError, InputError, ModelError
from heedful.generate.engine import Request, Sampling, ScoreRequest, generate
from heedful.generate.local import LocalEngine
from heedful.generate.local import padded as padded_module
from heedful.generate.local import reading as reading_module
from heedful.generate.local.kernels.model import KernelModel
from heedful.models import LoadedModel, load
from heedful.records import Generation, Message
from heedful.render import renderer_for

PROMPTS = ["hello", "用中文介绍一下北京。", "the " * 40, "a", "List three colours, then stop.", "x" * 90]


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load(tiny_model)


@pytest.fixture(params=["kernels", "transformers"])
def engine(loaded: LoadedModel, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LocalEngine:
    if request.param == "transformers":
        monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    engine = LocalEngine(loaded, max_batch=4)
    assert engine.why_not_kernels == ("" if request.param == "kernels" else "HEEDFUL_KERNELS=0")
    return engine


def ask(text: str, *, name: str = "", **sampling: object) -> Request:
    settings = {"max_tokens": 24, **sampling}
    return Request(name or text, (Message("user", text),), sampling=Sampling(**settings))  # type: ignore[arg-type]


def alone(engine: LocalEngine, request: Request) -> tuple[Generation, ...]:
    return engine.submit(request).result()


def reference(loaded: LoadedModel, request: Request) -> list[int]:
    """Greedy ids without cache, batch or mask: one full forward pass a token."""
    renderer = renderer_for(loaded)
    ids = renderer.prompt_ids(request.messages)
    start = len(ids)
    while len(ids) - start < request.sampling.max_tokens:
        with torch.inference_mode():
            ids.append(int(loaded.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in renderer.end_of_turn_ids:
            break
    return ids[start:]


def test_greedy_answers_equal_the_plain_way(engine: LocalEngine, loaded: LoadedModel) -> None:
    requests = [ask(text, max_tokens=10 + 7 * number) for number, text in enumerate(PROMPTS)]
    for request, generation in zip(requests, generate(engine, requests), strict=True):
        assert list(generation.token_ids) == reference(loaded, request)
        assert generation.request_id == request.id
        assert generation.usage.prompt_tokens == len(renderer_for(loaded).prompt_ids(request.messages))
        assert generation.usage.completion_tokens == len(generation.token_ids)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_batch_answers_as_its_members_alone(engine: LocalEngine, temperature: float) -> None:
    requests = [
        ask(text, temperature=temperature, top_p=0.95, seed=number, n=1 + number % 3, max_tokens=8 + 9 * number)
        for number, text in enumerate(PROMPTS)
    ]
    together = list(generate(engine, requests))
    assert together == [generation for request in requests for generation in alone(engine, request)]


@pytest.mark.parametrize(
    "config",
    [
        # Sliding windows keep transformers' own cache, shorter than the prompts.
        MistralConfig(sliding_window=16),
        Qwen3Config(head_dim=16),
        Gemma2Config(head_dim=16, sliding_window=16, query_pre_attn_scalar=16),
    ],
    ids=lambda config: config.model_type,
)
def test_other_architectures_answer_the_plain_way_too(config: Any, loaded: LoadedModel) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    config.update({**sizes, "num_key_value_heads": 2, "vocab_size": 276, "initializer_range": 0.2, "pad_token_id": 0})
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:2]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        other = replace(loaded, model=AutoModelForCausalLM.from_config(config).eval())
    engine = LocalEngine(other, max_batch=4)
    requests = [ask(text, max_tokens=6 + 4 * number) for number, text in enumerate(PROMPTS)]
    found = [list(generation.token_ids) for generation in generate(engine, requests)]
    assert found == [reference(other, request) for request in requests]


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_in_a_batch_answers_as_alone(smollm2: LoadedModel) -> None:
    engine = LocalEngine(smollm2)
    requests = [
        ask(text, max_tokens=12) for text in ("What is the capital of France?", "你好！", "Count: " + "1 2 3 " * 8)
    ]
    together = list(generate(engine, requests))
    assert "Paris" in together[0].text
    assert [g.text for g in together] == [alone(engine, request)[0].text for request in requests]
    assert list(together[1].token_ids) == reference(smollm2, requests[1])


def test_answers_differ_by_index_and_seed_but_not_by_request_id(engine: LocalEngine) -> None:
    request = ask("hello", temperature=1.0, n=3, seed=5)
    first = alone(engine, request)
    assert len({g.text for g in first}) == 3
    assert [g.index for g in first] == [0, 1, 2]
    again = alone(engine, replace(request, id="other"))
    assert [g.token_ids for g in again] == [g.token_ids for g in first]
    assert alone(engine, ask("hello", temperature=1.0, seed=6))[0].token_ids != first[0].token_ids
    # The first of three is the one that a request for one gets.
    assert alone(engine, ask("hello", temperature=1.0, seed=5))[0].token_ids == first[0].token_ids


@pytest.mark.parametrize("seed", range(4))
def test_streamed_pieces_join_to_the_text(engine: LocalEngine, seed: int) -> None:
    # A random model writes random bytes: the hardest case for whole characters.
    handle = engine.submit(ask("hello", temperature=1.0, n=2, seed=seed, max_tokens=40))
    texts, last = ["", ""], {}
    for event in handle:
        assert event.index not in last, "nothing comes after an answer's last event"
        texts[event.index] += event.text
        if event.generation is not None:
            last[event.index] = event.generation
    assert tuple(last[index] for index in (0, 1)) == handle.result()
    assert texts == [generation.text for generation in handle.result()]


def test_a_stop_string_ends_the_text_before_it(engine: LocalEngine) -> None:
    whole = alone(engine, ask("hello", max_tokens=40))[0]
    assert whole.finish_reason == "length"
    assert len(whole.token_ids) == 40
    # "ou" is one token of the answer; together with its neighbours it straddles three.
    place = whole.text.index("ou")
    stop = whole.text[place - 1 : place + 3]
    cut = alone(engine, ask("hello", max_tokens=40, stop=(stop, "never")))[0]
    assert cut.text == whole.text[: place - 1]
    assert cut.finish_reason == "stop"
    assert len(cut.token_ids) < 40


def test_an_end_of_turn_stops_and_is_no_text(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LocalEngine(loaded)
    request = ask("hello")
    whole = alone(engine, request)[0]
    # Pretend that the fifth token ends a turn.
    fifth = whole.token_ids[4]
    assert fifth not in whole.token_ids[:4]
    monkeypatch.setattr(engine._renderer, "end_of_turn_ids", (fifth,))
    cut = alone(engine, request)[0]
    assert cut.token_ids == whole.token_ids[:5]
    assert cut.finish_reason == "stop"
    assert whole.text.startswith(cut.text)
    exactly = alone(engine, ask("hello", max_tokens=5))[0]
    assert exactly.finish_reason == "stop", "an end of turn at the limit is an end of turn"
    assert alone(engine, ask("hello", max_tokens=4))[0].finish_reason == "length"


def test_logprobs_are_the_models(engine: LocalEngine, loaded: LoadedModel) -> None:
    request = replace(ask("hello", max_tokens=6, temperature=0.8, top_k=5), logprobs=True)
    generation = alone(engine, request)[0]
    prompt = renderer_for(loaded).prompt_ids(request.messages)
    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([[*prompt, *generation.token_ids]])).logits[0]
    for place, (token, logprob) in enumerate(zip(generation.token_ids, generation.logprobs or (), strict=True)):
        expected = logits[len(prompt) - 1 + place].double().log_softmax(-1)[token]
        assert logprob == pytest.approx(float(expected), abs=1e-4)


def test_cancelling_leaves_the_others_alone(engine: LocalEngine) -> None:
    requests = [ask(text, max_tokens=30) for text in PROMPTS[:4]]
    expected = [alone(engine, request)[0] for request in requests]
    handles = [engine.submit(request) for request in requests]
    events = iter(handles[1])
    shown = next(events).text + next(events).text
    handles[1].cancel()
    assert shown + "".join(event.text for event in events) == handles[1].result()[0].text
    assert handles[1].result()[0].finish_reason == "cancelled"
    assert len(handles[1].result()[0].token_ids) < 30
    assert [handles[i].result()[0] for i in (0, 2, 3)] == [expected[i] for i in (0, 2, 3)]
    # Cancelled while it waits: never begun.
    running, waiting = engine.submit(ask("a")), engine.submit(ask("b"))
    waiting.cancel()
    assert waiting.result()[0].token_ids == ()
    assert running.result()[0].finish_reason == "length"


def test_closing_ends_what_is_under_way(loaded: LoadedModel) -> None:
    with LocalEngine(loaded) as engine:
        handle = engine.submit(ask("hello"))
        next(iter(handle))
        waiting = engine.submit(ask("other"))
    assert handle.result()[0].finish_reason == waiting.result()[0].finish_reason == "cancelled"
    with pytest.raises(EngineError, match="closed"):
        engine.submit(ask("hello"))


def test_several_threads_wait_at_once(engine: LocalEngine) -> None:
    requests = [ask(text, name=f"{text}{number}", seed=number) for number in range(3) for text in PROMPTS]
    expected = {request.id: alone(engine, request)[0].token_ids for request in requests}
    handles = {request.id: engine.submit(request) for request in requests}
    found: dict[str, tuple[int, ...]] = {}

    def wait(name: str, stream: bool) -> None:
        if stream:
            found[name] = [event.generation for event in handles[name]][-1].token_ids  # type: ignore[union-attr]
        else:
            found[name] = handles[name].result()[0].token_ids

    threads = [Thread(target=wait, args=(name, number % 2 == 0)) for number, name in enumerate(handles)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert found == expected


@pytest.mark.parametrize("num_steps", [1, 7, 20])
def test_who_comes_later_joins_and_nobody_notices(engine: LocalEngine, num_steps: int) -> None:
    requests = [ask(text, name=text, max_tokens=30 - 4 * number) for number, text in enumerate(PROMPTS)]
    expected = [alone(engine, request)[0].token_ids for request in requests]
    handles = [engine.submit(requests[0])]
    events = iter(handles[0])
    for request in requests[1:]:
        taken = list(islice(events, num_steps))
        handles.append(engine.submit(request))
        if taken and taken[-1].generation is None:
            assert next(iter(handles[-1])).index == 0, "the newcomer is written while the first one goes on"
    assert [handle.result()[0].token_ids for handle in handles] == expected
    assert engine.num_in_flight == 0


def test_a_newcomer_that_cannot_join_is_told(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine.submit(ask("a"))
    next(iter(first))
    second = engine.submit(ask("b"))

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(padded_module.Batch, "join", fail)
        patch.setattr(KernelModel, "read", fail)
        with pytest.raises(EngineError, match="smaller max_batch"):
            second.result()
    assert first.result()[0].finish_reason == "error"
    assert second.result()[0].finish_reason == "error"
    assert alone(engine, ask("a"))[0].finish_reason == "length"


def test_cancelling_is_heard_while_another_thread_drives(engine: LocalEngine) -> None:
    long = engine.submit(ask("long", max_tokens=400))
    driver = Thread(target=long.result)
    driver.start()
    other = engine.submit(ask("other", max_tokens=400))
    assert engine.num_in_flight == 2
    other.cancel()
    assert other.result()[0].finish_reason == "cancelled"
    assert engine.num_in_flight == 1, "the first goes on"
    long.cancel()
    driver.join(timeout=30)
    assert long.result()[0].finish_reason == "cancelled"
    assert long.result()[0].usage.completion_tokens < 400
    assert engine.num_in_flight == 0


def test_a_failed_step_is_told_and_the_engine_lives_on(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = engine.submit(ask("a")), engine.submit(ask("b"))

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(padded_module.Batch, "step", fail)
        patch.setattr(KernelModel, "read", fail)
        with pytest.raises(EngineError, match="smaller max_batch"):
            first.result()
    assert second.result()[0].finish_reason == "error"
    assert alone(engine, ask("a"))[0].finish_reason == "length"


def test_prompts_that_are_too_long_are_refused_at_once(loaded: LoadedModel) -> None:
    engine = LocalEngine(loaded, max_length=60)
    with pytest.raises(InputError, match="limit for prompt and answer is 60"):
        engine.submit(ask("x" * 60))
    # 33 characters and 16 tokens of the template leave room for 11.
    short = alone(engine, ask("x" * 30, max_tokens=100))[0]
    assert short.finish_reason == "length"
    assert short.usage.prompt_tokens + short.usage.completion_tokens == 60
    with pytest.raises(InputError, match="more than the limit of 60"):
        list(engine.score([ScoreRequest("s", (Message("user", "a"),), "x" * 60)]))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("r"), "either messages or prompt_ids"),
        (Request("r", (Message("user", "a"),), (1, 2)), "either messages or prompt_ids"),
        (ask("a", temperature=-1), "temperature is -1"),
        (ask("a", top_p=0), "top_p is 0"),
        (ask("a", max_tokens=0), "max_tokens is 0"),
        (ask("a", n=0), "n is 0"),
        (ask("a", stop=("",)), "stop string is empty"),
        (replace(ask("a"), control={"tone": 1}), "control attributes"),
    ],
)
def test_what_cannot_be_answered_as_asked_is_refused(engine: LocalEngine, request_: Request, words: str) -> None:
    with pytest.raises(InputError, match=words):
        engine.submit(request_)


def test_an_adapter_of_a_request_is_refused(engine: LocalEngine) -> None:
    with pytest.raises(ModelError, match="this engine was given none"):
        engine.submit(replace(ask("a"), adapter="other"))


def test_prompt_ids_may_be_given(engine: LocalEngine, loaded: LoadedModel) -> None:
    request = ask("hello")
    ids = tuple(renderer_for(loaded).prompt_ids(request.messages))
    by_ids = Request("r", prompt_ids=ids, sampling=request.sampling)
    assert alone(engine, by_ids)[0].token_ids == alone(engine, request)[0].token_ids


def test_batches_stay_within_the_room_for_keys_and_values(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [ask(text) for text in PROMPTS]
    expected = list(generate(LocalEngine(loaded, max_batch=1), requests))
    monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    # Two layers, two heads of 16 numbers, keys and values, 4 bytes: 512 bytes a token. Room for 100 tokens, twice.
    assert list(generate(LocalEngine(loaded, max_memory=2 * 100 * 512), requests)) == expected


@pytest.mark.parametrize("tokens_per_pass", [1, 120])
def test_prompts_read_in_groups_are_read_the_same(
    loaded: LoadedModel, tokens_per_pass: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [ask(text, max_tokens=6 + 5 * number) for number, text in enumerate(PROMPTS)]
    expected = list(generate(LocalEngine(loaded, max_batch=1), requests))
    monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    monkeypatch.setattr(reading_module, "TOKENS_PER_PASS", tokens_per_pass)
    assert list(generate(LocalEngine(loaded), requests)) == expected


def test_identity_follows_what_changes_answers(loaded: LoadedModel, tiny_model: Path) -> None:
    engine = LocalEngine(loaded)
    assert engine.identity == LocalEngine(load(tiny_model), max_batch=3).identity
    assert engine.identity != LocalEngine(loaded, max_length=100).identity
    assert engine.identity != LocalEngine(load(tiny_model, dtype="bfloat16")).identity


# -- scores --------------------------------------------------------------------------------------------------------


def score_requests() -> list[ScoreRequest]:
    answers = ["", "ok", "a longer answer with the words", "你好。", "x" * 70, "ok"]
    return [
        ScoreRequest(f"s{n}", (Message("user", p),), a) for n, (p, a) in enumerate(zip(PROMPTS, answers, strict=True))
    ]


def hand_score(loaded: LoadedModel, item: ScoreRequest) -> tuple[float, int]:
    """Straight from the definition: prompt, answer, end of turn, one token after the other."""
    tokenizer = loaded.tokenizer
    prompt = renderer_for(loaded).prompt_ids(item.messages)
    answer = [*tokenizer(item.continuation, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].double()
    logprobs = logits.log_softmax(-1)
    return sum(float(logprobs[len(prompt) - 1 + n, token]) for n, token in enumerate(answer)), len(answer)


def test_scores_equal_the_definition_batched_or_not(engine: LocalEngine, loaded: LoadedModel) -> None:
    items = score_requests()
    results = list(engine.score(iter(items)))
    assert [result.id for result in results] == [item.id for item in items]
    for item, result in zip(items, results, strict=True):
        logprob, num_tokens = hand_score(loaded, item)
        assert result.logprob == pytest.approx(logprob, abs=2e-3)
        assert result.num_tokens == num_tokens
        assert result.num_bytes == len(item.continuation.encode())
        (single,) = engine.score([item])
        assert single.logprob == pytest.approx(result.logprob, abs=2e-3)


@pytest.mark.model
def test_scores_of_the_real_model_equal_the_definition(smollm2: LoadedModel) -> None:
    items = [
        ScoreRequest("a", (Message("user", "What is the capital of France?"),), "The capital of France is Paris."),
        ScoreRequest("b", (Message("user", "你好"),), "你好！"),
    ]
    for item, result in zip(items, LocalEngine(smollm2).score(items), strict=True):
        logprob, num_tokens = hand_score(smollm2, item)
        assert result.logprob == pytest.approx(logprob, rel=1e-4)
        assert result.num_tokens == num_tokens


def test_scoring_between_steps_disturbs_nothing(engine: LocalEngine) -> None:
    request = ask("hello")
    expected = alone(engine, request)
    handle = engine.submit(request)
    next(iter(handle))
    list(engine.score(score_requests()))
    assert handle.result() == expected
