"""Sections become passages of whole paragraphs; nothing is cut, and what is left out is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heedful.construct.passages import Passage, read_material, read_outline
from heedful.records import Document, Section


def read(text: str, limit: int = 200) -> tuple[tuple[Passage, ...], int]:
    document = Document("id", "name", (Section("title", text),), "source")
    material, num_too_long = read_material(document, document.sections[0], read_outline(document), limit)
    return material.passages, num_too_long


def texts(text: str, limit: int = 200) -> list[str]:
    return [passage.text for passage in read(text, limit)[0]]


def test_prose_is_unwrapped_and_short_paragraphs_stand_together() -> None:
    assert texts("One line\ngoes on here.  Then more.\n\nSecond one.") == [
        "One line goes on here. Then more.\n\nSecond one."
    ]


def test_chinese_lines_are_joined_without_a_space() -> None:
    assert texts("队列是一种先进先出的\n数据结构。") == ["队列是一种先进先出的数据结构。"]


def test_code_tables_and_hanging_explanations_end_a_passage() -> None:
    text = (
        "First part.\n\n>>> call(1)\n2\n\nSecond part.\n\n| a | b |\n|---|---|\n\nname\n  What it means.\n\nThird part."
    )
    assert texts(text) == ["First part.", "Second part.", "Third part."]


def test_a_line_that_repeats_the_signature_is_left_out() -> None:
    assert texts("len(obj) -> int\nReturn the length.") == ["Return the length."]
    assert texts("zip(a [, b]) --> zip object\n\nJoin them.") == ["Join them."]


def test_a_paragraph_that_leads_over_to_code_is_left_out() -> None:
    assert texts("What it does.\n\nFor example:\n\n>>> run()") == ["What it does."]


def test_list_items_are_unwrapped_to_a_line_each() -> None:
    (passage,), _ = read("It has:\n\n* one item\n  that goes on\n* another\n")
    assert passage.text == "It has:\n\n* one item that goes on\n* another"
    assert passage.items == ("one item that goes on", "another")


def test_nested_lists_lose_their_structure_on_one_line_and_are_left_out() -> None:
    assert texts("- a\n    - b\n- c") == []


def test_too_long_paragraphs_are_counted_and_never_cut() -> None:
    long = "word " * 60 + "end."
    passages, num_too_long = read(f"Short one.\n\n{long}\n\nShort two.", 80)
    assert [passage.text for passage in passages] == ["Short one.", "Short two."]
    assert num_too_long == 1


@given(st.lists(st.integers(1, 120), min_size=1, max_size=12), st.integers(80, 300))
def test_every_paragraph_is_shown_whole_or_counted(lengths: list[int], limit: int) -> None:
    paragraphs = [f"P{place} " + "x" * length + "." for place, length in enumerate(lengths)]
    passages, num_too_long = read("\n\n".join(paragraphs), limit)
    shown = [part for passage in passages for part in passage.text.split("\n\n")]
    assert shown == [paragraph for paragraph in paragraphs if len(paragraph) <= limit]
    assert num_too_long == len(paragraphs) - len(shown)
    assert all(len(passage.text) <= limit for passage in passages)
