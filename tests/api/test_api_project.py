"""A project from Python is the project of the commands: the same rows, results, settings and errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import heedful
from heedful.cli import main
from heedful.errors import InputError, ProjectError, SettingsError
from heedful.project.locks import locked
from heedful.records import Example
from small_project import Project


@pytest.fixture
def copied(tiny_project: Project, tmp_path: Path) -> Path:
    shutil.copytree(tiny_project.folder, tmp_path / "copy")
    return tmp_path / "copy"


def test_it_reads_what_the_commands_read(tiny_project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project = heedful.open(tiny_project.folder)
    folder = str(tiny_project.folder)
    assert main(["inspect", "data", "--project", folder, "--kept", "--limit", "999", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["rows"]
    rows = project.rows()
    assert [row.id for row in rows] == [row["id"] for row in shown]
    assert all(isinstance(row, Example) for row in rows)
    by_split = {name: len(project.rows(name)) for name in ("train", "validation", "test")}
    assert sum(by_split.values()) == len(rows) == 18

    assert main(["inspect", "lineage", rows[0].id, "--project", folder]) == 0
    assert str(project.lineage(rows[0].id[:9])) == capsys.readouterr().out.rstrip("\n")

    assert project.results["meta"]["n"] == 3
    assert project.report.read_bytes() == (tiny_project.folder / "report.html").read_bytes()
    assert project.settings.project.name == "tiny"


def test_rows_pass_all_filters(tiny_project: Project) -> None:
    project = heedful.open(tiny_project.folder)
    templates = project.rows(method="templates", source="*tea*")
    assert 0 < len(templates) < len(project.rows())
    assert {row.method for row in templates} == {"templates"}
    assert all("tea" in row.source for row in templates)
    assert project.rows(language="zh") == [row for row in project.rows() if row.language == "zh"] != []
    assert project.rows(search="TEA IS A DRINK") != []
    assert project.rows(id=templates[0].id[:10]) == [templates[0]]
    assert project.rows(reason="refusal") == []


def test_overrides_stay_in_force(copied: Path) -> None:
    project = heedful.open(copied)
    before = project.rows()
    outcomes = project.run(until="curate", curate={"test_share": 0.5}, **{"curate.validation_share": 0.0})
    assert [(str(outcome).split()[0], outcome.built) for outcome in outcomes] == [
        ("import", False),
        ("construct", False),
        ("curate", True),
    ]
    assert (project.settings.curate.test_share, project.settings.curate.validation_share) == (0.5, 0.0)
    assert len(project.rows("test")) > len([row for row in before if row.split == "test"])
    assert any("rows" in note for note in project.notes), "what the run said is kept"
    with pytest.raises(ProjectError, match="'evaluate' is not built for these settings"):
        _ = project.results
    # The folder itself is unchanged.
    assert heedful.open(copied).rows() == before
    assert heedful.open(copied, curate={"test_share": 0.5, "validation_share": 0.0}).rows() == project.rows()


def test_dropped_rows_carry_their_reason(copied: Path) -> None:
    seeds = copied / "seeds.jsonl"
    bad = {"instruction": "Who are you?", "output": "As an AI language model, I cannot say."}
    seeds.write_text(seeds.read_text(encoding="utf-8") + json.dumps(bad) + "\n", encoding="utf-8")
    project = heedful.open(copied)
    with pytest.raises(ProjectError, match="`heedful run` builds it"):
        project.rows()
    project.run(until="curate")
    (row,) = project.rows(dropped=True)
    assert row.meta_value("dropped_because") == "refusal"
    assert project.rows(reason="refus*") == [row]
    assert row not in project.rows()
    assert len(project.rows(dropped=None)) == len(project.rows()) + 1


def test_the_tuned_model_answers(tiny_project: Project) -> None:
    with heedful.open(tiny_project.folder).generator() as answer:
        assert answer("Say yes.", max_tokens=4).usage.completion_tokens <= 4


def test_progress_is_drawn_only_for_who_asks(tiny_project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    heedful.open(tiny_project.folder).run()
    with heedful.open(tiny_project.folder).generator():
        pass
    assert capsys.readouterr() == ("", "")
    rows = tiny_project.folder / "seeds.jsonl"
    heedful.curate(rows, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "curate: 5 steps" in captured.err


def test_mistakes_are_our_errors(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="heedful init"):
        heedful.open(tmp_path / "absent")
    with pytest.raises(
        SettingsError, match=r"settings given in Python: unknown setting 'tune.epoch'; did you mean 'epochs'"
    ):
        heedful.open(copied, tune={"epoch": 2})
    project = heedful.open(copied)
    with pytest.raises(SettingsError, match=r"tune\.epochs = 0"):
        project.run(**{"tune.epochs": 0})
    with pytest.raises(SettingsError, match=r"setting 'epochs': expected section\.key"):
        project.run(epochs=2)
    assert project.settings.tune.epochs == 1, "a refused override is not kept"
    with pytest.raises(ProjectError, match="did you mean 'curate'"):
        project.run(until="curat")
    with pytest.raises(InputError, match="expected one of train, validation, test"):
        project.rows("tset")
    with pytest.raises(InputError, match="dropped=True"):
        project.rows("dropped")
    with pytest.raises(InputError, match="heedful inspect data"):
        project.lineage("zzz")
    with locked(copied / ".heedful", purpose="heedful run"), pytest.raises(ProjectError, match="in use by"):
        project.run()


def test_a_new_project_runs(tmp_path: Path, tiny_model: Path) -> None:
    project = heedful.init(tmp_path / "mine")
    (project.root / "seeds.jsonl").write_text('{"instruction": "Say yes.", "output": "yes"}\n')
    (outcome,) = project.run(until="import", import_={"documents": []})
    assert outcome.manifest.counts["examples"] == 1
    with pytest.raises(ProjectError, match="holds a project already"):
        heedful.init(tmp_path / "mine")
