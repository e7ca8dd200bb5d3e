"""Markdown, text, HTML, PDF and Word files -> Documents with titled sections, each read for what its content is.

Every reader is written for files from strangers: sizes are limited before anything is unpacked, scripts and styles
are dropped, and whatever a parser does not survive becomes an InputError that names the file. Other formats (slides,
sheets, e-books) go through markitdown where the extra `documents` is installed.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from heedful.errors import InputError
from heedful.project.progress import Silent, Watcher, steps
from heedful.records import Document, origin_id
from heedful.sources.encodings import decode
from heedful.sources.files import Located, load, locate
from heedful.sources.html_pages import read_html
from heedful.sources.markdown import read_markdown
from heedful.sources.pdf import read_pdf
from heedful.sources.plain_text import read_text
from heedful.sources.reading import Parsed
from heedful.sources.reports import FileReport, Skipped
from heedful.sources.word import MAGIC as WORD_MAGIC
from heedful.sources.word import OLD_MAGIC, is_word, read_word
from heedful.text import detect_language

MAXIMUM_BYTES = 64 << 20
"""Largest document that is read."""
OTHER_FORMATS = frozenset({".pptx", ".xlsx", ".xls", ".epub", ".msg", ".ipynb"})
"""What markitdown reads for us."""

_TEXT_READERS: dict[str, tuple[str, Callable[[str, str], Parsed]]] = {
    ".md": ("markdown", read_markdown),
    ".markdown": ("markdown", read_markdown),
    ".html": ("html", read_html),
    ".htm": ("html", read_html),
    ".xhtml": ("html", read_html),
    ".txt": ("text", read_text),
    ".text": ("text", read_text),
    ".rst": ("text", read_text),
}
_BINARY_SUFFIXES = frozenset({".pdf", ".docx", ".doc"})
_HTML = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([A-Za-z0-9_-]{3,20})""", re.IGNORECASE)
_SILENT = Silent()


@dataclass(frozen=True, slots=True)
class _Read:
    format: str
    encoding: str
    parsed: Parsed


def read_documents(
    paths: str | Path | Sequence[str | Path], *, license: str = "", watcher: Watcher = _SILENT
) -> tuple[list[Document], list[FileReport]]:
    """Documents of all files that `paths` name, and how each was read.

    In a folder, files of other kinds are reported, not read; a file that is named directly must be readable.
    """
    files = locate(paths)
    documents, reports = list[Document](), list[FileReport]()
    with steps(watcher, "read documents", len(files), "files") as progress:
        for located in files:
            if located.listed and not _readable(located.suffix):
                reason = f"no reader for files ending in {located.suffix or 'nothing'}{_advice(located.suffix)}"
                reports.append(FileReport(located.name, "", skipped=(Skipped("", reason),)))
            else:
                document, report = _document(located, license)
                documents.append(document)
                reports.append(report)
            progress.advance(note=located.name)
    if not documents:
        raise InputError(f"none of the {len(reports)} files found is a document; {reports[0].describe()}")
    return documents, reports


def _document(located: Located, license: str) -> tuple[Document, FileReport]:
    read = _parse(located)
    parsed = read.parsed
    title = parsed.title or PurePosixPath(located.name).stem
    sections = tuple(section if section.title else replace(section, title=title) for section in parsed.sections)
    if not sections:
        raise InputError(f"{located.name}: the document holds no text{parsed.hint}; remove it or replace it")
    language = detect_language("\n".join(section.text for section in sections))
    language = "" if language == "und" else language
    source = located.name
    document = Document(origin_id(source, "document"), title, sections, source, language, parsed.license or license)
    report = FileReport(
        located.name,
        read.format,
        read.encoding,
        "document",
        num_rows=len(sections),
        languages={language: 1},
        skipped=parsed.skipped,
    )
    return document, report


def _parse(located: Located) -> _Read:
    data = load(located)
    name, suffix = located.name, located.suffix
    if not data.strip():
        raise InputError(f"{name}: the file is empty; remove it or replace it")
    if len(data) > MAXIMUM_BYTES:
        raise InputError(f"{name}: {len(data):,} bytes; documents may have {MAXIMUM_BYTES:,}: split it")
    if data.startswith(b"%PDF"):
        return _Read("pdf", "", read_pdf(data, name))
    if data.startswith(WORD_MAGIC) and (is_word(data) or suffix == ".docx"):
        return _Read("docx", "", read_word(data, name))
    if suffix in OTHER_FORMATS:
        return _Read(suffix[1:], "", _with_markitdown(data, name, suffix))
    if data.startswith(OLD_MAGIC):
        raise InputError(f"{name}: an encrypted or old Word file; save it as .docx without a password")
    if suffix in _BINARY_SUFFIXES:
        raise InputError(f"{name}: the content is not that of a {suffix} file; it begins {data[:12]!r}: save it again")
    text, encoding = _decode(data, name)
    format, reader = _TEXT_READERS.get(suffix, ("text", read_text))
    if _HTML.match(text[:4096]):
        format, reader = "html", read_html
    return _Read(format, encoding, reader(text, name))


def _decode(data: bytes, name: str) -> tuple[str, str]:
    try:
        decoded = decode(data, name)
        return decoded.text, decoded.encoding
    except InputError:
        # A page may say what it is; a page that lies is refused like any other.
        declared = _CHARSET.search(data[:2048])
        if declared is None:
            raise
        charset = declared.group(1).decode()
        try:
            return data.decode(charset), charset
        except (LookupError, UnicodeDecodeError):
            raise InputError(f"{name}: the page says that it is {charset!r}, but it is not; save it as UTF-8") from None


def _readable(suffix: str) -> bool:
    return suffix in _TEXT_READERS or suffix in _BINARY_SUFFIXES or (suffix in OTHER_FORMATS and _has_markitdown())


def _has_markitdown() -> bool:
    return importlib.util.find_spec("markitdown") is not None


def _advice(suffix: str) -> str:
    return "; `pip install 'heedful[documents]'` brings one" if suffix in OTHER_FORMATS else ""


def _with_markitdown(data: bytes, name: str, suffix: str) -> Parsed:
    if not _has_markitdown():
        raise InputError(f"{name}: no reader for files ending in {suffix}{_advice(suffix)}")
    import markitdown

    try:
        text = (
            markitdown.MarkItDown(enable_plugins=False)
            .convert_stream(io.BytesIO(data), file_extension=suffix)
            .text_content
        )
    except Exception as error:  # Each format brings a parser with errors of its own.
        raise InputError(
            f"{name}: cannot be read ({type(error).__name__}: {str(error)[:200]}); save it again"
        ) from None
    return read_markdown(text, name)
