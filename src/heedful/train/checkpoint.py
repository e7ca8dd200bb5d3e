"""Checkpoints from which a killed run continues: safetensors and JSON, written whole or not at all, the last few kept.

`step-00000012/` holds `weights.safetensors` (what is trained), `optimizer.safetensors` (AdamW's moments by name),
`best.safetensors` (the weights with the lowest validation loss so far, unless those are the weights themselves) and
`state.json` (position, history, hashes of the files). A folder belongs to one run: settings, data, base and seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from heedful.errors import ProjectError, StorageError
from heedful.project import Watcher, atomic_folder, read_json, write_json
from heedful.project.artifacts import file_hash
from heedful.project.atomic import remove_partials
from heedful.records import digest

Tensors = Mapping[str, torch.Tensor]

_STATE, _WEIGHTS, _OPTIMIZER, _BEST = "state.json", "weights.safetensors", "optimizer.safetensors", "best.safetensors"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a run needs to go on after `step` as if nothing had happened."""

    step: int
    weights: Tensors
    optimizer: Tensors
    best: Tensors | None
    """None when `weights` are the best."""
    state: Mapping[str, Any]
    """JSON: history, best step, best validation loss."""


class CheckpointStore:
    """The checkpoints of one run in one folder. Whoever writes into it holds its lock."""

    def __init__(self, folder: Path, identity: str, watcher: Watcher, *, kept: int = 2) -> None:
        """The newest `kept` stay: more than one, so that a damaged one costs steps and not the run."""
        self._folder, self._identity, self._watcher, self._kept = folder, identity, watcher, kept

    def save(self, snapshot: Snapshot) -> None:
        """Write a checkpoint durably, then remove those that are too old; raises StorageError when it cannot be written."""
        self._watcher.milestone("checkpoint.writing")
        remove_partials(self._folder)
        try:
            self._write(snapshot)
        except (OSError, SafetensorError) as error:
            raise self._not_written(snapshot, error) from error
        self._watcher.milestone("checkpoint.written")
        for old in self._folders()[self._kept :]:
            shutil.rmtree(old)

    def read(self, step: int) -> Snapshot:
        """The checkpoint of a step that is known to be whole."""
        return _read(self._folder / _name(step))

    def _not_written(self, snapshot: Snapshot, error: Exception) -> StorageError:
        last = next(iter(self._folders()), None)
        kept = f"{last.name} stays, and the same command continues from there" if last else "there is none before it"
        return StorageError(
            f"the checkpoint of step {snapshot.step} could not be written to {self._folder} ({error}); it needs "
            f"{_num_bytes(snapshot) / 2**20:.0f} MB. Free some space, or lower tune.keep_checkpoints: {kept}"
        )

    def _write(self, snapshot: Snapshot) -> None:
        files = {_WEIGHTS: snapshot.weights, _OPTIMIZER: snapshot.optimizer}
        if snapshot.best is not None:
            files[_BEST] = snapshot.best
        with atomic_folder(self._folder / _name(snapshot.step)) as folder:
            for name, tensors in files.items():
                save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, folder / name)
            content = {
                "identity": self._identity,
                "step": snapshot.step,
                "state": dict(snapshot.state),
                "files": {name: file_hash(folder / name) for name in files},
            }
            write_json(folder / _STATE, {"checksum": digest(content), **content})

    def latest(self) -> Snapshot | None:
        """The newest undamaged checkpoint; damaged ones are said and removed; another run's raise ProjectError."""
        remove_partials(self._folder)
        for folder in self._folders():
            problem = self._problem(folder)
            if problem is None:
                return _read(folder)
            self._watcher.say(f"checkpoint {folder.name} is damaged ({problem}); going back to the one before it")
            shutil.rmtree(folder)
        return None

    def _folders(self) -> list[Path]:
        """Newest first."""
        return sorted(self._folder.glob("step-*"), reverse=True)

    def _problem(self, folder: Path) -> str | None:
        """What is damaged; None when everything is as it was written."""
        try:
            content = read_json(folder / _STATE)
            checksum = content.pop("checksum")
            if checksum != digest(content):
                return f"{_STATE} does not match its checksum"
            for name, expected in content["files"].items():
                if file_hash(folder / Path(name).name) != expected:
                    return f"{name} does not match its hash"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{type(error).__name__}: {error}"
        if content["identity"] != self._identity:
            raise ProjectError(
                f"{self._folder} holds checkpoints of another run (other settings, data, base model or seed): "
                f"it says {content['identity']}, this run is {self._identity}; delete the folder, or give another one"
            )
        return None


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _num_bytes(snapshot: Snapshot) -> int:
    kinds = (snapshot.weights, snapshot.optimizer, snapshot.best or {})
    return sum(tensor.nbytes for tensors in kinds for tensor in tensors.values())


def _read(folder: Path) -> Snapshot:
    content = read_json(folder / _STATE)
    return Snapshot(
        step=content["step"],
        weights=load_file(folder / _WEIGHTS),
        optimizer=load_file(folder / _OPTIMIZER),
        best=load_file(folder / _BEST) if _BEST in content["files"] else None,
        state=content["state"],
    )
