"""`verify resume`: killed and continued runs end with the same bits, and the proof finds it when they do not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import InputError, RunError
from heedful.project import Silent, read_json, write_json
from heedful.records import Example
from heedful.train import TuneSettings
from heedful.train.verifying.resuming import dying_after, prove_resume, train_job


class DiedError(Exception):
    """Stands for the end of a process."""


def die() -> None:
    raise DiedError


def here(folder: Path, name: str, step: int) -> int:
    """A process's work in this one: what lies on disk afterwards is the same, and importing torch again takes seconds."""
    try:
        train_job(folder, name, dying_after(folder, name, step, die))
    except DiedError:
        return -9
    return 0


@pytest.fixture
def settings(tiny_model: Path) -> TuneSettings:
    """With dropout, so that a continued run must also draw the same numbers; batches of unequal rows."""
    return TuneSettings(
        model=str(tiny_model), precision="float32", batch_size=3, lora_rank=2, lora_dropout=0.2, learning_rate=0.01
    )


def test_it_holds(small_data: list[Example], settings: TuneSettings) -> None:
    proof = prove_resume(small_data, settings, seed=4, watcher=Silent(), steps=6, launch=here)
    assert proof.holds
    assert proof.num_steps == 6
    assert len(set(proof.killed_after)) == 3
    assert all(start <= step for step, start in zip(proof.killed_after, proof.continued_from, strict=True))
    assert any(proof.continued_from), "something was continued, not only begun again"
    assert set(proof.hashes) == {"history.json", "model/adapter_model.safetensors"}
    assert proof.describe().endswith("resuming holds: every bit is equal")
    assert proof.as_dict()["holds"] is True


@pytest.mark.parametrize("fault", ["seed", "learning_rate"])
def test_a_run_that_goes_on_otherwise_is_found(small_data: list[Example], settings: TuneSettings, fault: str) -> None:
    def forgetful(folder: Path, name: str, step: int) -> int:
        """After the first interruption all checkpoints are lost, and another seed or rate is used."""
        if name == "interrupted" and (folder / name).is_dir():
            job = read_json(folder / "job.json")
            if fault == "seed":
                write_json(folder / "job.json", {**job, "seed": 99})
            else:
                changed = {**job["settings"], "learning_rate": 0.02}
                write_json(folder / "job.json", {**job, "settings": changed})
            for path in (folder / name / "checkpoints").glob("step-*"):
                shutil.rmtree(path)
        return here(folder, name, step)

    proof = prove_resume(small_data, settings, seed=4, watcher=Silent(), steps=6, launch=forgetful)
    assert not proof.holds
    assert "DIFFERENT" in proof.describe()
    assert "IS BROKEN" in proof.describe()


def test_a_moment_that_is_not_restored_is_found(
    small_data: list[Example], settings: TuneSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heedful.train.optimizer import MasterAdamW

    restore = MasterAdamW.restore

    def half(self: Any, moments: Any) -> None:
        restore(
            self, {name: value * 0.5 if name.startswith("exp_avg_sq/") else value for name, value in moments.items()}
        )

    monkeypatch.setattr(MasterAdamW, "restore", half)
    proof = prove_resume(small_data, settings, seed=4, watcher=Silent(), steps=6, launch=here)
    assert not proof.holds


def test_what_proves_nothing_is_an_error(small_data: list[Example], settings: TuneSettings) -> None:
    with pytest.raises(InputError, match="--steps 4 or more"):
        prove_resume(small_data, settings, seed=4, watcher=Silent(), steps=3)
    with pytest.raises(RunError, match="exit code 1"):
        prove_resume(small_data, settings, seed=4, watcher=Silent(), launch=lambda *_: 1)

    def immortal(folder: Path, name: str, step: int) -> int:
        return here(folder, name, 0)

    with pytest.raises(RunError, match="nothing was proven"):
        prove_resume(small_data, settings, seed=4, watcher=Silent(), launch=immortal)


def test_few_rows_are_read_more_often(small_data: list[Example], settings: TuneSettings) -> None:
    proof = prove_resume(small_data[:2], settings, seed=4, watcher=Silent(), steps=5, launch=here)
    assert proof.holds
    assert proof.num_steps == 5
