"""What the answer to a prompt must keep: given as flags, texts or a file, or read from the instruction itself.

Given requirements are said in the prompt. Read ones are in it already. All are enforced while the answer is written, unless they
are only to be checked (`enforce` of a spec, `check_only` of a command).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heedful.errors import InputError, RequirementError
from heedful.records import RequirementSpec

_FILE = 'a list of requirements: [[requirements]] with kind = "words" (.toml), or [{"kind": "words", "maximum": 50}] (.json)'
_LONGEST = 60
"""Characters of an instruction that are shown."""


@dataclass(frozen=True, slots=True)
class Read:
    """A requirement that the instruction states."""

    spec: RequirementSpec
    words: str
    """How it says so."""
    note: str = ""
    """Why it is only checked, where it could be enforced."""

    def described(self) -> str:
        """For people: `words (minimum=30), from "at least 30 words", enforced`."""
        parameters = ", ".join(f"{name}={value}" for name, value in self.spec.parameters.items())
        kind = f"{self.spec.kind} ({_shortened(parameters)})" if parameters else self.spec.kind
        treated = "enforced" if self.spec.enforce else "only checked" + (f": {self.note}" if self.note else "")
        return f'{kind}, from "{_shortened(" ".join(self.words.split()))}", {treated}'


@dataclass(frozen=True, slots=True)
class Wanted:
    """The requirements of one prompt."""

    said: tuple[RequirementSpec, ...] = ()
    """Given ones, to be said in the prompt."""
    read: tuple[Read, ...] = ()
    """Those that its instruction states."""

    @property
    def all(self) -> tuple[RequirementSpec, ...]:
        return (*self.said, *(one.spec for one in self.read))


def wanted(
    instruction: str, given: tuple[RequirementSpec, ...], *, auto_require: bool = False, check_only: bool = False
) -> Wanted:
    """`given` and, with `auto_require`, what `instruction` states besides; with `check_only` none of them is enforced."""
    read = _read(instruction, given) if auto_require else ()
    if not check_only:
        return Wanted(given, read)
    return Wanted(only_checked(given), tuple(replace(one, spec=replace(one.spec, enforce=False)) for one in read))


def only_checked(specs: Iterable[RequirementSpec]) -> tuple[RequirementSpec, ...]:
    """The same, none of them enforced."""
    return tuple(replace(spec, enforce=False) for spec in specs)


def _read(instruction: str, given: Sequence[RequirementSpec]) -> tuple[Read, ...]:
    from heedful.constraints import enforceable
    from heedful.requirements import conflicts
    from heedful.requirements.reading import read_requirements

    taken: list[Read] = []
    together = list(given)
    for found in read_requirements(instruction):
        spec = found.spec
        if any((spec.kind, spec.parameters) == (one.kind, one.parameters) for one in together):
            continue
        note = ""
        if not enforceable(spec):
            note = "this kind cannot be enforced"
        # What people write may contradict itself, or be misread; what was given counts.
        elif conflicts([*together, spec]):
            note = "it contradicts another requirement"
        else:
            together.append(spec)
        taken.append(Read(replace(spec, enforce=not note), instruction[found.start : found.end], note))
    return tuple(taken)


# -- what is given --------------------------------------------------------------------------------------------------


def requirements_from(
    flags: Mapping[str, str | None],
    *,
    must: Sequence[str] = (),
    forbid: Sequence[str] = (),
    schema: Path | None = None,
    texts: Sequence[str] = (),
    file: Path | None = None,
) -> tuple[RequirementSpec, ...]:
    """Requirements from a command's options; raises RequirementError or InputError naming the option.

    `flags` by name, with underscores; `texts` are those of --require, `file` that of --requirements.
    """
    from heedful.requirements import conflicts, from_flags, parse_text

    schema_text = None if schema is None else _text_of("--schema", schema, "a JSON schema")
    specs = [*from_flags(must=must, forbid=forbid, json_schema_text=schema_text, **flags)]
    for text in texts:
        try:
            specs.append(parse_text(text))
        except RequirementError as error:
            raise RequirementError(f"--require {_shortened(text)}: {error}") from None
    specs += requirements_in(file) if file is not None else ()
    if found := conflicts(specs):
        raise RequirementError(
            f"no answer can satisfy these requirements together: {'; '.join(found)}; drop one of each"
        )
    return tuple(specs)


def requirements_in(path: Path) -> tuple[RequirementSpec, ...]:
    """The requirements in a .toml or .json file; raises InputError or RequirementError naming the file and which one."""
    from heedful.requirements import parse

    specs = []
    for number, item in enumerate(_items_in(path), start=1):
        where = f"--requirements {path}, requirement {number}"
        try:
            spec = RequirementSpec.from_dict(item)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        parse(spec, where)
        specs.append(spec)
    return tuple(specs)


def _items_in(path: Path) -> list[Any]:
    from heedful.requirements.strict_json import read_strictly

    if path.suffix not in (".toml", ".json"):
        raise InputError(f"--requirements {path}: expected a name that ends in .toml or .json")
    text = _text_of("--requirements", path, "requirements")
    try:
        # TOML has dates and infinities besides, which no requirement can be written with.
        value: Any = read_strictly(json.dumps(tomllib.loads(text)) if path.suffix == ".toml" else text)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"--requirements {path}: {error}; expected {_FILE}") from None
    if isinstance(value, dict) and set(value) == {"requirements"}:
        value = value["requirements"]
    if not isinstance(value, list):
        raise InputError(f"--requirements {path}: expected {_FILE}")
    return value


def _text_of(option: str, path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{option} {path}: cannot be read as UTF-8 text ({error}); name a file with {what}") from None


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
