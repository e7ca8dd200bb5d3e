"""Where models are computed: what the variable says, or a GPU where there is one; what is not there is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from heedful.errors import SettingsError
from heedful.models import load
from heedful.models.devices import VARIABLE, chosen_device


def gpus(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """torch sees so many."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: number)


@pytest.mark.parametrize(
    ("said", "number", "expected"),
    [("", 0, "cpu"), ("", 2, "cuda"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda"), ("cuda:1", 2, "cuda:1")],
)
def test_the_variable_or_what_is_there(said: str, number: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, number)
    monkeypatch.setenv(VARIABLE, said)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert chosen_device() == torch.device(expected)


@pytest.mark.parametrize(
    ("said", "number", "message"),
    [
        ("gpu", 1, "HEEDFUL_DEVICE is 'gpu'; expected cpu, cuda or, with its number, cuda:1"),
        ("cuda", 0, "sees 0 GPUs here"),
        ("cuda:2", 2, "sees 2 GPUs here; set it to cpu"),
    ],
)
def test_what_is_not_there_is_an_error(said: str, number: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, number)
    monkeypatch.setenv(VARIABLE, said)
    with pytest.raises(SettingsError, match=message):
        chosen_device()


def test_models_go_there(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A device without memory, which every machine has.
    monkeypatch.setattr("heedful.models.loading.chosen_device", lambda: torch.device("meta"))
    assert load(tiny_model).model.device.type == "meta"
    assert load(tiny_model, device="cpu").model.device.type == "cpu"
