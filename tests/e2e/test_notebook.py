"""The tutorial, in both languages: it runs from top to bottom on the real model, and lies in the repository unrun."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOTEBOOKS = ("tutorial.ipynb", "tutorial.zh.ipynb")


def cells(name: str, kind: str) -> list[Any]:
    notebook = nbformat.read(DOCS / name, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def without_words(source: str) -> str:
    """The code's shape: texts and comments are what differs between languages."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_stripped(name: str) -> None:
    for cell in cells(name, "code"):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_both_languages_tell_the_same_story() -> None:
    english, chinese = (cells(name, "markdown") for name in NOTEBOOKS)
    assert len(english) == len(chinese)
    for ours, theirs in zip(english, chinese, strict=True):
        assert ours.id == theirs.id
        assert not re.search(r"[\u4e00-\u9fff]", ours.source)
        assert re.search(r"[\u4e00-\u9fff]", theirs.source)
    for ours, theirs in zip(*(cells(name, "code") for name in NOTEBOOKS), strict=True):
        assert without_words(ours.source) == without_words(theirs.source)


@pytest.mark.model
@pytest.mark.slow
# Both hold the same code; the second one by name.
@pytest.mark.parametrize("name", [NOTEBOOKS[0], pytest.param(NOTEBOOKS[1], marks=pytest.mark.long)])
def test_the_tutorial_runs_offline(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    from nbclient import NotebookClient

    # The kernel inherits the environment: whoever asks the network gets no answer, and folders land in tmp_path.
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable, value in {
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(tempfile, "tempdir", None)
    notebook = nbformat.read(DOCS / name, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    said = "\n".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    shown = [key for cell in notebook.cells for output in cell.get("outputs", []) for key in output.get("data", {})]
    assert "exact_duplicate" in said
    assert "6 of 6 examples made" in said
    assert re.search(r"import: document '(The library|图书馆)", said), "the lineage ends at a document"
    assert re.search(r"[✓✗] ", said), "the requirement was checked"
    assert {"text/markdown", "image/svg+xml"} <= set(shown), "the results are a table and a plot"
    (report,) = tmp_path.rglob("my-assistant/report.html")
    assert report.stat().st_size > 10_000
    assert not [
        output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"
    ]
