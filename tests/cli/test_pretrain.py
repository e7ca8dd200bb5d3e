"""`heedful pretrain` on files and in a project: the folder it leaves, a kill in the middle, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from heedful.cli import main
from heedful.project import Silent
from heedful.project.atomic import read_json

TEXT = "the red cat sees a bird. the blue dog hears the cat. 今天天气很好，我们去公园散步。\n" * 40
SMALL = [
    word
    for value in ("size=1x32", "vocabulary_size=512", "context_length=32", "budget=6 steps", "checkpoint_every=2")
    for word in ("--set", f"pretrain.{value}")
]


class Killer(Silent):
    """Breaks off after the third step."""

    steps = 0

    def milestone(self, name: str) -> None:
        self.steps += name == "train.stepped"
        if self.steps == 3:
            raise KeyboardInterrupt


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "one.txt").write_text(TEXT, encoding="utf-8")
    (folder / "two.txt").write_text(TEXT.replace("cat", "fish"), encoding="utf-8")
    return folder


def test_pretrain_on_files(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pretrain", str(texts / "*.txt"), "--out", str(tmp_path / "killed"), *SMALL, "--json"]
    assert main(command, watcher=Killer()) == 130
    assert not (tmp_path / "killed").exists()
    capsys.readouterr()
    assert main(command, watcher=Silent()) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["num_steps"] == 6
    assert 0 < result["bits_per_byte"] < 9
    assert result["tokens_per_second"] > 0
    command[3] = str(tmp_path / "whole")
    assert main(command, watcher=Silent()) == 0
    one, other = (tmp_path / name / "model" / "model.safetensors" for name in ("killed", "whole"))
    assert one.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "texts", "whole"], (
        "nothing is left lying about"
    )
    tokenizer = AutoTokenizer.from_pretrained(one.parent)
    written = AutoModelForCausalLM.from_pretrained(one.parent).generate(
        **tokenizer("the red", return_tensors="pt"), max_new_tokens=3
    )
    assert tokenizer.decode(written[0]).startswith("the red")


def test_pretrain_in_a_project(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "project"
    assert main(["init", str(project)]) == 0
    (project / "documents" / "one.txt").write_text(TEXT, encoding="utf-8")
    command = ["pretrain", "--project", str(project), *SMALL, "--json"]
    capsys.readouterr()
    assert main(command, watcher=Killer()) == 130
    assert main(command, watcher=Silent()) == 0
    outcomes: list[Any] = json.loads(capsys.readouterr().out)
    assert [outcome["stage"] for outcome in outcomes] == ["import", "pretrain"]
    folder = Path(outcomes[1]["folder"])
    assert read_json(folder / "pretraining.json")["num_steps"] == 6
    assert (folder / "model" / "model.safetensors").is_file()
    assert not list((project / ".heedful" / "checkpoints").glob("pretrain-*"))
    assert main(command, watcher=Silent()) == 0
    assert not any(outcome["built"] for outcome in json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("content", "extra", "message"),
    [
        ("", [], "the file is empty"),
        ("too small", [], "fewer than one row of 32"),
        (TEXT, ["--set", "pretrain.budget=soon"], "10 minutes"),
        (TEXT, ["--set", "pretrain.objective=masked"], "llama cannot learn so"),
        (TEXT, ["--set", "pretrain.sise=tiny"], "did you mean 'size'"),
    ],
)
def test_refused(
    content: str, extra: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.txt"
    path.write_text(content, encoding="utf-8")
    assert main(["pretrain", str(path), "--out", str(tmp_path / "out"), *SMALL, *extra], watcher=Silent()) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
