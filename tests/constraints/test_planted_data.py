"""The evidence is checked before it is used: planted answers keep their requirements, contradictions are kept by nothing.

Two checkers decide, `heedful.requirements` and one that shares no code with it; they also have to agree on real texts.
"""

from __future__ import annotations

import random
import unicodedata
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from contradictions import CHINESE_TERMS, ENGLISH_TERMS, contradictory
from heedful.records import RequirementSpec
from heedful.requirements import conflicts, parse
from independent_checker import (
    OutsideDomainError,
    fold,
    num_characters,
    occurrences,
    satisfies,
    sentence_count,
    words,
)
from planted import MAX_SPECS, MIX, corpus, planted, snippet, terms

_TEXTS = (
    "",
    "42",
    "yes",
    "Solar.",
    "true",
    '{"title": "The river", "year": "1998"}',
    '["a", "b"]',
    '"Hello world"',
    "Hello there. This is a plain answer about a solar garden, a river and a bridge!",
    "HELLO THERE. THE END",
    "你好！太阳和河流都在花园里。谢谢。",
    "- one\n- two\n- three\n\n<<Title>>\n\n*marked* [name]\n\nSECTION 1\nP.S. Good luck!",
    "However, it rains.\n\nHowever, it rains.\n\nHowever, it rains.",
    "1998",
    "Springfield, IL",
    # One word by count that mentions many; everything at once; no word at all.
    "-".join(ENGLISH_TERMS),
    " ".join(ENGLISH_TERMS),
    "".join(CHINESE_TERMS) * 3 + " " + ". ".join(ENGLISH_TERMS),
    "!\n\n?\n\n...\n\n***",
    "river, RIVER, River\n\n" * 30,
)


# -- planted --------------------------------------------------------------------------------------------------------


def test_planted_solutions_keep_their_requirements(shared_data: Path) -> None:
    for item in planted(seed=0, count=300, folder=shared_data):
        assert 1 <= len(item.specs) <= MAX_SPECS
        for spec in item.specs:
            assert satisfies(spec.kind, spec.parameters, item.solution), (spec, item)
            verdict = parse(spec).check(item.solution)
            assert verdict.satisfied, (verdict.reason, item)


def test_planted_data_is_the_same_each_time(shared_data: Path) -> None:
    few, many = (list(planted(seed=5, count=count, folder=shared_data)) for count in (20, 40))
    assert few == many[:20]
    assert few != list(planted(seed=6, count=20, folder=shared_data))


def test_planted_data_is_mixed(shared_data: Path) -> None:
    items = list(planted(seed=1, count=500, folder=shared_data))
    families = Counter(item.family for item in items)
    assert all(abs(families[family] / 500 - share) < 0.07 for family, share in MIX.items()), families
    assert 0.33 < sum(item.language == "zh" for item in items) / 500 < 0.47
    kinds = {spec.kind for item in items for spec in item.specs}
    assert len(kinds) >= 25, kinds
    assert {len(item.specs) for item in items} == set(range(1, MAX_SPECS + 1))


# -- contradictions -------------------------------------------------------------------------------------------------


def test_contradictions_are_kept_by_no_answer() -> None:
    for item in contradictory(seed=0, count=500):
        for text in _TEXTS:
            assert not _surely_kept(item.specs, text), (item, text)
            assert not all(parse(spec).check(text).satisfied for spec in item.specs), (item, text)


def test_planted_answers_keep_no_contradiction(shared_data: Path) -> None:
    solutions = [item.solution for item in planted(seed=2, count=60, folder=shared_data)]
    for item in contradictory(seed=1, count=150):
        for text in solutions:
            assert not _surely_kept(item.specs, text), (item, text)


def test_no_conflict_is_seen_in_planted_data(shared_data: Path) -> None:
    # A conflict that is listed is real, so none may be in what an answer keeps.
    for item in planted(seed=3, count=300, folder=shared_data):
        assert not conflicts(item.specs), item


def test_contradictions_name_their_kinds() -> None:
    items = list(contradictory(seed=0, count=300))
    assert items == list(contradictory(seed=0, count=300))
    for item in items:
        left = [spec.kind for spec in item.specs]
        for name in item.names:
            left.remove(name)
        assert len(left) <= 5
        assert item.is_named_in(f"{item.names[0]} and {item.names[1]} exclude each other")
        assert not item.is_named_in("these exclude each other")


def _surely_kept(specs: tuple[RequirementSpec, ...], text: str) -> bool:
    try:
        return all(satisfies(spec.kind, spec.parameters, text) for spec in specs)
    except OutsideDomainError:
        return False


# -- two checkers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [400, pytest.param(3000, marks=pytest.mark.slow)])
def test_checkers_agree_on_real_texts(shared_data: Path, count: int) -> None:
    rng = random.Random("two checkers")
    corpora = list(corpus(shared_data).values())
    differences: list[Any] = []
    for _ in range(count):
        source = rng.choice(corpora)
        text = rng.choice(source.documents)[:3000]
        other = snippet(rng, source, 10, 60)
        for spec in _asked(rng, text, terms(other, source.language)):
            expected, found = _decided(spec, text), parse(spec).check(text)
            if expected is not None and expected != found.satisfied:
                differences.append((spec.as_dict(), expected, found.reason, text))
    assert not differences, (len(differences), differences[:5])


