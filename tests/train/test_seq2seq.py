"""Encoder-decoders: the loss is transformers' own, ids are those of serving, and a tuned T5 answers as it was taught."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM

from heedful.errors import InputError, NothingToTrainError
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.generate.local.reading import reader_for
from heedful.models import LoadedModel, load
from heedful.models._libraries import without_future_warnings
from heedful.models.scratch import tiny_t5
from heedful.models.virtual import add_prompt
from heedful.records import Example, Message
from heedful.render import renderer_for
from heedful.train import TuneSettings
from heedful.train.computing.fused_lora import fused_lora
from heedful.train.objectives.seq2seq import PairRow, pad_pairs, pair_rows, seq2seq_loss
from heedful.train.rows.ledger import count
from tiny_runs import assert_close, changed, gradients, run, six_steps, with_lora

VARIANTS: dict[str, dict[str, Any]] = {"1.0": {}, "1.1": {"feed_forward": "gated-gelu", "tied": False}}


@pytest.fixture(scope="module", params=VARIANTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_t5(tmp_path_factory.mktemp("t5"), seed=4, **VARIANTS[request.param])


@pytest.fixture
def loaded(folder: Path) -> LoadedModel:
    return load(folder)


@pytest.fixture
def settings(folder: Path) -> TuneSettings:
    return six_steps(folder, learning_rate=0.01)


# -- the loss --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["full", "lora", "prompt"])
def test_loss_and_gradients_are_those_of_transformers(
    loaded: LoadedModel, small_data: list[Example], adapter: str
) -> None:
    if adapter == "lora":
        loaded = with_lora(loaded)
    elif adapter == "prompt":
        loaded = add_prompt(loaded, [7, 40, 41, 42])
    else:
        loaded.model.requires_grad_(True)
    model = loaded.model
    batch = pad_pairs(pair_rows(small_data, renderer_for(loaded), max_length=500))
    assert not bool(batch.source_mask.all()), "rows of different lengths, or padding is not looked at"
    assert not bool(batch.target_mask.all())
    theirs = model(
        input_ids=batch.source_ids,
        attention_mask=batch.source_mask.long(),
        labels=batch.target_ids.masked_fill(~batch.target_mask, -100),
    ).loss
    expected = gradients(model, theirs)
    with fused_lora(model) as num_fused:
        assert bool(num_fused) == (adapter == "lora")
        ours = seq2seq_loss(model, batch)[0] / batch.weight
        found = gradients(model, ours)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
    assert_close(found, expected)


def test_weights_and_accuracy_by_hand(loaded: LoadedModel) -> None:
    rows = [PairRow("a", "test", (3, 4, 2), (7, 8, 2), weight=3.0), PairRow("b", "test", (9, 2), (6, 2), weight=0.5)]
    expected = right = 0.0
    for row in rows:
        logits = loaded.model(
            input_ids=torch.tensor([row.source_ids]), decoder_input_ids=torch.tensor([[0, *row.target_ids[:-1]]])
        ).logits[0]
        targets = torch.tensor(row.target_ids)
        expected -= row.weight * float(logits.log_softmax(-1).gather(1, targets[:, None]).sum())
        right += row.weight * int((logits.argmax(-1) == targets).sum())
    batch = pad_pairs(rows)
    total, metrics = seq2seq_loss(loaded.model, batch)
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert metrics == {"token_accuracy": right}
    assert (batch.weight, batch.num_tokens) == (3 * 3 + 2 * 0.5, 10)


def test_padding_and_company_change_nothing(loaded: LoadedModel, small_data: list[Example]) -> None:
    rows = pair_rows(small_data, renderer_for(loaded), max_length=500)
    model = loaded.model.double()
    alone = sum(float(seq2seq_loss(model, pad_pairs([row]))[0]) for row in rows)
    assert float(seq2seq_loss(model, pad_pairs(rows))[0]) == pytest.approx(alone, rel=1e-9)


def test_a_prompt_is_read_before_the_source(loaded: LoadedModel, conversation: Any) -> None:
    # As if its tokens were there, until they are trained; served alone and beside longer rows.
    first = [7, 40, 41, 42]
    carrier = add_prompt(load(loaded.folder), first)
    items = [((9, 10, 2, 30, 31, 2), 3), ((11, 12, 13, 14, 15, 16, 2, 33, 2), 2)]
    plain = reader_for(loaded.model, 0)
    expected = list(plain.predictions([([*first, *ids], num) for ids, num in items]))
    reader = reader_for(carrier.model, 0)
    for some in (items, items[:1], items[1:]):
        for found, item in zip(reader.predictions(some), some, strict=True):
            assert torch.allclose(found, expected[items.index(item)], atol=1e-5)
    prompts = [ids[:-num] for ids, num in items]
    memory, logits = reader.read(prompts)
    assert torch.allclose(logits, plain.read([[*first, *prompt] for prompt in prompts])[1], atol=1e-5)
    assert memory.width == reader.num_columns(None, max(map(len, prompts)))


# -- rows ------------------------------------------------------------------------------------------------------------------


def test_what_is_trained_is_what_is_asked(loaded: LoadedModel, small_data: list[Example]) -> None:
    rows = pair_rows(small_data, renderer_for(loaded), max_length=500)
    with LocalEngine(loaded) as engine:
        for example, row in zip(small_data, rows, strict=True):
            assert list(row.source_ids) == engine.check(Request("r", messages=example.messages[:1]))
            assert renderer_for(loaded).decode(row.target_ids) == example.answer
            assert row.target_ids[-1] in renderer_for(loaded).end_of_turn_ids


def test_each_answer_of_a_conversation_is_a_row(loaded: LoadedModel) -> None:
    messages = [Message("user", "one?"), Message("assistant", "1"), Message("user", "two?"), Message("assistant", "2")]
    example = Example("x", tuple(messages), "import", "test", weight=2.0, split="train")
    renderer = renderer_for(loaded)
    rows = pair_rows([example], renderer, max_length=500)
    assert [renderer.decode(row.source_ids) for row in rows] == [
        "one?",
        "Instruction: one?\n\nResponse: 1\n\nInstruction: two?\n\nResponse:",
    ]
    assert [renderer.decode(row.target_ids) for row in rows] == ["1", "2"]
    assert [(row.id, row.weight) for row in rows] == [("x", 2.0)] * 2


def test_rows_that_are_cut_or_untrained_are_counted(loaded: LoadedModel, conversation: Any) -> None:
    renderer = renderer_for(loaded)
    question, answer = "abcdef", "ghij"  # 7 and 5 tokens of a byte each, with the end of text
    for max_length, num_cut, num_trained in ((12, 0, 5), (11, 1, 4), (8, 4, 1), (7, 5, 0), (3, 9, 0)):
        (row,) = pair_rows([conversation(question, answer)], renderer, max_length=max_length)
        assert (row.num_truncated, row.num_trained, row.num_tokens) == (num_cut, num_trained, 12 - num_cut)
        assert (row.num_end_of_turn, row.num_lost_end_of_turn) == ((0, 1) if num_cut else (1, 0))
    (unweighted,) = pair_rows([conversation(question, answer, weight=0.0)], renderer, max_length=50)
    (unanswered,) = pair_rows([Example("u", (Message("user", "?"),), "import", "test")], renderer, max_length=50)
    for row in (unweighted, unanswered):
        assert (row.num_trained, row.num_end_of_turn, row.num_lost_end_of_turn) == (0, 0, 0)
    assert count([unweighted, unanswered]).untrained_examples == (unweighted.id, "u")
    twice = Example("t", (*conversation("a", "b").messages, Message("assistant", "c")), "import", "test")
    with pytest.raises(InputError, match="example t from test"):
        pair_rows([twice], renderer, max_length=50)


# -- from settings to a served checkpoint --------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_stopped_at_any_milestone_it_ends_with_the_same_bytes(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any, adapter: str
) -> None:
    settings = changed(settings, adapter=adapter)
    watcher = recorder()
    run(small_data, settings, tmp_path / "whole", watcher)
    expected = folder_bytes(tmp_path / "whole" / "out")
    for stop_at in range(2, len(watcher.milestones) + 1, 5):
        folder = tmp_path / f"stopped-{stop_at}"
        with pytest.raises(KeyboardInterrupt):
            run(small_data, settings, folder, recorder(stop_at))
        run(small_data, settings, folder, recorder())
        assert folder_bytes(folder / "out") == expected, f"stopped at {stop_at}"


@pytest.mark.parametrize(
    ("variant", "adapter", "rate", "epochs"),
    # A tied output layer, which adapters leave alone, keeps the first model's logits small.
    [("1.0", "none", 0.01, 100), ("1.1", "none", 0.003, 60), ("1.1", "lora", 0.01, 150)],
)
def test_tuned_it_says_what_it_was_taught(
    conversation: Any, tmp_path: Path, recorder: Any, variant: str, adapter: Any, rate: float, epochs: int
) -> None:
    examples = [conversation("one?", "it is one."), conversation("two?", "no, two!")]
    settings = TuneSettings(
        model=str(tiny_t5(tmp_path / "base", seed=4, **VARIANTS[variant])),
        precision="float32",
        adapter=adapter,
        learning_rate=rate,
        epochs=epochs,
        batch_size=2,
        checkpoint_every=1000,
    )
    result = run(examples, settings, tmp_path, watcher := recorder())
    assert result.history[-1]["token_accuracy"] == 1.0
    assert any("an encoder-decoder reads two rows at once" in line for line in watcher.lines)
    tuned = load(result.model_folder)
    sampling = Sampling(temperature=0.0, max_tokens=20)
    with LocalEngine(tuned) as engine:
        requests = [Request(row.id, messages=row.messages[:1], sampling=sampling) for row in examples]
        answers = list(generate(engine, requests))
    assert [(answer.text, answer.finish_reason) for answer in answers] == [(row.answer, "stop") for row in examples]
    if adapter == "none":
        # An ordinary folder.
        plain = AutoModelForSeq2SeqLM.from_pretrained(result.model_folder)
        ids = torch.tensor([renderer_for(tuned).prompt_ids(examples[0].messages[:1])])
        said = plain.generate(input_ids=ids, max_new_tokens=20, do_sample=False)[0].tolist()
        assert renderer_for(tuned).decode(said) == examples[0].answer


def test_a_trained_prompt_is_saved_and_served(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    settings = changed(settings, adapter="prompt", virtual_tokens=6, learning_rate=0.05, epochs=15)
    result = run(small_data, settings, tmp_path, recorder())
    assert result.best_validation_loss is not None
    assert result.best_validation_loss < result.history[0]["loss"] - 0.1
    with without_future_warnings():
        theirs = PeftModel.from_pretrained(load(settings.model).model, result.model_folder).eval()
    tuned = load(result.model_folder)
    ends = renderer_for(tuned).end_of_turn_ids
    with LocalEngine(tuned) as engine:
        requests = [
            Request(row.id, messages=row.messages[:1], sampling=Sampling(temperature=0.0, max_tokens=12))
            for row in small_data
        ]
        for request, answer in zip(requests, generate(engine, requests), strict=True):
            written = [0]
            while len(written) <= 12 and written[-1] not in ends:
                logits = theirs(
                    input_ids=torch.tensor([engine.check(request)]), decoder_input_ids=torch.tensor([written])
                ).logits
                written.append(int(logits[0, -1].argmax()))
            assert list(answer.token_ids) == written[1:]


def test_nothing_of_the_answers_is_left(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    with pytest.raises(NothingToTrainError, match="raise tune"):
        run(small_data, changed(settings, max_length=5), tmp_path, recorder())
