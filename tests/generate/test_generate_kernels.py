"""Our kernels: transformers' numbers, whatever shares the step, however the prompt was cut, on one thread or two."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

from heedful.errors import EngineError, InputError
from heedful.generate.engine import Request, Sampling, ScoreRequest, generate
from heedful.generate.local import LocalEngine
from heedful.generate.local.kernels.model import KernelModel, log_sums
from heedful.generate.local.kernels.team import Team
from heedful.generate.local.kernels.weights import pack
from heedful.generate.local.opening import why_not_kernels
from heedful.models import LoadedModel, load
from heedful.records import Message
from heedful.render import renderer_for

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "vocab_size": 276,
    "initializer_range": 0.2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS = {
    "two heads share": LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2),
    "eight heads share": LlamaConfig(**SMALL, num_attention_heads=8, num_key_value_heads=1, head_dim=16),
    "five heads, odd sizes": LlamaConfig(
        **SMALL | {"hidden_size": 80, "intermediate_size": 100, "vocab_size": 277}, num_attention_heads=5, num_key_value_heads=5
    ),
    "other positions": LlamaConfig(**SMALL, num_attention_heads=2, num_key_value_heads=2, rope_parameters=LLAMA3),
    "biases": Qwen2Config(**SMALL, num_attention_heads=2, num_key_value_heads=1),
    "no window": MistralConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2, sliding_window=None),
}  # fmt: skip


def made(config: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config).eval()
        for name, value in model.named_parameters():
            if name.endswith("bias"):  # Zero in a new model, which would prove nothing.
                torch.nn.init.normal_(value.data)
    return model.requires_grad_(False)


class Reader:
    """A KernelModel with one block table for each sequence."""

    def __init__(self, model: Any, precision: Any = "float32", threads: int = 1) -> None:
        cosines, sines = model.model.rotary_emb(torch.zeros(1, 1), torch.arange(512)[None])
        half = cosines.shape[-1] // 2
        rotary = (cosines[0, :, :half], sines[0, :, :half])
        self._kernels = KernelModel(pack(model, precision), rotary, num_blocks=128, max_rows=256, threads=threads)
        blocks = list(range(128))
        random.Random(0).shuffle(blocks)
        self._tables = [np.array(blocks[number * 16 : number * 16 + 16], np.int64) for number in range(8)]

    def read(self, *parts: tuple[int, int, Sequence[int]]) -> torch.Tensor:
        """Parts are (sequence, first position, ids); logits after every id."""
        ids = [one for _, _, part in parts for one in part]
        positions = [start + number for _, start, part in parts for number in range(len(part))]
        tables = [self._tables[sequence].ctypes.data for sequence, _, part in parts for _ in part]
        return self._kernels.read(ids, np.array(positions), np.array(tables), range(len(ids)))


@pytest.fixture(scope="module")
def model() -> Any:
    return made(CONFIGS["two heads share"])


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_equal_transformers(name: str) -> None:
    model = made(CONFIGS[name])
    assert why_not_kernels(model) == ""
    ids = torch.randint(276, (150,), generator=torch.Generator().manual_seed(2)).tolist()
    found = Reader(model).read((0, 0, ids))
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([ids])).logits[0]
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-5)
    assert float(expected.std()) > 0.5, "else equal by being nothing"


@pytest.mark.parametrize(("precision", "most"), [("bfloat16", 0.02), ("int8", 0.05)])
def test_rounded_weights_stay_close(model: Any, precision: str, most: float) -> None:
    ids = torch.randint(276, (100,), generator=torch.Generator().manual_seed(3)).tolist()
    found, plain = Reader(model, precision).read((0, 0, ids)), Reader(model).read((0, 0, ids))
    relative = float((found - plain).norm() / plain.norm())
    assert 0 < relative < most


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_neighbours_cuts_and_threads_change_no_bit(model: Any, precision: str) -> None:
    # The promise behind "an answer does not depend on its batch": bits, not tolerances.
    randomness = random.Random(4)
    texts = [[randomness.randrange(276) for _ in range(length)] for length in (1, 17, 40, 64, 100)]
    alone = [Reader(model, precision).read((0, 0, ids)) for ids in texts]
    together = Reader(model, precision, threads=2)
    found = together.read(*[(number, 0, ids) for number, ids in enumerate(texts)])
    assert torch.equal(found, torch.cat(alone))
    pieces = Reader(model, precision)
    for number, ids in enumerate(texts):
        cuts = sorted({0, len(ids), *(randomness.randrange(len(ids)) for _ in range(3))})
        parts = [pieces.read((number, start, ids[start:end])) for start, end in itertools.pairwise(cuts)]
        assert torch.equal(torch.cat(parts), alone[number])


def test_a_step_may_read_what_it_writes(model: Any) -> None:
    # The second sequence goes on in the first one's block, in the very step that fills it.
    ids = list(range(16))
    reader = Reader(model)
    expected = reader.read((0, 0, [*ids, 7]))[-1]
    reader._tables[2][0] = reader._tables[1][0]
    found = reader.read((1, 0, ids), (2, 16, [7]))[-1]
    assert torch.equal(found, expected)


def test_what_the_kernels_cannot_do_is_said() -> None:
    sliding = made(MistralConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2, sliding_window=16))
    assert "slides" in why_not_kernels(sliding)
    narrow = made(LlamaConfig(**SMALL, num_attention_heads=8, num_key_value_heads=8))
    assert "8 numbers" in why_not_kernels(narrow)
    biased = made(LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=4, attention_bias=True))
    assert "biases" in why_not_kernels(biased)
    gelu = made(LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=4, hidden_act="gelu"))
    assert "gelu" in why_not_kernels(gelu)


# -- packed weights --------------------------------------------------------------------------------------------------


def test_packed_weights_are_kept_and_made_again_when_damaged(model: Any, tmp_path: Path) -> None:
    cache = tmp_path / "packed" / "weights.safetensors"
    first = pack(model, "int8", cache)
    written = cache.read_bytes()
    again = pack(model, "int8", cache)
    assert set(first.tensors) == set(again.tensors)
    assert all(torch.equal(value, again.tensors[name]) for name, value in first.tensors.items())
    cache.write_bytes(written[: len(written) // 2])
    assert torch.equal(pack(model, "int8", cache).tensors["head"], first.tensors["head"])
    assert cache.read_bytes() == written


def test_other_weights_under_the_same_name_are_not_taken(tiny_model: Path) -> None:
    loaded = load(tiny_model)
    before = LocalEngine(loaded, precision="int8").submit(ask("hello")).result()[0]
    loaded.model.model.embed_tokens.weight.data.mul_(-1)
    assert LocalEngine(replace(loaded, identity="other"), precision="int8").submit(ask("hello")).result()[0] != before


def test_a_precision_that_cannot_be_had_is_an_error(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    with pytest.raises(EngineError, match="cannot run in int8: HEEDFUL_KERNELS=0"):
        LocalEngine(load(tiny_model), precision="int8")


# -- threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 15, 16, 17, 277, 4096])
def test_log_sums_are_those_of_64_bits(size: int) -> None:
    draw = torch.Generator().manual_seed(size)
    # Rows lie further apart than they are long.
    apart = torch.randn(5, 4160, generator=draw) * 9
    logits = apart[:, :size]
    logits[1] = -3e4
    logits[2, 0] = 200.0
    expected = logits.double().logsumexp(dim=1).numpy()
    np.testing.assert_allclose(log_sums(logits), expected, rtol=1e-6, atol=1e-5)


def test_a_team_waits_for_all_and_tells_of_errors() -> None:
    team = Team(3)
    seen: list[int] = []
    team.run(seen.append)
    assert sorted(seen) == [0, 1, 2]

    def fail(number: int) -> None:
        if number == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        team.run(fail)
    team.run(seen.append)
    assert len(seen) == 6
    team.close()


# -- the whole engine ------------------------------------------------------------------------------------------------


def ask(text: str, **sampling: Any) -> Request:
    return Request(text, (Message("user", text),), sampling=Sampling(**{"max_tokens": 20, **sampling}))


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load(tiny_model)


@pytest.fixture
def engine(loaded: LoadedModel) -> Iterator[LocalEngine]:
    with LocalEngine(loaded, max_length=600) as engine:
        yield engine
        assert engine.num_tokens_kept == 0, "memory returns to its start"


REQUESTS = st.lists(
    st.builds(
        lambda text, repeats, sampling, cancel: (ask(text * repeats, **sampling), cancel),
        st.sampled_from(["the cat ", "你好", "List three things. ", "x"]),
        st.integers(1, 40),
        st.fixed_dictionaries(
            {
                "max_tokens": st.integers(1, 40),
                "temperature": st.sampled_from([0.0, 0.8, 1.5]),
                "top_p": st.sampled_from([1.0, 0.9]),
                "min_p": st.sampled_from([0.0, 0.05]),
                "seed": st.integers(0, 5),
                "n": st.integers(1, 3),
                "stop": st.sampled_from([(), ("e",), ("th", "\ufffd")]),
                "repetition_penalty": st.sampled_from([1.0, 1.3]),
                "frequency_penalty": st.sampled_from([0.0, 0.7]),
            }
        ),
        st.sampled_from([None, None, None, 1, 5]),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=20, deadline=None)
@given(requests=REQUESTS, max_batch=st.integers(1, 9))
def test_whatever_runs_beside_it_an_answer_is_the_one_it_has_alone(
    loaded: LoadedModel, requests: list[tuple[Request, int | None]], max_batch: int
) -> None:
    # Room for two of the longest: most wait for memory, and beginnings are evicted all the time.
    with LocalEngine(loaded, max_batch=max_batch, max_length=200, max_memory=1) as engine:
        handles = []
        for request, cancel in requests:
            try:
                handles.append((request, engine.submit(request), cancel))
            except InputError as error:
                assert "limit for prompt and answer" in str(error)  # noqa: PT017
        for _, handle, cancel in handles:
            if cancel is not None:
                for _, _event in zip(range(cancel), handle, strict=False):
                    pass
                handle.cancel()
        found = [handle.result() for _, handle, _ in handles]
        assert engine.num_tokens_kept == 0
        assert engine.num_in_flight == 0
    with LocalEngine(loaded, max_batch=1, max_length=200, share_beginnings=False) as alone:
        for (request, _, cancel), answers in zip(handles, found, strict=True):
            expected = alone.submit(request).result()
            if cancel is None:
                assert answers == expected
            for answer, whole in zip(answers, expected, strict=True):
                assert whole.token_ids[: len(answer.token_ids)] == answer.token_ids


def test_a_beginning_is_read_once(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    passage = "the passage that all questions share, " * 8
    requests = [ask(passage + question, max_tokens=3, n=2) for question in ("who?", "where?", "why?", "how?")]
    num_read: list[int] = []
    read = KernelModel.read

    def counted(self: KernelModel, ids: Sequence[int], *arguments: Any) -> torch.Tensor:
        num_read.append(len(ids))
        return read(self, ids, *arguments)

    monkeypatch.setattr(KernelModel, "read", counted)
    with LocalEngine(loaded, share_beginnings=False) as engine:
        expected = list(generate(engine, requests))
        num_without = sum(num_read)
        num_read.clear()
    with LocalEngine(loaded) as engine:
        assert list(generate(engine, requests)) == expected
        num_with = sum(num_read)
        num_read.clear()
        assert list(generate(engine, requests)) == expected
        assert sum(num_read) < num_with, "what rested is found again"
    # Eight answers to prompts of about 300 tokens, of which all but the last words are the same.
    assert num_with < num_without / 4


def test_long_prompts_are_read_in_pieces_beside_others(loaded: LoadedModel, engine: LocalEngine) -> None:
    short, long = ask("hello", max_tokens=40), ask("word " * 100, max_tokens=5)
    expected = [engine.submit(short).result(), engine.submit(long).result()]
    assert expected[1][0].usage.prompt_tokens > 256, "more than one step reads"
    first = engine.submit(short)
    next(iter(first))
    assert [first.result(), engine.submit(long).result()] == expected


def test_scores_equal_transformers_and_share(loaded: LoadedModel, engine: LocalEngine) -> None:
    prompt = (Message("user", "Which of these is a fruit? " * 6),)
    items = [ScoreRequest(word, prompt, word) for word in ("a pear", "a stone", "the sea, which is wide", "a pear")]
    renderer = renderer_for(loaded)
    results = list(engine.score(items))
    for item, result in zip(items, results, strict=True):
        rendered = renderer.render([*item.messages, Message("assistant", item.continuation)])
        start = len(renderer.prompt_ids(item.messages))
        with torch.inference_mode():
            logits = loaded.model(input_ids=torch.tensor([rendered.input_ids])).logits[0]
        logprobs = torch.log_softmax(logits, dim=-1)
        end = start + result.num_tokens
        expected = sum(float(logprobs[place - 1, rendered.input_ids[place]]) for place in range(start, end))
        assert result.logprob == pytest.approx(expected, abs=1e-4)
    assert results[0].logprob == results[3].logprob
    assert list(engine.score(items)) == results


CONTEXTS = st.lists(
    st.tuples(
        st.integers(1, 70), st.lists(st.lists(st.integers(3, 200), min_size=1, max_size=40), min_size=1, max_size=9)
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=15, deadline=None)
@given(contexts=CONTEXTS, data=st.data())
def test_continuations_of_one_context_score_as_each_by_itself(
    loaded: LoadedModel, contexts: list[tuple[int, list[list[int]]]], data: st.DataObject
) -> None:
    # Contexts begin alike, so that blocks are shared between them, too; their continuations come in any order.
    pairs = [(tuple(range(5, 5 + length)), tuple(ids)) for length, group in contexts for ids in group]
    pairs = data.draw(st.permutations(pairs))
    items = [
        ScoreRequest(str(number), prompt_ids=context, continuation_ids=ids)
        for number, (context, ids) in enumerate(pairs)
    ]
    with LocalEngine(loaded, max_length=112, max_memory=1) as engine:
        found = list(engine.score(items))
        assert engine.num_tokens_kept == 0
    with LocalEngine(loaded, max_length=112, share_beginnings=False) as alone:
        assert [next(alone.score([item])) for item in items] == found


def test_scores_beside_answers_under_way(loaded: LoadedModel) -> None:
    items = [ScoreRequest("s", (Message("user", "x" * 100),), "y" * 60)]
    # Memory for two of the longest: one answer holds half of it.
    with LocalEngine(loaded, max_length=200, max_memory=1) as engine:
        expected = list(engine.score(items))
        handles = [engine.submit(ask("z" * 100, max_tokens=90)) for _ in range(3)]
        next(iter(handles[0]))
        assert list(engine.score(items)) == expected
        assert len({handle.result()[0].text for handle in handles}) == 1
