"""Requirements as people type them: `--words 30:50 --must solar`, or `words=30:50` in a list of texts."""

from __future__ import annotations

from collections.abc import Iterable

from heedful.errors import RequirementError
from heedful.project.settings import nearest
from heedful.records import RequirementSpec
from heedful.requirements.conflicts import conflicts
from heedful.requirements.registry import parse
from heedful.requirements.strict_json import JsonProblemError, read_strictly

COUNTED = ("words", "characters", "sentences", "bullets")
FLAGS: dict[str, str] = {
    **{kind: kind for kind in COUNTED},
    "must": "keywords",
    "forbid": "forbidden",
    "starts-with": "starts_with",
    "ends-with": "ends_with",
    "choice": "choice",
    "json": "json_schema",
    "regex": "regex",
    "language": "language",
}
"""The flag's name without its dashes -> the kind it makes. Kinds' own names are understood too."""


def parse_flag(name: str, value: str) -> RequirementSpec:
    """The spec that a flag and its value stand for; raises RequirementError with an example of what is expected.

    Counts are `40` (exactly), `30:50`, `30:` (at least) or `:50` (at most). `json` takes the schema's text, `regex`
    a pattern for the whole answer, `choice` its options between `|`. `must` and `forbid` take one phrase.
    """
    kind = FLAGS.get(name.replace("_", "-"), name)
    if kind not in FLAGS.values():
        raise RequirementError(f"unknown requirement {name!r}; {nearest(name, [*FLAGS, *FLAGS.values()])}")
    spec = RequirementSpec(kind, _parameters(kind, value, where=f"{name} {value!r}"))
    parse(spec, f"{name} {value!r}")
    return spec


def parse_text(text: str) -> RequirementSpec:
    """`words=30:50` as a spec: a flag's name and its value around the first equals sign."""
    name, separator, value = text.partition("=")
    if not separator:
        raise RequirementError(f"a requirement in text is name=value, for example words=30:50; got {text!r}")
    return parse_flag(name.strip(), value.strip())


def from_flags(
    *,
    words: str | None = None,
    characters: str | None = None,
    sentences: str | None = None,
    bullets: str | None = None,
    must: Iterable[str] = (),
    forbid: Iterable[str] = (),
    starts_with: str | None = None,
    ends_with: str | None = None,
    choice: str | None = None,
    json_schema_text: str | None = None,
    regex: str | None = None,
    language: str | None = None,
) -> tuple[RequirementSpec, ...]:
    """The specs of a command's flags; raises RequirementError also when they contradict each other."""
    given = {
        "words": words,
        "characters": characters,
        "sentences": sentences,
        "bullets": bullets,
        "starts_with": starts_with,
        "ends_with": ends_with,
        "choice": choice,
        "json": json_schema_text,
        "regex": regex,
        "language": language,
    }
    specs = [parse_flag(name, value) for name, value in given.items() if value is not None]
    specs += [RequirementSpec("keywords", {"all": phrases}) for phrases in [list(must)] if phrases]
    specs += [RequirementSpec("forbidden", {"words": phrases}) for phrases in [list(forbid)] if phrases]
    if found := conflicts(specs):
        raise RequirementError(
            f"no answer can satisfy these requirements together: {'; '.join(found)}; drop one of each"
        )
    return tuple(specs)


def _parameters(kind: str, value: str, *, where: str) -> dict[str, object]:
    if kind in COUNTED:
        return _bounds(value, where)
    if kind == "json_schema":
        try:
            return {"schema": read_strictly(value)}
        except JsonProblemError as error:
            raise RequirementError(f"the JSON Schema is not JSON: {error}") from None
    if kind == "choice":
        return {"options": [option.strip() for option in value.split("|")]}
    others: dict[str, dict[str, object]] = {
        "keywords": {"all": [value]},
        "forbidden": {"words": [value]},
        "starts_with": {"text": value},
        "ends_with": {"text": value},
        "regex": {"pattern": value, "match": "full"},
        "language": {"language": value},
    }
    return others[kind]


def _bounds(value: str, where: str) -> dict[str, object]:
    low, colon, high = (part.strip() for part in value.partition(":"))
    # Seven digits are above every limit; longer ones could not even be turned into a number.
    if (
        not all(part == "" or (part.isascii() and part.isdigit() and len(part) <= 7) for part in (low, high))
        or not low + high
    ):
        raise RequirementError(f"{where}: expected a number or a range: 40, 30:50, 30: or :50")
    if not colon:
        return {"exactly": int(low)}
    return {name: int(part) for name, part in (("minimum", low), ("maximum", high)) if part}
