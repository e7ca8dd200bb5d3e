"""Files and project documents as a corpus for pretraining: read several times, a piece at a time, and as they stand.

Plain text is not tidied, so that bits per byte are those of the file. `.jsonl` holds one document a line under `text`;
HTML, PDF and Word are read as documents; everything else is text. Gzip is unpacked on the way.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

from heedful.errors import InputError
from heedful.project.progress import Watcher, steps
from heedful.records import Document, digest
from heedful.sources.documents import read_documents
from heedful.sources.encodings import decode
from heedful.sources.files import GZIP_MAGIC, REMOTE, Located, locate
from heedful.train.pretraining.corpus import Texts

_CHUNK = 1 << 20
_AS_DOCUMENTS = frozenset({".html", ".htm", ".xhtml", ".pdf", ".docx", ".pptx", ".xlsx", ".epub"})


@dataclass(frozen=True, slots=True)
class _File:
    """A file that was looked through once."""

    name: str
    path: Path
    suffix: str
    sha256: str
    num_bytes: int
    is_utf8: bool


class FileCorpus:
    """Documents of files, folders and globs. Raises InputError for what cannot be read, with the file's name."""

    def __init__(self, paths: Sequence[str], watcher: Watcher) -> None:
        located = locate(list(paths))
        with steps(watcher, "look through files", len(located), "files") as shown:
            self._files = []
            for one in located:
                self._files.append(_looked_through(one))
                shown.advance()
        self.identity = digest(["files", *[[file.name, file.sha256] for file in self._files]])
        self.num_bytes = sum(file.num_bytes for file in self._files)

    def documents(self) -> Iterator[Iterable[str]]:
        """Each document as its parts."""
        for file in self._files:
            if file.suffix == ".jsonl":
                yield from ([text] for text in _lines(file))
            elif file.suffix in _AS_DOCUMENTS:
                yield from ([document_text(document)] for document in read_documents(file.path)[0])
            else:
                yield _parts(file)


def document_corpus(documents: Iterable[Document]) -> Texts:
    """Documents that a project has imported."""
    return Texts([document_text(document) for document in documents])


def document_text(document: Document) -> str:
    """All sections, each under its title, blank lines between."""
    parts: list[str] = []
    title = ""
    for section in document.sections:
        if section.title and section.title != title and not section.text.startswith(section.title):
            parts.append(section.title)
        title = section.title
        parts.append(section.text)
    return "\n\n".join(parts) + "\n"


def _looked_through(located: Located) -> _File:
    """Read a file once: its hash, and whether it is text that can be read as it stands."""
    if located.address.startswith(REMOTE):
        raise InputError(
            f"{located.name}: texts to pretrain on are read several times; copy the file to this machine first"
        )
    path = Path(located.address)
    sha256, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8-sig")()
    num_bytes, is_utf8, is_blank = 0, True, True
    try:
        with _opened(path) as file:
            while chunk := file.read(_CHUNK):
                sha256.update(chunk)
                num_bytes += len(chunk)
                is_blank = is_blank and not chunk.strip()
                is_utf8 = is_utf8 and _goes_on(decoder, chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{located.name}: cannot be read ({error}); check its permissions, or copy it again") from None
    is_utf8 = is_utf8 and _goes_on(decoder, b"", final=True)
    if is_blank:
        raise InputError(f"{located.name}: the file is empty; remove it, or name another")
    file_ = _File(located.name, path, located.suffix, sha256.hexdigest(), num_bytes, is_utf8)
    if not is_utf8 and file_.suffix not in _AS_DOCUMENTS:
        _decoded(file_)  # What it is instead is said now, before anything is learned.
    return file_


def _goes_on(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    """Whether the text that `decoder` has read so far goes on in `chunk`; a zero byte is no text."""
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return b"\0" not in chunk


def _opened(path: Path) -> BufferedIOBase:
    with path.open("rb") as file:
        is_packed = file.read(2) == GZIP_MAGIC
    return gzip.open(path) if is_packed else path.open("rb")


def _parts(file: _File) -> Iterator[str]:
    if not file.is_utf8:
        yield _decoded(file)
        return
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    with _opened(file.path) as opened:
        while chunk := opened.read(_CHUNK):
            yield decoder.decode(chunk)


def _decoded(file: _File) -> str:
    """A file in another encoding, whole; raises InputError with the place of the first byte that is no text."""
    with _opened(file.path) as opened:
        return decode(opened.read(), file.name).text


def _lines(file: _File) -> Iterator[str]:
    """The text of each line of a `.jsonl` file; lines without text are left out."""
    with _opened(file.path) as opened:
        for number, line in enumerate(opened, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                text = row["text"]
            except (ValueError, KeyError, TypeError):
                text = None
            if not isinstance(text, str):
                raise InputError(
                    f'{file.name}, line {number}: expected a JSON object with a string under "text", got {line[:60]!r}'
                )
            # Half of a surrogate pair is no character: JSON can say it, UTF-8 cannot.
            yield text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
