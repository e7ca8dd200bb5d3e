"""`heedful clean` removes what the settings no longer use, after asking, and nothing else, ever."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from heedful.cli import main
from heedful.feedback.store import Store
from heedful.pipeline import cleaning
from heedful.project.locks import locked
from small_project import Project

OLD = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def project(tiny_project: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, with leftovers of every kind and a store with feedback."""
    folder = tmp_path / "mine"
    shutil.copytree(tiny_project.folder, folder)
    state = folder / ".heedful"
    for stage in ("curate", "tune"):
        (state / "artifacts" / stage / OLD).mkdir()
        (state / "artifacts" / stage / OLD / "data.bin").write_bytes(b"x" * 1000)
    (state / "journals" / f"construct-{OLD}.jsonl").write_text("old\n")
    (state / "checkpoints" / f"tune-{OLD}" / "step-00000001").mkdir(parents=True)
    (state / "artifacts" / "tune" / f".{OLD}.k1ll.partial").mkdir()
    (state / "artifacts" / "tune" / f".{OLD}.k1ll.partial" / "half").write_bytes(b"y" * 10)
    store = Store(f"sqlite:///{state / 'feedback.sqlite'}")
    conversation = store.new_conversation().id
    question = store.add_message(conversation, "user", "hello", parent=None)
    store.rate(store.add_message(conversation, "assistant", "hi", parent=question.id).id, rating=1)
    store.close()
    (state / "chat_history").write_text("mine\n")
    return Project(folder)


