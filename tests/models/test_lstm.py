"""The LSTM language model: against its own formulas, in pieces, through the training loop, to disk and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from heedful.errors import InputError, ModelError, SettingsError
from heedful.models.lstm import LstmConfig, LstmLanguageModel
from heedful.project import Silent
from heedful.train.loop import Objective, SupervisedLoop
from heedful.train.objectives.instruction import loss
from heedful.train.rows.batches import TokenRow, pad
from heedful.train.settings import TuneSettings


def tiny(seed: int = 0, **settings: object) -> LstmLanguageModel:
    config = LstmConfig(**{"vocab_size": 11, "embedding_size": 6, "hidden_size": 8, "bos_token_id": 10, **settings})  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LstmLanguageModel(config).eval()


SHAPES = [{}, {"tie_embeddings": True}, {"tie_embeddings": True, "hidden_size": 6}, {"num_layers": 1}]


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_logits_follow_the_formulas() -> None:
    model = tiny(num_layers=1, tie_embeddings=True)
    w = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    hidden, cell, expected = np.zeros(8), np.zeros(8), []
    for token in (10, 3, 3, 7):
        gates = w["lstm.weight_ih_l0"] @ w["embedding.weight"][token] + w["lstm.bias_ih_l0"]
        gates += w["lstm.weight_hh_l0"] @ hidden + w["lstm.bias_hh_l0"]
        enter, forget, candidate, leave = gates.reshape(4, 8)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
        hidden = sigmoid(leave) * np.tanh(cell)
        projected = w["projection.weight"] @ hidden + w["projection.bias"]
        expected.append(w["embedding.weight"] @ projected + w["head.bias"])
    logits = model(input_ids=torch.tensor([[10, 3, 3, 7]])).logits[0]
    np.testing.assert_allclose(logits.detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_pieces_score_as_the_whole(shape: dict[str, object]) -> None:
    model = tiny(**shape)
    ids = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3])
    whole = model.logprobs(ids)
    assert whole.shape == ids.shape
    for segment in (1, 2, 5, 13, 14):
        torch.testing.assert_close(model.logprobs(ids, segment=segment), whole, rtol=0, atol=1e-5)
    logits = model(torch.cat([torch.tensor([10]), ids])[None, :-1]).logits[0]
    torch.testing.assert_close(whole.sum(), -torch.nn.functional.cross_entropy(logits, ids, reduction="sum").double())


def test_without_a_begin_token_the_first_is_left_out() -> None:
    model = tiny(bos_token_id=None)
    assert model.logprobs(torch.tensor([1, 2, 3])).shape == (2,)
    assert model.logprobs(torch.tensor([], dtype=torch.long)).shape == (0,)


def test_scoring_leaves_dropout_out_and_the_mode_as_it_was() -> None:
    model = tiny(dropout=0.5)
    expected = model.logprobs(torch.tensor([1, 2, 3]))
    model.train()
    assert torch.equal(model.logprobs(torch.tensor([1, 2, 3])), expected)
    assert model.training
    with pytest.raises(InputError, match="ids of one text"):
        model.logprobs(torch.tensor([[1, 2, 3]]))


def test_padding_at_the_end_changes_nothing_before_it() -> None:
    model = tiny()
    short = model(torch.tensor([[1, 2, 3]])).logits
    padded = model(torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])).logits
    torch.testing.assert_close(padded[:1, :3], short, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_saved_and_loaded_it_says_the_same_bits(shape: dict[str, object], tmp_path: Path) -> None:
    model = tiny(**shape)
    loaded = LstmLanguageModel.load(model.save(tmp_path / "lstm"))
    assert sorted(path.name for path in (tmp_path / "lstm").iterdir()) == ["config.json", "model.safetensors"]
    assert loaded.config == model.config
    assert not loaded.training
    ids = torch.tensor([[1, 2, 3, 4]])
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert (loaded.head.weight is loaded.embedding.weight) == model.config.tie_embeddings


def rows(texts: Sequence[Sequence[int]]) -> list[TokenRow]:
    return [
        TokenRow(str(number), "test", (10, *text), (False, *[True] * len(text))) for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_the_training_loop_trains_it(shape: dict[str, object], tmp_path: Path) -> None:
    model = tiny(**{"hidden_size": 16, "dropout": 0.0, **shape})
    # Counting up from anywhere, rows of several lengths.
    data = rows([[(start + step) % 10 for step in range(5 + start % 3)] for start in range(10)] * 2)
    tune = TuneSettings(learning_rate=0.05, epochs=25, batch_size=5, weight_decay=0.0)
    objective = Objective(name="causal", build=pad, loss=loss)
    loop = SupervisedLoop(model, objective, data, data[:10], tune, seed=1)
    progress = loop.run(tmp_path, identity="lstm", watcher=Silent())
    first, best = progress.history[0]["loss"], progress.best_validation_loss
    assert first == pytest.approx(np.log(11), abs=0.5)
    # The first digit is a choice of ten, 0.38 nats for each of six tokens; what follows is certain.
    assert best is not None
    assert best < 0.55
    certain = model.logprobs(torch.tensor([3, 4, 5, 6, 7])).exp()
    assert (certain[1:] > 0.8).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 0}, "hidden_size = 0; expected at least 1"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"bos_token_id": 11}, "bos_token_id = 11; this model's ids are below 11"),
    ],
)
def test_impossible_shapes_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        tiny(**settings)


def test_a_folder_that_is_no_lstm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a folder that an LSTM was saved to"):
        LstmLanguageModel.load(tmp_path)
    folder = tiny().save(tmp_path / "lstm")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hiden_size": 3}))
    with pytest.raises(ModelError, match="unknown setting 'hiden_size'; did you mean 'hidden_size'"):
        LstmLanguageModel.load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 9}))
    with pytest.raises(ModelError, match="no weights that fit"):
        LstmLanguageModel.load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(ModelError, match="type 'gpt2', expected 'heedful-lstm'"):
        LstmLanguageModel.load(folder)
