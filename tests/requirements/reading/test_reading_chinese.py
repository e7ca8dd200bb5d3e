"""What people write in Chinese, and what only looks like a requirement."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.requirements.reading import read_requirements


def specs(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [(found.spec.kind, dict(found.spec.parameters)) for found in read_requirements(text)]


@pytest.mark.parametrize(
    ("text", "kind", "parameters"),
    [
        ("用不超过50字回答：什么是期货？", "words", {"maximum": 50}),
        ("写一篇关于春天的作文，不少于八百字。", "words", {"minimum": 800}),
        ("请写一段介绍，100字以内。", "words", {"maximum": 100}),
        ("写一篇300到400字的短文。", "words", {"minimum": 300, "maximum": 400}),
        ("用一句话描述春天。", "sentences", {"exactly": 1}),
        ("介绍一下北京，最多三句话。", "sentences", {"maximum": 3}),
        ("写一篇关于春天的短文，正好3个段落。", "paragraphs", {"exactly": 3}),
        ("写一首诗，必须包含“月亮”和“故乡”。", "keywords", {"all": ["月亮", "故乡"]}),
        ("写一首诗，请提到“月亮”至少3次。", "keywords", {"all": ["月亮"], "times": 3}),
        ("介绍一下冬天，不要使用“冷”、“雪”。", "forbidden", {"words": ["冷", "雪"]}),
        ("写一个故事，以“从前”开头。", "starts_with", {"text": "从前"}),
        ("写一个以“生产力”结束的句子。", "ends_with", {"text": "生产力"}),
        ("什么是期货？请用英语回答。", "language", {"language": "en"}),
        ("列出三个城市，用JSON格式输出。", "json_schema", {"schema": True}),
        ("介绍一下北京，不要使用逗号。", "no_commas", {}),
        ("介绍一下北京。请用双引号把整个回答括起来。", "quoted", {}),
        ("写一封信，字母q至少出现6次。", "letters", {"letter": "q", "minimum": 6}),
    ],
)
def test_what_is_said_is_read(text: str, kind: str, parameters: dict[str, Any]) -> None:
    assert specs(text) == [(kind, parameters)]


@pytest.mark.parametrize(
    "text",
    [
        "写一篇大约500字的作文。",
        "写一篇500字左右的作文。",
        "写一篇500字的作文。",
        "列出5种动物。",
        "把下面的英语句子翻译成中文。\n\nShe went to school.",
        "“请用不超过50字回答”用英语怎么说？",
        "总结以下段落：\n老师要求不少于800字。大家写了很久。",
        "这两句话有什么区别？",
        "如何解析JSON格式的数据？",
        "每段不超过50字的文章好读吗？",
    ],
)
def test_what_is_not_said_is_not_read(text: str) -> None:
    assert specs(text) == []
