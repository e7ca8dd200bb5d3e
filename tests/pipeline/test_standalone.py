"""Single stages on files: any known format in, one file out, nothing lost on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heedful.cli import main
from heedful.records import read_examples


def written(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_import_writes_examples_and_keeps_preferences_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = written(tmp_path / "rows.jsonl", [{"指令": "说你好。", "输入": "", "输出": "你好"}])
    pairs = written(tmp_path / "pairs.jsonl", [{"prompt": "Hi?", "chosen": "Hello!", "rejected": "No."}])
    out = tmp_path / "out.jsonl"
    assert main(["import", rows, pairs, "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["examples"], result["preferences"]) == (1, 1)
    assert json.loads(out.read_text(encoding="utf-8"))["messages"][-1]["content"] == "你好"
    kept = json.loads((tmp_path / "out.preferences.jsonl").read_text(encoding="utf-8"))
    assert (kept["chosen"], kept["rejected"]) == ("Hello!", "No.")


def test_curate_writes_kept_and_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [{"instruction": f"Name number {n}.", "output": f"It is {n}."} for n in range(20)]
    path = written(tmp_path / "rows.jsonl", [*rows, rows[0], {"instruction": "Say nothing.", "output": ""}])
    out = tmp_path / "clean.parquet"
    assert main(["curate", path, "--out", str(out), "--json"]) == 0
    funnel = json.loads(capsys.readouterr().out)["funnel"]
    kept, dropped = read_examples(out), read_examples(tmp_path / "clean.dropped.parquet")
    assert funnel["received"] == 22 == len(kept) + len(dropped)
    assert {row.meta_value("dropped_because") for row in dropped} >= {"empty_answer"}
    assert {row.split for row in kept} == {"train", "validation", "test"}


def test_tuning_rows_without_a_split_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "rows.jsonl", [{"instruction": "Say yes.", "output": "yes"}])
    assert main(["tune", path, "--out", str(tmp_path / "model")]) == 2
    assert "heedful curate FILE" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
