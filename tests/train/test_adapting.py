"""What is trained: each choice is peft's or transformers' own computation, learns, is saved, served, and continued."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from heedful.errors import ModelError, SettingsError
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, load
from heedful.models._libraries import without_future_warnings
from heedful.models.four_bit import in_four_bit
from heedful.models.merging import merged
from heedful.models.scratch import tiny_gpt2, tiny_t5
from heedful.models.virtual import add_prefix, add_prompt, num_virtual, virtual_kind
from heedful.records import Example
from heedful.render import renderer_for
from heedful.train import TuneSettings, tune
from heedful.train.adapting import adapt, first_ids
from heedful.train.computing.attention import reads_packed
from heedful.train.computing.fused_lora import fused_lora
from heedful.train.computing.ways import computed_fast
from heedful.train.objectives.instruction import loss, packed_loss, rows
from heedful.train.rows.batches import TokenRow, pad
from heedful.train.rows.packing import Span, behind, pack
from tiny_runs import assert_close, changed, gradients, with_lora

FIRST = [5, 9, 40, 41, 42, 43, 7]
Make = Callable[[Path], LoadedModel]


def whole(loaded: LoadedModel) -> LoadedModel:
    loaded.model.requires_grad_(True)
    return loaded


KINDS: dict[str, Callable[[LoadedModel], LoadedModel]] = {
    "full": whole,
    "lora": with_lora,
    "prefix": lambda loaded: add_prefix(loaded, FIRST),
    "prompt": lambda loaded: add_prompt(loaded, FIRST),
}


@pytest.fixture(params=KINDS)
def adapted(request: pytest.FixtureRequest, tiny_model: Path) -> LoadedModel:
    return KINDS[request.param](load(tiny_model))


def reference(model: Any, some: list[TokenRow]) -> torch.Tensor:
    """The library's own: forward of transformers, or of peft around it, with labels and an attention mask."""
    batch = pad(some)
    labels = batch.input_ids.masked_fill(~batch.loss_mask, -100)
    lengths = torch.tensor([row.num_tokens for row in some])
    mask = (torch.arange(batch.input_ids.shape[1]) < lengths[:, None]).long()
    value: torch.Tensor = model(input_ids=batch.input_ids, attention_mask=mask, labels=labels).loss
    return value


# -- the same as the libraries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_packed", [False, True], ids=["padded", "packed"])
def test_loss_and_gradients_are_those_of_the_libraries(
    adapted: LoadedModel, conversation: Any, is_packed: bool
) -> None:
    model = adapted.model
    questions = ("what is one?", "what is one and a half?", "the same question twice", "the same question twice", "no")
    examples = [conversation(question, f"it is {n}" + "!" * n) for n, question in enumerate(questions)]
    some = rows(examples, renderer_for(adapted), max_length=200)
    theirs = reference(model, some)
    expected = gradients(model, theirs)
    assert expected, "something is trained"
    if is_packed:
        with reads_packed(model), fused_lora(model):
            # Rows that begin alike share that beginning, behind the virtual tokens that all share.
            batch = pack(some)
            assert batch.num_read < batch.num_tokens
            ours = packed_loss(model, batch)[0] / batch.weight
            found = gradients(model, ours)
    else:
        with fused_lora(model):
            padded_batch = pad(some)
            ours = loss(model, padded_batch)[0] / padded_batch.weight
            found = gradients(model, ours)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
    assert_close(found, expected)


def test_long_rows_behind_virtual_tokens(tiny_model: Path) -> None:
    # Beyond what keeps its scores torch's own attention is used.
    ids = tuple(3 + n % 200 for n in range(900))
    row = TokenRow("a", "test", ids, (False, *[True] * 899))
    for kind in ("prefix", "prompt"):
        model = KINDS[kind](load(tiny_model)).model
        expected = gradients(model, reference(model, [row]))
        with reads_packed(model):
            batch = pack([row])
            found = gradients(model, packed_loss(model, batch)[0] / batch.weight)
        assert_close(found, expected)


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
def test_models_that_are_padded_take_virtual_tokens_too(kind: str, tmp_path: Path, small_data: list[Example]) -> None:
    # A GPT-2 counts positions by a table, from the first virtual token on.
    adapted = KINDS[kind](load(tiny_gpt2(tmp_path, seed=3)))
    some = rows(small_data, renderer_for(adapted), max_length=200)
    batch = pad(some)
    expected = gradients(adapted.model, theirs := reference(adapted.model, some))
    found = gradients(adapted.model, ours := loss(adapted.model, batch)[0] / batch.weight)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
    assert_close(found, expected)