def _decided(spec: RequirementSpec, text: str) -> bool | None:
    """None where only one answer is certain, or none."""
    try:
        expected = satisfies(spec.kind, spec.parameters, text)
    except OutsideDomainError:
        return None
    one_sided = spec.kind == "language" or spec.parameters.get("inflections")
    return None if one_sided and not expected else expected


def _asked(rng: random.Random, text: str, others: list[str]) -> list[RequirementSpec]:
    """Requirements that `text` just keeps, or just fails."""
    numbers: list[tuple[str, dict[str, Any], int | None]] = [
        ("words", {}, len(words(text))),
        ("characters", {}, num_characters(text)),
        ("sentences", {}, sentence_count(text)),
        *(
            (kind, parameters, _count(kind, parameters, text))
            for kind, parameters in (
                ("words", {"definition": "runs"}),
                ("paragraphs", {}),
                ("bullets", {}),
                ("bullets", {"definition": "markdown"}),
                ("letters", {"letter": rng.choice("aes的，")}),
                ("capitals", {}),
                ("placeholders", {}),
                ("highlights", {}),
            )
        ),
    ]
    asked = [
        RequirementSpec(kind, {**parameters, bound: number + more})
        for kind, parameters, number in numbers
        if number is not None
        for bound, more in (("maximum", 0), ("minimum", 1))
        if bound == "minimum" or kind not in ("placeholders", "highlights")
    ]
    return [*asked, *_asked_of_words(rng, text, others), *_asked_of_form(rng, text)]


def _count(kind: str, parameters: dict[str, Any], text: str) -> int:
    fits = range(len(text) + 1)
    return bisect_left(fits, True, key=lambda number: satisfies(kind, {**parameters, "maximum": number}, text))


def _asked_of_words(rng: random.Random, text: str, others: list[str]) -> list[RequirementSpec]:
    found = [word for word in words(text) if len(word) > 1 and fold(word)] or ["word"]
    size = rng.randint(1, 5)
    at = rng.randrange(max(len(text), 1))
    pieces = [piece for start in (at, at // 2) if (piece := text[start : start + size].strip()) and _is_phrase(piece)]
    asked = []
    for phrase in dict.fromkeys([rng.choice(found), rng.choice(others or found), *pieces]):
        for match in ("word", "substring", "exact"):
            asked.append(RequirementSpec("keywords", {"all": [phrase], "match": match, "times": rng.randint(1, 2)}))
            asked.append(RequirementSpec("forbidden", {"words": [phrase], "match": match}))
        number = len(occurrences(fold(text), fold(phrase), "word"))
        asked.append(RequirementSpec("keywords", {"all": [phrase], "times": number, "maximum": number}))
        asked.append(RequirementSpec("keywords", {"all": [phrase], "inflections": True}))
        asked.append(RequirementSpec("starts_with", {"text": phrase}))
        asked.append(RequirementSpec("ends_with", {"text": phrase}))
    pair = rng.sample(found, 2) if len({fold(word) for word in found}) > 1 and len(found) > 1 else []
    if pair and fold(pair[0]) != fold(pair[1]):
        asked.append(RequirementSpec("keywords", {"all": pair, "in_order": True}))
        asked.append(RequirementSpec("keywords", {"any": pair, "times": 3}))
    for cut in (size, 2 * size):
        asked += [RequirementSpec("starts_with", {"text": piece}) for piece in _phrases(text.strip()[:cut])]
        asked += [RequirementSpec("ends_with", {"text": piece}) for piece in _phrases(text.strip()[-cut:])]
    return asked


def _phrases(piece: str) -> list[str]:
    return [piece.strip()] if piece.strip() and _is_phrase(piece.strip()) else []


def _is_phrase(piece: str) -> bool:
    return all(map(str.isprintable, piece)) and not unicodedata.category(piece[0]).startswith("M")


def _asked_of_form(rng: random.Random, text: str) -> list[RequirementSpec]:
    first = text.split("\n")[0].strip()
    return [
        RequirementSpec("case", {"case": rng.choice(("upper", "lower"))}),
        RequirementSpec("no_commas", {}),
        RequirementSpec("script", {"script": rng.choice(("Latin", "Han"))}),
        RequirementSpec("language", {"language": rng.choice(("en", "zh"))}),
        RequirementSpec("title", {}),
        RequirementSpec("quoted", {}),
        RequirementSpec("responses", {}),
        RequirementSpec("postscript", {"marker": rng.choice(("P.S.", "P.P.S"))}),
        RequirementSpec("sections", {"splitter": rng.choice(("Section", "Step", "Chapter")), "minimum": 2}),
        RequirementSpec("regex", {"pattern": r"[A-Z][a-z]+ \d+", "match": "search"}),
        RequirementSpec("regex", {"pattern": r"[A-Za-z0-9\s,.]+", "match": "full"}),
        RequirementSpec("json_schema", {"schema": {"type": "object"}}),
        RequirementSpec(
            "choice", {"options": ["yes", *([first] if 3 < len(first) <= 1000 and _is_phrase(first) else ["no"])]}
        ),
    ]
