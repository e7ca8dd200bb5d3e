"""The sentences that requirements say, as templates: their words, and holes where values stand.

Nothing is written here twice: each kind is made to say a probe with values that occur nowhere else, and where those
stand in its sentence a value may be read. A new wording is understood as soon as it exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements.language import NAMES
from heedful.requirements.registry import REQUIREMENTS, parse
from heedful.requirements.requirement import LANGUAGES, NUM_WORDINGS, Language, Requirement
from heedful.requirements.scripts import SCRIPTS

# Values that stand for any other. Numbers are below every kind's limit, and above what a wording itself could hold.
_NUMBERS = (701, 702, 703)
_ONE, _OTHER = "zqa", "zqb"
_LISTED = [_ONE, _OTHER]
_FREE, _LONG, _GRAMMAR = "zqf", "zql", 'start: "zqg"'
_SCHEMA = {"const": "zqj"}
_LETTERS = ("ж", "‽")

_COUNTS: tuple[dict[str, Any], ...] = (
    {"exactly": 0},
    {"exactly": 701},
    {"maximum": 701},
    {"minimum": 701},
    {"minimum": 701, "maximum": 702},
)


def _with(*variants: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{**variant, **more} for variant in variants]


def _probes() -> dict[str, list[dict[str, Any]]]:
    """Parameters that make each kind say each shape of its sentences."""
    often: list[dict[str, Any]] = [{}, {"times": 701}, {"times": 0, "maximum": 701}, {"times": 701, "maximum": 701}]
    often += [{"times": 701, "maximum": 702}, {"times": 0, "maximum": 0}]
    matches: list[dict[str, Any]] = [{}, {"match": "substring"}, {"match": "exact"}, {"inflections": True}]
    lists = ([_ONE], _LISTED)
    keywords = [{"all": phrases, **o, **m} for phrases in lists for o in often for m in matches]
    keywords += [{"all": _LISTED, "in_order": True, **m} for m in matches]
    keywords += [{"any": _LISTED, **o, **m} for o in often[:2] for m in matches]
    either: list[dict[str, Any]] = [{}, {"loose": True}]
    return {
        **{kind: list(_COUNTS) for kind in ("characters", "sentences", "capitals", "tokens")},
        "words": [*_COUNTS, *_with(*_COUNTS, definition="runs")],
        "bullets": [*_COUNTS, *_with(*_COUNTS, definition="markdown")],
        "paragraphs": [*_COUNTS, *_with(*_COUNTS, separator="stars")],
        "letters": [{"letter": letter, **counts} for letter in _LETTERS for counts in _COUNTS],
        "keywords": keywords,
        "forbidden": [{"words": phrases, **m} for phrases in lists for m in matches[:3]],
        **{kind: _with(*either, text=_ONE) for kind in ("starts_with", "ends_with")},
        "choice": [{"options": _LISTED}],
        "json_schema": [{"schema": _SCHEMA}, {"schema": True}, {"schema": {}}, *_with({"schema": _SCHEMA}, {"schema": True}, allow_code_fence=True)],
        "regex": [{"pattern": _FREE, "match": match} for match in ("full", "search")],
        "language": [{"language": code} for code in NAMES],
        "case": [{"case": "upper"}, {"case": "lower"}],
        **{kind: [{}] for kind in ("no_commas", "title", "quoted")},
        "responses": [{}, *({"number": number} for number in range(3, 21))],
        **{kind: [{"minimum": 701}] for kind in ("placeholders", "highlights")},
        "sections": [{"splitter": _ONE, "minimum": 701}],
        "postscript": [{"marker": _ONE}],
        "repeats": [{"text": _LONG}],
        "paragraph_start": [{"paragraphs": 702, "paragraph": 701, "word": _ONE}],
        "grammar": [{"grammar": _GRAMMAR}],
        "script": [{"script": name} for name in SCRIPTS],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hole:
    """A place in a sentence where a value stands."""

    kind: str
    """number, quoted, list, json, free (up to the words that follow) or long (quoted, over lines)."""
    name: Any
    """The probe's value that stands there."""


@dataclass(frozen=True, slots=True)
class Template:
    spec: RequirementSpec
    language: Language
    wording: int
    pieces: tuple[str | Hole, ...]


_HOLES = re.compile(
    r"[\"“「]zqa[\"”」](?P<list>[^a-z]*(?:and |or )?[\"“「]zqb[\"”」])?|(?P<schema>\{\"const\": \"zqj\"\})|(?P<free>zqf|start: \"zqg\")"
    r"|[\"“「](?P<long>zql)[\"”」]"
    r"|[\"“「](?P<letter>[ж‽])[\"”」]|(?P<number>70[123])"
)


@lru_cache(maxsize=1)
def templates() -> dict[str, tuple[Template, ...]]:
    """The sentences by the text that they begin with."""
    groups: dict[str, list[Template]] = {}
    seen: set[str] = set()
    probes = _probes()
    for kind in REQUIREMENTS:
        for parameters in probes.get(kind, []):
            for requirement in _variants(kind, parameters):
                for language, wording in product(LANGUAGES, range(NUM_WORDINGS)):
                    sentence = requirement.say(language, wording)
                    if sentence not in seen:
                        seen.add(sentence)
                        pieces = tuple(_pieces(sentence))
                        first = pieces[0] if isinstance(pieces[0], str) else ""
                        groups.setdefault(first, []).append(Template(requirement.spec, language, wording, pieces))
    return {first: tuple(group) for first, group in groups.items()}


def _variants(kind: str, parameters: dict[str, Any]) -> Iterator[Requirement]:
    """The probe, and itself with 1 and 2 for its numbers, which are worded in other ways: 1 word, twice."""
    numbers = [number for number in _NUMBERS if number in [v for v in parameters.values() if not isinstance(v, bool)]]
    for values in product(*[(number, 1, 2) for number in numbers]):
        chosen = dict(zip(numbers, values, strict=True))
        filled = {
            name: chosen.get(value, value) if isinstance(value, int) and not isinstance(value, bool) else value
            for name, value in parameters.items()
        }
        try:
            yield parse(RequirementSpec(kind, filled))
        except RequirementError:
            continue  # such as a minimum of 701 with a maximum of 1


def _pieces(sentence: str) -> Iterator[str | Hole]:
    done = 0
    for match in _HOLES.finditer(sentence):
        if match.start() > done or not done:
            yield sentence[done : match.start()]
        yield _hole(match)
        done = match.end()
    yield sentence[done:]


def _hole(match: re.Match[str]) -> Hole:
    if match["number"]:
        return Hole("number", int(match["number"]))
    if match["schema"]:
        return Hole("json", json.dumps(_SCHEMA))
    if match["long"]:
        return Hole("long", match["long"])
    if match["free"]:
        return Hole("free", match["free"])
    if match["letter"]:
        return Hole("quoted", match["letter"])
    return Hole("list", json.dumps(_LISTED)) if match["list"] else Hole("quoted", _ONE)
