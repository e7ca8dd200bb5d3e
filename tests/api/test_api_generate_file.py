"""`heedful.generate_file` does what the command does, and asks as `heedful.generator` does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import heedful
from heedful.cli import main
from heedful.errors import InputError, RequirementError


def test_the_command_the_function_and_a_generator_agree(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {word}.", "input": "Now."} for word in ("yes", "no", "maybe")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    summary = heedful.generate_file(
        path, tiny_model, out=tmp_path / "a.jsonl", requirements=["words=2:3"], max_tokens=9, temperature=0.7, seed=5
    )
    assert (summary["answered"], summary["out"]) == (3, str(tmp_path / "a.jsonl"))
    flags = ["--words", "2:3", "--max-tokens", "9", "--temperature", "0.7", "--seed", "5"]
    assert main(["generate", str(path), "--out", str(tmp_path / "b.jsonl"), "--model", str(tiny_model), *flags]) == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    found = [json.loads(line)["answers"] for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    with heedful.generator(tiny_model) as answer:
        expected = [
            answer(row["instruction"], row["input"], requirements=["words=2:3"], max_tokens=9, temperature=0.7, seed=5)
            for row in rows
        ]
    assert found == [[one.as_dict()] for one in expected]


def test_what_is_misspelt_is_said_before_a_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'temperature'"):
        heedful.generate_file("rows.jsonl", "no-model", out=tmp_path / "a.jsonl", temprature=1)
    with pytest.raises(RequirementError, match="did you mean 'words'"):
        heedful.generate_file("rows.jsonl", "no-model", out=tmp_path / "a.jsonl", requirements=["wrods=3"])
    with pytest.raises(InputError, match="no such file"):
        heedful.generate_file(tmp_path / "rows.jsonl", "no-model", out=tmp_path / "a.jsonl")
