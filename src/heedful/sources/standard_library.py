"""The documentation strings of the running interpreter's standard library -> Documents; real text on every machine.

Only modules of a fixed list are imported: importing them has no side effects. The same interpreter gives the same
documents in every process: names are sorted, and defaults are written from their values, never from `repr` of an
object, which may hold a memory address or follow the order of hashes. They are read in a process of their own,
because other libraries replace functions of the standard library while they are loaded (torch does so to `inspect`).
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from heedful.errors import InputError, RunError
from heedful.project.settings import nearest
from heedful.records import Document, Section, canonical_json, document_from_row, document_to_row, origin_id
from heedful.text import sentences

LICENSE = "PSF-2.0"

DEFAULT_MODULES: tuple[str, ...] = (
    "argparse",
    "array",
    "ast",
    "base64",
    "binascii",
    "bisect",
    "builtins",
    "calendar",
    "cmath",
    "codecs",
    "collections",
    "colorsys",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "filecmp",
    "fnmatch",
    "fractions",
    "functools",
    "glob",
    "graphlib",
    "gzip",
    "hashlib",
    "heapq",
    "html",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "keyword",
    "linecache",
    "math",
    "mimetypes",
    "operator",
    "os.path",
    "pathlib",
    "pprint",
    "queue",
    "random",
    "re",
    "secrets",
    "shlex",
    "shutil",
    "stat",
    "statistics",
    "string",
    "struct",
    "tarfile",
    "tempfile",
    "textwrap",
    "time",
    "timeit",
    "tokenize",
    "traceback",
    "unicodedata",
    "urllib.parse",
    "uuid",
    "zipfile",
)
"""Modules about data, text, numbers and files. Everything that `python_docs` accepts."""

_MINIMUM_WORDS = 3
"""A shorter first sentence ("See above.") says nothing that one could ask about."""
_MAXIMUM_CHARACTERS = 400
"""A longer first sentence is a list or a table that lost its lines."""
_HOMES = {"os.path": ("posixpath", "ntpath", "genericpath")}
"""Modules whose objects say that they live elsewhere. A leading underscore (`_heapq`) is understood without this."""

_ROLE = re.compile(r":(?:py:)?[a-z]+:`~?([^`<]+?)(?:\s*<[^`>]*>)?`")
_DOUBLE_BACKTICKS = re.compile(r"``([^`\n]+)``")
# Grammar ("mod = Module(...)"), a heading before a list, and notices that only say that a name is obsolete.
_NOT_A_SENTENCE = re.compile(r"^\w+ = |^Deprecated\b|[:,(]$")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_CALL = re.compile(
    r"^[A-Za-z_][\w.]*\s?\(.*\)\s*(?:(?:->|-->|=|:).*)?$|^[A-Za-z_][\w.]*\(.*\)\s+->|^[A-Za-z_][\w.]*\([^)]*$"
)


def python_docs(modules: Sequence[str] = DEFAULT_MODULES) -> list[Document]:
    """One Document a module, with a Section for the module and for each public function, class and method.

    A section's meta holds `signature` (empty when the interpreter does not tell), `parameters`, `summary` (the first
    sentence) and, for methods, `class`. Raises InputError for a module outside `DEFAULT_MODULES`.
    """
    for name in modules:
        if name not in DEFAULT_MODULES:
            raise InputError(f"python_docs: module {name!r} is not offered; {nearest(name, list(DEFAULT_MODULES))}")
    documents = _read_elsewhere(list(dict.fromkeys(modules)))
    if documents and not any(document.sections for document in documents):
        raise InputError("python_docs: this interpreter runs without documentation strings; run it without -OO")
    return documents


_CHILD = (
    "import sys; from heedful.sources.standard_library import documents_as_json; print(documents_as_json(sys.argv[1:]))"
)


def _read_elsewhere(modules: list[str]) -> list[Document]:
    command = [sys.executable, *_optimisation_flags(), "-c", _CHILD, *modules]
    process = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if process.returncode != 0:
        raise RunError(f"python_docs: reading the library's documentation failed: {process.stderr.strip()[-500:]}")
    return [document_from_row(row) for row in json.loads(process.stdout)]


def _optimisation_flags() -> list[str]:
    """Without documentation strings here, there are none there either."""
    return ["-OO"] if sys.flags.optimize >= 2 else []


def documents_as_json(modules: Sequence[str]) -> str:
    """What `python_docs` asks a fresh process for; ASCII only, whatever that process's terminal can write."""
    return json.dumps([document_to_row(_document(name)) for name in modules])


def _document(name: str) -> Document:
    module = importlib.import_module(name)
    source = f"python-docs:{name}"
    sections = sorted(_sections(name, module), key=lambda section: (section.kind != "module", section.title))
    return Document(origin_id(source, "document"), name, tuple(sections), source, language="en", license=LICENSE)


def _sections(name: str, module: ModuleType) -> Iterator[Section]:
    yield from _section(name, "module", module.__doc__, None)
    prefix = "" if name == "builtins" else f"{name}."
    for public, value in _public(name, module):
        title = prefix + public
        if inspect.isclass(value):
            yield from _section(title, "class", value.__doc__, _parameters(value))
            yield from _methods(title, value)
        else:
            yield from _section(title, "function", value.__doc__, _parameters(value))


