"""Files, folders, globs and addresses: which files are found, and what they are called."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import InputError
from heedful.sources import read_records
from heedful.sources.files import locate

ROW = json.dumps({"instruction": "a", "output": "b"})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.jsonl",
        "a.jsonl",
        "deep/c.jsonl",
        "deep/er/d.csv",
        ".git/x.jsonl",
        "deep/.hidden.jsonl",
        "odd[1].jsonl",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ROW)
    return tmp_path


def names(*paths: str | Path) -> list[str]:
    return [located.name for located in locate(paths)]


def test_a_folder_in_order_without_hidden_files(tree: Path) -> None:
    assert names(tree) == ["a.jsonl", "b.jsonl", "deep/c.jsonl", "deep/er/d.csv", "odd[1].jsonl"]


def test_globs(tree: Path) -> None:
    assert names(f"{tree}/*.jsonl") == ["a.jsonl", "b.jsonl", "odd[1].jsonl"]
    assert names(f"{tree}/**/*.jsonl") == ["a.jsonl", "b.jsonl", "deep/c.jsonl", "odd[1].jsonl"]
    assert names(f"{tree}/deep/*/d.*") == ["er/d.csv"]


def test_an_existing_file_is_no_glob(tree: Path) -> None:
    assert names(tree / "odd[1].jsonl") == ["odd[1].jsonl"]


def test_each_file_once_in_order_of_mention(tree: Path) -> None:
    assert names(tree / "b.jsonl", f"{tree}/*.jsonl") == ["b.jsonl", "a.jsonl", "odd[1].jsonl"]


def test_names_do_not_depend_on_where_the_folder_lies(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert names("deep") == names(tree / "deep") == ["c.jsonl", "er/d.csv"]
    assert names("deep/c.jsonl") == ["c.jsonl"]


def test_shared_names_get_as_many_folders_as_needed(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "x" / "data.jsonl" for folder in ("one", "two")] + [tmp_path / "one" / "other.jsonl"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ROW)
    assert names(*paths) == ["one/x/data.jsonl", "two/x/data.jsonl", "other.jsonl"]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path.startswith("/rows.jsonl")
        body = ROW.encode() if found else b"nothing here"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_an_address(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    result = read_records(f"{server}/rows.jsonl?download=1")
    assert (result.report[0].file, result.examples[0].answer) == ("rows.jsonl", "b")
    with pytest.raises(InputError, match=r"missing.jsonl: cannot be read \(.*404.*\); check the address"):
        read_records(f"{server}/missing.jsonl")


def test_an_address_that_is_too_much(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("heedful.sources.files.MAXIMUM_BYTES", 10)
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_records(f"{server}/rows.jsonl")


def test_an_address_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(InputError, match=r"^http://127.0.0.1:9/rows.jsonl: cannot be read \(.*local path"):
        read_records("http://127.0.0.1:9/rows.jsonl")


class _Daft:
    """Stands in for Daft where a test must not leave the machine."""

    def __init__(self, paths: list[str] | None) -> None:
        self._paths = paths

    def from_glob_path(self, pattern: str) -> _Daft:
        if self._paths is None:
            raise OSError("no\nsuch bucket")
        self.pattern = pattern
        return self

    def select(self, *columns: str) -> _Daft:
        return self

    def to_pydict(self) -> dict[str, list[str]]:
        assert self._paths is not None
        return {"path": self._paths}


@pytest.mark.parametrize("address", ["s3://bucket/data/", "s3://bucket/data/**", "s3://bucket/data/*.jsonl"])
def test_buckets_are_listed(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["s3://bucket/data/b.jsonl", "s3://bucket/data/a.jsonl"]
    monkeypatch.setattr("heedful.sources.files._daft", lambda: _Daft(found))
    assert names(address) == ["a.jsonl", "b.jsonl"]


def test_a_bucket_that_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.sources.files._daft", lambda: _Daft(None))
    with pytest.raises(InputError, match=r"hf://datasets/a/b: cannot be read \(no such bucket\); check .* credentials"):
        read_records("hf://datasets/a/b")
    monkeypatch.setattr("heedful.sources.files._daft", lambda: _Daft([]))
    with pytest.raises(InputError, match="no file there"):
        read_records("hf://datasets/a/b")
