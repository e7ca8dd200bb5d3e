"""Paths, folders, globs and URLs -> bytes, each with a logical name that is the same on every machine.

A file's logical name is its path relative to the folder or to the fixed part of the glob that it was found by; a file
named directly goes by its own name. Files that would share a name get as many of their parent folders in front as
tell them apart. `http://` and `https://` name one file each; `hf://`, `s3://` and `gs://` name a file, a folder or a
glob and go through Daft, with credentials from the environment, as Daft documents. Gzip is recognised by its first bytes and limited in what it may unpack to.
"""

from __future__ import annotations

import glob
import io
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from heedful.errors import InputError

REMOTE = ("hf://", "s3://", "gs://", "http://", "https://")
MAXIMUM_BYTES = 2 << 30
"""Largest file that is read, after decompression."""
GZIP_MAGIC = b"\x1f\x8b"
"""What every gzip file begins with."""

_GLOB_CHARACTERS = frozenset("*?[")
_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Located:
    """A file that was found; `listed` when a folder or a glob brought it, so that the user did not name it."""

    name: str
    address: str
    listed: bool

    @property
    def suffix(self) -> str:
        """The extension that says what the content should be: `.jsonl` of `rows.jsonl.gz`."""
        path = PurePosixPath(self.name.lower())
        return PurePosixPath(path.stem).suffix if path.suffix == ".gz" else path.suffix


def locate(paths: str | Path | Sequence[str | Path]) -> list[Located]:
    """Every file that `paths` name, in order of mention and then by name; each once. Raises InputError for nothing."""
    mentioned = [paths] if isinstance(paths, str | Path) else list(paths)
    found: dict[str, Located] = {}
    for path in mentioned:
        for located in _locate_one(str(path)):
            found.setdefault(located.address, located)
    if not found:
        raise InputError("no input file was given; name a file, a folder, a glob or a URL")
    return _named_apart(list(found.values()))


def load(located: Located) -> bytes:
    """The file's content, unpacked if it is gzip."""
    data = (
        _download(located.address) if located.address.startswith(REMOTE) else _read(Path(located.address), located.name)
    )
    return _gunzip(data, located.name) if data.startswith(GZIP_MAGIC) else data


def _locate_one(path: str) -> list[Located]:
    if path.startswith(REMOTE):
        return _locate_remote(path)
    local = Path(path).expanduser()
    # A file that exists is itself, even when its name holds a bracket.
    if local.is_file():
        return [Located(local.name, str(local.resolve()), listed=False)]
    if local.is_dir():
        return _listed(local, (item for item in local.rglob("*")), f"folder {path!r} holds no files")
    if _GLOB_CHARACTERS & set(path):
        matches = (Path(match) for match in glob.iglob(str(local), recursive=True))
        return _listed(_fixed_part(local), matches, f"no file matches {path!r}")
    parent = next((p for p in local.parents if p.is_dir()), Path())
    raise InputError(f"{path}: no such file or folder; the nearest folder that exists is {str(parent)!r}")


def _listed(base: Path, items: Iterable[Path], complaint: str) -> list[Located]:
    found = []
    for item in items:
        name = item.relative_to(base).as_posix()
        if item.is_file() and not any(part.startswith(".") for part in PurePosixPath(name).parts):
            found.append(Located(name, str(item.resolve()), listed=True))
    if not found:
        raise InputError(f"{complaint}; check the path (hidden files are left out)")
    return sorted(found, key=lambda located: located.name)


def _fixed_part(pattern: Path) -> Path:
    parts = []
    for part in pattern.parts[:-1]:
        if _GLOB_CHARACTERS & set(part):
            break
        parts.append(part)
    return Path(*parts)


def _named_apart(files: list[Located]) -> list[Located]:
    """Put parent folders in front of names that several files share, one at a time."""
    while shared := {name for name, count in Counter(file.name for file in files).items() if count > 1}:
        files = [replace(file, name=_longer(file)) if file.name in shared else file for file in files]
    return files


