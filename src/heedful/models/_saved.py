"""Folders of the small models that are our own: `config.json`, which says what kind they are, beside `model.safetensors`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from heedful.errors import ModelError
from heedful.project import read_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def read_config(folder: Path, model_type: str, called: str) -> dict[str, Any]:
    """What the config says beside its kind; raises ModelError for a folder that `called`, "an LSTM", was not saved to."""
    path = folder / CONFIG
    try:
        values = read_json(path)
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read {path}: {error}; expected a folder that {called} was saved to") from None
    kind = values.pop("model_type", None) if isinstance(values, dict) else None
    if kind != model_type:
        raise ModelError(f"{path} describes a model of type {kind!r}, expected {model_type!r}")
    return dict(values)
