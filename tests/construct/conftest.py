"""Small documents and seeds, and a journal in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from heedful.project import Journal, Silent
from heedful.records import Document, Example, Section, canonical_json, conversation, origin_id


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Callable[..., Journal]]:
    """Opens (again) the journal of a name."""
    opened: list[Journal] = []

    def open_one(name: str = "journal") -> Journal:
        opened.append(Journal(tmp_path / name, Silent()))
        return opened[-1]

    yield open_one
    for journal in opened:
        journal.close()


@pytest.fixture
def make_document() -> Callable[..., Document]:
    return _document


def _document(name: str, *texts: str, language: str = "en") -> Document:
    sections = tuple(Section(f"{name} part {place}", text) for place, text in enumerate(texts, start=1))
    return Document(
        origin_id(name, "document"), name, sections, source=f"{name}.md", language=language, license="CC0-1.0"
    )


@pytest.fixture
def make_function() -> Callable[..., Section]:
    return _function


def _function(
    title: str, text: str, parameters: Iterable[tuple[str, str | None]] = (), *, kind: str = "function"
) -> Section:
    parameters = list(parameters)
    shown = ", ".join(name if default is None else f"{name}={default}" for name, default in parameters)
    meta = {
        "signature": f"({shown})" if kind != "module" else "",
        "parameters": [{"name": n, "default": d, "kind": "positional_or_keyword"} for n, d in parameters],
        "summary": text.split("\n\n")[0].split(". ")[0].rstrip(".") + ".",
    }
    return Section(title, text, kind, canonical_json(meta))


@pytest.fixture
def make_seed() -> Callable[..., Example]:
    return _seed


def _seed(number: int, instruction: str = "", output: str = "", *, input: str = "", language: str = "en") -> Example:
    id = origin_id("seeds.jsonl", str(number))
    return Example(
        id=id,
        messages=conversation(
            instruction or f"Do the thing with number {number}.", output or f"Done {number}.", input=input
        ),
        method="import",
        source="seeds.jsonl",
        language=language,
        meta=canonical_json({"groups": {"seed": id}}),
    )
