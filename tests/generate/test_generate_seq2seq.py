"""Encoder-decoders, and decoder-only models unlike Llama: the local engine answers and scores as transformers does."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GPTNeoXConfig, MT5Config, PhiConfig, UMT5Config

from heedful.errors import EngineError, InputError, ModelError
from heedful.generate.engine import Request, Sampling, ScoreRequest, generate
from heedful.generate.local import LocalEngine
from heedful.generate.local import reading as reading_module
from heedful.generate.local.padded import PaddedRunner
from heedful.generate.local.reading import EncoderDecoder, Reader, reader_for
from heedful.models import LoadedModel, add_lora, load
from heedful.models.gguf_writer import check_gguf
from heedful.models.scratch import tiny_gpt2, tiny_t5
from heedful.records import Message
from heedful.render import renderer_for

PROMPTS = ["hello", "用中文介绍一下北京。", "the " * 40, "a", "List three colours, then stop.", "x" * 90]
T5S: dict[str, dict[str, Any]] = {
    "t5 1.0": {},
    "t5 1.0, own head": {"tied": False},
    "t5 1.1": {"feed_forward": "gated-gelu", "tied": False},
    "t5 1.1, tied": {"feed_forward": "gated-gelu"},
}
SIZES = {"vocab_size": 276, "pad_token_id": 0, "eos_token_id": 2}
MORE_T5S = {
    kind: config(d_model=64, d_kv=16, d_ff=96, num_layers=2, num_decoder_layers=2, num_heads=4, **SIZES)
    for kind, config in {"mt5": MT5Config, "umt5": UMT5Config}.items()
}
_DECODER = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, **SIZES}
OTHERS = {
    "gpt-neox": GPTNeoXConfig(max_position_embeddings=512, initializer_range=0.2, **_DECODER),
    "phi": PhiConfig(initializer_range=0.2, **_DECODER),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    """Each made when it is first asked for."""
    made: dict[str, LoadedModel] = {}

    def model(name: str) -> LoadedModel:
        if name not in made:
            made[name] = _make(name, tmp_path_factory.mktemp("model"))
        return made[name]

    return model


def _make(name: str, folder: Path) -> LoadedModel:
    if name in T5S:
        return load(tiny_t5(folder, seed=1, **T5S[name]))
    if name == "gpt-2":
        return load(tiny_gpt2(folder, seed=1))
    is_t5 = name in MORE_T5S
    config = MORE_T5S[name] if is_t5 else OTHERS[name]
    tokenizer_of = load(tiny_t5(folder, seed=0) if is_t5 else tiny_gpt2(folder, seed=0))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = (AutoModelForSeq2SeqLM if is_t5 else AutoModelForCausalLM).from_config(config).eval()
    model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = 0 if is_t5 else None
    return replace(tokenizer_of, model=model)


# The kinds that differ most; all others by name: `pytest -m long`.
SHORT = ("t5 1.0", "t5 1.1", "umt5", "gpt-2", "gpt-neox")
ALL = [
    name if name in SHORT else pytest.param(name, marks=pytest.mark.long)
    for name in (*T5S, *MORE_T5S, "gpt-2", *OTHERS)
]


@pytest.fixture(scope="module", params=ALL)
def loaded(request: pytest.FixtureRequest, models: Callable[[str], LoadedModel]) -> LoadedModel:
    return models(request.param)


@pytest.fixture(scope="module", params=["t5 1.0", "t5 1.1"])
def t5(request: pytest.FixtureRequest, models: Callable[[str], LoadedModel]) -> LoadedModel:
    return models(request.param)


def ask(text: str, *, name: str = "", **sampling: object) -> Request:
    settings = {"max_tokens": 24, **sampling}
    return Request(name or text, (Message("user", text),), sampling=Sampling(**settings))  # type: ignore[arg-type]


def theirs(loaded: LoadedModel, request: Request) -> tuple[int, ...]:
    """Greedy or by beam search, by transformers' `generate`."""
    renderer = renderer_for(loaded)
    ids = renderer.prompt_ids(request.messages)
    (made,) = loaded.model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        do_sample=False,
        max_new_tokens=request.sampling.max_tokens,
        num_beams=request.sampling.num_beams,
        eos_token_id=list(renderer.end_of_turn_ids),
        pad_token_id=0,
    )
    # An encoder-decoder's begins with the start token.
    return tuple(made[1 if loaded.is_encoder_decoder else len(ids) :].tolist())


