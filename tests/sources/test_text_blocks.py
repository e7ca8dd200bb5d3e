"""Plain-text blocks, in Chinese and English, several lines each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.errors import InputError
from heedful.sources import read_records
from heedful.sources.text_blocks import occurs, split


def pairs(path: Path, text: str) -> list[tuple[str, str]]:
    path.write_text(text, encoding="utf-8")
    return [(example.messages[-2].content, example.answer) for example in read_records(path).examples]


def test_chinese_blocks_of_several_lines(tmp_path: Path) -> None:
    text = """
指令：把下面的句子翻译成英文。
输入：我喜欢读书，
也喜欢写字。
输出：I like reading,
and writing too.

指令: 写一首两行的诗
输出:

春风拂面来，

百花次第开。
指令：第三条
输出：好
"""
    assert pairs(tmp_path / "a.txt", text) == [
        ("把下面的句子翻译成英文。\n\n我喜欢读书，\n也喜欢写字。", "I like reading,\nand writing too."),
        ("写一首两行的诗", "春风拂面来，\n\n百花次第开。"),
        ("第三条", "好"),
    ]


def test_english_blocks_with_marks_and_code(tmp_path: Path) -> None:
    text = """### Instruction:
Write a function.
### Input:
name: add
### Response:
    def add(a, b):
        return a + b

**Instruction:** Say hi.
**Output:** hi
"""
    assert pairs(tmp_path / "a.txt", text) == [
        ("Write a function.\n\nname: add", "    def add(a, b):\n        return a + b"),
        ("Say hi.", "hi"),
    ]


def test_questions_and_answers_and_system(tmp_path: Path) -> None:
    assert pairs(tmp_path / "a.txt", "Q: Why?\nA: Because.\n\nQ: How?\nA: So.\n") == [
        ("Why?", "Because."),
        ("How?", "So."),
    ]
    assert pairs(tmp_path / "b.txt", "问题：为什么？\n回答：因为。\n") == [("为什么？", "因为。")]
    (tmp_path / "c.txt").write_text(
        "System: Be brief.\nInstruction: Hi\nOutput: Yo\nSystem: Be long.\nInstruction: Hi\nOutput: Hello\n"
    )
    roles = [[m.role for m in example.messages] for example in read_records(tmp_path / "c.txt").examples]
    assert roles == [["system", "user", "assistant"]] * 2


def test_markers_of_another_family_are_text(tmp_path: Path) -> None:
    text = "Instruction: Solve.\nOutput: Think first.\nAnswer: 5\nQ: and then?\n"
    assert pairs(tmp_path / "a.txt", text) == [("Solve.", "Think first.\nAnswer: 5\nQ: and then?")]


def test_windows_line_ends(tmp_path: Path) -> None:
    assert pairs(tmp_path / "a.txt", "Instruction: a\r\nb\r\nOutput: c\r\n") == [("a\nb", "c")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Instruction: a\nOutput: b\nInput: c\n", r"a.txt, line 1: 'Input' on line 3 comes after 'Output'.*new block"),
        ("Instruction: a\nOutput: b\nOutput: c\n", r"line 1: 'Output' on line 3 comes after 'Output'"),
        ("Instruction: a\nOutput: b\n\nInstruction: c\n", r"a.txt, line 4: field 'output' is missing"),
        (
            "My examples\n\nInstruction: a\nOutput: b\n",
            r"a.txt, line 1: 'My examples' stands before the first instruction; remove",
        ),
    ],
)
def test_broken_blocks(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_records(tmp_path / "a.txt")


# Lines that no marker of the family can begin, and that are not blank.
LINE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=30).filter(
    lambda line: line.strip() and ":" not in line and "：" not in line
)
TEXT = st.lists(LINE, min_size=1, max_size=4).map("\n".join).filter(lambda text: text == text.strip())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), st.sampled_from(["\n", "\n\n", "\n\n\n"]))
def test_blocks_that_were_written_are_read(blocks: list[tuple[str, str]], gap: str) -> None:
    text = gap.join(f"指令：{instruction}\n输出：{output}" for instruction, output in blocks)
    assert occurs(text)
    assert [tuple(block.fields.values()) for block in split(text, "x")] == blocks