def _longer(file: Located) -> str:
    """The logical name with one more folder; a remote address that has none left goes by itself."""
    parts = [part for part in file.address.split("?")[0].split("/") if part not in ("", "http:", "https:")]
    wanted = file.name.count("/") + 2
    return "/".join(parts[-wanted:]) if wanted <= len(parts) else file.address


def _read(path: Path, name: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAXIMUM_BYTES:
            raise InputError(f"{name}: {size:,} bytes; at most {MAXIMUM_BYTES:,} are read at once: split the file")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); check its permissions") from None


def _gunzip(data: bytes, name: str) -> bytes:
    """All members of a gzip file; stops at `MAXIMUM_BYTES`, whatever the file claims."""
    output = io.BytesIO()
    try:
        while data.startswith(GZIP_MAGIC):
            unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            while not unpacker.eof:
                piece = unpacker.decompress(data, _CHUNK)
                data = unpacker.unconsumed_tail
                if output.tell() + len(piece) > MAXIMUM_BYTES:
                    raise InputError(f"{name}: unpacks to more than {MAXIMUM_BYTES:,} bytes; split the file")
                if not piece and not data and not unpacker.eof:
                    raise zlib.error("the end is missing")
                output.write(piece)
            data = unpacker.unused_data
    except zlib.error as error:
        raise InputError(f"{name}: damaged gzip file ({error}); copy or download it again") from None
    return output.getvalue()


# -- remote ---------------------------------------------------------------------------------------------------


def _locate_remote(address: str) -> list[Located]:
    name = address.rstrip("/").rsplit("/", 1)[-1]
    if address.startswith(("http://", "https://")):
        return [Located(name.split("?")[0].split("#")[0] or "index.html", address, listed=False)]
    if not _GLOB_CHARACTERS & set(address) and "." in name:
        return [Located(name, address, listed=False)]
    pattern = address if _GLOB_CHARACTERS & set(address) else f"{address.rstrip('/')}/**"
    daft = _daft()
    try:
        found = daft.from_glob_path(pattern).select("path").to_pydict()["path"]
    except Exception as error:  # Daft raises many kinds; all of them mean that the address cannot be listed.
        raise _unreachable(address, error) from None
    if not found:
        raise InputError(f"{address}: no file there; check the address")
    base = _remote_base(pattern)
    return [Located(path.removeprefix(base), path, listed=True) for path in sorted(found)]


def _remote_base(pattern: str) -> str:
    position = min(pattern.find(character) for character in _GLOB_CHARACTERS if character in pattern)
    return pattern[: pattern.rfind("/", 0, position) + 1]


def _download(address: str) -> bytes:
    try:
        data = _fetch(address) if address.startswith(("http://", "https://")) else _fetch_with_daft(address)
    except InputError:
        raise
    except Exception as error:  # As above.
        raise _unreachable(address, error) from None
    return data


def _fetch(address: str) -> bytes:
    import httpx

    pieces, size = [], 0
    with httpx.stream("GET", address, follow_redirects=True, timeout=_TIMEOUT_SECONDS) as response:
        response.raise_for_status()
        for piece in response.iter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > MAXIMUM_BYTES:
                raise InputError(f"{address}: more than {MAXIMUM_BYTES:,} bytes; split the file")
    return b"".join(pieces)


def _fetch_with_daft(address: str) -> bytes:
    daft = _daft()
    column = daft.functions.download(daft.col("address"))
    data: bytes = daft.from_pydict({"address": [address]}).select(column).to_pydict()["address"][0]
    return data


def _unreachable(address: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:300]
    return InputError(
        f"{address}: cannot be read ({reason}); check the address, the network and the credentials in the environment, "
        f"or download the file and name its local path"
    )


def _daft() -> Any:
    """Imported only where a remote address needs it: it takes a second."""
    import daft
    import daft.functions

    return daft
