"""Which weights are trained: all of them, low-rank adapters on every linear layer, or virtual tokens before the prompt.

Where virtual tokens begin decides how far they come in few steps. Here they begin as the tokens of training rows, so that the
model starts as if shown an example.
"""

from __future__ import annotations

from collections.abc import Sequence

from heedful.errors import SettingsError
from heedful.models import LoadedModel, add_lora
from heedful.models.virtual import add_prefix, add_prompt
from heedful.project import stream, stream_seed
from heedful.train.settings import TuneSettings


def adapt(loaded: LoadedModel, settings: TuneSettings, rows: Sequence[Sequence[int]], *, seed: int) -> LoadedModel:
    """Make the weights trainable that `settings` name, in place. `rows`: token ids of training rows."""
    match settings.adapter:
        case "none":
            if settings.four_bit:
                raise SettingsError(
                    "weights of 4 bits cannot be trained: choose tune.adapter, or leave tune.four_bit out"
                )
            loaded.model.requires_grad_(True)
            return loaded
        case "lora":
            return add_lora(
                loaded,
                rank=settings.lora_rank,
                alpha=settings.lora_alpha,
                dropout=settings.lora_dropout,
                seed=stream_seed(seed, "lora"),
            )
        case "prefix":
            return add_prefix(loaded, first_ids(rows, settings.virtual_tokens, seed=seed))
        case "prompt":
            return add_prompt(loaded, first_ids(rows, settings.virtual_tokens, seed=seed))


def first_ids(rows: Sequence[Sequence[int]], num: int, *, seed: int) -> list[int]:
    """`num` tokens that virtual ones begin as: a training row's end after its very first token, and rows before it.

    A model attends to the first token of all it reads whatever that is (arXiv:2309.17453), and an answer's end leads to
    the next question.
    """
    random = stream(seed, "virtual tokens")
    ids: list[int] = []
    row: Sequence[int] = ()
    while len(ids) < num:
        row = random.choice(rows)
        ids = [*row, *ids]
    return [row[0], *ids[len(ids) - num + 1 :]] if num > 1 else [row[0]]
