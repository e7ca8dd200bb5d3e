"""What the current artefacts know of every row, document and seed: the nodes of the lineage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from heedful.errors import ProjectError
from heedful.pipeline.graph import Graph
from heedful.project.lineage import Lineage, Node
from heedful.records import Example, read_documents, read_examples


def lineage(graph: Graph) -> Lineage:
    """The lineage over everything that is built for the current settings; raises ProjectError when nothing is."""
    return Lineage(_nodes(built_folders(graph)))


def built_folders(graph: Graph, *, until: str | None = None) -> dict[str, Path]:
    """Current artefacts by stage, of those up to `until`; raises ProjectError when there is none."""
    folders = {
        item.stage.name: graph.store.folder(item.stage.name, item.key)
        for item in graph.plan(until=until)
        if item.manifest is not None and item.key is not None
    }
    if not folders:
        raise ProjectError("nothing is built here yet; `heedful run` builds it")
    return folders


def _nodes(folders: dict[str, Path]) -> Iterator[Node]:
    if "import" in folders:
        yield from _imported(folders["import"])
    if "construct" in folders:
        for row in read_examples(folders["construct"] / "examples.parquet"):
            yield Node(row.id, "construct", _made_by(row), row.parents, _shown(row))
    if "curate" in folders:
        yield from _curated(folders["curate"])
    if "tune" in folders:
        yield from _trained(folders["curate"], folders["tune"])
    if "evaluate" in folders:
        yield from _evaluated(folders["evaluate"])


def _imported(folder: Path) -> Iterator[Node]:
    for document in read_documents(folder / "documents.parquet"):
        what = f"document {document.title!r} from {document.source}, {len(document.sections)} sections"
        yield Node(document.id, "import", what + (f", license {document.license}" if document.license else ""))
    for row in read_examples(folder / "examples.parquet"):
        place = row.meta_value("place", "")
        yield Node(row.id, "import", f"read from {row.source}{f', {place}' if place else ''}", row.parents, _shown(row))


def _made_by(row: Example) -> str:
    built_from = ", ".join(f"{kind} {value}" for kind, value in sorted(row.groups.items()))
    return f"made by {row.method} ({row.task})" + (f" from {built_from}" if built_from else "")


def _curated(folder: Path) -> Iterator[Node]:
    for row in read_examples(folder / "data.parquet"):
        yield Node(
            row.id, "curate", f"kept in split {row.split}; content {row.content_hash[:12]}", row.parents, _shown(row)
        )
    for row in read_examples(folder / "dropped.parquet"):
        yield Node(row.id, "curate", f"dropped: {row.meta_value('dropped_because')}", row.parents, _shown(row))


def _trained(curated: Path, folder: Path) -> Iterator[Node]:
    for row in read_examples(curated / "data.parquet"):
        if row.split == "train":
            yield Node(row.id, "tune", f"trained into {folder.parent.name}/{folder.name[:12]}", row.parents)


def _evaluated(folder: Path) -> Iterator[Node]:
    scores: dict[str, list[str]] = {}
    for score in pq.read_table(folder / "scores.parquet").to_pylist():
        scores.setdefault(score["item_id"], []).append(f"{score['system']} {score['metric']} {score['value']:.3f}")
    for item, values in scores.items():
        yield Node(item, "evaluate", "; ".join(values))


def _shown(row: Example, width: int = 160) -> str:
    lines = []
    for message in row.messages:
        text = " ".join(message.content.split())
        lines.append(f"{message.role}: {text if len(text) <= width else text[: width - 1] + '…'}")
    return "\n".join(lines)
