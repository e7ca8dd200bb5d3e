"""Sixty-four requests at once, as different as can be: each answers as it does alone, within the room for keys and values."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model

from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.generate.local.paged import PagedRunner
from heedful.models import LoadedModel, add_lora, load
from heedful.models._libraries import without_future_warnings
from heedful.records import Message

TEXTS = ["the cat ", "用中文介绍一下北京。", "List three things. ", "x"]


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load(tiny_model)


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    with torch.random.fork_rng(), without_future_warnings():
        torch.manual_seed(4)
        config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=11)
        get_peft_model(load(tiny_model).model, config).save_pretrained(folder / "prefix")
        tuned = add_lora(load(tiny_model), rank=6, alpha=16, dropout=0.0, seed=2).model
        for name, value in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.1)
        tuned.save_pretrained(folder / "lora")
    return {name: folder / name for name in ("prefix", "lora")}


def requests(chance: random.Random, names: list[str | None], **fixed: Any) -> Iterator[Request]:
    for number in range(64):
        beams = chance.choice([1, 1, 1, 1, 3])
        how = {
            "max_tokens": chance.randrange(1, 60),
            "temperature": 0.0 if beams > 1 else chance.choice([0.0, 0.8, 1.5]),
            "seed": chance.randrange(100),
            "stop": chance.choice([(), ("e",), ("th", "\ufffd")]),
            "num_beams": beams,
            "repetition_penalty": chance.choice([1.0, 1.3]),
        }
        text = chance.choice(TEXTS) * chance.randrange(1, 8)
        sampling = Sampling(**{**how, **fixed})
        yield Request(str(number), (Message("user", text),), sampling=sampling, adapter=chance.choice(names))


@pytest.mark.parametrize("seed", range(3))
def test_each_answers_as_alone(
    loaded: LoadedModel, adapters: dict[str, Path], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    asked = list(requests(chance, [None, *adapters]))
    kept: list[tuple[int, int]] = []
    step = PagedRunner.step

    def watched(self: PagedRunner, queue: deque[Any]) -> None:
        step(self, queue)
        pool = self._sequences.pool
        kept.append((pool.num_read + pool._num_promised, pool.num_blocks))

    monkeypatch.setattr(PagedRunner, "step", watched)
    # Room for a few of them at a time.
    with LocalEngine(loaded, adapters=adapters, max_length=256, max_memory=8 * 256 * 512) as engine:
        handles = [engine.submit(request) for request in asked]
        cancelled = set(chance.sample(range(64), 12))
        for number in cancelled:
            for _ in zip(range(chance.randrange(4)), handles[number], strict=False):
                pass
            handles[number].cancel()
        found = [handle.result() for handle in handles]
        assert engine.num_tokens_kept == 0
        assert engine.num_in_flight == 0
    assert all(num_used <= num_blocks for num_used, num_blocks in kept)
    with LocalEngine(loaded, adapters=adapters, max_length=256, share_beginnings=False) as alone:
        for number, (request, answers) in enumerate(zip(asked, found, strict=True)):
            expected = alone.submit(request).result()
            if number not in cancelled:
                assert answers == expected
            for answer, whole in zip(answers, expected, strict=True):
                assert whole.token_ids[: len(answer.token_ids)] == answer.token_ids


def test_through_transformers_only_near_ties_change_places(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There padding and the size of a batch move sums; where an answer differs, two tokens are almost equally likely."""
    monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    asked = list(requests(random.Random(5), [None], temperature=0.0, num_beams=1, repetition_penalty=1.0))
    with LocalEngine(loaded) as engine, LocalEngine(loaded, max_batch=1) as alone:
        for request, answer in zip(asked, generate(engine, asked), strict=True):
            (expected,) = alone.submit(request).result()
            pairs = zip(answer.token_ids, expected.token_ids, strict=False)
            place = next((place for place, (one, other) in enumerate(pairs) if one != other), None)
            if place is not None:
                ids = [*alone.check(request), *expected.token_ids[:place]]
                with torch.inference_mode():
                    first, second = loaded.model(torch.tensor([ids])).logits[0, -1].topk(2).values
                assert first - second < 1e-3
