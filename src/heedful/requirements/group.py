"""All requirements of one request, as one value: from Python, TOML, JSON or flags; said, checked and rewarded together.

    wanted = Requirements.from_list(["words=30:50", {"kind": "keywords", "all": ["solar"]}])
    wanted.say("en")                       # 'Use between 30 and 50 words. Mention "solar".'
    wanted.check(answer).satisfied
    wanted.reward(answer, strict=False)    # grows as the answer comes nearer

A file holds them as a list named `requirements`; each is a table (an object) with its kind and parameters, or a text as
flags have it:

    requirements = ["no-commas", {kind = "words", maximum = 50, enforce = false}]     # TOML
    [{"kind": "words", "maximum": 50}]                                                # JSON: the list alone will do
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from heedful.errors import InputError, RequirementError
from heedful.project.settings import nearest
from heedful.records import RequirementSpec, canonical_json
from heedful.requirements.conflicts import conflicts, refuse_conflicts
from heedful.requirements.flags import from_flags, parse_text
from heedful.requirements.registry import parse
from heedful.requirements.requirement import Language, Parameters, Requirement, Verdict
from heedful.requirements.strict_json import JsonProblemError, read_strictly
from heedful.requirements.together import reward_of, say_together
from heedful.requirements.wording import shorten

Item = RequirementSpec | Mapping[str, Any] | str | Requirement
"""One requirement as people give it: a spec, a mapping with a kind, a flag's text (`"words=30:50"`), or parsed already."""

_EXAMPLE = '"words=30:50", {"kind": "words", "minimum": 30} or a RequirementSpec'


@dataclass(frozen=True, slots=True)
class Checked:
    """What one answer makes of all requirements."""

    verdicts: tuple[Verdict, ...]
    """In the order of the requirements."""
    satisfied: bool
    """Whether every one is kept."""
    reward: float
    """The mean of how nearly each is kept; 1 exactly when all are."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What one answer must satisfy; iterating gives the specs. All can be parsed; whether they agree, `conflicts` tells."""

    specs: tuple[RequirementSpec, ...] = ()
    _parsed: tuple[Requirement, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A field of its own, so that a JSON Schema is read once and not for each answer.
        parsed = tuple(parse(spec, _place(number)) for number, spec in enumerate(self.specs, start=1))
        object.__setattr__(self, "specs", tuple(self.specs))
        object.__setattr__(self, "_parsed", parsed)

    @classmethod
    def from_list(cls, items: Iterable[Item], where: str = "") -> Self:
        """Raises RequirementError naming `where`, the position, the field and the remedy."""
        at = f"{where}: " if where else ""
        # A text, a mapping and a requirement can be iterated, but are one requirement, not a list of them.
        if isinstance(items, str | Mapping | RequirementSpec | Parameters) or not isinstance(items, Iterable):
            raise RequirementError(
                f"{at}requirements is {shorten(repr(items))}, expected a list of them; put it in brackets"
            )
        try:
            return cls(tuple(_spec(item, _place(number)) for number, item in enumerate(items, start=1)))
        except RequirementError as error:
            raise RequirementError("\n".join(f"{at}{line}" for line in str(error).splitlines())) from None

    @classmethod
    def from_toml(cls, path: Path | str) -> Self:
        """Those of a TOML file; raises InputError for what is no TOML, RequirementError for what is no requirement."""
        try:
            values = tomllib.loads(_read(Path(path)))
        except tomllib.TOMLDecodeError as error:
            raise InputError(
                f"{path}: not valid TOML: {error}; strings need quotes, tables look like [[requirements]]"
            ) from None
        return cls.from_list(_listed(values, str(path)), str(path))

    @classmethod
    def from_json(cls, source: Path | str) -> Self:
        """Those of a JSON file, or of a text that begins with [ or {; raises as `from_toml` does."""
        is_text = isinstance(source, str) and source.lstrip()[:1] in ("[", "{")
        where = "the JSON text" if is_text else str(source)
        try:
            value = read_strictly(str(source) if is_text else _read(Path(source)))
        except JsonProblemError as error:
            raise InputError(f"{where}: not JSON: {error}") from None
        return cls.from_list(_listed(value, where), where)

    @classmethod
    def from_flags(cls, **flags: Any) -> Self:
        """Those of a command's flags, as `flags.from_flags` reads them; they do not contradict each other."""
        return cls(from_flags(**flags))

    def __iter__(self) -> Iterator[RequirementSpec]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)

    def say(self, language: Language, rng: random.Random | None = None) -> str:
        """Sentences that ask for every one, each worded as `rng` draws; empty when there are none."""
        return say_together(self._parsed, language, rng)

    def check(self, text: str) -> Checked:
        """What the answer `text` makes of each, and of all together."""
        verdicts = tuple(requirement.check(text) for requirement in self._parsed)
        kept = all(verdict.satisfied for verdict in verdicts)
        return Checked(verdicts, kept, reward_of(verdicts, strict=False))

    def reward(self, text: str, *, strict: bool) -> float:
        """`strict`: 1 when all are kept, else 0; otherwise the mean of how nearly each is."""
        return reward_of(self.check(text).verdicts, strict=strict)

    def conflicts(self) -> list[str]:
        """A sentence for each contradiction found among them; an empty list proves nothing."""
        return conflicts(self.specs)

    def compatible(self) -> Self:
        """Themselves; raises RequirementError when any contradict each other."""
        refuse_conflicts(self.specs)
        return self

    def to_json(self) -> str:
        """A list that `from_json` reads back."""
        return canonical_json([spec.as_dict() for spec in self.specs])


def _place(number: int) -> str:
    return f"requirement {number}"


def _spec(item: Any, where: str) -> RequirementSpec:
    if isinstance(item, RequirementSpec):
        spec = item
    elif isinstance(item, str):
        spec = _from_text(item, where)
    elif isinstance(item, Mapping):
        spec = _from_mapping(item, where)
    elif isinstance(getattr(item, "spec", None), RequirementSpec):
        spec = item.spec
    else:
        raise RequirementError(f"{where} is {shorten(repr(item))}; expected {_EXAMPLE}")
    try:
        canonical_json(spec.as_dict())
    except (TypeError, ValueError, RecursionError):
        # TOML has dates, Python has anything.
        raise RequirementError(
            f"{where}: it holds what JSON does not have, such as a date or a NaN; write dates as texts in quotes"
        ) from None
    return spec


def _from_text(text: str, where: str) -> RequirementSpec:
    try:
        return parse_text(text)
    except RequirementError as error:
        raise RequirementError(f"{where}: {error}") from None


def _from_mapping(values: Mapping[str, Any], where: str) -> RequirementSpec:
    try:
        return RequirementSpec.from_dict(values)
    except InputError as error:
        raise RequirementError(f"{where}: {error}") from None


# -- files ----------------------------------------------------------------------------------------------------------


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a file") from None


def _listed(value: Any, where: str) -> Any:
    """The list of requirements in a file: all there is, or what it calls `requirements`."""
    if not isinstance(value, Mapping):
        return value
    others = [name for name in value if name != "requirements"]
    if "requirements" not in value or others:
        name = others[0] if others else ""
        hint = f"{name!r} is not expected; {nearest(name, ['requirements'])}" if others else "nothing is there"
        raise RequirementError(f'{where}: {hint}; write [[requirements]] or {{"requirements": [...]}}')
    return value["requirements"]
