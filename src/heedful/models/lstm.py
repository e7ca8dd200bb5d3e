"""A plain LSTM language model (Hochreiter & Schmidhuber 1997; tied weights: Press & Wolf 2017, arXiv:1608.05859).

It answers `model(input_ids).logits` as a transformers model does, so every causal objective of `train` can train it. What
it has read is its state, which may be handed to the next call: a text of any length is scored piece by piece.

Shapes: B rows, T tokens, V ids, E embedding, H hidden units, L layers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from heedful.errors import InputError, ModelError, SettingsError
from heedful.models._saved import CONFIG, WEIGHTS, read_config
from heedful.project import atomic_folder, write_json
from heedful.project.settings import nearest

MODEL_TYPE = "heedful-lstm"

State = tuple[torch.Tensor, torch.Tensor]
"""Hidden and cell state, (L, B, H) each."""


@dataclass(frozen=True, slots=True)
class LstmConfig:
    """The shape of a model. Raises SettingsError for one that cannot be."""

    vocab_size: int
    """Number of token ids, V."""
    embedding_size: int = 256
    hidden_size: int = 512
    num_layers: int = 2
    dropout: float = 0.1
    """Chance that an input or output of a layer is left out in training."""
    tie_embeddings: bool = False
    """The output layer uses the embeddings; a projection brings H to E where they differ."""
    bos_token_id: int | None = None
    """What stands before a text; None starts from the empty state and leaves the first token unscored."""

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name) for name in ("vocab_size", "embedding_size", "hidden_size", "num_layers")}
        for name, value in sizes.items():
            if value < 1:
                raise SettingsError(f"lstm: {name} = {value}; expected at least 1")
        if not 0 <= self.dropout < 1:
            raise SettingsError(f"lstm: dropout = {self.dropout}; expected at least 0 and less than 1")
        if self.bos_token_id is not None and not 0 <= self.bos_token_id < self.vocab_size:
            raise SettingsError(
                f"lstm: bos_token_id = {self.bos_token_id}; this model's ids are below {self.vocab_size}"
            )


class LstmOutput(NamedTuple):
    """What a call returns."""

    logits: torch.Tensor  # (B, T, V), or (N, V) where a hook keeps N positions only
    state: State
    """After the last token of each row."""


class LstmLanguageModel(nn.Module):
    """Embedding, LSTM, output layer. Rows may be padded at their ends: a token never sees what comes after it."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.lstm = nn.LSTM(
            config.embedding_size,
            config.hidden_size,
            config.num_layers,
            # torch leaves out between layers only, and warns when there is nothing between.
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            batch_first=True,
        )
        self.dropout = nn.Dropout(config.dropout)
        is_projected = config.tie_embeddings and config.hidden_size != config.embedding_size
        self.projection = nn.Linear(config.hidden_size, config.embedding_size) if is_projected else nn.Identity()
        width = config.embedding_size if config.tie_embeddings else config.hidden_size
        self.head = nn.Linear(width, config.vocab_size)
        self._initialise()

    def _initialise(self) -> None:
        # Embeddings of variance 1 / E, so that a tied output layer begins with logits near zero.
        nn.init.normal_(self.embedding.weight, std=self.config.embedding_size**-0.5)
        if self.config.tie_embeddings:
            self.head.weight = self.embedding.weight
        hidden = self.config.hidden_size
        for name, bias in self.lstm.named_parameters():
            if name.startswith("bias_ih"):
                # Remember at first (Jozefowicz et al. 2015): the forget gate is the second of four.
                with torch.no_grad():
                    bias[hidden : 2 * hidden].fill_(1.0)

    def forward(self, input_ids: torch.Tensor, state: State | None = None, use_cache: bool = True) -> LstmOutput:
        """Logits of the token after each of `input_ids` (B, T), which follow what `state` has read.

        `use_cache` is accepted as transformers' models do; the state costs nothing and is always returned.
        """
        embedded = self.dropout(self.embedding(input_ids))  # (B, T, E)
        hidden, state = self.lstm(embedded, state)  # (B, T, H)
        return LstmOutput(self.head(self.projection(self.dropout(hidden))), state)

    def get_input_embeddings(self) -> nn.Embedding:
        """As transformers calls it."""
        return self.embedding

    def get_output_embeddings(self) -> nn.Linear:
        """As transformers calls it."""
        return self.head

    @torch.no_grad()
    def logprobs(self, ids: torch.Tensor, *, segment: int = 1024) -> torch.Tensor:
        """Natural logarithm of each token of one text (T,) given those before it, read `segment` tokens at a time.

        The state is carried from piece to piece, so the pieces' length changes nothing but memory. The first token is
        predicted from `bos_token_id`; without one it is left out, and the result is (T - 1,). Dropout is off.
        """
        if ids.ndim != 1:
            raise InputError(f"expected the ids of one text, shape (T,); got shape {tuple(ids.shape)}")
        if self.config.bos_token_id is not None:
            ids = torch.cat([ids.new_tensor([self.config.bos_token_id]), ids])
        was_training = self.training
        self.eval()
        found, state = [torch.zeros(0, dtype=torch.float64)], None
        for start in range(0, len(ids) - 1, segment):
            targets = ids[start + 1 : start + segment + 1]
            output = self(ids[None, start : start + len(targets)], state)
            state = output.state
            logprobs = output.logits[0].double().log_softmax(-1)  # (S, V)
            found.append(logprobs.gather(1, targets[:, None])[:, 0].cpu())
        self.train(was_training)
        return torch.cat(found)

    def save(self, folder: Path) -> Path:
        """Write `config.json` and `model.safetensors` to a folder of its own, which is replaced if it exists."""
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        if self.config.tie_embeddings:
            del weights["head.weight"]
        with atomic_folder(folder) as partial:
            write_json(partial / CONFIG, {"model_type": MODEL_TYPE, **asdict(self.config)})
            save_file(weights, partial / WEIGHTS)
        return folder

    @classmethod
    def load(cls, folder: Path) -> LstmLanguageModel:
        """Read what `save` wrote, in evaluation mode; raises ModelError for anything else."""
        model = cls(_read_config(folder))
        try:
            weights = load_file(folder / WEIGHTS)
            if model.config.tie_embeddings:
                weights["head.weight"] = weights["embedding.weight"]
            model.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise ModelError(f"{folder} holds no weights that fit its {CONFIG}: {error}") from None
        return model.eval()


def _read_config(folder: Path) -> LstmConfig:
    path, values = folder / CONFIG, read_config(folder, MODEL_TYPE, "an LSTM")
    names = [field.name for field in fields(LstmConfig)]
    if unknown := [name for name in values if name not in names]:
        raise ModelError(f"{path}: unknown setting {unknown[0]!r}; {nearest(unknown[0], names)}")
    try:
        return LstmConfig(**values)
    except TypeError as error:
        raise ModelError(f"{path}: {error}") from None
