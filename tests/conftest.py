"""What all tests share: where the development data lies, and a cache folder that tests may fill."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from heedful.models import LoadedModel
    from small_project import Project

ROOT = Path(__file__).resolve().parent.parent

# Equal bits are promised on the processor, and most of what is tested is what it does. Processes of tests inherit it.
os.environ.setdefault("HEEDFUL_DEVICE", "cpu")

# A shell's background job starts with Ctrl-C ignored, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: at the end two processes should have something to do."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real public data for development, not part of the project: `$HEEDFUL_SHARED_DATA` or `../shared/data`.

    Where it is absent, tests on it skip; with CI=true they fail, unless HEEDFUL_SHARED_DATA=none says that it is.
    """
    named = os.environ.get("HEEDFUL_SHARED_DATA", "")
    if named == "none":
        pytest.skip("HEEDFUL_SHARED_DATA=none: there is no development data here")
    folder = Path(named or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        message = f"development data not found at {folder}; set HEEDFUL_SHARED_DATA to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a two-layer Llama and a byte-level tokenizer, made in a moment."""
    from heedful.models.scratch import tiny_llama

    return tiny_llama(tmp_path_factory.mktemp("tiny_model"), seed=0)


@pytest.fixture(scope="session")
def tiny_project(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project of the tiny model. Copy its folder before you change anything."""
    from small_project import tiny_project

    return tiny_project(tmp_path_factory.mktemp("tiny_project") / "tiny", tiny_model)


@pytest.fixture(scope="session")
def smollm2() -> LoadedModel:
    """The real model; converted into the cache when a test first asks for it. Never change it in place."""
    from heedful.errors import ModelError
    from heedful.models import PACKAGES, folder_of, load

    name = next(iter(PACKAGES))
    try:
        folder_of(name)
    except ModelError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    return load(name)
