"""What all tests share: where the development data lies, and a cache folder that tests may fill."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real public data for development, not part of the project: `$HEEDFUL_SHARED_DATA` or `../shared/data`."""
    folder = Path(os.environ.get("HEEDFUL_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        message = f"development data not found at {folder}; set HEEDFUL_SHARED_DATA to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
