"""Journals: a killed writer loses at most the line it was writing; damage elsewhere is reported, not skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.errors import StorageError
from heedful.project import Journal, Silent


def entries(path: Path) -> list[dict[str, object]]:
    with Journal(path, Silent()) as journal:
        return journal.read()


def test_entries_come_back_in_order_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    with Journal(path, Silent()) as journal:
        journal.append({"draw": 0, "text": "ein Wort, 一个词"})
        journal.append({"draw": 1, "text": "line\nbreak"})
    with Journal(path, Silent()) as journal:
        journal.append({"draw": 2})
    assert entries(path) == [{"draw": 0, "text": "ein Wort, 一个词"}, {"draw": 1, "text": "line\nbreak"}, {"draw": 2}]


def test_torn_tail_of_every_length_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, Silent()) as journal:
        journal.append({"draw": 0})
        whole = path.read_bytes()
        journal.append({"draw": 1, "text": "half"})
    both = path.read_bytes()
    for length in range(len(whole), len(both)):
        path.write_bytes(both[:length])
        assert entries(path) == [{"draw": 0}]
        assert path.read_bytes() == whole, "the torn part must go, or the next line would be glued to it"


def test_append_after_a_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, Silent()) as journal:
        journal.append({"draw": 0})
    path.write_bytes(path.read_bytes() + b'0badc0de {"draw"')
    with Journal(path, Silent()) as journal:
        journal.append({"draw": 1})
    assert entries(path) == [{"draw": 0}, {"draw": 1}]


def test_damage_in_the_middle_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, Silent()) as journal:
        for draw in range(3):
            journal.append({"draw": draw})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"1", b"7") + lines[2])
    with pytest.raises(StorageError, match=r"journal\.jsonl, line 2"):
        entries(path)


def test_a_failing_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    real_write = os.write
    with Journal(path, Silent()) as journal:
        journal.append({"draw": 0})
        calls = []

        def failing(descriptor: int, data: bytes) -> int:
            calls.append(len(data))
            if len(calls) == 1:
                return real_write(descriptor, data[:3])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", failing)
        with pytest.raises(OSError, match="No space"):
            journal.append({"draw": 1})
        monkeypatch.undo()
        journal.append({"draw": 2})
    assert entries(path) == [{"draw": 0}, {"draw": 2}]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.text(max_size=4), st.text(max_size=9) | st.integers() | st.booleans(), max_size=3),
        max_size=5,
    )
)
def test_any_json_comes_back(tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    with Journal(path, Silent()) as journal:
        for value in values:
            journal.append(value)
    assert entries(path) == values