def test_half_precision_stays_near(tiny_model: Path, small_data: list[Example]) -> None:
    for kind in ("prefix", "prompt"):
        adapted = KINDS[kind](load(tiny_model))
        some = rows(small_data, renderer_for(adapted), max_length=200)
        batch = pack(some)
        with reads_packed(adapted.model), torch.no_grad():
            exact = float(packed_loss(adapted.model, batch)[0])
        with computed_fast(adapted.model, torch.bfloat16, packed=True), torch.no_grad():
            assert float(packed_loss(adapted.model, batch)[0]) == pytest.approx(exact, rel=0.02)


def test_spans_behind_virtual_tokens_by_hand() -> None:
    # 0 1 2 are shared by 3 4 and by 5; five virtual tokens come before all of them.
    spans = (Span(0, 3), Span(3, 5, ((0, 3),)), Span(5, 6, ((0, 3),)))
    assert behind(spans, 5) == (
        Span(0, 5),
        Span(5, 8, ((0, 5),)),
        Span(8, 10, ((0, 5), (5, 8))),
        Span(10, 11, ((0, 5), (5, 8))),
    )


# -- where virtual tokens begin --------------------------------------------------------------------------------------------


def test_virtual_tokens_begin_as_real_ones(tiny_model: Path) -> None:
    question = [20, 21, 22, 23]
    expected = load(tiny_model).model(input_ids=torch.tensor([FIRST + question])).logits[0, len(FIRST) :]
    for kind in ("prefix", "prompt"):
        adapted = KINDS[kind](load(tiny_model))
        assert (virtual_kind(adapted.model), num_virtual(adapted.model)) == (kind, len(FIRST))
        found = adapted.model(input_ids=torch.tensor([question])).logits[0, -len(question) :]
        assert torch.allclose(found, expected, atol=1e-5)


def test_first_ids_by_hand() -> None:
    some = [[1, 10, 11, 12, 13]]
    # The first token, and then the end of the row; a row that is too short is repeated.
    assert first_ids(some, 3, seed=0) == [1, 12, 13]
    assert first_ids(some, 5, seed=0) == [1, 10, 11, 12, 13]
    assert first_ids(some, 7, seed=0) == [1, 13, 1, 10, 11, 12, 13]
    assert first_ids(some, 1, seed=0) == [1]
    several = [[1, n] for n in range(50)]
    assert first_ids(several, 20, seed=1) == first_ids(several, 20, seed=1) != first_ids(several, 20, seed=2)


# -- from settings to a served checkpoint -----------------------------------------------------------------------------------