LEFTOVERS = {
    f".heedful/artifacts/curate/{OLD}",
    f".heedful/artifacts/tune/{OLD}",
    f".heedful/journals/construct-{OLD}.jsonl",
    f".heedful/checkpoints/tune-{OLD}",
    f".heedful/artifacts/tune/.{OLD}.k1ll.partial",
}


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a project, but for what SQLite and the lock keep for themselves."""
    passing = ("-wal", "-shm", "lock")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(passing)
    }


def clean(project: Project, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main(project.arguments("clean", "--json", *arguments)) == 0
    return json.loads(capsys.readouterr().out)


def run(project: Project, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[bool, str]]:
    """Build what is stale; (built now, content hash) by stage."""
    capsys.readouterr()
    assert main(project.arguments("run", "--json")) == 0
    outcomes = json.loads(capsys.readouterr().out)
    return {outcome["stage"]: (outcome["built"], outcome["content_hash"]) for outcome in outcomes}


def paths(result: Any) -> set[str]:
    return {leftover["path"] for leftover in result["leftovers"]}


def test_it_removes_what_is_old_and_nothing_else(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(project.folder)
    looked = clean(project, capsys, "--dry-run")
    assert paths(looked) == LEFTOVERS
    assert (looked["bytes_removed"], files(project.folder)) == (0, before)
    sizes = {leftover["path"]: leftover["bytes"] for leftover in looked["leftovers"]}
    assert sizes[f".heedful/artifacts/tune/{OLD}"] == 1000
    result = clean(project, capsys, "--yes")
    assert paths(result) == LEFTOVERS
    assert all(leftover["removed"] for leftover in result["leftovers"])
    gone = set(before) - set(files(project.folder))
    assert gone == {name for name in before if any(name == old or name.startswith(f"{old}/") for old in LEFTOVERS)}
    assert clean(project, capsys, "--yes")["leftovers"] == []
    store = Store(f"sqlite:///{project.folder / '.heedful' / 'feedback.sqlite'}")
    assert [row["answer"] for row in store.export_rows()] == ["hi"]
    store.close()


def test_the_cache_goes_only_when_it_is_named(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    cache = project.folder / ".heedful" / "requests.sqlite"
    clean(project, capsys, "--yes")
    assert cache.exists()
    assert ".heedful/requests.sqlite" in paths(clean(project, capsys, "--yes", "--cache"))
    assert not cache.exists()


def test_nobody_to_ask(project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(project.folder)
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert main(project.arguments("clean")) == 2
    message = capsys.readouterr().err
    assert "--yes" in message
    assert "--dry-run" in message
    assert files(project.folder) == before


def test_artefacts_behind_a_stale_stage_cannot_be_judged(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    # Another seed may lead to the same documents: whether later artefacts are current is known after the import only.
    with (project.folder / "seeds.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n")
    result = clean(project, capsys, "--yes")
    assert result["undecided_stages"] == ["construct", "curate", "tune", "evaluate"]
    imported = {path for path in paths(result) if path.startswith(".heedful/artifacts/import/")}
    assert paths(result) == {f".heedful/artifacts/tune/.{OLD}.k1ll.partial", *imported}
    assert len(imported) == 1
    assert (project.folder / ".heedful" / "artifacts" / "tune" / OLD).is_dir()


def test_links_and_what_they_lead_to_stay(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean(project, capsys, "--yes", "--cache")
    outside = tmp_path / "outside"
    (outside / OLD).mkdir(parents=True)
    (outside / OLD / "precious").write_text("mine")
    (outside / ".x.1.partial").mkdir()
    (outside / f"tune-{OLD}").mkdir()
    state = project.folder / ".heedful"
    (state / "artifacts" / "tune" / OLD).symlink_to(outside / OLD)
    (state / "artifacts" / "import" / f".{OLD}.k1ll.partial").symlink_to(outside)
    (state / "requests.sqlite").symlink_to(outside / OLD / "precious")
    shutil.rmtree(state / "checkpoints")
    (state / "checkpoints").symlink_to(outside)
    before = files(outside)
    assert clean(project, capsys, "--yes", "--cache")["leftovers"] == []
    assert files(outside) == before
    assert (outside / f"tune-{OLD}").is_dir()


def test_what_is_called_otherwise_is_not_ours_to_judge(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    clean(project, capsys, "--yes")
    state = project.folder / ".heedful"
    (state / "artifacts" / "tune" / "my-best-model").mkdir()
    (state / "artifacts" / "pretrain" / OLD).mkdir(parents=True)
    (state / "journals" / "notes.jsonl").write_text("mine")
    (state / "checkpoints" / f"pretrain-{OLD}").mkdir(parents=True)
    (project.folder / ".report.html.1.partial").write_text("outside .heedful")
    assert clean(project, capsys, "--yes", "--cache")["leftovers"][1:] == []
    assert (state / "artifacts" / "tune" / "my-best-model").is_dir()


def test_a_project_in_use_is_left_alone(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(project.folder)
    with locked(project.folder / ".heedful", purpose="heedful run"):
        assert main(project.arguments("clean", "--yes")) == 2
    assert "in use by `heedful run`" in capsys.readouterr().err
    assert {**files(project.folder)} == before


def test_only_what_was_agreed_on_goes(project: Project) -> None:
    from heedful.pipeline.settings import load_settings
    from heedful.project.folder import Project as Folder

    opened = Folder.open(project.folder)
    settings = load_settings(opened.settings_path)
    agreed = cleaning.find_leftovers(opened, settings).leftovers
    late = opened.state / "journals" / f"construct-{OLD[::-1]}.jsonl"
    late.write_text("since then\n")
    # What became current while the question was open is no leftover any more: here, it is just gone.
    shutil.rmtree(opened.artifacts / "curate" / OLD)
    removed = cleaning.remove_leftovers(opened, settings, agreed, purpose="test")
    assert len(removed) == len(LEFTOVERS) - 1
    assert late.exists()


def test_a_kill_in_the_middle_leaves_no_half_artefact(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def dies(path: Path) -> None:
        raise Killed

    old = project.folder / ".heedful" / "artifacts" / "curate" / OLD
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(cleaning.shutil, "rmtree", dies)
        main(project.arguments("clean", "--yes"))
    assert not old.exists()
    (hidden,) = old.parent.glob(f".{OLD}.*.partial")
    assert (hidden / "data.bin").is_file()
    assert main(project.arguments("clean", "--yes")) == 0
    assert not hidden.exists()


@pytest.mark.slow
def test_it_asks_at_a_terminal(project: Project) -> None:
    before = files(project.folder)
    command = ["-m", "heedful", *project.arguments("clean")]
    child = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=120, dimensions=(50, 200))
    child.expect_exact(f".heedful/artifacts/tune/{OLD}")
    child.expect(r"Remove 5 things, 2\.0 kB\? \[y/N\]")
    child.send("\r")
    child.expect_exact("Nothing was removed")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    assert files(project.folder) == before
    child = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=120, dimensions=(50, 200))
    child.expect_exact("[y/N]")
    child.send("y\r")
    child.expect_exact("Removed 5 things")
    child.expect(pexpect.EOF)
    child.close()
    assert not (project.folder / ".heedful" / "artifacts" / "tune" / OLD).exists()


@pytest.mark.slow
def test_what_was_removed_is_rebuilt_by_run(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    before = run(project, capsys)
    assert not any(built for built, _ in before.values())
    # Seen from other settings, what these settings made is old; going back to these, it must be built again.
    other = ["--set", "tune.epochs=2"]
    result = clean(project, capsys, "--yes", "--cache", *other)
    tuned = {path for path in paths(result) if path.startswith(".heedful/artifacts/tune/")}
    assert len(tuned - LEFTOVERS) == 1
    after = run(project, capsys)
    assert [stage for stage, (built, _) in after.items() if built] == ["tune"]
    assert {stage: content for stage, (_, content) in after.items()} == {
        stage: content for stage, (_, content) in before.items()
    }
