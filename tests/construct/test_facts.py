"""What each kind of fact finds; expected values written by hand."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from heedful.construct.fact import Finding
from heedful.construct.facts import EXTRACTORS, extract
from heedful.construct.passages import read_material, read_outline
from heedful.records import Document, Section

MakeFunction = Callable[..., Section]


def find(kind: str, *sections: Section, seed: int = 0) -> Finding | None:
    """The fact of the first section."""
    document = Document("id", "queue", sections, "source", language="")
    material, _ = read_material(document, sections[0], read_outline(document), 700)
    return EXTRACTORS[kind](material, random.Random(seed))


TEXT = "The ferry leaves from the north pier. It carries 240 passengers and runs twice an hour. Dogs travel free of charge."


def test_summary_is_the_first_sentence() -> None:
    found = find("summary", Section("Ferry", TEXT))
    assert found is not None
    assert (found.passage, found.answer) == (TEXT, "The ferry leaves from the north pier.")


def test_summary_in_chinese() -> None:
    found = find("summary", Section("渡轮", "渡轮从北码头出发。每小时开两班。小狗免费。"))
    assert found is not None
    assert found.answer == "渡轮从北码头出发。"


def test_a_text_of_one_sentence_has_no_summary() -> None:
    assert find("summary", Section("Ferry", "The ferry leaves from the north pier.")) is None


@pytest.mark.parametrize("seed", range(8))
def test_the_term_stands_in_one_sentence_only_and_not_in_the_first(seed: int) -> None:
    found = find("sentence_with_term", Section("Ferry", TEXT), seed=seed)
    assert found is not None
    term = found.slots["term"]
    assert isinstance(term, str)
    assert term in found.answer
    assert TEXT.lower().count(term.lower()) == 1
    assert found.answer != "The ferry leaves from the north pier."


@pytest.mark.parametrize("seed", range(8))
def test_the_gap_filled_with_the_answer_is_a_sentence_of_the_text(seed: int) -> None:
    found = find("cloze", Section("Ferry", TEXT), seed=seed)
    assert found is not None
    gap = found.slots["gap"]
    assert isinstance(gap, str)
    assert gap.count("____") == 1
    assert gap.replace("____", found.answer) in TEXT
    assert TEXT.count(found.answer) == 1


def test_definitions() -> None:
    english = find("definition", Section("Q", "Many programs wait. A queue is a line of things that wait. It grows."))
    chinese = find("definition", Section("队列", "程序常常要等待。队列是一种先进先出的结构。它会变长。"))
    assert english is not None
    assert (english.slots["term"], english.answer) == ("queue", "A queue is a line of things that wait.")
    assert chinese is not None
    assert (chinese.slots["term"], chinese.answer) == ("队列", "队列是一种先进先出的结构。")
    # It has the form of a definition but defines nothing.
    assert find("definition", Section("Q", "It waits. The return value is a list of rows.")) is None


def test_lists() -> None:
    section = Section("Pack", "Bring with you:\n\n- a torch\n- warm socks\n- water")
    items, number = find("list_items", section), find("num_items", section)
    assert items is not None
    assert items.answer == "a torch; warm socks; water"
    assert number is not None
    assert number.answer == "3"


def test_headings_come_from_the_same_document() -> None:
    sections = [Section(title, TEXT) for title in ("Ferry", "Prices", "Dogs", "Piers")]
    found = find("heading_choice", *sections)
    assert found is not None
    assert found.answer == "Ferry"
    assert len(set(found.slots["options"])) == 3
    assert set(found.slots["options"]) < {"Ferry", "Prices", "Dogs", "Piers"}
    assert find("heading_choice", *sections[:2]) is None


# -- functions and classes -------------------------------------------------------------------------------------


def test_signatures(make_function: MakeFunction) -> None:
    section = make_function(
        "queue.put", "Put an item into the queue.", [("item", None), ("block", "True"), ("wait", "None")]
    )
    entry = "queue.put(item, block=True, wait=None)\nPut an item into the queue."
    expected = {
        "parameters_bullets": "- item\n- block\n- wait",
        "parameters_line": "item, block, wait",
        "required_parameters": "item",
        "signature_json": '{"name": "queue.put", "parameters": ["item", "block", "wait"]}',
        "entry_json": '{"name": "queue.put", "summary": "Put an item into the queue."}',
        "num_parameters": "3",
        "kind_choice": "function",
        # None is the default of half of all parameters, so another value is preferred.
        "default_value": "True",
    }
    for kind, answer in expected.items():
        found = find(kind, section)
        assert found is not None, kind
        assert (found.passage, found.answer) == (entry, answer), kind


def test_parameters_without_one_name_each_are_not_asked_about(make_function: MakeFunction) -> None:
    section = make_function("queue.put", "Put items into the queue.", [("items", None), ("block", "True")])
    section = Section(
        section.title, section.text, section.kind, section.meta.replace("positional_or_keyword", "var_positional")
    )
    assert all(
        find(kind, section) is None for kind in ("parameters_line", "default_value", "num_parameters", "signature_json")
    )


def test_has_parameter_asks_for_a_neighbours_parameter_when_the_answer_is_no(make_function: MakeFunction) -> None:
    own = make_function("queue.put", "Put an item into the queue.", [("item", None), ("block", "True")])
    other = make_function("queue.take", "Take an item out.", [("wait", None), ("block", "True")])
    answers = set()
    for seed in range(20):
        found = find("has_parameter", own, other, seed=seed)
        assert found is not None
        assert (found.answer == "Yes") == (found.slots["parameter"] in ("item", "block"))
        assert found.slots["parameter"] in ("item", "block", "wait")
        answers.add(found.answer)
    assert answers == {"Yes", "No"}


def test_a_description_that_names_an_option_gives_the_choice_away(make_function: MakeFunction) -> None:
    names = [make_function(f"queue.{name}", "Do something else with it.") for name in ("take", "wait", "close")]
    good = make_function("queue.put", "Add an item at the end of the line.")
    bad = make_function("queue.put", "Like take, wait, close or put, only slower and at the end.")
    found = find("name_choice", good, *names)
    assert found is not None
    assert found.answer == "queue.put"
    assert found.answer in found.slots["options"]
    assert find("name_choice", bad, *names) is None


@pytest.mark.parametrize(
    ("summary", "question"),
    [
        ("Return the sum of all items.", "Which function returns the sum of all items?"),
        ("Push an item onto the heap.", "Which function pushes an item onto the heap?"),
        ("Copy one file to another place.", "Which function copies one file to another place?"),
        # Two verbs would have to be changed, a noun none.
        ("Pop the first item and return it.", None),
        ("Queue for items of any type.", None),
    ],
)
def test_questions(make_function: MakeFunction, summary: str, question: str | None) -> None:
    found = find("which_question", make_function("queue.do", summary))
    assert (found.answer if found else None) == question


def test_exceptions_in_order_of_mention(make_function: MakeFunction) -> None:
    text = "Take an item. Raises TimeoutError when nobody brings one, and a ValueError for no queue."
    found = find("exceptions", make_function("queue.take", text))
    assert found is not None
    assert found.answer == "TimeoutError, ValueError"
    # "KeyError" is mentioned, but not said to be raised: the question would have two readings.
    assert find("exceptions", make_function("queue.take", f"{text} It is a kind of KeyError.")) is None


def test_a_text_that_two_documents_hold_is_used_once() -> None:
    documents = [Document(name, name, (Section(f"{name} ferry", TEXT),), name) for name in ("a", "b")]
    found = extract(documents, 700, seed=1)
    assert {fact.material.document.id for fact in found.facts} == {"a"}
    assert found.passed_over["repeats_another_document"] == 1


def test_entries_longer_than_a_passage_are_counted(make_function: MakeFunction) -> None:
    section = make_function("queue.put", "Put an item into the queue.", [(f"parameter_{n}", None) for n in range(8)])
    found = extract([Document("id", "queue", (section,), "source")], 100, seed=1)
    assert found.passed_over["entry_too_long"] == 1
    assert all(len(fact.finding.passage) <= 100 for fact in found.facts)
