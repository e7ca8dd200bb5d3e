"""`verify invariance`: the loop's gradients do not depend on batching, and the proof finds it when they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.errors import NothingToTrainError
from heedful.models import load
from heedful.models.scratch import tiny_gpt2, tiny_t5
from heedful.records import Example, Message
from heedful.render import renderer_for
from heedful.train import TuneSettings
from heedful.train.adapting import adapt
from heedful.train.objectives import instruction
from heedful.train.rows.batches import TokenBatch, pad
from heedful.train.verifying.invariance import compare, prove_invariance

SHARED = "A long beginning that all rows have in common, so that reading it once is a saving. "


@pytest.fixture
def rows(conversation: Any) -> list[Example]:
    """Nine rows of different lengths, of which some begin alike and one counts for less."""
    made = [conversation(SHARED * (n % 3) + f"add {n}", "ok " * n + "done") for n in range(8)]
    return [*made, conversation("weigh", "light", weight=0.3)]


def settings_of(model: Path, **values: Any) -> TuneSettings:
    return TuneSettings(**{"model": str(model), "lora_rank": 4, "lora_dropout": 0.3, **values})


@pytest.mark.parametrize("adapter", ["lora", "none", "prefix"])
@pytest.mark.parametrize("double", [False, True])
def test_it_holds(rows: list[Example], tiny_model: Path, recorder: Any, adapter: str, double: bool) -> None:
    settings = settings_of(tiny_model, adapter=adapter, virtual_tokens=4)
    proof = prove_invariance(rows, settings, seed=3, watcher=recorder(), double=double)
    assert proof.holds, proof.describe()
    assert [way.name for way in proof.ways][:3] == ["8 x 1", "2 x 4", "1 x 8"]
    if not proof.not_packed:
        assert [way.name for way in proof.ways][3:] == ["packed", "packed, shared", "packed, in halves"]
    assert (proof.num_rows, proof.numbers) == (8, "float64" if double else "float32")
    assert proof.ways[0].loss_difference == proof.ways[0].gradient_difference == 0
    assert "invariance holds" in proof.describe()
    assert proof.as_dict()["holds"] is True


def test_packing_was_compared(rows: list[Example], tiny_model: Path, recorder: Any) -> None:
    assert not prove_invariance(rows, settings_of(tiny_model), seed=3, watcher=recorder()).not_packed


def test_dropout_of_the_model_itself_is_off(rows: list[Example], tmp_path: Path, recorder: Any) -> None:
    # GPT-2 leaves out a tenth of everything while it is trained.
    settings = settings_of(tiny_gpt2(tmp_path, seed=0), adapter="none")
    proof = prove_invariance(rows, settings, seed=3, watcher=recorder())
    assert proof.holds, proof.describe()


def test_an_encoder_decoder_is_proven_padded(rows: list[Example], tmp_path: Path, recorder: Any) -> None:
    proof = prove_invariance(rows, settings_of(tiny_t5(tmp_path, seed=0), packing=False), seed=3, watcher=recorder())
    assert proof.holds, proof.describe()
    assert proof.not_packed == "tune.packing is off"


def mean_loss(model: Any, batch: TokenBatch) -> tuple[torch.Tensor, dict[str, float]]:
    """The planted fault: means over the tokens of micro-batches are averaged, as trainers long did."""
    total, metrics = instruction.loss(model, batch)
    return total / batch.loss_mask.sum() * len(batch.input_ids), metrics


def test_a_wrong_normaliser_is_found(rows: list[Example], tiny_model: Path) -> None:
    settings = settings_of(tiny_model, lora_dropout=0.0)
    loaded = load(tiny_model)
    some = instruction.rows(rows[:8], renderer_for(loaded), max_length=1000)
    loaded = adapt(loaded, settings, [], seed=1)

    def differences(objective: Any) -> list[float]:
        ways = compare(loaded, some, objective, None, settings, numbers=torch.float64, seed=1)
        return [way.loss_difference for way in ways]

    assert max(differences(instruction.padded)) < 1e-12
    wrong = replace(instruction.padded, loss=mean_loss, build=lambda some: replace(pad(some), weight=float(len(some))))
    assert min(differences(wrong)[1:]) > 1e-3


def test_a_leak_between_packed_rows_is_found(rows: list[Example], tiny_model: Path) -> None:
    settings = settings_of(tiny_model, lora_dropout=0.0)
    loaded = load(tiny_model)
    some = instruction.rows(rows[:8], renderer_for(loaded), max_length=1000)
    loaded = adapt(loaded, settings, [], seed=1)

    def leaking(model: Any, batch: Any) -> Any:
        # The second row sees the first.
        first, second, *others = batch.spans
        seen = replace(second, before=((first.start, first.end),))
        return instruction.packed_loss(model, replace(batch, spans=(first, seen, *others)))

    wrong = replace(instruction.packed, loss=leaking)
    ways = compare(loaded, some, instruction.padded, wrong, settings, numbers=torch.float64, seed=1)
    assert all(way.loss_difference < 1e-10 for way in ways[:3])
    assert ways[3].loss_difference > 1e-6


def test_nothing_to_train_is_said(tiny_model: Path, recorder: Any) -> None:
    rows = [Example("a", (Message("user", "Hi"),), "import", "file")]
    with pytest.raises(NothingToTrainError, match="verify mask"):
        prove_invariance(rows, settings_of(tiny_model), seed=1, watcher=recorder())