def test_greedy_answers_are_those_of_transformers(loaded: LoadedModel) -> None:
    requests = [ask(text, max_tokens=8 + 4 * number) for number, text in enumerate(PROMPTS)]
    expected = [theirs(loaded, request) for request in requests]
    assert len(set(expected)) == len(PROMPTS), "answers that do not depend on the prompt prove nothing"
    engine = LocalEngine(loaded, max_batch=4)
    assert [engine.submit(request).result()[0].token_ids for request in requests] == expected
    assert [generation.token_ids for generation in generate(engine, requests)] == expected
    assert engine.num_tokens_kept == 0


def test_beams_are_those_of_transformers(t5: LoadedModel) -> None:
    requests = [ask(text, num_beams=2 + number, max_tokens=10) for number, text in enumerate(PROMPTS[:3])]
    engine = LocalEngine(t5)
    found = [generation.token_ids for generation in generate(engine, requests)]
    for request, answer in zip(requests, found, strict=True):
        expected = theirs(t5, request)
        # transformers fills up with padding.
        assert expected[: len(answer)] == answer
        assert not any(expected[len(answer) :])


@pytest.mark.parametrize("num_steps", [pytest.param(1, marks=pytest.mark.long), 9])
def test_who_comes_later_joins_and_nobody_notices(loaded: LoadedModel, num_steps: int) -> None:
    engine = LocalEngine(loaded, max_batch=4)
    requests = [ask(text, max_tokens=24 - 3 * number) for number, text in enumerate(PROMPTS)]
    handles = [engine.submit(requests[0])]
    events = iter(handles[0])
    for request in requests[1:]:
        list(islice(events, num_steps))
        handles.append(engine.submit(request))
    assert [handle.result()[0].token_ids for handle in handles] == [theirs(loaded, request) for request in requests]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_a_crowd_with_lengths_seeds_stops_and_cancellations_answers_as_alone(t5: LoadedModel, seed: int) -> None:
    draw = random.Random(seed)
    requests = [
        ask(
            draw.choice(PROMPTS)[: draw.randint(1, 60)],
            name=str(number),
            temperature=draw.choice([0.0, 0.7, 1.0]),
            top_k=draw.choice([0, 20]),
            repetition_penalty=draw.choice([1.0, 1.3]),
            min_tokens=draw.choice([0, 3]),
            seed=draw.randint(0, 9),
            n=draw.choice([1, 1, 2]),
            max_tokens=draw.randint(3, 24),
            stop=draw.choice([(), ("e",), ("an", "th")]),
        )
        for number in range(16)
    ]
    engine = LocalEngine(t5, max_batch=6)
    alone = [engine.submit(request).result() for request in requests]
    handles = [engine.submit(request) for request in requests]
    cancelled = set(draw.sample(range(16), 4))
    for number in sorted(cancelled):
        list(islice(handles[number], draw.randint(0, 5)))
        handles[number].cancel()
    for number, handle in enumerate(handles):
        for one, expected in zip(handle.result(), alone[number], strict=True):
            if number in cancelled:
                assert one.token_ids == expected.token_ids[: len(one.token_ids)]
            else:
                assert one == expected
    assert engine.num_tokens_kept == engine.num_in_flight == 0


def test_logprobs_are_the_models(t5: LoadedModel) -> None:
    request = replace(ask("hello", max_tokens=6, temperature=0.8, top_k=5), logprobs=True, top_logprobs=2)
    (generation,) = LocalEngine(t5).submit(request).result()
    source = renderer_for(t5).prompt_ids(request.messages)
    with torch.inference_mode():
        logits = t5.model(
            input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[0, *generation.token_ids]])
        ).logits[0]
    for place, (token, logprob) in enumerate(zip(generation.token_ids, generation.logprobs or (), strict=True)):
        assert logprob == pytest.approx(float(logits[place].double().log_softmax(-1)[token]), abs=1e-4)
    assert [len(top) for top in generation.top_logprobs or ()] == [2] * len(generation.token_ids)


