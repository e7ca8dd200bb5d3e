"""What Heedful writes beside a checkpoint's weights (`heedful.json`), and reads back before the weights are used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heedful.errors import ModelError
from heedful.project import write_json

FILE_NAME = "heedful.json"


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """Where a checkpoint came from, and what must still be true of it when it is used."""

    base_model: str
    """The name that the base was loaded by; a local folder's is its absolute path."""
    base_identity: str
    template_hash: str
    """Of the renderer that the checkpoint was trained with."""
    weights_sha256: Mapping[str, str]
    """By file name."""
    adapter: bool
    """True when the folder holds an adapter and the base is loaded from elsewhere."""
    extra: Mapping[str, Any] = field(default_factory=dict)


def write_info(folder: Path, info: CheckpointInfo) -> None:
    """Write `heedful.json` in `folder`."""
    write_json(folder / FILE_NAME, asdict(info))


def read_info(folder: Path) -> CheckpointInfo | None:
    """The checkpoint's own words; None for a folder that Heedful did not write; raises ModelError when damaged."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        info = CheckpointInfo(**value)
        texts = [info.base_model, info.base_identity, info.template_hash, *info.weights_sha256.values()]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("names and hashes must be text")
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is damaged ({error}); train this checkpoint again, or restore the folder from a copy"
        ) from None
    return info
