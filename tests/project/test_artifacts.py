"""Artefacts and atomic writing: complete or absent, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from heedful.errors import InputError, ProjectError
from heedful.project import ArtifactStore, Silent, atomic_folder, atomic_write, write_json
from heedful.project.artifacts import artifact_key
from heedful.project.atomic import remove_partials
from heedful.project.folder import Project
from heedful.project.lineage import Lineage, Node
from heedful.project.locks import locked


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_write_keeps_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    write_json(path, [1])
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "[\n 1\n]\n"
    assert names(tmp_path) == ["rows.json"]


def test_atomic_write_leaves_ordinary_permissions(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {})
    (tmp_path / "b.json").write_text("{}")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b.json").stat().st_mode


def test_atomic_folder_is_absent_when_the_block_fails_and_replaced_when_it_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:
        (folder / "file").write_text("half")
        raise RuntimeError
    assert names(tmp_path) == []
    for text in ("first", "second"):
        with atomic_folder(target) as folder:
            (folder / text).write_text(text)
    assert names(target) == ["second"]


def test_a_killed_writer_leaves_only_what_remove_partials_removes(tmp_path: Path) -> None:
    code = (
        "import os, signal, pathlib\n"
        "from heedful.project import atomic_folder\n"
        f"with atomic_folder(pathlib.Path({str(tmp_path / 'made')!r})) as folder:\n"
        "    (folder / 'half').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.run([sys.executable, "-c", code], check=False)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "made").exists()
    assert len(names(tmp_path)) == 1
    remove_partials(tmp_path)
    assert names(tmp_path) == []


def test_only_our_own_leftovers_are_removed_where_people_keep_files(tmp_path: Path) -> None:
    for name in (".report.html.x1y2.partial", ".film.partial", "report.html.partial", "notes.partial"):
        (tmp_path / name).write_text("text")
    remove_partials(tmp_path, "report.html")
    assert names(tmp_path) == [".film.partial", "notes.partial", "report.html.partial"]


def test_store_builds_seals_and_notices_missing_files(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, Silent())
    key = artifact_key("curate", 1, {"seed": 1}, {"import": "abc"})
    assert store.manifest("curate", key) is None
    with store.build("curate", 1, key, settings={"seed": 1}, inputs={"import": "abc"}) as draft:
        (draft.folder / "data.txt").write_text("rows")
        (draft.folder / "report.html").write_text("<p>")
        draft.counts["kept"] = 4
    manifest = store.manifest("curate", key)
    assert manifest is not None
    assert manifest.counts == {"kept": 4}
    assert set(manifest.files) == {"data.txt", "report.html"}
    assert manifest.versions["torch"].startswith("2.")
    (store.folder("curate", key) / "data.txt").unlink()
    assert store.manifest("curate", key) is None, "an artefact with a file gone must be built again"


def test_content_hash_speaks_of_results_only(tmp_path: Path) -> None:
    hashes = []
    for number, page in enumerate(["<p>10:00", "<p>11:00"]):
        store = ArtifactStore(tmp_path / str(number), Silent())
        with store.build("evaluate", 1, "k", settings={}, inputs={}) as draft:
            (draft.folder / "scores.txt").write_text("0.5")
            (draft.folder / "report.html").write_text(page)
        manifest = store.manifest("evaluate", "k")
        assert manifest is not None
        hashes.append(manifest.content_hash)
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    "change",
    [
        ("tune", 1, {"seed": 1}, {"a": "x"}),
        ("curate", 2, {"seed": 1}, {"a": "x"}),
        ("curate", 1, {"seed": 2}, {"a": "x"}),
        ("curate", 1, {"seed": 1}, {"a": "y"}),
    ],
)
def test_every_part_changes_the_key(change: tuple[str, int, dict[str, int], dict[str, str]]) -> None:
    assert artifact_key(*change) != artifact_key("curate", 1, {"seed": 1}, {"a": "x"})


def test_lock_refuses_a_second_process_and_survives_a_killed_one(tmp_path: Path) -> None:
    state = tmp_path / "project" / ".heedful"
    code = (
        "import time, pathlib\n"
        "from heedful.project.locks import locked\n"
        f"with locked(pathlib.Path({str(state)!r}), purpose='heedful run'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    try:
        with (
            pytest.raises(ProjectError, match=rf"in use by `heedful run` \(process {process.pid}\)"),
            locked(state, purpose="x"),
        ):
            pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with locked(state, purpose="again"):
        assert "again" in (state / "lock.holder").read_text()


def test_project_open_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="heedful init"):
        Project.open(tmp_path / "absent")
    with pytest.raises(ProjectError, match=r"no heedful\.toml here"):
        Project.open(tmp_path)


def test_lineage_walks_back_through_stages_and_parents() -> None:
    lineage = Lineage(
        [
            Node("doc1", "import", "document 'json'"),
            Node("row1", "construct", "made by templates", ("doc1",)),
            Node("row1", "curate", "kept in split train", ("doc1",)),
        ]
    )
    trail = lineage.trace(lineage.resolve("row"))
    assert [(a.depth, a.node.stage) for a in trail] == [(0, "curate"), (0, "construct"), (1, "import")]
    assert "    doc1  import: document 'json'" in str(trail)


def test_lineage_survives_a_cycle_and_an_unknown_parent() -> None:
    lineage = Lineage([Node("a", "construct", "made", ("b",)), Node("b", "construct", "made", ("a", "gone"))])
    assert [(a.node.id, a.depth) for a in lineage.trace("a")] == [("a", 0), ("b", 1), ("gone", 2)]


def test_lineage_prefix_must_be_unique() -> None:
    lineage = Lineage([Node("abc", "import", ""), Node("abd", "import", "")])
    with pytest.raises(InputError, match="2 ids start with"):
        lineage.resolve("ab")
    with pytest.raises(InputError, match="no row"):
        lineage.resolve("x")
    with pytest.raises(InputError, match="no row"):
        lineage.resolve("")
