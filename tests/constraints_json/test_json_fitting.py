"""Endings that bring what other requirements still miss."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from heedful.constraints.json import JsonMachine
from heedful.constraints.kinds import BUILDERS
from heedful.constraints.machine import Completion, Needs
from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import parse

WORDS = ("so", "了", "1")
MORE_WORDS = ("so", "now", "again", "always", "clearly", "moreover", "increasingly", "a", "好", "很", "了", "1")
MOST_TOLD = 8


def needed(**requirements: Any) -> list[RequirementSpec]:
    """`keywords=[...]`, `words=5` (exactly) or `words=(3, None)`, and so on."""
    specs = []
    for kind, value in requirements.items():
        if kind == "keywords":
            specs.append(RequirementSpec(kind, {"all": value}))
        elif kind == "search":
            specs.append(RequirementSpec("regex", {"pattern": value, "match": "search"}))
        elif isinstance(value, dict):
            specs.append(RequirementSpec(kind, value))
        else:
            low, high = value if isinstance(value, tuple) else (value, value)
            bounds = {"minimum": low} if high is None else {"exactly": low}
            specs.append(RequirementSpec(kind, bounds))
    return specs


def missing_of(specs: Sequence[RequirementSpec], begun: str = "") -> Callable[[str], list[Needs]]:
    """What is missing behind a text; of what refuses it, what was missing before."""
    parts = [part for spec in specs for part in BUILDERS[type(parse(spec))](parse(spec))[0]]

    def missing(text: str) -> list[Needs]:
        found = []
        for part in parts:
            state = part.step(part.start(), begun)
            after = part.step(state, text)
            found.append(part.needs(state if after is None else after))
        return found

    return missing


def told(
    schema: Any, specs: Sequence[RequirementSpec], begun: str = "", words: Sequence[str] = WORDS
) -> list[Completion]:
    """What is told; all of it is accepted."""
    machine = JsonMachine(schema)
    state = machine.step(machine.start(), begun)
    assert state is not None
    found = list(machine.fitting(state, missing_of(specs, begun), words))
    assert len(found) <= MOST_TOLD
    for each in found:
        ended = machine.step(state, each.before + "a" * each.least + each.after)
        assert ended is not None, each
        assert machine.accepts(ended), each
    return found


def fitted(schema: Any, begun: str = "", known: Sequence[str] = WORDS, /, **requirements: Any) -> str:
    """The first text told that satisfies the requirements; there is one."""
    specs = needed(**requirements)
    found = told(schema, specs, begun, known)
    texts = [begun + each.before for each in found if each.room == 0]
    good = [text for text in texts if all(parse(spec).check(text).satisfied for spec in specs)]
    assert good, found
    return good[0]


def text(most: int | None = None, least: int = 0) -> dict[str, Any]:
    return {"type": "string", "minLength": least} | ({} if most is None else {"maxLength": most})


def record(required: Sequence[str] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TAGS = {"type": "array", "items": text(10), "minItems": 1, "maxItems": 4}
STATUS = {"enum": ["draft", "review", "published"]}
RATING = {"type": "number", "minimum": 1, "maximum": 5}
BOOLEAN = {"type": "boolean"}


# -- what has to occur ----------------------------------------------------------------------------------------------


def test_keywords_are_spread_over_strings_with_room_in_order() -> None:
    schema = record(["title", "tags"], title=text(12), tags=TAGS)
    keywords = ["alpha", "beta", "gamma", "delta", "epsilon"]
    found = json.loads(fitted(schema, keywords=keywords))
    assert [word for one in (found["title"], *found["tags"]) for word in one.split()] == keywords
    assert found["title"] == "alpha beta"


def test_chinese_keywords_have_no_spaces_and_may_overlap() -> None:
    assert fitted(record(["name"], name=text(9)), keywords=["为了建立", "物体之间"]) == '{"name":"为了建立物体之间"}'
    overlapping = fitted(record(["name"], name=text()), keywords=["骆驼也没", "没有"], words=6)
    assert json.loads(overlapping) == {"name": "骆驼也没有"}


@pytest.mark.parametrize("keyword", ["rating", "published", "true", "city", "Rating"])
def test_a_keyword_may_be_a_key_or_a_listed_value(keyword: str) -> None:
    address = record(["city"], city=text(), street=text())
    schema = record(["name"], name=text(5), rating=RATING, status=STATUS, active=BOOLEAN, address=address)
    found = fitted(schema, keywords=[keyword])
    assert keyword.lower() in found
    assert json.loads(found)["name"] == ""


def test_what_is_no_key_stays_a_word() -> None:
    assert json.loads(fitted(record(["name"], name=text(), status=STATUS), keywords=["publisher"])) == {
        "name": "publisher"
    }


def test_one_text_may_bring_what_several_ask_for() -> None:
    found = fitted(
        record(["name"], name=text()),
        keywords=["Jacques", "Cousteau"],
        search="Cousteau[^\\n]{0,9}Jacques",
        characters=26,
    )
    assert json.loads(found) == {"name": "Cousteau Jacques"}


# -- how much of it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "count"), [("words", 14), ("characters", 90)])
def test_members_and_items_are_added_where_there_is_no_room(unit: str, count: int) -> None:
    schema = record(["name"], name=text(6), tags=TAGS, status=STATUS, active=BOOLEAN, rating=RATING)
    fitted(schema, **{unit: count})
    fitted(schema, **{unit: (count, None)})
    assert len(json.loads(fitted(record(["tags"], tags=TAGS), characters=(40, None)))["tags"]) > 2


def test_numbers_have_as_many_digits_as_it_takes() -> None:
    for count in (12, 14, 15, 16, 17):
        assert 1 <= json.loads(fitted(record(["rating"], rating=RATING), characters=count))["rating"] <= 5
    for count in range(7, 11):
        json.loads(fitted(record(["n"], n={"type": "integer", "minimum": 3}), characters=count))


@pytest.mark.parametrize("words", range(2, 12, 3))
@pytest.mark.parametrize("more", [0, 1, 7, 30])
@pytest.mark.parametrize("known", [WORDS, MORE_WORDS])
def test_words_and_characters_come_out_even(words: int, more: int, known: Sequence[str]) -> None:
    schema = record(["title", "summary"], title=text(9, 3), summary=text(80))
    found = fitted(schema, "", known, words=2 + words, characters=len('{"title":"","summary":""}') + 3 * words + more)
    assert "  " not in found


def test_spaces_fill_a_string_where_characters_may_not() -> None:
    found = json.loads(fitted(record(["heading"], heading=text(40, 32)), characters=14 + 28))
    assert len(found["heading"]) >= 32


def test_chinese_is_filled_with_chinese() -> None:
    found = json.loads(fitted(record(["name"], name=text(20)), keywords=["物体之间"], words=1 + 9))
    assert found == {"name": "物体之间了了了了了"}
    fitted(record(["name"], name=text(20)), keywords=["物体之间"], words=1 + 9, characters=11 + 12)


def test_runs_of_letters_are_words_where_they_count_so() -> None:
    runs = {"exactly": 9, "definition": "runs"}
    fitted(record(["date", "name"], date={"type": "string", "format": "date"}, name=text()), words=runs)


def test_letters_are_among_the_words() -> None:
    letters = {"letter": "z", "exactly": 4}
    found = json.loads(fitted(record(["name"], name=text()), letters=letters, words=4, characters=30))
    assert found["name"].count("z") == 4


def test_items_that_have_to_differ_do() -> None:
    schema = record(["tags"], tags={**TAGS, "uniqueItems": True, "minItems": 3})
    assert len(set(json.loads(fitted(schema, keywords=["one", "two"]))["tags"])) >= 3
    fitted({"type": "array", "items": STATUS, "uniqueItems": True}, characters=(25, None))


def test_from_inside_a_string() -> None:
    schema = record(["title", "tags"], title=text(12), tags=TAGS)
    found = json.loads(fitted(schema, '{"title":"Go', keywords=["alpha", "beta"]))
    assert found == {"title": "Go alpha", "tags": ["beta"]}
    assert json.loads(fitted(schema, '{"tags":["x",', words=12))["tags"][0] == "x"


def test_a_place_for_words_is_told_where_others_know_better() -> None:
    found = told(record(["name"], name=text(30)), needed(keywords=["alpha"], sentences=2))
    assert found == [Completion('{"name":"alpha', '"}', 25)]


# -- always ---------------------------------------------------------------------------------------------------------


def any_schema(draw: random.Random, levels: int = 2) -> Any:
    kind = draw.choice(
        ("text", "text", "enum", "number", "boolean", "either", "date", *("object", "object", "array") * (levels > 0))
    )
    if kind == "object":
        keys = draw.sample(["name", "tags", "status", "active", "标题", "rating", "city"], draw.randint(1, 5))
        closed = {} if draw.random() < 0.3 else {"additionalProperties": False}
        properties = {key: any_schema(draw, levels - 1) for key in keys}
        return {"type": "object", "properties": properties, "required": keys[: draw.randint(0, len(keys))], **closed}
    if kind == "array":
        unique = {"uniqueItems": True} if draw.random() < 0.3 else {}
        least = draw.randint(0, 2)
        return {
            "type": "array",
            "items": any_schema(draw, levels - 1),
            "minItems": least,
            "maxItems": least + 3,
            **unique,
        }
    if kind == "either":
        return {"anyOf": [any_schema(draw, levels - 1), {"type": "null"}]}
    if kind == "text":
        least = draw.choice((0, 0, 3, 20))
        return text(draw.choice((None, least + 5, least + 30)), least)
    simple: dict[str, Any] = {
        "enum": STATUS,
        "number": RATING,
        "boolean": BOOLEAN,
        "date": {"type": "string", "format": "date"},
    }
    return simple[kind]


@pytest.mark.parametrize("seed", range(60))
def test_all_that_is_told_is_accepted_wherever_the_answer_stands(seed: int) -> None:
    draw = random.Random(seed)
    try:
        machine = JsonMachine(schema := any_schema(draw))
    except RequirementError:
        return  # No three of two listed values differ.
    whole = next(machine.completions(machine.start())).before
    keywords = draw.sample(["alpha", "status", "draft", "true", "中文", "名字", 'a "b"'], draw.randint(1, 4))
    for _ in range(4):
        specs = needed(keywords=keywords, words=draw.randint(1, 40), characters=(draw.randint(1, 150), None))
        begun = whole[: draw.randint(0, len(whole))]
        told(
            schema,
            draw.sample(specs, draw.randint(1, 3)),
            begun,
            draw.choice((WORDS, MORE_WORDS, ("了",), ("so",), ())),
        )


@pytest.mark.parametrize(
    "schema",
    [
        {}, {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "array", "items": {"$ref": "#"}}, "c": text(3)}},
        record((), **{f"k{n}": text(8) for n in range(150)}), {"type": "array", "items": text(2), "minItems": 300}, {"type": "array", "items": text(2)},
        {"type": "array", "items": text(2), "minItems": 3, "uniqueItems": True}, record(["e"], e={"enum": [f"v{n}" for n in range(2000)]}),
        {"type": "string", "minLength": 15_000}, {"type": "object", "patternProperties": {"^x-": text()}, "minProperties": 20},
    ],
    ids=lambda schema: str(schema)[:60],
)  # fmt: skip
def test_it_ends_soon(schema: Any) -> None:
    keywords = [f"word{n}" for n in range(40)]
    letters = {"letter": "z", "exactly": 30}
    for specs in (needed(keywords=keywords, words=500, characters=4000, letters=letters), needed(words=(10**6, None))):
        start = time.thread_time()
        told(schema, specs)
        assert time.thread_time() - start < 2
