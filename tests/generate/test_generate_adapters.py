"""Adapters per request: mixed in one batch each answers as it does alone, under a bound on memory."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model

from heedful.errors import EngineError, ModelError
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.generate.local.paged import PagedRunner
from heedful.generate.local.rows import Row
from heedful.models import LoadedModel, add_lora, load, save_checkpoint
from heedful.models._libraries import without_future_warnings
from heedful.models.scratch import tiny_llama
from heedful.records import Message
from heedful.render import renderer_for

NAMES = ("polite", "brief", "rude")


def tuned(base: Path, folder: Path, *, seed: int, rank: int) -> Path:
    loaded = add_lora(load(base), rank=rank, alpha=16, dropout=0.0, seed=seed)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, value in loaded.model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.1)
    save_checkpoint(loaded, folder, template_hash=renderer_for(loaded).template_hash, extra={})
    return folder


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("adapters")
    return {name: tuned(tiny_model, place / name, seed=seed, rank=4 + 3 * seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load(tiny_model)


# Fewer than a block of keys and values, and more than one.
VIRTUAL = {
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "long prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=37),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=7),
    "long prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=40),
}


def wrapped(loaded: LoadedModel, config: PeftConfig) -> PeftModel:
    with without_future_warnings():
        return get_peft_model(loaded.model, config)


@pytest.fixture(scope="module")
def virtual(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Adapters that bring virtual tokens, as peft saves them."""
    folders = {name: tmp_path_factory.mktemp("virtual") / name for name in VIRTUAL}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        for name, config in VIRTUAL.items():
            wrapped(load(tiny_model), config).save_pretrained(folders[name])
    return folders


def greedy(model: Any, prompt: list[int], num_tokens: int, ends: tuple[int, ...]) -> tuple[int, ...]:
    """By peft's own code, everything computed anew for each token."""
    answer: list[int] = []
    with torch.inference_mode():
        while len(answer) < num_tokens and not (answer and answer[-1] in ends):
            answer.append(int(model(input_ids=torch.tensor([prompt + answer])).logits[0, -1].argmax()))
    return tuple(answer)


def ask(text: str, adapter: str | None, **sampling: Any) -> Request:
    return Request(text, (Message("user", text),), sampling=Sampling(**{"max_tokens": 16, **sampling}), adapter=adapter)


REQUESTS = [
    ask(text, adapter, max_tokens=6 + 5 * number)
    for number, text in enumerate(["hello " * 8, "hello " * 8, "用中文介绍一下北京。"])
    for adapter in (None, *NAMES)
]


def ids(answers: Any) -> list[tuple[int, ...]]:
    return [answer.token_ids for answer in answers]