@pytest.mark.parametrize("tokens_per_pass", [1, 120])
def test_prompts_read_in_groups_are_read_the_same(
    t5: LoadedModel, tokens_per_pass: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [ask(text, max_tokens=6 + 5 * number) for number, text in enumerate(PROMPTS)]
    monkeypatch.setattr(reading_module, "TOKENS_PER_PASS", tokens_per_pass)
    found = [generation.token_ids for generation in generate(LocalEngine(t5), requests)]
    assert found == [theirs(t5, request) for request in requests]


def test_reading_and_writing_stay_within_the_room(t5: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two layers of a decoder, four heads of 16 numbers, keys and values, 4 bytes: 1024 bytes a token, read or written.
    engine = LocalEngine(t5, max_memory=2 * 250 * 1024)
    widest = 0
    step = PaddedRunner.step

    def watched(runner: PaddedRunner, queue: Any) -> None:
        nonlocal widest
        step(runner, queue)
        if runner._batch is not None:
            memory = runner._batch.memory
            assert memory.source is not None
            widths = [part.cache.get_seq_length() for part in (memory.written, memory.source)]
            assert widths == [memory.written.width, memory.source.width]
            widest = max(widest, sum(widths) * memory.num_rows)

    monkeypatch.setattr(PaddedRunner, "step", watched)
    requests = [ask(text, max_tokens=6 + 5 * number) for number, text in enumerate(PROMPTS)]
    found = [generation.token_ids for generation in generate(engine, requests)]
    assert found == [theirs(t5, request) for request in requests]
    assert 125 < widest <= 250, "it is used, and never exceeded"


def test_length_bounds_prompt_and_answer_together(t5: LoadedModel) -> None:
    engine = LocalEngine(t5, max_length=40)
    # 30 characters and the end of the text.
    (short,) = engine.submit(ask("x" * 30, max_tokens=100)).result()
    assert (short.usage.prompt_tokens, short.usage.completion_tokens) == (31, 9)
    with pytest.raises(InputError, match="limit for prompt and answer is 40"):
        engine.submit(ask("x" * 39))
    with pytest.raises(InputError, match="more than the limit of 40"):
        list(engine.score([ScoreRequest("s", (Message("user", "x" * 20),), "x" * 20)]))


def read_alone(reader: Reader, prompt: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
    memory, logits = reader.read([prompt])
    for token in tokens:
        logits = reader.advance(memory, [token])
    return logits[0]


@torch.inference_mode()
def test_rows_may_change_places_double_and_leave(loaded: LoadedModel) -> None:
    """What beam search needs."""
    reader = reader_for(loaded.model, 0)
    prompts = [[5, 9, 30, 2], [7, 2], [44, 45, 46, 47, 48, 49, 2]]
    memory, _ = reader.read(prompts[:2])
    reader.advance(memory, [11, 12])
    later, _ = reader.read(prompts[2:])
    memory.append(later)
    reader.advance(memory, [21, 22, 23])
    memory.select([1, 0, 1, 2])
    found = reader.advance(memory, [31, 32, 33, 34])
    expected = [(1, [12, 22, 31]), (0, [11, 21, 32]), (1, [12, 22, 33]), (2, [23, 34])]
    for logits, (prompt, tokens) in zip(found, expected, strict=True):
        torch.testing.assert_close(logits, read_alone(reader, prompts[prompt], tokens), atol=1e-4, rtol=1e-4)
    # The longest is gone, and its columns with it.
    width = memory.width
    memory.select([0, 2])
    assert memory.width < width
    torch.testing.assert_close(
        reader.advance(memory, [41, 42])[1],
        read_alone(reader, prompts[1], [12, 22, 33, 42]),
        atol=1e-4,
        rtol=1e-4,
    )


# -- scores --------------------------------------------------------------------------------------------------------


def score_requests() -> list[ScoreRequest]:
    answers = ["", "ok", "a longer answer with the words", "你好。", "x" * 70, "ok"]
    return [
        ScoreRequest(f"s{n}", (Message("user", p),), a) for n, (p, a) in enumerate(zip(PROMPTS, answers, strict=True))
    ]


@torch.inference_mode()
def their_score(loaded: LoadedModel, source: Sequence[int], target: Sequence[int]) -> float:
    """By transformers' own loss, which is a mean."""
    if loaded.is_encoder_decoder:
        loss = loaded.model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).loss
    else:
        labels = torch.tensor([[*[-100] * len(source), *target]])
        loss = loaded.model(input_ids=torch.tensor([[*source, *target]]), labels=labels).loss
    return -float(loss) * len(target)


def test_scores_equal_those_of_transformers(loaded: LoadedModel) -> None:
    items = score_requests()
    engine = LocalEngine(loaded, max_batch=4)
    results = list(engine.score(items))
    for item, result in zip(items, results, strict=True):
        pair = renderer_for(loaded).pair([*item.messages, Message("assistant", item.continuation)])
        answer = loaded.tokenizer(item.continuation, add_special_tokens=False).input_ids
        assert pair.target_ids == [*answer, loaded.tokenizer.eos_token_id]
        expected = their_score(loaded, pair.source_ids, pair.target_ids)
        assert result.logprob == pytest.approx(expected, abs=1e-4, rel=1e-6)
        assert result.num_tokens == len(pair.target_ids)
        (single,) = engine.score([item])
        assert single.logprob == pytest.approx(expected, abs=1e-4, rel=1e-6)


def test_ids_are_scored_as_they_are(t5: LoadedModel) -> None:
    item = ScoreRequest("s", prompt_ids=(5, 6, 7), continuation_ids=(8, 9))
    (result,) = LocalEngine(t5).score([item])
    assert result.logprob == pytest.approx(their_score(t5, [5, 6, 7], [8, 9]), abs=1e-4)


def test_scoring_between_steps_disturbs_nothing(t5: LoadedModel) -> None:
    engine, request = LocalEngine(t5), ask("hello")
    expected = engine.submit(request).result()
    handle = engine.submit(request)
    next(iter(handle))
    list(engine.score(score_requests()))
    assert handle.result() == expected


# -- what does not work yet is said --------------------------------------------------------------------------------


def test_what_does_not_work_yet_is_refused(t5: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(EngineError, match="cannot take adapters per request: the model is a t5"):
        LocalEngine(t5, adapters={"other": tmp_path})
    with pytest.raises(EngineError, match="cannot run in int8"):
        LocalEngine(t5, precision="int8")
    with pytest.raises(ModelError, match="this engine was given none"):
        LocalEngine(t5).submit(replace(ask("a"), adapter="other"))
    with pytest.raises(ModelError, match="T5ForConditionalGeneration"):
        check_gguf(t5)


def test_one_text_of_prompt_and_answer_is_refused(t5: LoadedModel) -> None:
    with pytest.raises(ModelError, match="reads prompts and writes answers apart"):
        renderer_for(t5).render([Message("user", "Hi"), Message("assistant", "Yo")])


def test_a_model_that_does_not_say_how_answers_begin_is_refused(models: Callable[[str], LoadedModel]) -> None:
    model = models("t5 1.0").model
    assert isinstance(reader_for(model, 0), EncoderDecoder)
    saved = model.config.decoder_start_token_id, model.generation_config.decoder_start_token_id
    try:
        model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = None
        with pytest.raises(ModelError, match="add decoder_start_token_id"):
            reader_for(model, 0)
    finally:
        model.config.decoder_start_token_id, model.generation_config.decoder_start_token_id = saved


def test_a_decoder_deeper_than_its_encoder_answers_the_plain_way(tmp_path: Path) -> None:
    # transformers' own `generate` has too few layers in its cache here, so: one full forward pass a token.
    loaded = load(tiny_t5(tmp_path, seed=1, num_layers=1, num_decoder_layers=3))
    requests = [ask(text) for text in PROMPTS]
    for request, generation in zip(requests, generate(LocalEngine(loaded), requests), strict=True):
        source, ids = torch.tensor([renderer_for(loaded).prompt_ids(request.messages)]), [0]
        while len(ids) <= len(generation.token_ids):
            with torch.inference_mode():
                logits = loaded.model(input_ids=source, decoder_input_ids=torch.tensor([ids])).logits
            ids.append(int(logits[0, -1].argmax()))
        assert generation.token_ids == tuple(ids[1:])


def test_an_adapter_in_memory_serves(models: Callable[[str], LoadedModel], tmp_path: Path) -> None:
    tuned = add_lora(load(tiny_t5(tmp_path, seed=1)), rank=2, alpha=4, dropout=0.0, seed=0)
    request = ask("hello")
    (found,) = LocalEngine(replace(tuned, model=tuned.model.eval())).submit(request).result()
    assert found.token_ids == theirs(models("t5 1.0"), request), "fresh adapters change nothing"
