"""`heedful tune --dry-run` foretells and makes nothing; what training logs lies beside the result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from heedful.cli.main import main
from heedful.project import Silent
from heedful.records import Example, Message, origin_id, write_examples


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Eight rows to train on and two to validate with."""
    path = tmp_path / "rows.parquet"
    splits: list[Any] = ["train"] * 8 + ["validation"] * 2
    write_examples(
        path,
        [
            Example(
                origin_id("test", str(number)),
                (Message("user", f"add {number} and one"), Message("assistant", f"it is {number + 1}")),
                "import",
                "test",
                split=split,
            )
            for number, split in enumerate(splits)
        ],
    )
    return path


def sets(model: Path) -> list[str]:
    values = {"model": json.dumps(str(model)), "precision": '"float32"', "epochs": 1, "lora_rank": 2}
    return [part for name, value in values.items() for part in ("--set", f"tune.{name}={value}")]


def test_a_dry_run_on_files(rows: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(tmp_path.iterdir())
    assert main(["tune", str(rows), "--dry-run", "--json", *sets(tiny_model)], watcher=Silent()) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_steps"] == 1
    assert 0 < found["low"] < found["seconds"] < found["high"]
    assert 0 < found["bytes_needed"] < found["bytes_there"]
    assert sorted(tmp_path.iterdir()) == before
    assert main(["tune", str(rows), "--dry-run", *sets(tiny_model)], watcher=Silent()) == 0
    assert capsys.readouterr().out.startswith("1 steps will take about ")


def test_a_dry_run_of_a_project(tiny_project: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "project"
    shutil.copytree(tiny_project.folder, root)
    tuned = sorted((root / ".heedful" / "artifacts" / "tune").iterdir())
    assert main(["tune", "--dry-run", "--project", str(root), "--set", "tune.epochs=7"], watcher=Silent()) == 0
    assert "steps will take about" in capsys.readouterr().out
    assert sorted((root / ".heedful" / "artifacts" / "tune").iterdir()) == tuned


def test_a_project_keeps_the_log_outside_the_artefact(tiny_project: Any) -> None:
    (folder,) = (tiny_project.folder / ".heedful" / "artifacts" / "tune").iterdir()
    log = tiny_project.folder / ".heedful" / "logs" / f"tune-{folder.name}" / "metrics.jsonl"
    history = json.loads((folder / "history.json").read_text())
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [entry["step"] for entry in history]
    assert not list(folder.rglob("metrics.jsonl"))
    report = (tiny_project.folder / "report.html").read_text()
    assert "tokens per second: from" in report
    assert "learning rate: from" in report


def test_a_log_beside_the_result(
    rows: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    sweep = ["--set", "tune.sweep={learning_rate=[0.001, 0.01]}"]
    assert main(["tune", str(rows), "--out", str(out), *sets(tiny_model), *sweep], watcher=Silent()) == 0
    assert f"each step's numbers in {out}.log" in capsys.readouterr().out
    tried = json.loads((out / "sweep.json").read_text())
    assert len(tried) == 2
    logs = {path.parent.name: len(path.read_text().splitlines()) for path in (tmp_path / "out.log").rglob("*.jsonl")}
    assert logs == {"sweep-1": 1, "sweep-2": 1}, "one step, and each candidate trained it"
    assert not list(tmp_path.glob(".out.checkpoints*"))
