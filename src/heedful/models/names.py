"""What a model's name means, where its files lie, and a cheap hash that says which weights they are.

Three kinds of names:
- a package name ("smollm2-135m-instruct-q4_1"): weights that a Python package carries;
- "owner/model": the hub, and only the hub;
- anything else, and every `Path`: a local folder, or a GGUF file. A folder that looks like "owner/model" is
  written "./owner/model".

Light: imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heedful.errors import ModelError
from heedful.models.info import read_info
from heedful.models.packages import PACKAGES, package_file
from heedful.project import write_json
from heedful.project.settings import nearest
from heedful.records import digest

CONVERSION_VERSION = 1
"""Raised by hand when `convert` changes what it writes: old conversions are then no longer used."""

# Owner and model as the hub allows them; a leading dot means a relative path.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHT_PATTERNS = ("*.safetensors", "*.gguf")
# Files besides the weights that change what a model answers.
_CONTEXT_FILES = (
    "config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


@dataclass(frozen=True, slots=True)
class Location:
    """Where the files of a name lie."""

    kind: Literal["gguf", "folder"]
    path: Path
    """The GGUF file, or the folder."""


def cache_folder() -> Path:
    """`$HEEDFUL_CACHE`, or `~/.cache/heedful`: conversions and hashes, all of which can be made again."""
    return Path(os.environ.get("HEEDFUL_CACHE") or Path.home() / ".cache" / "heedful")


def stable_name(name: str | Path) -> str:
    """A name that means the same from every working directory: local folders become absolute."""
    if isinstance(name, str) and (name in PACKAGES or is_hub_name(name)):
        return name
    return str(locate(name).path.resolve())


def is_hub_name(name: str | Path) -> bool:
    """True for "owner/model"."""
    return isinstance(name, str) and name not in PACKAGES and _HUB_NAME.fullmatch(name) is not None


def locate(name: str | Path) -> Location:
    """Find the files of `name`, fetching from the hub when it names one; raises ModelError with what to do."""
    if isinstance(name, str) and name in PACKAGES:
        return Location("gguf", package_file(name, cache_folder() / "packages"))
    if isinstance(name, str) and is_hub_name(name):
        return Location("folder", _hub_folder(name))
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return Location("gguf", path)
    if path.is_dir():
        return Location("folder", path)
    raise ModelError(
        f"no model {str(name)!r}: neither a folder nor the name of a model package; "
        f"{nearest(str(name), list(PACKAGES))}; a model of the hub is written owner/model"
    )


def identity_of(name: str | Path) -> str:
    """A hash of the weights (and of tokenizer and configuration) that `name` stands for, without loading them."""
    location = locate(name)
    if location.kind == "gguf":
        return digest(["gguf", file_sha256(location.path), CONVERSION_VERSION])
    files = [path for pattern in _WEIGHT_PATTERNS for path in sorted(location.path.glob(pattern))]
    if not files:
        raise ModelError(
            f"{location.path} holds no weights: expected *.safetensors or *.gguf there "
            "(other formats, pickles above all, are never loaded)"
        )
    files += [path for path in (location.path / file for file in _CONTEXT_FILES) if path.is_file()]
    info = read_info(location.path)
    base = info.base_identity if info and info.adapter else ""
    return digest(["folder", base, [[path.name, file_sha256(path)] for path in files]])


def folder_of(name: str | Path) -> Path:
    """The ordinary Hugging Face folder of `name`, for other tools; a GGUF's exists once it was converted by `load`."""
    location = locate(name)
    return location.path if location.kind == "folder" else conversion_folder(location.path)


def conversion_folder(gguf: Path) -> Path:
    """Where the safetensors conversion of a GGUF file lies, whether it was made yet or not."""
    home = cache_folder() / "models" / f"{gguf.stem.lower()}-{file_sha256(gguf)[:16]}"
    return home / f"safetensors-v{CONVERSION_VERSION}"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content; computed once for a path, size and time of change."""
    status = path.stat()
    known = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    record = cache_folder() / "hashes" / f"{digest(known)}.json"
    try:
        value = json.loads(record.read_text(encoding="utf-8"))
        if value["file"] == known:
            return str(value["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # Not hashed yet, or the record is damaged: both are mended by hashing.
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    write_json(record, {"file": known, "sha256": sha256})
    return sha256


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        try:
            return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
        except (OSError, ValueError, HfHubHTTPError):
            return Path(snapshot_download(name, allow_patterns=patterns))
    except (OSError, ValueError, HfHubHTTPError) as error:
        lines = str(error).strip().splitlines()
        here = f" To load the local folder, write ./{name}." if Path(name).is_dir() else ""
        raise ModelError(
            f"cannot fetch {name!r} from the hub ({type(error).__name__}: {lines[0] if lines else 'no connection'}); "
            f"check the name and the connection, or use a model package ({', '.join(PACKAGES)}) or a local folder.{here}"
        ) from None
