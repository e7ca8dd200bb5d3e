"""Metrics, spikes and SIGTERM: what people see of a run, without changing what it makes."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.errors import ProjectError, RunError, SettingsError, StoppedError, StorageError
from heedful.project.locks import locked
from heedful.records import Example
from heedful.train import TuneSettings
from heedful.train import checkpoint as checkpoint_module
from heedful.train.watching.log import METRICS_FILE, Spikes, StepLog, read_metrics, spike_threshold
from small_disk import enlarge, needs_root, small_disk
from tiny_runs import changed, run, six_steps


@pytest.fixture
def settings(tiny_model: Path) -> TuneSettings:
    return six_steps(tiny_model)


# -- metrics ----------------------------------------------------------------------------------------------------------


def test_a_line_for_each_step(small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any) -> None:
    watcher = recorder()
    result = run(small_data, settings, tmp_path, watcher, log=tmp_path / "log")
    lines = read_metrics(tmp_path / "log")
    assert len(lines) == len(result.history) == 6
    for line, entry in zip(lines, result.history, strict=True):
        assert {name: line[name] for name in entry} == entry
        assert line.keys() - entry.keys() == {"seconds", "tokens_per_second", "memory_bytes"}
        assert line["seconds"] > 0
        assert line["memory_bytes"] > 1e7
    tokens = [after["tokens"] - before["tokens"] for before, after in zip([{"tokens": 0}, *lines], lines, strict=False)]
    assert [line["tokens_per_second"] for line in lines] == pytest.approx(
        [number / line["seconds"] for number, line in zip(tokens, lines, strict=True)]
    )
    assert watcher.notes[0].endswith("tokens/s")
    assert not any("seconds" in entry for entry in result.history)


def test_a_continued_run_has_each_step_once(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    run(small_data, settings, tmp_path / "whole", recorder())
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        # The checkpoints of steps 2 and 3 are written; of step 4 the optimiser's step is done, and its line is not written.
        run(small_data, settings, folder, recorder(8), log=folder / "log")
    with (folder / "log" / METRICS_FILE).open("a") as file:
        # A step whose checkpoint was never written, and a line that the kill cut off.
        file.write('{"step": 4, "tokens": 1, "loss": 99}\n{"step": 5, "to')
    run(small_data, settings, folder, recorder(), log=folder / "log")
    lines = read_metrics(folder / "log")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["loss"] < 99 for line in lines)
    assert all(line["tokens_per_second"] > 0 for line in lines)
    assert folder_bytes(folder / "out") == folder_bytes(tmp_path / "whole" / "out")


def test_event_files_hold_the_same_numbers(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    result = run(small_data, changed(settings, tensorboard=True), tmp_path, recorder(), log=tmp_path / "log")
    (path,) = (tmp_path / "log").glob("events.out.tfevents.*")
    data, events = path.read_bytes(), []
    # A record: length (8 bytes), its check sum (4), the message, its check sum (4).
    while data:
        length = int.from_bytes(data[:8], "little")
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    losses = {
        event.step: value.simple_value for event in events for value in event.summary.value if value.tag == "loss"
    }
    assert losses == pytest.approx({entry["step"]: entry["loss"] for entry in result.history}, rel=1e-6)


def test_without_the_library_it_is_said_before_training(
    small_data: list[Example],
    settings: TuneSettings,
    tmp_path: Path,
    recorder: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    watcher = recorder()
    with pytest.raises(SettingsError, match=r"pip install 'heedful\[tensorboard\]'"):
        run(small_data, changed(settings, tensorboard=True), tmp_path, watcher, log=tmp_path / "log")
    assert watcher.milestones == []
    StepLog(None)  # who asks for none needs none


# -- spikes -----------------------------------------------------------------------------------------------------------


def test_the_threshold_by_hand() -> None:
    # median 2.0; deviations 0.1 for all but the middle one, median 0.1: 2.0 + 8 x 0.1
    losses = [1.9] * 5 + [2.0] + [2.1] * 5
    assert spike_threshold(losses) == pytest.approx(2.8)
    # Losses that do not move: two per cent of the median stand in for the deviation.
    assert spike_threshold([3.0] * 20) == pytest.approx(3.0 + 8 * 0.06)
    assert spike_threshold([1.0] * 9) == math.inf, "too few to know what is usual"
    # One spike among them hides nothing, and what is older than fifty steps is forgotten.
    assert spike_threshold([*losses, 50.0]) == pytest.approx(2.05 + 8 * 0.1)
    assert spike_threshold([9.0] * 100 + [1.0] * 50) == pytest.approx(1.16)


def test_a_planted_row_is_named(
    conversation: Any, settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    rows = [conversation(f"say {n}", "aaaa aaaa") for n in range(40)]
    planted = conversation("say the other", "Zq#9~Zq#9~Zq#9~Zq#9~")
    settings = changed(settings, epochs=1, batch_size=2, lora_rank=8, lora_dropout=0.2, warmup_share=0.0)
    watcher = recorder()
    run([*rows, planted], settings, tmp_path, watcher, seed=20)  # with it the row comes late, when the others are known
    said = [line for line in watcher.lines if "the loss jumped" in line]
    assert len(said) == 1
    assert f"the rows with the largest loss: {planted.id} (" in said[0]


def test_looking_at_a_spike_changes_nothing(
    conversation: Any,
    settings: TuneSettings,
    tmp_path: Path,
    recorder: Any,
    folder_bytes: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [conversation(f"say {n}", "ab" * (n % 5 + 1)) for n in range(12)]
    run(rows, settings, tmp_path / "calm", recorder())
    monkeypatch.setattr(Spikes, "are_there", lambda _, loss, history: bool(history))
    watcher = recorder()
    run(rows, settings, tmp_path / "spiky", watcher)
    assert sum("the loss jumped" in line for line in watcher.lines) == 7
    assert folder_bytes(tmp_path / "calm" / "out") == folder_bytes(tmp_path / "spiky" / "out")


def test_a_row_that_gives_no_number_is_named(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heedful.train.objectives import instruction
    from heedful.train.rows import packing

    planted = next(row for row in small_data if row.split == "train")
    pack = packing.pack

    def poisoned(rows: Any, **more: Any) -> Any:
        batch = pack(rows, **more)
        for index, row in enumerate(rows):
            if row.id == planted.id:
                batch.weights[batch.owners == index] = math.nan
        return batch

    objective = instruction.Objective("instruction", poisoned, instruction.packed_loss, is_packed=True)
    monkeypatch.setattr(instruction, "packed", objective)
    with pytest.raises(RunError, match=rf"1 of the step's \d rows \({planted.id}\): look at these rows"):
        run(small_data, settings, tmp_path, recorder())


# -- SIGTERM, full disks, two processes -----------------------------------------------------------------------------------


def test_sigterm_saves_and_the_run_goes_on_with_the_same_bytes(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    run(small_data, settings, tmp_path / "whole", recorder())

    class Terminated(recorder):  # type: ignore[misc]
        def milestone(self, name: str) -> None:
            super().milestone(name)
            if self.milestones.count("train.stepped") == 1 and name == "train.stepped":
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match=r"stopped by SIGTERM after step 1; its checkpoint is written") as stopped:
        run(small_data, settings, tmp_path / "stopped", Terminated())
    assert stopped.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert [path.name for path in (tmp_path / "stopped" / "checkpoints").glob("step-*")] == ["step-00000001"]
    again = recorder()
    run(small_data, settings, tmp_path / "stopped", again)
    assert "training continues after step 1 of 6" in again.lines
    assert folder_bytes(tmp_path / "stopped" / "out") == folder_bytes(tmp_path / "whole" / "out")


def test_a_full_disk_leaves_the_last_checkpoint(
    small_data: list[Example],
    settings: TuneSettings,
    tmp_path: Path,
    recorder: Any,
    folder_bytes: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(small_data, settings, tmp_path / "whole", recorder())
    save, calls = checkpoint_module.save_file, []

    def full(tensors: Any, path: Path) -> None:
        calls.append(path.name)
        if len(calls) > 5:
            path.write_bytes(b"half of i")
            raise OSError(28, "No space left on device")
        save(tensors, path)

    monkeypatch.setattr(checkpoint_module, "save_file", full)
    folder = tmp_path / "full"
    with pytest.raises(StorageError, match=r"could not be written.*Free some space.*step-0000000\d stays"):
        run(small_data, settings, folder, recorder())
    left = sorted(path.name for path in (folder / "checkpoints").iterdir() if path.name != "lock")
    assert left == ["step-00000002", "step-00000003"], "nothing half written"
    assert not (folder / "out" / "model").exists()
    monkeypatch.setattr(checkpoint_module, "save_file", save)
    run(small_data, settings, folder, recorder())
    assert folder_bytes(folder / "out") == folder_bytes(tmp_path / "whole" / "out")


@pytest.mark.slow
@needs_root
def test_a_disk_that_is_really_full(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    run(small_data, settings, tmp_path / "whole", recorder())
    first, *_ = (tmp_path / "whole" / "checkpoints").glob("step-*")
    size = sum(path.stat().st_size for path in first.rglob("*")) // 1024
    # Room for two checkpoints and a half: the third is written before the first is removed.
    with small_disk(tmp_path / "disk", f"{size * 5 // 2}k") as disk:
        with pytest.raises(StorageError, match=r"could not be written.*Free some space"):
            run(small_data, settings, disk, recorder())
        assert not list(disk.rglob("*.partial*")), "nothing half written"
        enlarge(disk, "512m")
        again = recorder()
        run(small_data, settings, disk, again)
        assert any(line.startswith("training continues after step") for line in again.lines)
        assert folder_bytes(disk / "out") == folder_bytes(tmp_path / "whole" / "out")


def test_two_processes_in_one_folder(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    with (
        locked(tmp_path / "checkpoints" / "lock", purpose="heedful tune"),
        pytest.raises(ProjectError, match=rf"checkpoints is in use by `heedful tune` \(process {os.getpid()}\)"),
    ):
        run(small_data, settings, tmp_path, recorder())
    run(small_data, settings, tmp_path, recorder())


@pytest.mark.parametrize("kept", [1, 3])
def test_as_many_checkpoints_stay_as_wanted(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, kept: int
) -> None:
    # Saved after steps 2, 4 and 6, and whenever the validation loss is the best so far.
    result = run(small_data, changed(settings, keep_checkpoints=kept), tmp_path, recorder())
    saved = {2, 4, 6}
    best = math.inf
    for entry in result.history:
        if entry.get("validation_loss", math.inf) < best:
            best = entry["validation_loss"]
            saved.add(entry["step"])
    expected = [f"step-{step:08d}" for step in sorted(saved)[-kept:]]
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*")) == expected
    assert json.loads((tmp_path / "out" / "history.json").read_text()) == result.history
    assert torch.are_deterministic_algorithms_enabled() is False
