"""Each rule finds what it is for, and leaves alone what only looks like it."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.curate import CurateSettings, curate
from heedful.curate.rules import RULES
from heedful.errors import RequirementError, SettingsError
from heedful.records import Message, RequirementSpec

SETTINGS = CurateSettings()

PROSE = "The harbour was quiet that morning, and the boats lay still. "

BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("empty_instruction", {"instruction": " \n"}),
    ("empty_answer", {"output": "  "}),
    ("empty_answer", {"output": "<nooutput>"}),
    ("answer_equals_input", {"instruction": "Sort these.", "input": "pear, apple", "output": "pear, apple"}),
    ("answer_equals_input", {"instruction": "Hello", "output": "Hello"}),
    ("too_long", {"output": " ".join(str(number) for number in range(2100))}),
    ("too_long", {"output": "".join(chr(0x4E00 + number) for number in range(2100)), "language": "zh"}),
    ("broken_encoding", {"output": "The caf\ufffd is open."}),
    ("broken_encoding", {"instruction": "Où est le cafÃ© ?", "output": "Ici."}),
    ("broken_encoding", {"output": "Itâ€™s raining."}),
    ("broken_encoding", {"output": "文件内容：锟斤拷锟斤拷", "language": "zh"}),
    ("scaffold", {"output": "Dear team,\nsee you on Monday.\n[Your Name]"}),
    ("scaffold", {"output": "Hello {{customer_name}}, welcome!"}),
    ("scaffold", {"output": "Blue.\n### Instruction: Name an animal."}),
    ("scaffold", {"output": "Blue.<|im_end|>"}),
    ("scaffold", {"output": "此致\n敬礼\n[您的姓名]", "language": "zh"}),
    ("refusal", {"output": "As an AI language model, I cannot see colours."}),
    ("refusal", {"output": "I'm sorry, but I can't assist with that request."}),
    ("refusal", {"output": "作为一个人工智能语言模型，我没有喜欢的颜色。", "language": "zh"}),
    ("repeats", {"output": "the sea is blue\n" * 7}),
    ("repeats", {"output": "blue sky " * 30}),
    ("repeats", {"output": "天空很蓝，" * 20, "language": "zh"}),
    ("unfinished", {"output": PROSE * 3 + "Then a fisherman came down the steps and looked at the"}),
    ("unfinished", {"output": "```python\nprint('blue')\n"}),
    (
        "unfinished",
        {
            "output": "清晨的港口很安静。船静静地停着，海面上没有风，渔民们还在家里睡觉，只有海鸥在叫，",
            "language": "zh",
        },
    ),
    ("language_mismatch", {"output": "蓝色是天空的颜色，也是大海的颜色，看着它让人平静。"}),
    ("language_mismatch", {"instruction": "写一句关于春天的话。", "output": PROSE * 2, "language": "zh"}),
]

FINE: list[dict[str, Any]] = [
    {"output": "x"},
    {"output": "=="},
    {"instruction": "Add capitals and commas.", "input": "well i think so", "output": "Well, I think so"},
    {"instruction": "Which paragraph is shorter?", "input": "One two three.\n\nOne two.", "output": "One two."},
    {"instruction": "Fill in [Your Name] in this letter template.", "output": "I kept [Your Name] as it was."},
    {"output": "In Jinja, write `{{ name }}` to insert a value."},
    {"output": "```html\n<p>{{ name }}</p>\n```"},
    {"output": "An AI can help doctors read images."},
    {"output": "He is as stubborn as an AI-generated insult."},
    {"output": "I'm sorry, but I can't come to the party on Friday. Let us meet next week!"},
    {"output": "}\n" * 20},
    {"output": "\n".join(f"{number} x 7 = {7 * number}" for number in range(1, 20))},
    {
        "output": "Row, row, row your boat,\ngently down the stream.\nMerrily, merrily, merrily, merrily,\nlife is but a dream."
    },
    {"output": PROSE * 2 + "\n\nYours sincerely,\nAda Lovelace"},
    {"output": "- flour\n- milk\n- the"},
    {"output": "for i in range(3):\n    total = total + values[i] and"},
    {"instruction": "Which preposition fits: the top ___ the hill?", "output": "of"},
    {"instruction": "Translate into Chinese: the sky is blue.", "output": "天空是蓝色的，大海也是蓝色的，真好看啊。"},
    {"instruction": "用 Python 打印问候。", "output": "```python\nprint('hello')\n```", "language": "zh"},
    {"instruction": "用英文介绍一下自己。", "output": PROSE * 2, "language": "zh"},
    {"instruction": "抄出第一句。", "input": PROSE + "\n\nThe end.", "output": PROSE, "language": "zh"},
    {"instruction": "Say it in German.", "output": "Der Himmel ist blau.", "language": "en"},
    {"output": "我", "language": ""},
]


def broken_rules(example: Any) -> list[str]:
    return [name for name, rule in RULES.items() if rule(example, SETTINGS) is not None]


@pytest.mark.parametrize(("reason", "fields"), BROKEN)
def test_rule_finds(make_row: Any, reason: str, fields: dict[str, Any]) -> None:
    assert reason in broken_rules(make_row(**fields))


@pytest.mark.parametrize("fields", FINE)
def test_rules_leave_alone(make_row: Any, fields: dict[str, Any]) -> None:
    assert broken_rules(make_row(**fields)) == []


@pytest.mark.parametrize(
    ("roles", "is_fine"),
    [
        ("user assistant", True),
        ("system user assistant", True),
        ("user assistant user assistant", True),
        ("user assistant tool tool assistant", True),
        ("", False),
        ("system", False),
        ("assistant", False),
        ("user", False),
        ("user user assistant", False),
        ("user assistant assistant", False),
        ("user system assistant", False),
        ("user tool assistant", False),
        ("assistant user assistant", False),
        ("user assistant tool", False),
    ],
)
def test_roles_take_turns(make_row: Any, roles: str, is_fine: bool) -> None:
    messages = tuple(Message(role, f"text {index}") for index, role in enumerate(roles.split()))  # type: ignore[arg-type]
    assert ("wrong_roles" not in broken_rules(make_row(messages=messages))) is is_fine


def test_own_requirements_are_checked(make_row: Any) -> None:
    asked = (RequirementSpec("words", {"maximum": 3}), RequirementSpec("keywords", {"all": ["blue"]}))
    assert broken_rules(make_row(output="Blue is one.", requirements=asked)) == []
    assert broken_rules(make_row(output="Blue is surely one.", requirements=asked)) == ["requirement_not_satisfied"]
    assert broken_rules(make_row(output="Red is one.", requirements=asked)) == ["requirement_not_satisfied"]


def test_reason_and_detail_reach_the_dropped_row(make_row: Any) -> None:
    asked = (RequirementSpec("words", {"maximum": 3}),)
    result = curate([make_row(output="Blue is surely one.", requirements=asked)], SETTINGS, seed=1)
    [(example, reason)] = result.dropped
    assert reason == "requirement_not_satisfied"
    assert example.meta_value("dropped") == {"reason": reason, "detail": "4 words, at most 3 expected"}


def test_skipped_rule_is_not_applied(make_row: Any) -> None:
    row = make_row(output="As an AI language model, I like blue.")
    assert curate([row], SETTINGS, seed=1).kept == []
    assert len(curate([row], CurateSettings(skip_rules=("refusal",)), seed=1).kept) == 1


def test_unknown_rule_is_an_error_with_the_nearest_name(make_row: Any) -> None:
    with pytest.raises(SettingsError, match=r"unknown rule 'refusals'; did you mean 'refusal'"):
        curate([make_row()], CurateSettings(skip_rules=("refusals",)), seed=1)


def test_impossible_requirement_names_the_row(make_row: Any) -> None:
    row = make_row(requirements=(RequirementSpec("wrods", {"maximum": 3}),))
    with pytest.raises(RequirementError, match=f"row {row.id}: "):
        curate([row], SETTINGS, seed=1)
