"""Files as a corpus: read as they stand, in pieces, the same every time; what is no text is refused by name."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from heedful.errors import InputError
from heedful.pipeline import texts
from heedful.pipeline.texts import FileCorpus, document_corpus
from heedful.project import Silent
from heedful.records import Document, Section


def read(*paths: Path | str) -> list[str]:
    corpus = FileCorpus([str(path) for path in paths], Silent())
    documents = ["".join(parts) for parts in corpus.documents()]
    assert documents == ["".join(parts) for parts in corpus.documents()]
    return documents


def test_plain_text_is_read_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A piece may end within a character.
    monkeypatch.setattr(texts, "_CHUNK", 4)
    text = "  Ein Satz.\r\n\r\n今天天气很好。\t\n" * 3
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "b.md").write_bytes(b"\xef\xbb\xbf# Title\n")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress("packed 文".encode()))
    assert read(tmp_path) == [text, "# Title\n", "packed 文"]


def test_json_lines_are_documents(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        json.dumps({"text": "one\n"}) + "\n\n" + json.dumps({"text": "二", "id": 3}) + '\n{"text": "\\ud800x"}\n'
    )
    assert read(path) == ["one\n", "二", "\ufffdx"]
    path.write_text('{"text": "one"}\n{"content": "two"}\n')
    with pytest.raises(InputError, match=r'rows.jsonl, line 2: .*string under "text"'):
        read(path)


def test_other_encodings_and_pages(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("我们今天在家里看书，不去公园了。".encode("gb18030"))
    (tmp_path / "b.html").write_text("<html><body><h1>Cats</h1><p>They sleep.</p><script>no()</script></body></html>")
    chinese, page = read(tmp_path)
    assert chinese == "我们今天在家里看书，不去公园了。"
    assert page == "Cats\n\nThey sleep.\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\xff\xfe\x00", "bad.txt"),
        (b"a\0b", "zero byte"),
        (b"\x1f\x8b\x08", "cannot be read"),
    ],
)
def test_what_is_no_text_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(path)


def test_remote_files_are_refused() -> None:
    with pytest.raises(InputError, match="copy the file to this machine"):
        FileCorpus(["https://localhost/a.txt"], Silent())


def test_identity_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    before = FileCorpus([str(path)], Silent())
    path.write_text("two")
    after = FileCorpus([str(path)], Silent())
    path.write_text("one")
    assert FileCorpus([str(path)], Silent()).identity == before.identity != after.identity
    assert before.num_bytes == 3


def test_documents_of_a_project() -> None:
    sections = (Section("Cats", "They sleep."), Section("Cats", "They eat."), Section("Dogs", "Dogs bark."))
    corpus = document_corpus([Document("1", "Animals", sections, "a.md")])
    assert [list(parts) for parts in corpus.documents()] == [["Cats\n\nThey sleep.\n\nThey eat.\n\nDogs bark.\n"]]
