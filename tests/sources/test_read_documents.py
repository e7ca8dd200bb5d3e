"""Documents of every kind become titled sections."""

from __future__ import annotations

import io
from pathlib import Path

import docx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from heedful.errors import InputError
from heedful.records import Document, origin_id
from heedful.sources import read_documents


def one(path: Path) -> Document:
    documents, _ = read_documents(path)
    assert len(documents) == 1
    return documents[0]


def outline(document: Document) -> list[tuple[str, str]]:
    return [(section.title, section.text) for section in document.sections]


def pdf_of(*pages: str, title: str = "") -> bytes:
    """A PDF whose pages each say one line."""
    writer = PdfWriter()
    for words in pages:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        if words:
            stream = DecodedStreamObject()
            stream.set_data(f"BT /F1 12 Tf 20 200 Td ({words}) Tj ET".encode())
            page[NameObject("/Contents")] = writer._add_object(stream)
    if title:
        writer.add_metadata({"/Title": title})
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


MARKDOWN = """---
title: "Handbook"
license: CC-BY-4.0
---
Before any heading.

# Care *of* `plants`

Water them.

## Ferns

They like shade.

```text
# not a heading
```

Cacti
-----

They do not.
"""


def test_markdown(tmp_path: Path) -> None:
    (tmp_path / "plants.md").write_text(MARKDOWN)
    document = one(tmp_path / "plants.md")
    assert (document.title, document.license, document.language) == ("Handbook", "CC-BY-4.0", "en")
    assert (document.id, document.source) == (origin_id("plants.md", "document"), "plants.md")
    assert outline(document) == [
        ("Handbook", "Before any heading."),
        ("Care of plants", "Water them."),
        ("Ferns", "They like shade.\n\n```text\n# not a heading\n```"),
        ("Cacti", "They do not."),
    ]
    assert [section.meta_value("path") for section in document.sections] == [
        [],
        ["Care of plants"],
        ["Care of plants", "Ferns"],
        ["Care of plants", "Cacti"],
    ]


def test_html_without_scripts_styles_and_navigation(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        """<!doctype html><html><head><title> The
        page </title><style>p {color: red}</style></head><body><nav><a href="/">Home</a></nav>
        <h1>Tea</h1><p>Boil <b>water</b>, see <a href="javascript:alert(1)">here</a>.</p><script>steal()</script>
        <p hidden>secret</p><h2>Green</h2><ul><li>80 degrees</li><li>2 minutes</li></ul><footer>(c)</footer></body></html>"""
    )
    document = one(tmp_path / "page.html")
    assert document.title == "The page"
    assert outline(document) == [("Tea", "Boil **water**, see here."), ("Green", "* 80 degrees\n* 2 minutes")]
    everything = repr(document)
    for gone in ("steal", "secret", "Home", "javascript", "color", "(c)"):
        assert gone not in everything


def test_html_is_recognised_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("<!DOCTYPE html>\n<html><body><h1>A</h1><p>b</p></body></html>")
    documents, reports = read_documents(tmp_path / "page.txt")
    assert (reports[0].format, outline(documents[0])) == ("html", [("A", "b")])


def test_html_in_the_encoding_that_it_names(tmp_path: Path) -> None:
    page = '<html><head><meta charset="iso-8859-1"></head><body><h1>Café</h1><p>très bien</p></body></html>'
    (tmp_path / "page.html").write_bytes(page.encode("latin-1"))
    documents, reports = read_documents(tmp_path / "page.html")
    assert (reports[0].encoding, outline(documents[0])) == ("iso-8859-1", [("Café", "très bien")])


def test_text_by_underlined_headings(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Tea\n===\n\nAll about tea.\n\nGreen\n-----\nCool water.\n\n----\n\nstill green\n")
    assert outline(one(tmp_path / "a.txt")) == [
        ("Tea", "All about tea."),
        ("Green", "Cool water.\n\n----\n\nstill green"),
    ]


def test_text_by_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "说明.txt").write_bytes("第一段，\n两行。\n\n\n第二段，也是中文。\n".encode("gb18030"))
    documents, reports = read_documents(tmp_path / "说明.txt")
    assert reports[0].encoding == "GB18030"
    assert documents[0].language == "zh"
    assert outline(documents[0]) == [("说明", "第一段，\n两行。"), ("说明", "第二段，也是中文。")]
    assert [section.meta_value("paragraph") for section in documents[0].sections] == [1, 2]


def test_pdf_by_page(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_of("Hello page one", "", "And page three", title="Two pages"))
    documents, reports = read_documents(tmp_path / "a.pdf")
    assert documents[0].title == "Two pages"
    assert outline(documents[0]) == [("Page 1", "Hello page one"), ("Page 3", "And page three")]
    assert [(skipped.place, skipped.reason) for skipped in reports[0].skipped] == [("page 2", "no text layer")]


def test_docx_by_heading_with_tables(tmp_path: Path) -> None:
    file = docx.Document()
    file.add_heading("Guide", level=0)
    file.add_paragraph("Introduction.")
    file.add_heading("First", level=1)
    file.add_paragraph("One.")
    file.add_paragraph("Two.")
    table = file.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "left", "right"
    file.save(str(tmp_path / "a.docx"))
    document = one(tmp_path / "a.docx")
    assert document.title == "Guide"
    assert outline(document) == [("Guide", "Introduction."), ("First", "One.\n\nTwo.\n\nleft | right")]


def test_a_folder_reports_what_it_does_not_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.md").write_text("# B\n\nb")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.md").write_text("# no")
    documents, reports = read_documents(tmp_path, license="CC0-1.0")
    assert [document.source for document in documents] == ["a.txt", "deep/b.md"]
    assert {document.license for document in documents} == {"CC0-1.0"}
    assert reports[-1].describe() == "picture.png: not read: no reader for files ending in .png"
    assert reports[0].describe().startswith("a.txt: 1 section read as document (text, UTF-8)")


def test_other_formats_name_the_extra_that_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.sources.documents._has_markitdown", lambda: False)
    (tmp_path / "slides.pptx").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(
        InputError, match=r"slides.pptx: no reader for files ending in .pptx; `pip install 'heedful\[documents\]'`"
    ):
        read_documents(tmp_path / "slides.pptx")
    with pytest.raises(InputError, match="none of the 1 files found is a document"):
        read_documents(tmp_path)