def test_mixed_in_one_batch_each_answers_as_its_merged_model(loaded: LoadedModel, folders: dict[str, Path]) -> None:
    with LocalEngine(loaded, adapters=folders) as engine:
        found = ids(generate(engine, REQUESTS))
    for adapter in (None, *NAMES):
        alone = LocalEngine(load(folders[adapter])) if adapter else LocalEngine(loaded)
        places = [place for place, request in enumerate(REQUESTS) if request.adapter == adapter]
        plain = [ask(REQUESTS[p].id, None, max_tokens=REQUESTS[p].sampling.max_tokens) for p in places]
        assert [found[place] for place in places] == ids(generate(alone, plain))
    assert len(set(found[:4])) == 4, "equal prompts, different adapters: different answers"


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_memory_for_one_at_a_time_changes_nothing(
    loaded: LoadedModel, folders: dict[str, Path], precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalEngine(loaded, adapters=folders, precision=precision) as engine:
        expected = ids(generate(engine, REQUESTS))
        shelf = engine._runner._shelf  # type: ignore[attr-defined]
        largest, total = max(shelf._num_bytes.values()), sum(shelf._num_bytes.values())
        assert shelf.num_bytes == total
    held: list[int] = []
    step = PagedRunner.step

    def watched(self: PagedRunner, queue: deque[Row]) -> None:
        step(self, queue)
        held.append(self._shelf.num_bytes)

    monkeypatch.setattr(PagedRunner, "step", watched)
    with LocalEngine(loaded, adapters=folders, precision=precision, max_adapter_memory=largest) as engine:
        assert ids(generate(engine, REQUESTS)) == expected
        assert engine.num_tokens_kept == 0
    assert 0 < max(held) <= largest < total


def test_virtual_tokens_as_peft_reads_them(
    tiny_model: Path, loaded: LoadedModel, folders: dict[str, Path], virtual: dict[str, Path]
) -> None:
    names = (None, *VIRTUAL, "polite")
    requests = [replace(request, adapter=name) for request in REQUESTS[::4] for name in names]
    with LocalEngine(loaded, adapters={**folders, **virtual}, max_length=512) as engine:
        answers = list(generate(engine, requests))
        ends = engine._renderer.end_of_turn_ids
        prompts = [engine.check(request) for request in requests]
        again = list(generate(engine, requests))
        assert engine.num_tokens_kept == 0
        beams = engine.submit(ask("hello", "prefix", num_beams=3)).result()
        assert ids(beams) != ids(engine.submit(ask("hello", None, num_beams=3)).result())
    assert ids(answers) == ids(again), "the second time the beginnings are there already"
    for name in VIRTUAL:
        with without_future_warnings():
            model = PeftModel.from_pretrained(load(tiny_model).model, virtual[name]).eval()
        for request, prompt, answer in zip(requests, prompts, answers, strict=True):
            if request.adapter == name:
                assert answer.token_ids == greedy(model, prompt, request.sampling.max_tokens, ends)
                assert answer.usage.prompt_tokens == len(prompt), "virtual tokens cost nothing"
    firsts = ids(answers)[: len(names)]
    assert len(set(firsts)) == len(names), "equal prompts, different adapters: different answers"
    with LocalEngine(loaded, adapters=virtual, precision="int8", max_length=512) as engine:
        mixed = ids(generate(engine, [one for one in requests if one.adapter != "polite"]))
        assert mixed == [ids(engine.submit(one).result())[0] for one in requests if one.adapter != "polite"]


def test_virtual_tokens_leave_the_length_as_it_is(loaded: LoadedModel, virtual: dict[str, Path]) -> None:
    with LocalEngine(loaded, adapters=virtual, max_length=64) as engine:
        request = Request(
            "r", prompt_ids=(5,) * 40, adapter="long prefix", sampling=Sampling(max_tokens=100, min_tokens=24)
        )
        (answer,) = engine.submit(request).result()
        assert (len(answer.token_ids), answer.finish_reason) == (24, "length")


def test_an_adapter_of_another_model(tmp_path: Path, loaded: LoadedModel) -> None:
    tiny_llama(tmp_path / "wide", seed=1, hidden_size=128)
    for name, config in {name: VIRTUAL[name] for name in ("prefix", "prompt")}.items():
        fresh = type(config)(task_type="CAUSAL_LM", num_virtual_tokens=config.num_virtual_tokens)
        wrapped(load(tmp_path / "wide"), fresh).save_pretrained(tmp_path / name)
        with pytest.raises(ModelError, match="made for another model"):
            LocalEngine(loaded, adapters={name: tmp_path / name})


def test_cancelling_gives_an_adapter_back(loaded: LoadedModel, folders: dict[str, Path]) -> None:
    with LocalEngine(loaded, adapters=folders) as engine:
        expected = ids(engine.submit(ask("b", "brief")).result())
        size = max(engine._runner._shelf._num_bytes.values())  # type: ignore[attr-defined]
    with LocalEngine(loaded, adapters=folders, max_adapter_memory=size) as engine:
        first = engine.submit(ask("a", "polite", max_tokens=500))
        next(iter(first))
        second = engine.submit(ask("b", "brief"))
        first.cancel()
        assert ids(second.result()) == expected


def test_identity_follows_the_adapters(loaded: LoadedModel, folders: dict[str, Path]) -> None:
    plain = LocalEngine(loaded).identity
    one, other = (LocalEngine(loaded, adapters={"a": folders[name]}).identity for name in NAMES[:2])
    assert len({plain, one, other}) == 3
    assert LocalEngine(loaded, adapters={}).identity == plain


def test_what_cannot_be_chosen_is_told(
    loaded: LoadedModel, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(loaded, adapters=folders)
    with pytest.raises(ModelError, match="did you mean 'polite'"):
        engine.submit(ask("a", "polit"))
    with pytest.raises(ModelError, match="was given none"):
        LocalEngine(loaded).submit(ask("a", "polite"))
    with pytest.raises(EngineError, match="raise max_adapter_memory"):
        LocalEngine(loaded, adapters=folders, max_adapter_memory=100)
    with pytest.raises(ModelError, match="is no adapter"):
        LocalEngine(loaded, adapters={"x": tmp_path})
    wide = tiny_llama(tmp_path / "wide", seed=1, hidden_size=128)
    with pytest.raises(ModelError, match="trained on another base"):
        LocalEngine(load(wide), adapters=folders)
    for key, value, words in (
        ("peft_type", "IA3", "is an adapter of the kind IA3; these can be chosen"),
        ("use_dora", True, "use_dora"),
    ):
        changed = tmp_path / key
        changed.mkdir()
        for path in folders["polite"].iterdir():
            (changed / path.name).write_bytes(path.read_bytes())
        config = json.loads((changed / "adapter_config.json").read_text())
        (changed / "adapter_config.json").write_text(json.dumps({**config, key: value}))
        with pytest.raises(ModelError, match=words):
            LocalEngine(loaded, adapters={"x": changed})
    monkeypatch.setenv("HEEDFUL_KERNELS", "0")
    with pytest.raises(EngineError, match="cannot take adapters per request"):
        LocalEngine(loaded, adapters=folders)
