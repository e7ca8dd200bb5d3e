"""What a requirement says: grammar by hand, numbers and words by property."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import LANGUAGES, NUM_WORDINGS, REQUIREMENTS, parse, say_all

ONE_OF_EACH: dict[str, dict[str, Any]] = {
    "words": {"minimum": 30, "maximum": 50},
    "characters": {"maximum": 280},
    "sentences": {"exactly": 2},
    "bullets": {"minimum": 3},
    "keywords": {"all": ["sun", "wind"], "times": 4},
    "forbidden": {"words": ["very"]},
    "starts_with": {"text": "Dear {name}"},
    "ends_with": {"text": "100%"},
    "choice": {"options": ["yes", "no"]},
    "json_schema": {"schema": {"type": "array", "maxItems": 7}},
    "regex": {"pattern": r"\{\d{3}\}", "match": "full"},
    "language": {"language": "zh"},
}
CHINESE_CHARACTER = re.compile(r"[\u4e00-\u9fff]")


def say(kind: str, language: Any = "en", wording: int = 0, /, **parameters: Any) -> str:
    return parse(RequirementSpec(kind, parameters)).say(language, wording)


def test_every_kind_is_said_here() -> None:
    assert ONE_OF_EACH.keys() == REQUIREMENTS.keys()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_at_least_three_wordings_in_each_language(kind: str) -> None:
    assert NUM_WORDINGS >= 3
    for language in LANGUAGES:
        wordings = [say(kind, language, number, **ONE_OF_EACH[kind]) for number in range(NUM_WORDINGS)]
        assert len(set(wordings)) == NUM_WORDINGS
        assert say(kind, language, NUM_WORDINGS, **ONE_OF_EACH[kind]) == wordings[0]
        for wording in wordings:
            assert bool(CHINESE_CHARACTER.search(wording)) is (language == "zh")
            assert wording.endswith(("}",) if kind == "json_schema" else (".", "。"))
            assert "  " not in wording


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("wording", range(NUM_WORDINGS))
@pytest.mark.parametrize(
    ("kind", "needles"),
    [
        ("words", ["30", "50"]),
        ("characters", ["280"]),
        ("sentences", ["2"]),
        ("bullets", ["3"]),
        ("keywords", ["sun", "wind", "4"]),
        ("forbidden", ["very"]),
        ("starts_with", ["Dear {name}"]),
        ("ends_with", ["100%"]),
        ("choice", ["yes", "no"]),
        ("json_schema", ['{"type": "array", "maxItems": 7}']),
        ("regex", [r"\{\d{3}\}"]),
    ],
)
def test_numbers_and_phrases_are_mentioned(kind: str, needles: list[str], wording: int, language: str) -> None:
    sentence = say(kind, language, wording, **ONE_OF_EACH[kind])
    assert [needle for needle in needles if needle not in sentence] == []


@pytest.mark.parametrize(
    ("kind", "parameters", "english", "chinese"),
    [
        ("words", {"maximum": 1}, "Use at most 1 word.", "最多写1个字。"),
        ("words", {"maximum": 2}, "Use at most 2 words.", "最多写2个字。"),
        ("words", {"minimum": 0, "maximum": 9}, "Use at most 9 words.", "最多写9个字。"),
        ("words", {"minimum": 30, "maximum": 50}, "Use between 30 and 50 words.", "写30到50个字。"),
        ("sentences", {"minimum": 1}, "Use at least 1 sentence.", "至少写1句话。"),
        ("sentences", {"minimum": 2, "maximum": 2}, "Use exactly 2 sentences.", "正好写2句话。"),
        ("bullets", {"maximum": 0}, "Use no bullet points.", "不要写列表项。"),
        ("characters", {"maximum": 9}, "Use at most 9 characters (not counting spaces).", "最多写9个字符（不计空格）。"),
        ("keywords", {"all": ["sun"]}, 'Mention "sun".', "请提到“sun”。"),
        ("keywords", {"all": ["a", "b", "c"]}, 'Mention "a", "b" and "c".', "请提到“a”、“b”和“c”。"),
        ("keywords", {"all": ["a"], "times": 2}, 'Mention "a" at least twice.', "请提到“a”，至少2次。"),
        ("keywords", {"all": ["a", "b"], "times": 3}, 'Mention "a" and "b" at least 3 times each.', "请提到“a”和“b”，各至少3次。"),
        ("keywords", {"any": ["a"]}, 'Mention "a".', "请提到“a”。"),
        ("keywords", {"any": ["a", "b"]}, 'Mention at least one of these: "a", "b".', "请提到以下至少一个：“a”、“b”。"),
        ("forbidden", {"words": ["a", "b"]}, 'Do not use "a" or "b".', "不要使用“a”或“b”。"),
        ("starts_with", {"text": 'Say "hi"'}, 'Begin with “Say "hi"”.', "请以“Say \"hi\"”开头。"),
        ("ends_with", {"text": "“好”"}, 'End with "“好”".', "请以「“好”」结尾。"),
        ("language", {"language": "de"}, "Answer in German.", "请用德语回答。"),
    ],
)  # fmt: skip
def test_grammar(kind: str, parameters: dict[str, Any], english: str, chinese: str) -> None:
    assert say(kind, "en", **parameters) == english
    assert say(kind, "zh", **parameters) == chinese


def test_several_are_said_as_running_text() -> None:
    specs = [RequirementSpec("words", {"maximum": 9}), RequirementSpec("keywords", {"all": ["sun"]})]
    assert say_all(specs, "en") == 'Use at most 9 words. Mention "sun".'
    assert say_all(specs, "zh") == "最多写9个字。请提到“sun”。"
    assert say_all([], "en") == ""


def test_wordings_follow_the_random_stream_and_nothing_else() -> None:
    specs = [RequirementSpec(kind, parameters) for kind, parameters in ONE_OF_EACH.items()]
    said = {seed: say_all(specs, "en", rng=random.Random(seed)) for seed in range(5)}
    assert said == {seed: say_all(specs, "en", rng=random.Random(seed)) for seed in range(5)}
    assert len(set(said.values())) == 5


def test_a_language_nobody_wrote_sentences_for_is_refused() -> None:
    with pytest.raises(RequirementError, match="said in en or zh, got language 'fr'"):
        say("words", "fr", maximum=3)
