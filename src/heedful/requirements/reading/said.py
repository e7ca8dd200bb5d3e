"""The sentences that requirements say themselves, read back.

Their templates come from `probes`. What is read must say the very same sentence again, or it counts as not read; so a
sentence that only begins like one of theirs is left to the rules for what people write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements.reading.found import Found
from heedful.requirements.reading.probes import Hole, Template, templates
from heedful.requirements.registry import parse
from heedful.requirements.requirement import Language

_NUMBER = re.compile(r"[0-9]{1,7}")
_QUOTED: dict[Language, re.Pattern[str]] = {
    "en": re.compile(r'"([^"\n]*)"|“([^“”\n]*)”'),
    "zh": re.compile(r"“([^“”\n]*)”|「([^「」\n]*)」"),
}
_JOINTS: dict[Language, re.Pattern[str]] = {
    "en": re.compile(r", (?:and |or )?| and | or "),
    "zh": re.compile(r"、|和|或"),
}
_LONGEST_FREE = 20_000
_CLOSING = {'"': '"', "“": "”", "「": "」"}
_DECODER = json.JSONDecoder()


def read_said(text: str) -> list[Found]:
    """Every sentence of a requirement's own that `text` holds, leftmost first; none lies within another."""
    candidates: list[Found] = []
    for first, group in templates().items():
        place = text.find(first) if first else -1
        while place >= 0:
            if _begins(text, place):
                candidates += [found for template in group if (found := _read(text, place, template))]
            place = text.find(first, place + 1)
    # Longer first: "Use at most 3 words" may be the beginning of a sentence with a note.
    candidates.sort(key=lambda found: (found.start, -found.end))
    kept: list[Found] = []
    for found in candidates:
        if not kept or found.start >= kept[-1].end:
            kept.append(found)
    return kept


def _begins(text: str, place: int) -> bool:
    # A Chinese sentence may follow the one before without a space.
    return place == 0 or not (text[place - 1].isascii() and text[place - 1].isalnum() and text[place].isascii())


def _read(text: str, start: int, template: Template) -> Found | None:
    place, values = start, {}
    for number, piece in enumerate(template.pieces):
        if isinstance(piece, str):
            if not text.startswith(piece, place):
                return None
            place += len(piece)
            continue
        following = template.pieces[number + 1]
        assert isinstance(following, str)
        read = _value(piece, text, place, following, template.language)
        if read is None:
            return None
        values[piece.name], place = read
    filled = {name: _fill(value, values) for name, value in template.spec.parameters.items()}
    return _same_sentence(RequirementSpec(template.spec.kind, filled), template, text, start, place)


def _same_sentence(spec: RequirementSpec, template: Template, text: str, start: int, end: int) -> Found | None:
    try:
        requirement = parse(spec)
    except RequirementError:
        return None
    if requirement.say(template.language, template.wording) != text[start:end]:
        return None
    return Found(requirement.spec, start, end)


def _fill(value: Any, values: Mapping[Any, Any]) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, dict | list | tuple):
        plain = list(value) if isinstance(value, tuple) else value
        if (key := json.dumps(plain)) in values:
            return values[key]
        return [values.get(item, item) for item in plain] if isinstance(plain, list) else plain
    return values.get(value, value)


def _value(hole: Hole, text: str, place: int, following: str, language: Language) -> tuple[Any, int] | None:
    if hole.kind == "number":
        digits = _NUMBER.match(text, place)
        return (int(digits.group()), digits.end()) if digits else None
    if hole.kind == "json":
        return _json(text, place)
    if hole.kind == "free":
        end = text.find(following, place + 1, place + _LONGEST_FREE)
        return (text[place:end], end) if end > place else None
    if hole.kind == "long":
        return _long(text, place, following)
    if hole.kind == "quoted":
        quoted = _QUOTED[language].match(text, place)
        return (quoted[quoted.lastindex or 1], quoted.end()) if quoted else None
    return _list(text, place, language)


def _long(text: str, place: int, following: str) -> tuple[str, int] | None:
    closing = _CLOSING.get(text[place : place + 1])
    end = text.find(closing + following, place + 1, place + _LONGEST_FREE) if closing else -1
    return (text[place + 1 : end], end + 1) if end > 0 else None


def _json(text: str, place: int) -> tuple[Any, int] | None:
    try:
        return _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None


def _list(text: str, place: int, language: Language) -> tuple[list[str], int] | None:
    phrases: list[str] = []
    while quoted := _QUOTED[language].match(text, place):
        phrases.append(quoted[quoted.lastindex or 1])
        place = quoted.end()
        joint = _JOINTS[language].match(text, place)
        if joint is None or not _QUOTED[language].match(text, joint.end()):
            break
        place = joint.end()
    return (phrases, place) if len(phrases) > 1 else None
