"""Rules that we would be sorry to lose: imports point one way, functions stay short, `--help` stays quick to import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "heedful"

ORDER = (
    # foundation
    ("_quiet", "_lazy", "errors", "records", "text", "statistics", "project"),
    # knowledge
    ("requirements", "constraints", "metrics", "models", "render", "task_prompts", "generate", "judge", "sandbox"),
    # stages
    ("sources", "construct", "curate", "train", "evaluate", "induce", "feedback", "report", "starter"),
    # whole
    ("pipeline", "api", "serve", "cli", "__main__"),
)
RANK = {name: rank for rank, name in enumerate(name for block in ORDER for name in block)}
STAGES = ORDER[2]


def room(path: Path) -> str:
    """`train` for train/loop.py, `records` for records.py."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, room) of every import of our own package, also those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports from the package's root: they show their direction"
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "heedful"
                else [node.module or ""]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "heedful" and len(parts) > 1:
                yield node.lineno, parts[1]


def files() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_upwards_only(path: Path) -> None:
    own = room(path)
    assert own in RANK, f"{own} is not in the tree of the design: give it a place in ORDER"
    for line, other in imported_rooms(ast.parse(path.read_text(encoding="utf-8"))):
        if other in ("__version__", own):
            continue
        assert RANK[other] < RANK[own], (
            f"{path.relative_to(SOURCE)}:{line}: {own} may not import {other}, which comes after it. "
            f"Data flows one way; move what both need up, or hand it in as an argument"
        )


def test_stages_do_not_know_each_other() -> None:
    # report renders what evaluate wrote; all others meet through records on disk.
    allowed = {("report", "evaluate")}
    for path in files():
        own = room(path)
        for line, other in imported_rooms(ast.parse(path.read_text(encoding="utf-8"))):
            if own in STAGES and other in STAGES and own != other:
                assert (own, other) in allowed, f"{path.relative_to(SOURCE)}:{line}: stage {own} imports stage {other}"


def test_functions_stay_short() -> None:
    lengths = [
        (node.end_lineno - node.lineno + 1, f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}")
        for path in files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    ]
    long = sorted(item for item in lengths if item[0] > 60)
    assert len(long) <= 0.02 * len(lengths), f"{len(long)} of {len(lengths)} functions are over 60 lines: {long}"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(SOURCE))
        for path in files()
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent, f"no first lines that say what the file is for: {silent}"


def test_no_pickle_no_eval() -> None:
    forbidden = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not forbidden & {name.split(".")[0] for name in names}, f"{path.relative_to(SOURCE)} imports {names}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, f"{path.relative_to(SOURCE)}:{node.lineno} runs code"
