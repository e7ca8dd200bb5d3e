"""Checkpoints: whole or not there, two at most, and any damage is found and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.errors import ProjectError
from heedful.train.checkpoint import CheckpointStore, Snapshot


def snapshot(step: int, *, with_best: bool = True) -> Snapshot:
    return Snapshot(
        step=step,
        weights={"a": torch.full((2, 3), float(step)), "b": torch.arange(4.0)},
        optimizer={"exp_avg/a": torch.full((2, 3), 0.1 * step), "step/a": torch.tensor(float(step))},
        best={"a": torch.zeros(2, 3), "b": torch.zeros(4)} if with_best else None,
        state={"history": [{"step": step, "loss": 0.1 + 0.2}], "best_step": 1, "best_validation_loss": 1 / 3},
    )


def test_what_is_written_is_read_back_exactly(tmp_path: Path, recorder: Any) -> None:
    watcher = recorder()
    store = CheckpointStore(tmp_path, "run", watcher)
    assert store.latest() is None
    store.save(snapshot(7))
    read = CheckpointStore(tmp_path, "run", watcher).latest()
    assert read is not None
    assert (read.step, read.state) == (7, snapshot(7).state)
    for kind in ("weights", "optimizer", "best"):
        ours, theirs = getattr(snapshot(7), kind), getattr(read, kind)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert watcher.milestones == ["checkpoint.writing", "checkpoint.written"]
    assert watcher.lines == []


def test_best_weights_are_not_written_twice(tmp_path: Path, recorder: Any) -> None:
    store = CheckpointStore(tmp_path, "run", recorder())
    store.save(snapshot(1, with_best=False))
    assert sorted(path.name for path in (tmp_path / "step-00000001").iterdir()) == [
        "optimizer.safetensors",
        "state.json",
        "weights.safetensors",
    ]
    latest = store.latest()
    assert latest is not None
    assert latest.best is None


def test_two_are_kept(tmp_path: Path, recorder: Any) -> None:
    store = CheckpointStore(tmp_path, "run", recorder())
    for step in (9, 10, 100):
        store.save(snapshot(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000100"]


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "best.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, recorder: Any, file: str, damage: str
) -> None:
    watcher = recorder()
    store = CheckpointStore(tmp_path, "run", watcher)
    store.save(snapshot(1))
    store.save(snapshot(2))
    path = tmp_path / "step-00000002" / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        # Past the middle of state.json lie the hashes; elsewhere, numbers that no reader would question.
        content[-12] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "remove":
        path.unlink()
    else:
        path.write_bytes(b"")
    read = store.latest()
    assert read is not None
    assert read.step == 1
    assert len(watcher.lines) == 1
    assert "step-00000002 is damaged" in watcher.lines[0]


def test_when_all_are_damaged_training_begins_again(tmp_path: Path, recorder: Any) -> None:
    watcher = recorder()
    store = CheckpointStore(tmp_path, "run", watcher)
    store.save(snapshot(1))
    state = tmp_path / "step-00000001" / "state.json"
    value = json.loads(state.read_text())
    value["step"] = 5  # a hand that edits the position
    state.write_text(json.dumps(value))
    assert store.latest() is None
    assert "checksum" in watcher.lines[0]


def test_checkpoints_of_another_run_are_refused(tmp_path: Path, recorder: Any) -> None:
    CheckpointStore(tmp_path, "run", recorder()).save(snapshot(1))
    with pytest.raises(ProjectError, match=r"another run.*delete the folder"):
        CheckpointStore(tmp_path, "other", recorder()).latest()
    assert (tmp_path / "step-00000001").is_dir(), "what belongs to another run is not ours to remove"


def test_a_write_that_was_broken_off_leaves_nothing_to_read(tmp_path: Path, recorder: Any) -> None:
    half = tmp_path / ".step-00000003.abc.partial"
    half.mkdir(parents=True)
    (half / "weights.safetensors").write_bytes(b"half")
    assert CheckpointStore(tmp_path, "run", recorder()).latest() is None
    assert not half.exists()
