"""Word (.docx) -> sections by heading; tables become lines with cells between bars."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import docx
from docx.table import Table

from heedful.errors import InputError
from heedful.sources.reading import Outline, Parsed

MAGIC = b"PK\x03\x04"
OLD_MAGIC = b"\xd0\xcf\x11\xe0"
"""Old Word files and encrypted new ones share this container."""
MAXIMUM_UNPACKED = 256 << 20
_MAIN_PART = "word/document.xml"
_HEADING = re.compile(r"^(?:heading|标题)\s*(\d)$", re.IGNORECASE)


def is_word(data: bytes) -> bool:
    """Whether a zip file holds a Word document."""
    try:
        return _MAIN_PART in zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return False


def read_word(data: bytes, name: str) -> Parsed:
    """Sections of a .docx file; raises InputError for one that is damaged, or unpacks to too much."""
    _check_size(data, name)
    try:
        document = docx.Document(io.BytesIO(data))
        outline = Outline()
        for block in document.iter_inner_content():
            _add(outline, block)
        title = " ".join((document.core_properties.title or "").split())
        return Parsed(outline.sections(), title or outline.title)
    except Exception as error:  # zip, XML and python-docx each have errors of their own.
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise InputError(f"{name}: damaged or unusual Word file ({reason}); save it again as .docx") from None


def _check_size(data: bytes, name: str) -> None:
    """Python's zipfile never unpacks more than the directory declares, so the declared sizes are a safe bound."""
    try:
        declared = sum(member.file_size for member in zipfile.ZipFile(io.BytesIO(data)).infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise InputError(f"{name}: damaged Word file ({error}); copy or save it again") from None
    if declared > MAXIMUM_UNPACKED:
        raise InputError(
            f"{name}: unpacks to {declared:,} bytes, at most {MAXIMUM_UNPACKED:,} are read; is it a zip bomb?"
        )


def _add(outline: Outline, block: Any) -> None:
    if isinstance(block, Table):
        for row in block.rows:
            outline.text(" | ".join(" ".join(cell.text.split()) for cell in row.cells))
        outline.text("")
        return
    style = block.style.name if block.style is not None else ""
    heading = _HEADING.match(style or "")
    if heading and block.text.strip():
        outline.heading(int(heading.group(1)), block.text)
    elif style == "Title" and block.text.strip():
        outline.heading(0, block.text)
    else:
        outline.text(f"{block.text}\n")
