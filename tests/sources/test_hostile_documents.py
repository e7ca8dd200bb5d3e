"""Files from strangers: each attack ends in one clear error, quickly, and nothing from the file is executed."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import docx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from heedful.errors import InputError
from heedful.sources import read_documents


def refused(path: Path, content: bytes | str, *parts: str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_documents(path)
    message = str(caught.value)
    assert message.startswith(path.name), message
    for part in parts:
        assert part in message, message


def said_of(path: Path) -> str:
    """All that reading brings to light: the documents, or the message of the one error that may come instead."""
    try:
        return repr(read_documents(path))
    except InputError as error:
        if not str(error).startswith(path.name):
            raise
        return str(error)


def word_file(replaced: dict[str, bytes]) -> bytes:
    """A Word file some of whose parts are replaced."""
    original = io.BytesIO()
    docx.Document().save(original)
    buffer = io.BytesIO()
    with zipfile.ZipFile(original) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, replaced.get(name, source.read(name)))
        for name in replaced.keys() - set(source.namelist()):
            target.writestr(name, replaced[name])
    return buffer.getvalue()


NAMESPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def test_a_zip_bomb_in_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.sources.word.MAXIMUM_UNPACKED", 4 << 20)
    refused(
        tmp_path / "a.docx",
        word_file({"word/media/bomb.png": bytes(8 << 20)}),
        "at most 4,194,304 are read",
        "zip bomb",
    )


def test_a_billion_laughs_in_word(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY l0 "lol">{entities}]><w:document {NAMESPACE}><w:body><w:p><w:r><w:t>&l9;</w:t></w:r></w:p></w:body></w:document>'
    refused(tmp_path / "a.docx", word_file({"word/document.xml": bomb.encode()}))


def test_a_file_of_the_machine_is_not_pulled_into_word(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the password")
    text = f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file://{secret}">]><w:document {NAMESPACE}><w:body><w:p><w:r><w:t>before &x;</w:t></w:r></w:p></w:body></w:document>'
    (tmp_path / "a.docx").write_bytes(word_file({"word/document.xml": text.encode()}))
    assert "password" not in said_of(tmp_path / "a.docx")


def test_deep_nesting_in_word(tmp_path: Path) -> None:
    deep = f"<w:document {NAMESPACE}><w:body>{'<w:p>' * 50_000}{'</w:p>' * 50_000}</w:body></w:document>"
    refused(tmp_path / "a.docx", word_file({"word/document.xml": deep.encode()}), "damaged or unusual Word file")


def test_word_cut_in_half_encrypted_or_old(tmp_path: Path) -> None:
    whole = word_file({})
    refused(tmp_path / "a.docx", whole[: len(whole) // 2], "damaged Word file")
    refused(
        tmp_path / "b.docx",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64),
        "encrypted or old Word file",
        "without a password",
    )
    refused(tmp_path / "c.docx", b"hello", "not that of a .docx file")
    refused(tmp_path / "d.docx", word_file({}), "holds no text")


def test_an_encrypted_pdf(tmp_path: Path) -> None:
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    refused(tmp_path / "a.pdf", buffer.getvalue(), "encrypted", "without a password")


def test_a_pdf_without_text(tmp_path: Path) -> None:
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    buffer = io.BytesIO()
    writer.write(buffer)
    refused(tmp_path / "a.pdf", buffer.getvalue(), "holds no text layer", "text recognition")
    # The same pages are a PDF to pypdf: the message above is about their text, not about damage.
    assert len(PdfReader(buffer).pages) == 1


@pytest.mark.parametrize(
    "content",
    [b"%PDF-1.7", b"%PDF-1.7\n" + bytes(range(256)) * 40, b"%PDF-1.4\nxref\n0 99999999\ntrailer<</Root 1 0 R>>"],
)
def test_a_damaged_pdf(tmp_path: Path, content: bytes) -> None:
    refused(tmp_path / "a.pdf", content, "a.pdf")


def test_a_pdf_whose_pages_contain_themselves(tmp_path: Path) -> None:
    content = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[2 0 R]/Count 1>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    refused(tmp_path / "a.pdf", content)


def test_html_nested_deeper_than_any_page(tmp_path: Path) -> None:
    refused(tmp_path / "a.html", "<html><body>" + "<div>" * 20_000 + "text", "nested more than 400 deep")


def test_html_of_nothing_but_script(tmp_path: Path) -> None:
    refused(
        tmp_path / "a.html", "<html><body><script>alert('x')</script></body></html>", "holds no text outside scripts"
    )


def test_markdown_nested_deep_and_odd(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(">" * 5000 + " deep\n\n# Top\n\n" + "[" * 5000 + "x\n\n" + "*a " * 3000)
    documents, _ = read_documents(tmp_path / "a.md")
    assert documents[0].sections[-1].title == "Top"


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html", "a.pdf", "a.docx"])
@pytest.mark.parametrize("content", [b"", b"  \n", b"\x00\x01\x02\x03" * 50, bytes([0xFC, 0xFE, 0xFD]) * 30])
def test_binary_and_empty_files(tmp_path: Path, name: str, content: bytes) -> None:
    refused(tmp_path / name, content)


def test_a_document_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.sources.documents.MAXIMUM_BYTES", 1000)
    refused(tmp_path / "a.txt", "x" * 1001, "1,001 bytes; documents may have 1,000")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(content=st.binary(max_size=300), name=st.sampled_from(["a.md", "a.txt", "a.html", "a.pdf", "a.docx"]))
def test_random_bytes_are_read_or_refused_never_worse(tmp_path: Path, content: bytes, name: str) -> None:
    magic = {"a.pdf": b"%PDF-1.5\n", "a.docx": b"PK\x03\x04"}.get(name, b"")
    (tmp_path / name).write_bytes(magic + content)
    said_of(tmp_path / name)


def test_word_with_single_bytes_changed_is_read_or_refused(tmp_path: Path) -> None:
    file = docx.Document()
    file.add_paragraph("Words to be found.")
    buffer = io.BytesIO()
    file.save(buffer)
    generator = random.Random(7)
    for _ in range(15):
        damaged = bytearray(buffer.getvalue())
        for _ in range(20):
            damaged[generator.randrange(4, len(damaged))] = generator.randrange(256)
        (tmp_path / "a.docx").write_bytes(damaged)
        said_of(tmp_path / "a.docx")
