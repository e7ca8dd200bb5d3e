"""The seed tasks that every new project starts with: enough, in both languages, and true to their own requirements."""

from __future__ import annotations

import ast
import json
from collections import Counter
from importlib.resources import files
from itertools import combinations
from typing import Any

import pytest

from heedful import requirements, text
from heedful.curate import CurateSettings, curate
from heedful.records import Example, RequirementSpec, conversation, origin_id

RAW = files("heedful.starter").joinpath("seeds.jsonl").read_text(encoding="utf-8")
SEEDS: list[dict[str, Any]] = [json.loads(line) for line in RAW.splitlines()]
TASKS = {
    "classification", "extraction", "rewriting", "translation", "planning", "customer_service", "code", "mathematics",
    "open_writing",
}  # fmt: skip

BREAKS = {
    "The review is mixed because": ["choice"],
    "Date: 12 May, place": ["json_schema"],
    "Flour, milk, eggs": ["bullets"],
    "We would like to let all": ["words"],
    "Clouds are made when evaporation": ["forbidden"],
    "Picnic in Elm Park on Sunday": ["sentences", "ends_with"],
    "We meet at the station": ["language"],
    "我把伞放在门边了": ["language"],
    "- Build a tent from chairs": ["bullets"],
    "A rain jacket, water": ["bullets"],
    "Cables go missing": ["starts_with"],
    "Unfortunately, your shoes": ["keywords", "forbidden"],
    "Please try again later.": ["ends_with"],
    "sun": ["regex"],
    "There was a lighthouse.": ["sentences"],
    "The smell of fresh bread": ["forbidden"],
    "Second Spring, the shop": ["starts_with", "keywords"],
    "To remember things.": ["words"],
    "这条评论是差评，因为": ["choice"],
    "时间是周三下午三点": ["json_schema"],
    "由于这几天一直在下雨": ["words"],
    "小猫把花瓶打碎了。": ["keywords"],
    "茶很烫，凉一会儿再喝。": ["language"],
    "- 上午睡觉。": ["bullets"],
    "带上帐篷和睡袋": ["bullets"],
    "裂缝不影响使用": ["starts_with", "sentences"],
    "我们理解您，但是": ["keywords", "forbidden"],
    "月亮出来了。小船": ["sentences"],
    "秋天的早晨很凉爽": ["forbidden"],
    "因为舒服。": ["words"],
}
"""Wrong outputs that break a requirement, by their beginning, and which; the others keep to the form and are untrue."""


def specs_of(seed: dict[str, Any]) -> list[RequirementSpec]:
    return [RequirementSpec.from_dict(item) for item in seed.get("requirements", [])]


def broken_by(seed: dict[str, Any], answer: str) -> list[str]:
    specs = specs_of(seed)
    verdicts = requirements.check_all(specs, answer)
    return [spec.kind for spec, verdict in zip(specs, verdicts, strict=True) if not verdict.satisfied]


def as_example(number: int) -> Example:
    seed = SEEDS[number]
    return Example(
        id=origin_id("seeds.jsonl", str(number)),
        messages=conversation(seed["instruction"], seed["output"], input=seed["input"]),
        method="import",
        source="seeds.jsonl",
        task=seed["task"],
        language=seed["language"],
        requirements=tuple(specs_of(seed)),
    )


def test_there_are_enough_in_both_languages() -> None:
    languages = Counter(seed["language"] for seed in SEEDS)
    assert languages["en"] >= 50
    assert languages["zh"] >= 34
    assert set(languages) == {"en", "zh"}


def test_every_task_is_there_in_both_languages() -> None:
    counts = Counter((seed["language"], seed["task"]) for seed in SEEDS)
    assert {task for _, task in counts} == TASKS
    assert min(counts[language, task] for language in ("en", "zh") for task in TASKS) >= 4


def test_file_is_readable_by_people() -> None:
    assert "\\u" not in RAW
    assert RAW.endswith("}\n")
    fields = {"task", "language", "instruction", "input", "output", "requirements", "wrong_output", "wrong_reason"}
    for seed in SEEDS:
        assert set(seed) <= fields
        assert all(text.normalize(seed[name]) == seed[name] for name in ("instruction", "input", "output"))
        assert seed["instruction"]
        assert 1 <= text.num_words(seed["output"]) <= 90


def test_outputs_keep_their_requirements() -> None:
    assert [
        (seed["output"], broken_by(seed, seed["output"])) for seed in SEEDS if broken_by(seed, seed["output"])
    ] == []
    assert sum(bool(seed.get("requirements")) for seed in SEEDS) >= 60


def test_wrong_outputs_break_what_they_claim_to_break() -> None:
    wrong = [seed for seed in SEEDS if "wrong_output" in seed]
    assert len(wrong) >= 20
    assert all(seed["wrong_reason"] and seed["wrong_output"] != seed["output"] for seed in wrong)
    found = {seed["wrong_output"]: broken_by(seed, seed["wrong_output"]) for seed in wrong}
    expected = {
        answer: next((kinds for start, kinds in BREAKS.items() if answer.startswith(start)), []) for answer in found
    }
    assert found == expected
    assert sum(bool(kinds) for kinds in found.values()) == len(BREAKS)


def test_no_two_ask_nearly_the_same() -> None:
    asked = [text.tokenize(f"{seed['instruction']} {seed['input']}") for seed in SEEDS]
    alike = [(a, b) for a, b in combinations(range(len(asked)), 2) if text.similarity(asked[a], asked[b]) > 0.7]
    assert alike == []


def test_instructions_are_in_the_language_that_they_say() -> None:
    assert [s["instruction"] for s in SEEDS if text.detect_language(s["instruction"]) != s["language"]] == []


def test_python_answers_are_python() -> None:
    answers = [seed["output"] for seed in SEEDS if seed["output"].startswith("def ")]
    assert len(answers) >= 4
    for answer in answers:
        ast.parse(answer)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("double([1, 2, 5])", [2, 4, 10]),
        ("average([1, 2, 6])", 3),
        ("is_even(4)", True),
        ("is_even(7)", False),
        ("add(2, 3)", 5),
    ],
)
def test_python_answers_are_right(call: str, expected: object) -> None:
    name = call.partition("(")[0]
    [answer] = [seed["output"] for seed in SEEDS if seed["output"].startswith(f"def {name}(")]
    namespace: dict[str, Any] = {}
    # Our own file, not data from outside.
    exec(answer, namespace)  # noqa: S102
    assert eval(call, namespace) == expected  # noqa: S307


def test_curation_keeps_every_seed_and_tests_both_languages() -> None:
    result = curate([as_example(number) for number in range(len(SEEDS))], CurateSettings(), seed=1)
    assert result.dropped == []
    for split in ("train", "test"):
        assert {example.language for example in result.kept if example.split == split} == {"en", "zh"}
