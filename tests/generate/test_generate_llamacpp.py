"""llama.cpp behind the engine's protocol: our prompts, our choice of tokens, the local engine's answers.

Without llama-cpp-python only what is said in its absence is tested: `pip install 'heedful[llamacpp]'` brings it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import torch

from heedful.errors import EngineError, InputError, ModelError
from heedful.generate.engine import Request, Sampling, ScoreRequest, generate
from heedful.generate.llamacpp import LlamaCppEngine
from heedful.generate.llamacpp.context import CHUNK
from heedful.generate.local import LocalEngine
from heedful.models import PACKAGES, LoadedModel, load
from heedful.models.gguf_writer import GgufFacts, write_gguf
from heedful.pipeline.engines import described
from heedful.records import Generation, Message
from heedful.render import Renderer

PROMPTS = ["hello", "用中文介绍一下北京。", "the " * 40, "a", "List three colours, then stop.", "x" * 300]


def gguf_of(loaded: LoadedModel, path: Path) -> Path:
    """The model as an f32 GGUF file, as `heedful export` writes it."""
    renderer = Renderer(loaded.tokenizer)
    facts = GgufFacts("test", str(loaded.tokenizer.chat_template), end_of_turn=renderer.end_of_turn_ids[0])
    write_gguf(loaded, path, type="f32", facts=facts)
    return path


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load(tiny_model)


@pytest.fixture(scope="module")
def gguf(loaded: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf_of(loaded, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def engine(gguf: Path) -> Iterator[LlamaCppEngine]:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    with LlamaCppEngine(gguf) as made:
        yield made


@pytest.fixture(scope="module")
def local(loaded: LoadedModel) -> Iterator[LocalEngine]:
    with LocalEngine(loaded) as made:
        yield made


def ask(text: str, *, name: str = "", **sampling: object) -> Request:
    settings = {"max_tokens": 24, **sampling}
    return Request(name or text, (Message("user", text),), sampling=Sampling(**settings))  # type: ignore[arg-type]


def alone(engine: LlamaCppEngine | LocalEngine, request: Request) -> tuple[Generation, ...]:
    return engine.submit(request).result()


# -- without it ------------------------------------------------------------------------------------------------------------


def test_its_absence_names_the_command_that_brings_it(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(ModelError, match=r"pip install 'heedful\[llamacpp\]'"):
        LlamaCppEngine(gguf)


def test_only_gguf_files_are_read(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="reads GGUF files only"):
        LlamaCppEngine(tiny_model)
    with pytest.raises(ModelError, match="no model"):
        LlamaCppEngine(tmp_path / "absent.gguf")


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(ModelError, match=r"broken\.gguf"):
        LlamaCppEngine(tmp_path / "broken.gguf")


# -- the same answers ------------------------------------------------------------------------------------------------------


def test_greedy_answers_are_those_of_the_local_engine(engine: LlamaCppEngine, local: LocalEngine) -> None:
    requests = [ask(text, max_tokens=10 + 7 * number) for number, text in enumerate(PROMPTS)]
    found = list(generate(engine, requests))
    assert found == list(generate(local, requests)), "texts, ids, reasons, usage"
    assert any(generation.usage.prompt_tokens > 2 * CHUNK for generation in found), "one prompt takes several passes"


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0.9, "top_p": 0.95},
        {"temperature": 1.3, "top_k": 20, "min_p": 0.02},
        {"temperature": 0.8, "repetition_penalty": 1.3, "presence_penalty": 0.4, "frequency_penalty": 0.2},
        {"repetition_penalty": 1.5, "min_tokens": 6},
        {"logit_bias": ((5, 8.0), (9, -100.0))},
    ],
)
def test_seeds_penalties_and_biases_are_those_of_the_local_engine(
    engine: LlamaCppEngine, local: LocalEngine, sampling: dict[str, object]
) -> None:
    requests = [ask(text, seed=number, n=2, **sampling) for number, text in enumerate(PROMPTS[:4])]
    assert list(generate(engine, requests)) == list(generate(local, requests))


def test_logprobs_are_those_of_the_local_engine(engine: LlamaCppEngine, local: LocalEngine) -> None:
    request = replace(ask("hello", max_tokens=8, temperature=0.7), logprobs=True, top_logprobs=3)
    (found,), (expected,) = alone(engine, request), alone(local, request)
    assert found.token_ids == expected.token_ids
    assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    assert found.top_logprobs is not None
    assert expected.top_logprobs is not None
    for ours, theirs in zip(found.top_logprobs, expected.top_logprobs, strict=True):
        assert [token for token, _ in ours] == [token for token, _ in theirs]
        assert [value for _, value in ours] == pytest.approx([value for _, value in theirs], abs=1e-4)


def test_scores_are_those_of_the_local_engine(engine: LlamaCppEngine, local: LocalEngine) -> None:
    items = [
        ScoreRequest(f"{text} {answer}", (Message("user", text),), answer)
        for text in PROMPTS
        for answer in ("ok 好", "", "a longer answer " * 12)
    ]
    found, expected = list(engine.score(items)), list(local.score(items))
    assert [(score.id, score.num_tokens, score.num_bytes) for score in found] == [
        (score.id, score.num_tokens, score.num_bytes) for score in expected
    ]
    assert [score.logprob for score in found] == pytest.approx(
        [score.logprob for score in expected], rel=1e-5, abs=1e-4
    )


class OnlyEven:
    """Tokens of even number, and never the one that was chosen last."""

    def __init__(self, num_tokens: int) -> None:
        self._even = torch.arange(num_tokens) % 2 == 0

    def start(self) -> int:
        return 0

    def allowed(self, state: int) -> torch.Tensor:
        allowed = self._even.clone()
        allowed[state] = False
        return allowed

    def advance(self, state: int, token: int) -> int:
        return token


def test_constraints_are_kept_as_in_the_local_engine(
    engine: LlamaCppEngine, local: LocalEngine, loaded: LoadedModel
) -> None:
    constraint = OnlyEven(loaded.model.config.vocab_size)
    for request in (ask("hello"), ask("hello", temperature=1.0)):
        (found,) = engine.submit(request, constraint=constraint).result()
        assert all(token % 2 == 0 for token in found.token_ids)
        assert found == local.submit(request, constraint=constraint).result()[0]


def test_a_stop_string_ends_the_text_before_it(engine: LlamaCppEngine) -> None:
    whole = alone(engine, ask("hello", max_tokens=40))[0]
    place = len(whole.text) // 2
    stop = whole.text[place : place + 3]
    cut = alone(engine, ask("hello", max_tokens=40, stop=(stop, "never")))[0]
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"


def test_prompt_ids_are_read_as_they_are(engine: LlamaCppEngine, loaded: LoadedModel) -> None:
    ids = tuple(Renderer(loaded.tokenizer).prompt_ids((Message("user", "hello"),)))
    by_ids = Request("ids", prompt_ids=ids, sampling=Sampling(max_tokens=12))
    assert alone(engine, by_ids)[0].token_ids == alone(engine, ask("hello", max_tokens=12))[0].token_ids
    with pytest.raises(InputError, match="token 99999 is not one of"):
        engine.submit(replace(by_ids, prompt_ids=(*ids, 99999)))


# -- an answer does not depend on what was asked before --------------------------------------------------------------------


def test_what_is_kept_of_earlier_prompts_changes_nothing(gguf: Path, engine: LlamaCppEngine) -> None:
    start = "A passage that everyone asks about. " * 20
    turns = [Message("user", start), Message("assistant", "Yes."), Message("user", "And then?")]
    requests = [
        ask(start + "First?"),
        ask(start + "Second?"),
        replace(ask("talk", name="talk"), messages=tuple(turns)),
        ask("something else"),
        ask(start + "First?", name="again"),
    ]
    requests = [replace(request, logprobs=True) for request in requests]
    one_after_the_other = [alone(engine, request)[0] for request in requests]
    for request, found in zip(requests, one_after_the_other, strict=True):
        with LlamaCppEngine(gguf) as fresh:
            assert alone(fresh, request)[0] == found, "to the last bit"


def test_the_beginning_of_a_prompt_is_read_once(engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    num_read: list[int] = []
    read = engine._context.read
    monkeypatch.setattr(
        engine._context, "read", lambda ids, **options: (num_read.append(len(ids)), read(ids, **options))[1]
    )
    text = "x" * 3 * CHUNK
    first = alone(engine, ask(text, max_tokens=1))[0]
    assert sum(num_read) == first.usage.prompt_tokens > 3 * CHUNK
    num_read.clear()
    alone(engine, ask(text, max_tokens=1, n=2))
    assert sum(num_read) == 2 * (first.usage.prompt_tokens % CHUNK)


# -- streams, turns, endings -----------------------------------------------------------------------------------------------


def test_streamed_pieces_join_to_the_text(engine: LlamaCppEngine) -> None:
    handle = engine.submit(ask("hello", temperature=1.0, n=2, max_tokens=40))
    texts, last = ["", ""], {}
    for event in handle:
        assert event.index not in last
        texts[event.index] += event.text
        if event.generation is not None:
            last[event.index] = event.generation
    assert (last[0], last[1]) == handle.result()
    assert texts == [generation.text for generation in handle.result()]


def test_cancelling_makes_room_for_the_next(engine: LlamaCppEngine) -> None:
    expected = alone(engine, ask("b"))[0]
    first, waiting, second = (engine.submit(ask(text, max_tokens=24)) for text in ("a", "c", "b"))
    events = iter(first)
    shown = next(events).text
    assert engine.num_in_flight == 3
    first.cancel()
    waiting.cancel()
    assert engine.num_in_flight == 1
    assert shown + "".join(event.text for event in events) == first.result()[0].text
    assert first.result()[0].finish_reason == waiting.result()[0].finish_reason == "cancelled"
    assert waiting.result()[0].token_ids == ()
    assert second.result()[0] == expected
    assert engine.num_in_flight == 0


def test_it_scores_answers_to_messages_only(engine: LlamaCppEngine) -> None:
    with pytest.raises(InputError, match=r"llama\.cpp cannot score prompt_ids"):
        list(engine.score([ScoreRequest("s", prompt_ids=(1, 2), continuation_ids=(3,))]))


def test_several_threads_wait_and_score_at_once(engine: LlamaCppEngine) -> None:
    requests = [ask(text, name=f"{text}{number}") for number in range(2) for text in PROMPTS]
    items = [ScoreRequest(text, (Message("user", text),), "fine") for text in PROMPTS]
    expected = {request.id: alone(engine, request)[0] for request in requests}
    scores = list(engine.score(items))
    handles = {request.id: engine.submit(request) for request in requests}
    found: dict[str, Generation] = {}
    scored: list[object] = []

    def wait(name: str, stream: bool) -> None:
        if stream:
            *_, last = handles[name]
            assert last.generation is not None
            found[name] = last.generation
        else:
            (found[name],) = handles[name].result()

    threads = [Thread(target=wait, args=(name, number % 2 == 0)) for number, name in enumerate(handles)]
    threads.append(Thread(target=lambda: scored.extend(engine.score(items))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert found == expected
    assert scored == scores


def test_closing_ends_what_is_under_way(gguf: Path) -> None:
    pytest.importorskip("llama_cpp")
    with LlamaCppEngine(gguf) as engine:
        handle, waiting = engine.submit(ask("hello")), engine.submit(ask("other"))
        next(iter(handle))
    assert handle.result()[0].finish_reason == waiting.result()[0].finish_reason == "cancelled"
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.submit(ask("hello"))
    with pytest.raises(EngineError, match="closed"):
        list(engine.score([ScoreRequest("s", (Message("user", "a"),), "b")]))


def test_a_failing_pass_is_told_and_the_engine_lives_on(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = alone(engine, ask("b"))[0]
    handle, other = engine.submit(ask("a")), engine.submit(ask("b"))
    next(iter(handle))
    with monkeypatch.context() as patch:
        patch.setattr(engine._context._lib, "llama_decode", lambda *_: -3)
        with pytest.raises(EngineError, match="code -3"):
            handle.result()
    assert handle.result()[0].finish_reason == "error"
    assert other.result()[0] == expected


# -- what it refuses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ask("a", num_beams=2), "llama.cpp cannot honour num_beams"),
        (replace(ask("a"), adapter="mine"), "llama.cpp cannot honour adapter"),
        (ask("a", top_p=0), "top_p is 0"),
        (Request("r"), "either messages or prompt_ids"),
    ],
)
def test_what_it_cannot_do_is_refused_at_once(engine: LlamaCppEngine, request_: Request, words: str) -> None:
    for refuse in (engine.check, engine.submit):
        with pytest.raises(InputError, match=words):
            refuse(request_)
    assert engine.num_in_flight == 0


def test_prompts_that_are_too_long_are_refused_at_once(gguf: Path) -> None:
    pytest.importorskip("llama_cpp")
    with LlamaCppEngine(gguf, max_length=60) as engine:
        with pytest.raises(InputError, match="limit for prompt and answer is 60"):
            engine.submit(ask("x" * 60))
        short = alone(engine, ask("x" * 30, max_tokens=100))[0]
        assert short.usage.prompt_tokens + short.usage.completion_tokens == 60
        with pytest.raises(InputError, match="more than the limit of 60"):
            list(engine.score([ScoreRequest("s", (Message("user", "a"),), "x" * 60)]))


def test_it_says_what_it_is(engine: LlamaCppEngine, gguf: Path, loaded: LoadedModel, tmp_path: Path) -> None:
    assert re.fullmatch(r"llama\.cpp \(all F32, \d+ threads?\)", described(engine))
    with LlamaCppEngine(gguf) as again, LlamaCppEngine(gguf, max_length=100) as shorter:
        assert again.identity == engine.identity != shorter.identity
    assert engine.preferred_batch == 1
    # The conversion, where there is one, holds the same tokenizer as the file.
    before = engine.identity
    load(gguf)
    with LlamaCppEngine(gguf) as converted:
        assert converted.identity == before


def test_nothing_is_written_to_the_terminal(gguf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llama_cpp")
    with LlamaCppEngine(gguf) as engine:
        alone(engine, ask("hello"))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


# -- the real model --------------------------------------------------------------------------------------------------------


QUESTIONS = [
    "List three uses of a paper clip.",
    "What is the capital of France? Answer in one word.",
    "Translate into Chinese: The meeting starts at 9:30.",
    "Write a Python function that adds two numbers.",
    "Explain in one sentence why the sky is blue.",
    "Name a fruit for each of these colours: red, yellow, green.",
    "Rewrite politely: Send me the report now!",
    "How many days are there in 3 weeks?",
    "What does `json.dumps` do?",
    "Is a whale a fish?",
    "Write a short poem about tea.",
    "Who wrote Hamlet?",
    "列出回形针的三种用途。",
    "法国的首都是哪里？只用一个词回答。",
    "把下面的句子翻译成英文：明天上午九点半开会。",
    "请用一句话解释为什么天空是蓝色的。",
    "写一首关于茶的短诗，不超过四行。",
    "三个星期有多少天？",
    "请礼貌地改写：马上把报告发给我！",
    "推荐一种不含咖啡因的饮料。",
]


@pytest.mark.model
@pytest.mark.slow
def test_the_exported_real_model_answers_as_the_local_engine(smollm2: LoadedModel, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    path = gguf_of(smollm2, tmp_path / "smollm2-f32.gguf")
    requests = [replace(ask(text, max_tokens=32), logprobs=True, top_logprobs=2) for text in QUESTIONS]
    with LlamaCppEngine(path) as engine:
        found = list(generate(engine, requests))
    with LocalEngine(smollm2) as local:
        expected = list(generate(local, requests))
    for question, ours, theirs in zip(QUESTIONS, found, expected, strict=True):
        if ours.token_ids != theirs.token_ids:
            # Where two tokens are as good as equal, rounding decides: nothing else may.
            pairs = zip(ours.token_ids, theirs.token_ids, strict=False)
            place = next(place for place, (a, b) in enumerate(pairs) if a != b)
            assert theirs.top_logprobs is not None
            (_, best), (_, second) = theirs.top_logprobs[place]
            assert best - second < 1e-3, f"{question}: token {place}"
    num_equal = sum(ours.text == theirs.text for ours, theirs in zip(found, expected, strict=True))
    print(f"{num_equal} of {len(QUESTIONS)} answers are equal")
    assert num_equal >= len(QUESTIONS) - 1


@pytest.mark.model
@pytest.mark.slow
def test_the_packaged_model_is_read_as_it_is(smollm2: LoadedModel) -> None:
    pytest.importorskip("llama_cpp")
    texts = [
        "Paris is the capital of France.",
        "The sky is blue because air scatters blue light more than red.",
        "茶是一种饮料。",
    ]
    items = [ScoreRequest(text, (Message("user", "Tell me something."),), text) for text in texts]
    with LlamaCppEngine(next(iter(PACKAGES))) as engine, LocalEngine(smollm2) as local:
        assert "Q4_1" in described(engine)
        for found, expected in zip(engine.score(items), local.score(items), strict=True):
            # The same weights; llama.cpp rounds what it multiplies them with to 8 bits.
            assert found.num_tokens == expected.num_tokens
            assert found.logprob == pytest.approx(expected.logprob, rel=0.05)
        assert alone(engine, ask("Name a fruit.", max_tokens=12))[0].text.isprintable()
