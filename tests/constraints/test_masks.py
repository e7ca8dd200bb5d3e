"""Masks of the whole vocabulary: what they allow the composition permits, token by token, and they leave out next to nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from heedful.constraints import Composition, TokenTable, compose
from heedful.constraints.composition import NEVER, Written
from heedful.constraints.masks.needles import Needle
from heedful.constraints.masks.texts import token_texts
from heedful.constraints.phrases import Phrase, PhrasesPart
from heedful.records import RequirementSpec

Case = tuple[Sequence[tuple[str, dict[str, Any]]], int]

_ENGLISH = ["solar", "wind", "river", "cat", "candle", "tree"]
_CHINESE = ["太阳", "风", "太阳能"]
PROSE: list[Case] = [
    ([("keywords", {"all": _ENGLISH}), ("words", {"exactly": 20})], 60),
    ([("keywords", {"all": _ENGLISH}), ("words", {"exactly": 9, "definition": "runs"})], 40),
    ([("keywords", {"all": _ENGLISH[:4], "match": "substring"}), ("words", {"maximum": 8})], 40),
    ([("keywords", {"all": ["Solar", "he"], "match": "exact"}), ("words", {"exactly": 6})], 30),
    ([("keywords", {"any": _ENGLISH}), ("words", {"exactly": 4})], 30),
    ([("keywords", {"all": ["cat", "wind"], "times": 2, "maximum": 2}), ("words", {"maximum": 12})], 40),
    ([("keywords", {"all": ["cat", "category", "solar wind"]}), ("forbidden", {"words": ["the", "is"]})], 30),
    ([("forbidden", {"words": ["er", "ing"], "match": "substring"}), ("words", {"exactly": 7})], 30),
    ([("keywords", {"all": ["3.14", "well-known", "don't"]}), ("words", {"maximum": 12})], 40),
    ([("keywords", {"all": _ENGLISH}), ("characters", {"minimum": 60, "maximum": 90})], 60),
    ([("keywords", {"all": _ENGLISH[:2]}), ("words", {"exactly": 8}), ("characters", {"maximum": 50})], 60),
    ([("keywords", {"all": _CHINESE}), ("words", {"exactly": 14})], 60),
    ([("keywords", {"all": _CHINESE}), ("characters", {"minimum": 10, "maximum": 30})], 60),
    ([("words", {"exactly": 12}), ("tokens", {"minimum": 8, "maximum": 40})], 50),
]
REGEX: list[Case] = [
    ([("regex", {"pattern": r"\d{4}-\d{2}-\d{2}", "match": "full"})], 30),
    ([("regex", {"pattern": r"[A-Z]\w+( \w+){2,6}\.", "match": "full"})], 40),
    ([("regex", {"pattern": r"[\u4e00-\u9fff]{2,8}。", "match": "full"})], 40),
    ([("regex", {"pattern": r"\d{3}-\d{4}", "match": "search"})], 40),
    ([("regex", {"pattern": r"\(\w+\)", "match": "search"})], 40),
    ([("regex", {"pattern": r"\n[0-9]", "match": "search"})], 30),
]
_PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 150}, "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3}},
    "required": ["name", "age"],
    "additionalProperties": False,
}  # fmt: skip
_TREE = {
    "$defs": {"tree": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "the": {"type": "boolean"}}, "required": ["left"]}]}},
    "$ref": "#/$defs/tree",
}  # fmt: skip
_SCHEMAS: list[Any] = [
    _PERSON,
    _TREE,
    {"type": "object", "properties": {"the": {"type": "string", "maxLength": 5}, "then": {"enum": ["yes", "no", 12]}}, "required": ["then"]},
    {"type": "object", "additionalProperties": {"type": ["number", "null"]}, "minProperties": 2, "maxProperties": 3},
    {"type": "object", "properties": {"cat": {"type": "integer"}}, "dependentRequired": {"dog": ["cat"], "he": ["lo"]}, "required": ["river"]},
    {"type": "array", "items": {"type": "string", "minLength": 3, "maxLength": 9}, "minItems": 2, "maxItems": 4},
    {"type": "object", "properties": {"好": {"type": "string"}, "风": {"enum": ["太阳", "了"]}}, "required": ["好", "风"], "additionalProperties": False},
    {"anyOf": [{"type": "string", "minLength": 4}, {"type": "object", "properties": {"a": True}, "required": ["a"]}]},
    {"type": "array", "prefixItems": [{"type": "string", "pattern": "^[a-d]{2,4}$"}, {"type": "number"}], "items": False, "minItems": 2},
    True,
]  # fmt: skip
JSON: list[Case] = [([("json_schema", {"schema": schema})], 24) for schema in _SCHEMAS]


def composed(case: Case, table: TokenTable) -> Composition:
    specs, max_tokens = case
    return compose([RequirementSpec(kind, parameters) for kind, parameters in specs], table, max_tokens=max_tokens)


def places(composition: Composition, seed: int) -> Iterator[Written]:
    """Of an answer of which half is drawn from all tokens that are allowed, half from those that have to do with what it lacks."""
    rng, state = random.Random(seed), composition.start()
    while not state.is_over:
        yield state
        allowed = np.flatnonzero(composition.allowed(state)).tolist()
        wanted = [token for token in composition.advancing(state) if composition.permits(state, token)]
        state = composition.advance(state, rng.choice(wanted if wanted and rng.random() < 0.5 else allowed))


@pytest.mark.parametrize("case", [*PROSE, *REGEX, *JSON], ids=str)
def test_a_mask_allows_what_is_permitted_token_by_token(case: Case, table: TokenTable) -> None:
    num_permitted = num_left_out = 0
    composition = composed(case, table)
    for seed in range(3):
        for state in places(composition, seed):
            costs = composition.costs(state)
            assert costs is not None
            permitted = np.array([composition.permits(state, token) for token in range(len(table.data))])
            wrong = np.flatnonzero((costs < NEVER) & ~permitted)
            assert not len(wrong), (state.before, [table.data[token] for token in wrong])
            assert (costs[permitted & (costs < NEVER)] < state.left).all()
            num_permitted, num_left_out = (
                num_permitted + permitted.sum(),
                num_left_out + (costs[permitted] >= NEVER).sum(),
            )
    # Keywords with marks and numbers inside are where the tables are most careful.
    assert num_left_out <= 0.03 * num_permitted, (num_left_out, num_permitted)


@pytest.mark.model
@pytest.mark.parametrize("case", [*PROSE, *REGEX, *JSON], ids=str)
def test_masks_of_a_real_vocabulary(case: Case, real_table: TokenTable) -> None:
    num_permitted = num_left_out = 0
    rng, composition = random.Random(0), composed(case, real_table)
    for state in places(composition, 1):
        costs = composition.costs(state)
        assert costs is not None
        allowed = np.flatnonzero(costs < NEVER).tolist()
        dearest = [token for token in allowed if costs[token] >= state.left - 3]
        for token in [*rng.sample(allowed, min(len(allowed), 20)), *rng.sample(dearest, min(len(dearest), 20))]:
            assert composition.permits(state, token), (state.before, real_table.data[token])
        permitted = [token for token in rng.sample(range(len(costs)), 40) if composition.permits(state, token)]
        num_permitted, num_left_out = num_permitted + len(permitted), num_left_out + (costs[permitted] >= NEVER).sum()
    assert num_left_out <= 0.01 * num_permitted + 2, (num_left_out, num_permitted)


def test_what_has_no_tables_is_asked_token_by_token(table: TokenTable) -> None:
    composition = composed(([("sentences", {"exactly": 2}), ("keywords", {"all": ["cat"]})], 30), table)
    state = composition.advance(composition.start(), table.data.index(b" cat"))
    assert composition.costs(state) is None
    assert composition.allowed(state).tolist() == [
        composition.permits(state, token) for token in range(len(table.data))
    ]


def test_where_values_are_checked_tokens_are_asked_about_one_by_one(table: TokenTable) -> None:
    composition = composed(([("json_schema", {"schema": {"type": "array", "uniqueItems": True}})], 30), table)
    state = composition.start()
    for token in (b"[", b"12"):
        assert composition.costs(state) is None
        state = composition.advance(state, table.data.index(token))
    allowed = {table.data[token] for token in np.flatnonzero(composition.allowed(state))}
    assert {b",", b"]", b"3"} <= allowed
    assert not allowed & {b"the", b'"', b"}", b""}


def test_a_full_string_can_only_be_ended(table: TokenTable) -> None:
    composition = composed(([("json_schema", {"schema": {"type": "string", "maxLength": 4}})], 30), table)
    state = composition.start()
    for token in (b'"', b"t", b"he"):
        state = composition.advance(state, table.data.index(token))
    costs = composition.costs(state)
    assert costs is not None
    # One character more: a longer token only where the string ends in it.
    longer = [table.data[token] for token in np.flatnonzero(costs < NEVER) if len(table.data[token]) > 1]
    assert [data for data in longer if len(data.decode()) > 1] == [b' "']
    assert [costs[table.data.index(token)] for token in (b"a", b'"')] == [1, 0]
    full = composition.costs(composition.advance(state, table.data.index(b"a")))
    assert full is not None
    assert [table.data[token] for token in np.flatnonzero(full < NEVER)] == [b'"']


def test_where_little_is_left_only_what_completes_a_keyword_is_allowed(table: TokenTable) -> None:
    composition = composed(([("keywords", {"all": ["candle"]}), ("words", {"exactly": 2})], 4), table)
    state = composition.advance(composition.start(), table.data.index(b"the"))
    allowed = {table.data[token] for token in np.flatnonzero(composition.allowed(state))}
    assert b" candle" in allowed
    # Two words, of which the second would not be the keyword.
    assert not allowed & {b" cat", b" solar", table.data[table.end_ids[0]]}


def test_costs_are_tokens_that_are_enough(table: TokenTable) -> None:
    composition = composed(([("keywords", {"all": ["candle", "tree"]}), ("words", {"exactly": 5})], 20), table)
    state = composition.advance(composition.start(), table.data.index(b"the"))
    costs = composition.costs(state)
    assert costs is not None
    # Behind " cat" two keywords and one word more; behind " tree" one and two.
    assert [costs[table.data.index(token)] for token in (b" cat", b" tree", b"s")] == [3, 3, 4]


def test_a_needle_counts_as_the_part_does() -> None:
    rng = random.Random(0)
    for _ in range(3000):
        phrase = rng.choice(["a", "ana", "no. 5", "3.14", "c++", "太阳", "don't", "solar panel"])
        whole_word = rng.random() < 0.5
        text = "".join(rng.choice(["a", "n", "3", ".", " ", "1", "4", "c", "+", "太", "阳", phrase]) for _ in range(8))
        text = " ".join(text.split())
        part = PhrasesPart([Phrase(phrase, phrase, whole_word, 1, None)])
        state = part.step(part.start(), text)
        assert state is not None
        needle = Needle(phrase, whole_word, folds=True)
        assert needle.count(text) == part.numbers(state)[0]
        if not needle.count(text):
            assert phrase[needle.begun(text) :] == (part.needs(state).items[0].rest or phrase), text


def test_classes_are_few(real_table: TokenTable) -> None:
    batch = token_texts(real_table).batch(b"")
    assert len(batch.ids) > 48_000
    assert len(token_texts(real_table).columns) < 2000
