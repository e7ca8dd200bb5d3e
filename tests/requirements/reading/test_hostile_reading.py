"""Instructions made to take long: reading takes time in proportion to their length, and never fails."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.requirements import parse
from heedful.requirements.reading import read_requirements

LENGTH = 100_000
PIECES = [
    '"', "'", "“", "”", "‘", "\"a ", "'a ", "((((", "[[", "* ", "***\n", "******", "\n", " ", "\n\n", "- x\n", "```\n",
    "at least ", "at least 3 ", "3 words ", "at least 3 words and ", "1 ", "1,", "one hundred ", "between 3 and ", "not no never ",
    "Use at most ", "Use at most 9 words. ", "Mention \"", "Mention \"a\" and ", "Mention \"a\", ", "Your whole answer must ",
    "use the word ", "use the words a, b and c, ", "the word x should appear at least 3 times ", "do not use the word ",
    "the letter q ", "the letter q at least ", "words in all capital letters ", "all lowercase letters ", "no commas ", "commas ",
    "in JSON format ", "<<", "<<a>> ", "wrap your entire response ", "double quotation marks ", "SECTION X ", "mark each section with ",
    "paragraphs ", "the first paragraph must start with ", "P.S. ", "repeat the request ", "First repeat the request above word for word. ",
    "in German ", "write in ", "Rewrite the following: ", "the following text: a\n", "answer with one of: ", "e.g. ", "i.e. ", "a.",
    "Your whole answer must follow this Lark grammar:\n", "Answer with JSON only, valid against this JSON Schema: ", "[" * 50, '{"a":' * 50,
    "不超过", "五十", "一百字", "用“", "不要使用“", "“”、", "请", "，", "。", "以", "字母", "包含“a”、", "İ", "\ue000", "\ue000\ue001",
    "separated by 3 asterisks ", "highlight *a* ", "highlight 3 ", "placeholders ", "number of words ", "if ", "each ", "please ", ", and ",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_instruction_is_read_soon(piece: str) -> None:
    text = (piece * (LENGTH // len(piece) + 1))[:LENGTH]
    start = time.thread_time()
    read_requirements(text)
    read_requirements(f"Write a poem. {text} Please do not use any commas.")
    # 0.1 to 1 s on an idle machine; a quadratic step takes minutes.
    assert time.thread_time() - start < 10


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=12).map("".join))
def test_whatever_is_written_gives_specs_that_can_be_parsed_and_places_in_it(text: str) -> None:
    for found in read_requirements(text):
        parse(found.spec)
        assert 0 <= found.start < found.end <= len(text)
