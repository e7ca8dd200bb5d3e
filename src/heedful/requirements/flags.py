"""Requirements as people type them: `--words 30:50 --must solar`, or `words=30:50` in a list of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from heedful.errors import RequirementError
from heedful.project.settings import nearest
from heedful.records import RequirementSpec
from heedful.requirements.conflicts import refuse_conflicts
from heedful.requirements.registry import parse
from heedful.requirements.strict_json import JsonProblemError, read_strictly
from heedful.requirements.wording import shorten

Values = dict[str, object]
Reader = Callable[[str, str], Values]
"""From a flag's value, and where it stands, to parameters."""

COUNTED = ("words", "characters", "sentences", "bullets", "tokens", "paragraphs", "capitals")
BARE = ("no_commas", "title", "quoted", "responses")
"""Kinds that are asked for by their name alone."""


def parse_flag(name: str, value: str) -> RequirementSpec:
    """The spec that a flag and its value stand for; raises RequirementError with an example of what is expected.

    Counts are `40` (exactly), `30:50`, `30:` (at least) or `:50` (at most); `letters` has the letter before them: `e 3:`.
    `placeholders`, `highlights` and `sections` take the least number, the latter after its word: `SECTION 3`. `json` takes
    the schema's text, `regex` a pattern for the whole answer, `choice` its options between `|`. `must` and `forbid` take one
    phrase. `paragraph-start` is `2/4 Weekend`: paragraph 2 of 4. `no-commas`, `title` and `quoted` take nothing, or `true`.
    """
    kind = FLAGS.get(name.replace("_", "-"), name)
    if kind not in _READERS:
        raise RequirementError(f"unknown requirement {name!r}; {nearest(name, [*FLAGS, *_READERS])}")
    where = f"{name} {shorten(value)!r}"
    spec = RequirementSpec(kind, _READERS[kind](value, where))
    parse(spec, where)
    return spec


def parse_text(text: str) -> RequirementSpec:
    """`words=30:50` as a spec: a flag's name and its value around the first equals sign; `title` alone is one too."""
    name, separator, value = text.partition("=")
    if not separator and FLAGS.get(name.strip().replace("_", "-")) not in BARE:
        raise RequirementError(f"a requirement in text is name=value, for example words=30:50; got {text!r}")
    return parse_flag(name.strip(), value.strip())


def from_flags(
    *,
    must: Iterable[str] = (),
    forbid: Iterable[str] = (),
    json_schema_text: str | None = None,
    **values: str | None,
) -> tuple[RequirementSpec, ...]:
    """The specs of a command's flags; raises RequirementError also when they contradict each other.

    `values` are flags by the names in FLAGS, dashes as underscores (`words="30:50"`); None is a flag not given.
    """
    given = {**values, "json": json_schema_text}
    specs = [parse_flag(name, value) for name, value in given.items() if value is not None]
    specs += [RequirementSpec("keywords", {"all": phrases}) for phrases in [list(must)] if phrases]
    specs += [RequirementSpec("forbidden", {"words": phrases}) for phrases in [list(forbid)] if phrases]
    refuse_conflicts(specs)
    return tuple(specs)


# -- values ---------------------------------------------------------------------------------------------------------


def _bounds(value: str, where: str) -> Values:
    low, colon, high = (part.strip() for part in value.partition(":"))
    if not (_is_number(low or "0") and _is_number(high or "0")) or not low + high:
        raise RequirementError(f"{where}: expected a number or a range: 40, 30:50, 30: or :50")
    if not colon:
        return {"exactly": int(low)}
    return {name: int(part) for name, part in (("minimum", low), ("maximum", high)) if part}


def _is_number(text: str) -> bool:
    # Seven digits are above every limit; longer ones could not even be turned into a number.
    return text.isascii() and text.isdigit() and len(text) <= 7


def _letter_bounds(value: str, where: str) -> Values:
    letter, _, bounds = value.strip().partition(" ")
    if not bounds.strip():
        raise RequirementError(f'{where}: expected a letter, a space and a number or a range: "e 3:" or "e :5"')
    return {"letter": letter, **_bounds(bounds, where)}


def _least(value: str, where: str) -> Values:
    number = value.strip().removesuffix(":")
    if not _is_number(number):
        raise RequirementError(f"{where}: expected the least number: 3")
    return {"minimum": int(number)}


def _sections(value: str, where: str) -> Values:
    splitter, _, number = value.strip().rpartition(" ")
    if not splitter:
        raise RequirementError(f'{where}: expected the word before each number, and the least number: "SECTION 3"')
    return {"splitter": splitter.strip(), **_least(number, where)}


def _paragraph_start(value: str, where: str) -> Values:
    place, _, word = value.strip().partition(" ")
    paragraph, _, paragraphs = place.partition("/")
    if not (_is_number(paragraph) and _is_number(paragraphs) and word.strip()):
        raise RequirementError(f'{where}: expected a paragraph, how many there are, and its first word: "2/4 Weekend"')
    return {"paragraphs": int(paragraphs), "paragraph": int(paragraph), "word": word.strip()}


def _nothing(value: str, where: str) -> Values:
    if value.strip().lower() not in ("", "true", "yes"):
        raise RequirementError(f"{where}: it takes no value; leave it out, or write true")
    return {}


def _responses(value: str, where: str) -> Values:
    return {"number": int(value)} if _is_number(value.strip()) else _nothing(value, where)


def _schema(value: str, where: str) -> Values:
    try:
        return {"schema": read_strictly(value)}
    except JsonProblemError as error:
        raise RequirementError(f"the JSON Schema is not JSON: {error}") from None


_READERS: dict[str, Reader] = {
    **dict.fromkeys(COUNTED, _bounds),
    "letters": _letter_bounds,
    "placeholders": _least,
    "highlights": _least,
    "sections": _sections,
    "paragraph_start": _paragraph_start,
    "keywords": lambda value, where: {"all": [value]},
    "forbidden": lambda value, where: {"words": [value]},
    "starts_with": lambda value, where: {"text": value},
    "ends_with": lambda value, where: {"text": value},
    "repeats": lambda value, where: {"text": value},
    "choice": lambda value, where: {"options": [option.strip() for option in value.split("|")]},
    "responses": _responses,
    "case": lambda value, where: {"case": value},
    "no_commas": _nothing,
    "title": _nothing,
    "postscript": lambda value, where: {"marker": value or "P.S."},
    "quoted": _nothing,
    "json_schema": _schema,
    "regex": lambda value, where: {"pattern": value, "match": "full"},
    "grammar": lambda value, where: {"grammar": value},
    "language": lambda value, where: {"language": value},
    "script": lambda value, where: {"script": value},
}
_SHORTER = {"must": "keywords", "forbid": "forbidden", "json": "json_schema"}
FLAGS: dict[str, str] = {
    **{kind.replace("_", "-"): kind for kind in _READERS if kind not in _SHORTER.values()},
    **_SHORTER,
}
"""The flag's name without its dashes -> the kind it makes. Kinds' own names are understood too."""
