"""What a requirement says: grammar by hand, numbers and words by property."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import LANGUAGES, NUM_WORDINGS, REQUIREMENTS, parse, say_all
from requirement_examples import EXAMPLES
from requirement_reference import PAGE, page

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
    "tokens": {"maximum": 200},
    "paragraphs": {"exactly": 4, "separator": "stars"},
    "paragraph_start": {"paragraphs": 7, "paragraph": 3, "word": "weekend"},
    "repeats": {"text": "Name {two} things.\nThen say why."},
    "responses": {"number": 2},
    "letters": {"letter": "e", "minimum": 4, "maximum": 9},
    "capitals": {"minimum": 3},
    "case": {"case": "upper"},
    "no_commas": {},
    "placeholders": {"minimum": 3},
    "highlights": {"minimum": 3},
    "sections": {"splitter": "PART {x}", "minimum": 3},
    "title": {},
    "postscript": {"marker": "P.P.S"},
    "quoted": {},
    "grammar": {"grammar": 'start: "{" /[0-9]{3}/ "}"'},
    "script": {"script": "Cyrillic"},
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
            assert wording.endswith({"json_schema": "}", "grammar": "\n```"}.get(kind, (".", "。")))
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
        ("tokens", ["200"]),
        ("paragraphs", ["4", "***"]),
        ("paragraph_start", ["7", "3", "weekend"]),
        ("repeats", ["Name {two} things.\nThen say why."]),
        ("responses", ["2", "******"]),
        ("letters", ["e", "4", "9"]),
        ("capitals", ["3"]),
        ("placeholders", ["3"]),
        ("highlights", ["3"]),
        ("sections", ["3", "PART {x}"]),
        ("postscript", ["P.P.S"]),
        ("grammar", ['start: "{" /[0-9]{3}/ "}"']),
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
        ("words", {"maximum": 9, "definition": "runs"}, "Use at most 9 words (each run of letters or digits is one).", "最多写9个字（连续的字母或数字算一个）。"),
        ("bullets", {"exactly": 1, "definition": "markdown"}, "Use exactly 1 bullet point (lines that begin with * or -).", "正好写1条列表项（以*或-开头的行）。"),
        ("keywords", {"all": ["a"], "match": "substring"}, 'Mention "a" (also inside longer words).', "请提到“a”（在更长的词中也算）。"),
        ("keywords", {"all": ["a", "b"], "in_order": True}, 'Mention "a" and "b", in this order.', "请提到“a”和“b”，按此顺序。"),
        ("keywords", {"all": ["a"], "inflections": True}, 'Mention "a" (other forms of the words count too).', "请提到“a”（词形变化也算）。"),
        ("keywords", {"all": ["a"], "times": 0, "maximum": 2}, 'Mention "a" at most twice.', "请提到“a”，最多2次。"),
        ("keywords", {"all": ["a", "b"], "times": 3, "maximum": 3}, 'Mention "a" and "b" exactly 3 times each.', "请提到“a”和“b”，各正好3次。"),
        ("keywords", {"all": ["a"], "times": 2, "maximum": 3}, 'Mention "a" 2 to 3 times.', "请提到“a”，2到3次。"),
        ("keywords", {"all": ["a", "b"], "times": 0, "maximum": 0}, 'Never mention "a" or "b".', "绝不要提到“a”或“b”。"),
        ("keywords", {"any": ["a", "b"], "match": "exact"}, 'Mention at least one of these: "a", "b" (in just this case, also inside longer words).', "请提到以下至少一个：“a”、“b”（大小写须一致，在更长的词中也算）。"),
        ("forbidden", {"words": ["a"], "match": "substring"}, 'Do not use "a" (also inside longer words).', "不要使用“a”（在更长的词中也算）。"),
        ("ends_with", {"text": "Bye", "loose": True}, 'End with "Bye" (case and quotation marks around the answer do not matter).', "请以“Bye”（大小写和回答外的引号不计）结尾。"),
        ("json_schema", {"schema": True, "allow_code_fence": True}, "Answer with JSON only (inside a Markdown code fence or not), valid against this JSON Schema: true", "只用 JSON （可以放在 Markdown 代码块中）作答，并符合这个 JSON Schema：true"),
        ("paragraphs", {"exactly": 1}, "Use exactly 1 paragraph.", "正好写1个段落。"),
        ("paragraphs", {"minimum": 2, "separator": "stars"}, "Use at least 2 paragraphs (separated by ***).", "至少写2个段落（用***分隔）。"),
        ("letters", {"letter": "q", "maximum": 1}, 'Use the letter "q" at most once.', "字母“q”最多用1次。"),
        ("letters", {"letter": "#", "exactly": 0}, 'Do not use the character "#".', "不要使用字符“#”。"),
        ("letters", {"letter": "好", "minimum": 2}, 'Use the character "好" at least twice.', "字符“好”至少用2次。"),
        ("capitals", {"maximum": 0}, "Use no words in capital letters.", "不要写全大写的词。"),
        ("placeholders", {"minimum": 1}, "Include at least 1 placeholder in square brackets, such as [name].", "请至少写1个方括号占位符，例如[姓名]。"),
        ("postscript", {"marker": "P.S."}, 'Add a postscript that begins with "P.S.".', "请加上以“P.S.”开头的附言。"),
        ("script", {"script": "Han"}, "Write in Han script only.", "只用汉字书写。"),
        ("grammar", {"grammar": 'start: "```"'}, 'Your whole answer must follow this Lark grammar:\n````lark\nstart: "```"\n````', '整个回答必须符合这个 Lark 语法：\n````lark\nstart: "```"\n````'),
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


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *ONE_OF_EACH.items(),
    *((kind, {shape: 2}) for kind in ("words", "characters", "sentences", "bullets", "tokens", "paragraphs", "capitals") for shape in ("minimum", "maximum", "exactly")),
    *((kind, {"maximum": 0}) for kind in ("words", "tokens", "paragraphs", "capitals")),
    *(("letters", {"letter": "x", **bounds}) for bounds in ({"minimum": 2}, {"maximum": 2}, {"exactly": 2}, {"exactly": 0}, {"minimum": 2, "maximum": 3})),
    *(("keywords", {"all": ["x", "y"], **more}) for more in ({}, {"times": 2}, {"times": 0, "maximum": 2}, {"times": 0, "maximum": 0}, {"maximum": 1}, {"maximum": 2}, {"in_order": True}, {"inflections": True}, {"match": "substring"}, {"match": "exact"}, {"in_order": True, "match": "exact"})),
    *(("keywords", {"any": ["x", "y"], **more}) for more in ({}, {"times": 2}, {"match": "substring"}, {"match": "exact"}, {"inflections": True})),
    *(("forbidden", {"words": ["x", "y"], **more}) for more in ({"match": "word"}, {"match": "substring"}, {"match": "exact"})),
    *((kind, {"text": "x", **more}) for kind in ("starts_with", "ends_with") for more in ({}, {"loose": True})),
    ("words", {"exactly": 2, "definition": "runs"}),
    ("bullets", {"exactly": 2, "definition": "markdown"}),
    ("paragraphs", {"exactly": 2, "separator": "stars"}),
    ("case", {"case": "lower"}),
    ("regex", {"pattern": "x", "match": "search"}),
    ("json_schema", {"schema": True}),
    ("json_schema", {"schema": True, "allow_code_fence": True}),
]  # fmt: skip
"""Parameters that mean different things; what each kind leaves at its default is left out."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_can_be_taken_for_another_requirement(language: str) -> None:
    said: dict[str, tuple[str, dict[str, Any]]] = {}
    for kind, parameters in VARIANTS:
        for wording in range(NUM_WORDINGS):
            sentence = say(kind, language, wording, **parameters)
            assert said.setdefault(sentence, (kind, parameters)) == (kind, parameters), sentence


def test_a_language_nobody_wrote_sentences_for_is_refused() -> None:
    for kind, parameters in ONE_OF_EACH.items():
        with pytest.raises(RequirementError, match="said in en or zh, got language 'fr'"):
            say(kind, "fr", **parameters)


def test_the_page_of_all_kinds_is_in_step() -> None:
    assert EXAMPLES.keys() == REQUIREMENTS.keys()
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "docs/requirements.md does not say what the classes say; run python tests/support/requirement_reference.py"
    )