def _public(name: str, module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public functions and classes that live in the module; a second name for the same object is left out."""
    # Attributes are read from the module's dictionary: `getattr` would wake deprecated ones.
    values = vars(module)
    names = [n for n in sorted(getattr(module, "__all__", values)) if not n.startswith("_") and n in values]
    seen: set[int] = set()
    # An alias (`assertEquals = assertEqual`) loses to the name that the object itself bears.
    for public in sorted(names, key=lambda n: (getattr(values[n], "__name__", "") != n, n)):
        value = values[public]
        if (inspect.isroutine(value) or inspect.isclass(value)) and _lives_in(name, value) and id(value) not in seen:
            seen.add(id(value))
            yield public, value


def _lives_in(name: str, value: Any) -> bool:
    home = getattr(value, "__module__", None)
    if home is None:
        # Methods of a hidden instance (`random.random`) and some C functions do not say where they live.
        return True
    return home in _HOMES.get(name, ()) or home.split(".")[0].lstrip("_") == name.split(".")[0]


def _methods(class_title: str, cls: type) -> Iterator[Section]:
    """Public methods that the class itself defines, not what it inherits."""
    for name, value in sorted(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, staticmethod | classmethod):
            parameters = _parameters(value.__func__, bound=isinstance(value, classmethod))
        elif inspect.isroutine(value):
            parameters = _parameters(value, bound=True)
        else:
            continue
        yield from _section(f"{class_title}.{name}", "function", value.__doc__, parameters, {"class": class_title})


def _section(
    title: str,
    kind: str,
    docstring: object,
    parameters: list[inspect.Parameter] | None,
    more: dict[str, str] | None = None,
) -> Iterator[Section]:
    """A section, or nothing when the documentation string is missing or says too little."""
    text = _clean(docstring) if isinstance(docstring, str) else ""
    summary = _summary(text)
    if not summary:
        return
    meta = {
        "signature": "" if parameters is None else _signature(parameters),
        "parameters": [_describe(parameter) for parameter in parameters or ()],
        "summary": summary,
        **(more or {}),
    }
    yield Section(title, text, kind, canonical_json(meta))


def _clean(docstring: str) -> str:
    """Even indentation, roles reduced to their names, no memory addresses."""
    text = inspect.cleandoc(docstring)
    for pattern, replacement in ((_ROLE, r"`\1`"), (_DOUBLE_BACKTICKS, r"`\1`"), (_ADDRESS, "at ...")):
        text = pattern.sub(replacement, text)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def _summary(text: str) -> str:
    """The first sentence that describes; lines that repeat the signature (`len(obj) -> int`) come before it."""
    paragraph = _first_paragraph(text.splitlines())
    found = sentences(" ".join(paragraph))
    summary = found[0].strip() if found else ""
    useful = len(summary.split()) >= _MINIMUM_WORDS and len(summary) <= _MAXIMUM_CHARACTERS
    return summary if useful and summary[0].isalpha() and not _NOT_A_SENTENCE.search(summary) else ""


def _first_paragraph(lines: list[str]) -> list[str]:
    paragraph: list[str] = []
    in_signature = False
    for line in lines:
        if not paragraph and (_CALL.match(line) or (in_signature and line.startswith(" "))):
            in_signature = True
        elif line.strip():
            paragraph.append(" ".join(line.split()))
        elif paragraph:
            break
    return paragraph


# -- signatures -----------------------------------------------------------------------------------------------


def _parameters(value: Callable[..., Any], *, bound: bool = False) -> list[inspect.Parameter] | None:
    """What a caller writes; without the first parameter when `bound`. None when the interpreter does not tell."""
    try:
        parameters = list(inspect.signature(value).parameters.values())
    except (ValueError, TypeError):
        return None
    return parameters[1:] if bound else parameters


def _describe(parameter: inspect.Parameter) -> dict[str, str | None]:
    default = None if parameter.default is parameter.empty else _value_text(parameter.default)
    return {"name": parameter.name, "default": default, "kind": parameter.kind.name.lower()}


def _signature(parameters: list[inspect.Parameter]) -> str:
    """`(a, /, b, *, c=1)`; annotations are left out: they change from one version to the next."""
    parts: list[str] = []
    star_seen = False
    for position, parameter in enumerate(parameters):
        kind = parameter.kind
        if kind is kind.KEYWORD_ONLY and not star_seen:
            parts.append("*")
        star_seen |= kind in (kind.KEYWORD_ONLY, kind.VAR_POSITIONAL)
        stars = {kind.VAR_POSITIONAL: "*", kind.VAR_KEYWORD: "**"}.get(kind, "")
        default = "" if parameter.default is parameter.empty else f"={_value_text(parameter.default)}"
        parts.append(f"{stars}{parameter.name}{default}")
        if kind is kind.POSITIONAL_ONLY and all(p.kind is not kind.POSITIONAL_ONLY for p in parameters[position + 1 :]):
            parts.append("/")
    return f"({', '.join(parts)})"


def _value_text(value: object) -> str:
    """Python source for plain values, the name of a class or function, `...` for anything else."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}" if value.name else "..."
    if value is None or value is Ellipsis or isinstance(value, bool | int | float | complex | str | bytes):
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, tuple | list):
        inner = ", ".join(_value_text(item) for item in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_value_text(k)}: {_value_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, set | frozenset):
        inner = "{" + ", ".join(sorted(_value_text(item) for item in value)) + "}" if value else ""
        return inner if inner and isinstance(value, set) else f"{type(value).__name__}({inner})"
    if inspect.isclass(value) or inspect.isroutine(value):
        return str(getattr(value, "__qualname__", "..."))
    return "..."
