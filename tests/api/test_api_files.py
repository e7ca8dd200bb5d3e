"""Files from Python: reading, curating and evaluating give what the commands give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import heedful
from heedful.cli import main
from heedful.errors import InputError, SettingsError
from heedful.records import read_examples


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    values = [{"instruction": f"Name number {n}.", "output": f"It is {n}."} for n in range(20)]
    values += [values[0], {"指令": "说点什么。", "输出": ""} | {"instruction": "说点什么。", "output": ""}]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in values), encoding="utf-8")
    return path


def test_read_reports_what_it_understood(rows: Path) -> None:
    result = heedful.read(rows)
    assert len(result.examples) == 22
    assert "read as alpaca" in result.describe()
    with pytest.raises(InputError, match=r"absent\.jsonl"):
        heedful.read(rows.with_name("absent.jsonl"))
    with rows.open("a", encoding="utf-8") as file:
        file.write('{"instruction": "Sa')
    with pytest.raises(InputError, match="line 23"):
        heedful.read([rows])
    assert heedful.read(rows, on_error="skip").report[0].skipped[0].place == "line 23"


def test_curate_gives_what_the_command_writes(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "curate.test_share=0.4", "--set", "project.seed=7"]
    assert main(["curate", str(rows), "--out", str(tmp_path / "command.parquet"), *settings]) == 0
    capsys.readouterr()
    result = heedful.curate(rows, test_share=0.4, seed=7)
    assert len(result.kept) + len(result.dropped) == result.funnel["received"] == 22
    assert {reason for _, reason in result.dropped} == {"exact_duplicate", "empty_answer"}
    assert "exact_duplicates" in str(result)
    dropped = result.save(tmp_path / "api.parquet")
    for name in ("{}.parquet", "{}.dropped.parquet"):
        ours, theirs = (tmp_path / name.format(who) for who in ("api", "command"))
        assert ours.read_bytes() == theirs.read_bytes()
    assert dropped == tmp_path / "api.dropped.parquet"
    assert {row.meta_value("dropped_because") for row in read_examples(dropped)} == {"exact_duplicate", "empty_answer"}


def test_wrong_settings_and_names(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown setting 'curate\.test_shar'; did you mean 'test_share'"):
        heedful.curate(rows, test_shar=0.4)
    with pytest.raises(InputError, match=r"\.parquet or \.jsonl"):
        heedful.curate(rows).save(tmp_path / "rows.csv")


def test_a_split_that_cannot_be_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text('{"instruction": "Say yes.", "output": "yes"}\n')
    result = heedful.curate(path)
    assert result.notes, "what the command would say aloud"
    assert result.notes[0] in str(result)


def test_evaluate_compares_two_models(rows: Path, tmp_path: Path, tiny_model: Path) -> None:
    heedful.curate(rows, test_share=0.5).save(tmp_path / "clean.jsonl")
    out = tmp_path / "results"
    results = heedful.evaluate(tmp_path / "clean.jsonl", tiny_model, base=tiny_model, out=out, max_rows=2, max_tokens=3)
    assert results["meta"]["n"] == 2
    assert results["overall"]["rougeL"]["difference"] == 0, "a model is as good as itself"
    assert json.loads((out / "results.json").read_text(encoding="utf-8")) == results
