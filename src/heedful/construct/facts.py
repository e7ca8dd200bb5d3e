"""Documents -> facts: what a text says that one can ask about, with the answer, each kind found by one function.

An extractor sees one section and returns at most one fact, or None when the section does not hold one of its kind.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from heedful.construct import api_facts, text_facts
from heedful.construct.fact import Fact, Finding
from heedful.construct.passages import Material, read_material, read_outline
from heedful.project import stream
from heedful.records import Document

Extractor = Callable[[Material, random.Random], Finding | None]

EXTRACTORS: Mapping[str, Extractor] = {
    "summary": text_facts.summary,
    "sentence_with_term": text_facts.sentence_with_term,
    "cloze": text_facts.cloze,
    "definition": text_facts.definition,
    "list_items": text_facts.list_items,
    "num_items": text_facts.num_items,
    "heading_choice": text_facts.heading_choice,
    "parameters_bullets": api_facts.parameters_bullets,
    "parameters_line": api_facts.parameters_line,
    "required_parameters": api_facts.required_parameters,
    "signature_json": api_facts.signature_json,
    "entry_json": api_facts.entry_json,
    "default_value": api_facts.default_value,
    "num_parameters": api_facts.num_parameters,
    "has_parameter": api_facts.has_parameter,
    "kind_choice": api_facts.kind_choice,
    "name_choice": api_facts.name_choice,
    "which_question": api_facts.which_question,
    "exceptions": api_facts.exceptions,
}


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was found, and what was passed over."""

    materials: tuple[Material, ...]
    """Every section, in order."""
    facts: tuple[Fact, ...]
    passed_over: Mapping[str, int] = field(default_factory=dict)
    """Reason -> number of paragraphs or sections."""


def extract(documents: Iterable[Document], max_characters: int, seed: int) -> Extraction:
    """All facts of all documents; the passage of none is longer than `max_characters`."""
    materials: list[Material] = []
    facts: list[Fact] = []
    passed_over = {
        "paragraph_too_long": 0,
        "entry_too_long": 0,
        "section_without_fact": 0,
        "repeats_another_document": 0,
    }
    homes: dict[str, str] = {}
    for document in documents:
        outline = read_outline(document)
        for index, section in enumerate(document.sections):
            # A text that stands in two documents would tie their blocks together as near-duplicates.
            if homes.setdefault(section.text, document.id) != document.id:
                passed_over["repeats_another_document"] += 1
                continue
            material, num_too_long = read_material(document, section, outline, max_characters)
            passed_over["paragraph_too_long"] += num_too_long
            found = list(_facts(material, stream(seed, "facts", document.id, index)))
            short = [fact for fact in found if len(fact.finding.passage) <= max_characters]
            passed_over["entry_too_long"] += len(short) < len(found)
            passed_over["section_without_fact"] += not found
            materials.append(material)
            facts.extend(short)
    return Extraction(tuple(materials), tuple(facts), {reason: count for reason, count in passed_over.items() if count})


def _facts(material: Material, generator: random.Random) -> Iterator[Fact]:
    # One generator for all kinds: one for each would take longer than the extraction itself.
    for kind, extractor in EXTRACTORS.items():
        finding = extractor(material, generator)
        if finding is not None:
            yield Fact(kind, finding, material)