@pytest.fixture
def settings(tiny_model: Path) -> TuneSettings:
    return TuneSettings(
        model=str(tiny_model),
        precision="float32",
        learning_rate=0.05,
        epochs=12,
        batch_size=2,
        virtual_tokens=9,
        checkpoint_every=1000,
    )


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("adapter", ["prefix", "prompt"])
def test_tuned_saved_and_served(
    adapter: Any, packing: bool, settings: TuneSettings, small_data: list[Example], tmp_path: Path, recorder: Any
) -> None:
    settings = TuneSettings(**{**settings.model_dump(), "adapter": adapter, "packing": packing})
    lines = recorder()
    result = tune(small_data, settings, out=tmp_path / "out", checkpoints=tmp_path / "steps", seed=1, watcher=lines)
    losses = [entry["validation_loss"] for entry in result.history if "validation_loss" in entry]
    assert min(losses) < losses[0] - 0.1
    assert any("packed" in line and "padded" not in line for line in lines.lines) == packing
    base, tuned = load(settings.model), load(result.model_folder)
    width = {"prefix": 2 * 2 * 2 * 16, "prompt": 64}[adapter]  # layers, keys and values, heads, their size; hidden size
    saved = load_file(result.model_folder / "adapter_model.safetensors")
    assert {name: tuple(value.shape) for name, value in saved.items()} == {"prompt_embeddings": (9, width)}
    # What is in the file is what had the best validation loss.
    some = rows([row for row in small_data if row.split == "validation"], renderer_for(tuned), max_length=1000)
    with torch.no_grad():
        assert float(reference(tuned.model, some)) == pytest.approx(result.best_validation_loss, rel=1e-5)
    # Served per request beside the base, and alone, it answers as peft does.
    requests = [
        Request(str(n), messages=row.messages[:1], sampling=Sampling(temperature=0.0, max_tokens=12))
        for n, row in enumerate(small_data)
    ]
    with LocalEngine(base, adapters={"own": result.model_folder}) as engine:
        beside = [one.token_ids for one in generate(engine, [replace(one, adapter="own") for one in requests])]
        ends = engine._renderer.end_of_turn_ids
        prompts = [engine.check(one) for one in requests]
    with LocalEngine(tuned) as engine:
        alone = [one.token_ids for one in generate(engine, requests)]
    with without_future_warnings():
        peft_model = PeftModel.from_pretrained(load(settings.model).model, result.model_folder).eval()
    assert beside == alone == [greedy(peft_model, prompt, 12, ends) for prompt in prompts]


def greedy(model: Any, prompt: list[int], num: int, ends: tuple[int, ...]) -> tuple[int, ...]:
    """Token by token, with peft's own forward pass each time."""
    answer: list[int] = []
    while len(answer) < num and not (answer and answer[-1] in ends):
        with torch.no_grad():
            answer.append(int(model(input_ids=torch.tensor([prompt + answer])).logits[0, -1].argmax()))
    return tuple(answer)


@pytest.mark.parametrize("adapter", ["prefix", "prompt"])
def test_only_virtual_tokens_are_trained(adapter: Any, settings: TuneSettings) -> None:
    settings = changed(settings, adapter=adapter)
    adapted = adapt(load(settings.model), settings, [[3, 4, 5, 6]], seed=0)
    trained = [name for name, value in adapted.model.named_parameters() if value.requires_grad]
    assert trained == ["prompt_encoder.default.embedding.weight"]


def test_who_gives_no_learning_rate_gets_the_usual_one() -> None:
    assert TuneSettings().learning_rate == TuneSettings(adapter="lora").learning_rate == 5e-4
    assert TuneSettings(adapter="none").learning_rate == 5e-5
    assert [TuneSettings(adapter=kind).learning_rate for kind in ("prefix", "prompt")] == [0.01, 0.01]
    assert TuneSettings(adapter="prefix", learning_rate=0.5).learning_rate == 0.5


# -- what is refused -----------------------------------------------------------------------------------------------------------


def test_what_cannot_be(tiny_model: Path, tmp_path: Path) -> None:
    t5 = load(tiny_t5(tmp_path / "t5", seed=0))
    with pytest.raises(ModelError, match="takes no prefix"):
        add_prefix(t5, FIRST)
    for add in (add_prefix, add_prompt):
        with pytest.raises(ModelError, match="already carries an adapter"):
            add(add(load(tiny_model), FIRST), FIRST)
    with pytest.raises(ModelError, match="cannot be added into the weights"):
        merged(add_prefix(load(tiny_model), FIRST))
    with pytest.raises(SettingsError, match="4 bits cannot be trained"):
        adapt(load(tiny_model), TuneSettings(adapter="none", four_bit=True), [[1]], seed=0)
    with pytest.raises(ValueError, match="lora_rank"):
        TuneSettings(lora_rank=0)


def test_four_bits_say_what_is_missing(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="needs a GPU"):
        in_four_bit(load(tiny_model))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install 'heedful\\[fourbit\\]'"):
        in_four_bit(load(tiny_model))
