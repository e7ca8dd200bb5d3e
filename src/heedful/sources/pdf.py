"""PDF -> one section a page. Pages without a text layer (scans) are reported, not guessed at."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pypdf import PdfReader

from heedful.errors import InputError
from heedful.records import Section, canonical_json
from heedful.sources.reading import Parsed
from heedful.sources.reports import Skipped
from heedful.text import normalize

MAXIMUM_PAGES = 5000
MAXIMUM_CHARACTERS = 32 << 20
"""Over all pages; a small file can unpack to very much text."""


def read_pdf(data: bytes, name: str) -> Parsed:
    """Pages of a PDF; raises InputError for one that is encrypted, damaged or too large."""
    with _quiet():
        try:
            reader = PdfReader(io.BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                raise InputError(f"{name}: the PDF is encrypted; save it without a password")
            if len(reader.pages) > MAXIMUM_PAGES:
                raise InputError(
                    f"{name}: {len(reader.pages):,} pages, at most {MAXIMUM_PAGES:,} are read; split the file"
                )
            return _pages(reader, name)
        except InputError:
            raise
        except Exception as error:  # A hostile file can make the parser raise nearly anything.
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            raise InputError(f"{name}: damaged or unusual PDF ({reason}); print it to a new PDF and use that") from None


def _pages(reader: PdfReader, name: str) -> Parsed:
    sections: list[Section] = []
    skipped: list[Skipped] = []
    length = 0
    for number, page in enumerate(reader.pages, start=1):
        text = normalize(page.extract_text()).strip()
        length += len(text)
        if length > MAXIMUM_CHARACTERS:
            raise InputError(f"{name}: more than {MAXIMUM_CHARACTERS:,} characters; split the file")
        if text:
            meta = canonical_json({"level": 1, "path": [f"Page {number}"], "page": number})
            sections.append(Section(f"Page {number}", text, "text", meta))
        else:
            skipped.append(Skipped(f"page {number}", "no text layer"))
    title = reader.metadata.title if reader.metadata else ""
    title = " ".join(title.split()) if isinstance(title, str) else ""
    return Parsed(tuple(sections), title, skipped=tuple(skipped), hint=" layer: a scan needs text recognition first")


@contextmanager
def _quiet() -> Iterator[None]:
    """The parser warns about every oddity of a file; what matters to us comes as an error."""
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
