"""The whole loop on a small profile, run once for all tests here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from small_project import Project, small_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was run to its end without interruption. Tests copy it before they change anything."""
    project = small_project(tmp_path_factory.mktemp("e2e") / "small")
    process = project.heedful("run")
    assert process.returncode == 0, process.stderr
    return project


@pytest.fixture
def copied(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to be changed."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Project(tmp_path / "copy")
