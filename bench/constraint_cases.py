"""What bench/constraints.py asks for: requirements, an answer that keeps them, and the same in the words of other libraries."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.constraints import TokenTable, compose
from heedful.errors import RequirementError
from heedful.records import RequirementSpec

WORDS = [
    "solar",
    "garden",
    "river",
    "bridge",
    "energy",
    "water",
    "market",
    "student",
    "teacher",
    "winter",
    "summer",
    "window",
    "forest",
    "island",
    "engine",
    "doctor",
    "music",
    "animal",
    "planet",
    "coffee",
]
_STORY = (
    "The old garden by the river had no solar energy, so the student carried water over the bridge, and every morning "
    "the teacher walked to the market to buy coffee before the long winter came."
)
_LONG_STORY = (
    _STORY
    + " In summer the doctor opened the window, played some music, and looked over the forest to the island where "
    "a small animal slept beside the engine of a boat, as if it came from another planet, and nobody ever asked it why "
    "it did not want to go home again after such a very long time on the quiet green hill."
)
_PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "email": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
    },
    "required": ["name", "age", "email", "tags"],
    "additionalProperties": False,
}
_CALL = {
    "type": "object",
    "properties": {
        "tool": {"enum": ["search", "calculator", "weather"]},
        "arguments": {
            "type": "object",
            "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}, "exact": {"type": "boolean"}},
            "required": ["query", "limit", "exact"],
            "additionalProperties": False,
        },
    },
    "required": ["tool", "arguments"],
    "additionalProperties": False,
}
_PERSON_TEXT = '{"name": "Ada Lovelace", "age": 36, "email": "ada@example.org", "tags": ["mathematics", "first programs", "poetry"]}'
_CALL_TEXT = (
    '{"tool": "weather", "arguments": {"query": "rain in Reykjavik on Sunday morning", "limit": 3, "exact": false}}'
)


@dataclass(frozen=True)
class Case:
    """One of the things asked for."""

    name: str
    specs: tuple[RequirementSpec, ...]
    text: str
    """An answer."""
    max_tokens: int
    theirs: tuple[str, Any] | None = None
    """The same for others: ("json", schema), ("regex", pattern), ("lark", grammar); None where they have no words for it."""


def cases(table: TokenTable, data: Path) -> list[Case]:
    """All of them."""
    return [*_json(table, data), *_regex(), *_keywords(), *_mixed()]


def _json(table: TokenTable, data: Path) -> list[Case]:
    found = [_json_case("json person", _PERSON, _PERSON_TEXT), _json_case("json tool call", _CALL, _CALL_TEXT)]
    path = data / "jsonschemabench" / "schemas.jsonl.gz"
    if path.is_file():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        middling = [row for row in rows if 400 <= row["bytes"] <= 3000]
        for row in random.Random(0).sample(middling, 60):
            if len(found) == 8:
                break
            spec = RequirementSpec("json_schema", {"schema": row["schema"]})
            try:
                plan = compose([spec], table, max_tokens=400).start().plan
            except RequirementError:
                continue
            # The others want properties in the schema's order.
            text = json.dumps(_ordered(json.loads(b"".join(plan)), row["schema"]), ensure_ascii=False)
            if len(text) >= 40:
                found.append(_json_case(f"json {row['subset']} {row['name']}", row["schema"], text))
    return found


def _ordered(value: Any, schema: Any) -> Any:
    """`value` with the properties of objects in the order of the schema, so far as it is told in place."""
    if not isinstance(value, dict) or not isinstance(schema, dict):
        return value
    known = schema.get("properties", {})
    names = [name for name in known if name in value]
    names += [name for name in value if name not in known]
    return {name: _ordered(value[name], known.get(name)) for name in names}


def _json_case(name: str, schema: dict[str, Any], text: str) -> Case:
    return Case(name, (RequirementSpec("json_schema", {"schema": schema}),), text, 400, ("json", schema))


def _regex() -> list[Case]:
    found = [
        ("date and time", r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}", "2026-11-28 09:30"),
        ("an address", r"[A-Z][a-z]+( [A-Z][a-z]+)* \d{1,4}, \d{5} [A-Z][a-z]+", "Long Garden Street 17, 10115 Berlin"),
        ("a sentence", r"[A-Z][a-z]*([,;]? [a-z]+)*[.!?]", _STORY.replace("The old", "Old").lower().capitalize()),
        (
            "counted",
            r"(- [a-z ]{3,40}\n){3,6}",
            "- a bag of flour\n- two eggs\n- some fresh milk\n- a spoon of honey\n",
        ),
    ]
    return [
        Case(f"regex {name}", (RequirementSpec("regex", {"pattern": pattern, "match": "full"}),), text, 200,
             ("regex", pattern))
        for name, pattern, text in found
    ]  # fmt: skip


def _keywords() -> list[Case]:
    num_words = len(_STORY.split())
    six = RequirementSpec("keywords", {"all": WORDS[:6]})
    twenty = RequirementSpec("keywords", {"all": WORDS})
    characters = {"minimum": 300, "maximum": 600}
    return [
        Case("6 keywords", (six,), _STORY, 128, ("lark", _lark(WORDS[:6]))),
        Case("6 keywords, exact words", (six, RequirementSpec("words", {"exactly": num_words})), _STORY, 128,
             ("lark", _lark(WORDS[:6], rf"/\W*(\w+\W+){{{num_words - 1}}}\w+\W*/"))),
        Case("20 keywords, characters", (twenty, RequirementSpec("characters", characters)), _LONG_STORY, 256,
             ("lark", _lark(WORDS, r"/(\s*\S){300,600}\s*/"))),
    ]  # fmt: skip


def _mixed() -> list[Case]:
    six = RequirementSpec("keywords", {"all": WORDS[:6]})
    in_json = RequirementSpec("keywords", {"all": ["mathematics", "poetry"]})
    return [
        Case("keywords, two sentences at most", (six, RequirementSpec("sentences", {"maximum": 2})), _STORY, 128),
        Case(
            "keywords in a json person",
            (RequirementSpec("json_schema", {"schema": _PERSON}), in_json),
            _PERSON_TEXT,
            200,
        ),
    ]


def _lark(words: Sequence[str], more: str | None = None) -> str:
    """An intersection of patterns. Case counts, and words are found inside of longer ones: less than what ours keep."""
    anywhere = [rf"/(.|\n)*{word}(.|\n)*/" for word in words]
    return "start: TEXT\nTEXT: " + " & ".join([*anywhere, *([more] if more else [])])
