"""The construct stage: which method makes how many rows, in which order, and the statement about it.

Methods that a model writes come first; what they fall short of, templates make up, which need no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heedful.construct.blocks import by_size, deal
from heedful.construct.collect import Collected, Collector, Method, Rejection, instruction_text
from heedful.construct.document_qa import DocumentQa
from heedful.construct.facts import Extraction, extract
from heedful.construct.novelty import NoveltyGate
from heedful.construct.roots import Roots, seed_root
from heedful.construct.self_instruct import SelfInstruct
from heedful.construct.settings import ConstructSettings
from heedful.construct.templates import Templates
from heedful.construct.wordings import Wording, all_wordings
from heedful.generate.engine import Engine
from heedful.project import Journal, Watcher, stream
from heedful.records import Document, Example, digest

_SEEDS_IN_BLOCK = 6
"""At least; with fewer there is nothing to demonstrate a language with."""


@dataclass(frozen=True, slots=True)
class ConstructResult:
    """What was made, what was rejected, and a statement in numbers and words."""

    examples: list[Example]
    rejections: list[Rejection]
    statement: dict[str, Any]


def construct(
    documents: Sequence[Document],
    seeds: Sequence[Example],
    settings: ConstructSettings,
    *,
    engine: Engine | None,
    journal: Journal,
    seed: int,
    watcher: Watcher,
) -> ConstructResult:
    """Exactly `settings.count` examples, or fewer and the reason in `statement["text"]`.

    The same arguments give the same result, also when earlier processes with this journal were killed. Without an
    engine only templates are used. The seeds themselves are not among the examples.
    """
    identity = digest(
        ["construct", settings.model_dump(mode="json"), seed, engine is not None]
        + [
            [document.id, digest([[s.title, s.text, s.kind, s.meta] for s in document.sections])]
            for document in documents
        ]
        + [[example.id, example.content_hash] for example in seeds]
    )
    extraction = extract(documents, settings.max_passage_characters, seed)
    wordings = all_wordings()
    roots = _roots(extraction, wordings, seeds, settings.blocks, seed)
    asked = _portions(settings, has_documents=bool(extraction.facts), has_seeds=bool(seeds))
    gate = NoveltyGate(settings.novelty, [instruction_text(row.prompt) for row in seeds if engine is not None])
    collector = Collector(journal, identity, seeds, gate, watcher)
    outcomes: list[Collected] = []
    for method in _methods(extraction, wordings, seeds, roots, settings, engine, gate, seed):
        missing = settings.count - len(collector.accepted)
        wanted = missing if method.name == "templates" else min(asked[method.name], missing)
        outcomes.append(collector.collect(method, wanted, wanted * settings.max_candidates_per_row))
    statement = _statement(settings.count, asked, outcomes, extraction, has_engine=engine is not None)
    return ConstructResult(collector.accepted, collector.rejections, statement)


def _methods(
    extraction: Extraction,
    wordings: Sequence[Wording],
    seeds: Sequence[Example],
    roots: Roots,
    settings: ConstructSettings,
    engine: Engine | None,
    gate: NoveltyGate,
    seed: int,
) -> Iterator[Method]:
    if engine is not None:
        yield SelfInstruct(seeds, roots, engine, settings, gate, seed)
        yield DocumentQa(extraction.materials, wordings, roots, engine, settings, seed)
    yield Templates(extraction.facts, wordings, roots, seed)


def _portions(settings: ConstructSettings, *, has_documents: bool, has_seeds: bool) -> dict[str, int]:
    """How many rows each method is asked for. What needs documents or seeds that are not there goes to the others."""
    self_instruct = round(settings.count * settings.self_instruct) if has_seeds else 0
    document_qa = (
        min(round(settings.count * settings.document_qa), settings.count - self_instruct) if has_documents else 0
    )
    if not has_documents and has_seeds:
        self_instruct = settings.count
    return {
        "self_instruct": self_instruct,
        "document_qa": document_qa,
        "templates": settings.count - self_instruct - document_qa,
    }


def _roots(
    extraction: Extraction, wordings: Sequence[Wording], seeds: Sequence[Example], num_blocks: int, seed: int
) -> Roots:
    """Deal the roots. Wordings only go to blocks that have a document, or they would never be used; seeds to as many
    blocks as they fill.
    """
    sizes = dict.fromkeys((material.document.id for material in extraction.materials), 0)
    for fact in extraction.facts:
        sizes[fact.material.document.id] += 1
    used = max(1, min(num_blocks, len(sizes)))
    kinds: dict[str, list[str]] = {}
    for wording in wordings:
        kinds.setdefault(wording.kind, []).append(wording.id)
    languages: dict[str, str] = {}
    for example in seeds:
        languages.setdefault(seed_root(example), example.language)
    seed_blocks = max(1, min(num_blocks, len(languages) // _SEEDS_IN_BLOCK))
    return Roots(
        documents=deal(by_size(sizes, used), used, stream(seed, "blocks of documents")),
        wordings=deal(kinds.values(), used, stream(seed, "blocks of wordings")),
        seeds=deal(_by_language(languages), seed_blocks, stream(seed, "blocks of seeds")),
        num_blocks=used,
    )


def _by_language(languages: Mapping[str, str]) -> list[list[str]]:
    return [[name for name in languages if languages[name] == code] for code in sorted(set(languages.values()))]


# -- the statement ---------------------------------------------------------------------------------------------


def _statement(
    count: int, asked: Mapping[str, int], outcomes: Sequence[Collected], extraction: Extraction, *, has_engine: bool
) -> dict[str, Any]:
    accepted = sum(outcome.accepted for outcome in outcomes)
    lines = [f"Asked for {count} examples, accepted {'exactly ' if accepted == count else ''}{accepted}."]
    lines += [f"{outcome.describe()}." for outcome in outcomes if outcome.asked]
    lines += _shortfall(count - accepted, asked, outcomes, has_engine=has_engine)
    lines += _passed_over(extraction)
    return {
        "asked": count,
        "accepted": accepted,
        "candidates": sum(outcome.candidates for outcome in outcomes),
        "text": "\n".join(lines),
        "methods": [
            {
                "name": outcome.method,
                "asked": outcome.asked,
                "accepted": outcome.accepted,
                "candidates": outcome.candidates,
                "rejections": dict(outcome.rejections.most_common()),
                "text": outcome.describe(),
            }
            for outcome in outcomes
        ],
        "documents": {
            "sections": len(extraction.materials),
            "facts": len(extraction.facts),
            "passed_over": dict(extraction.passed_over),
        },
    }


def _shortfall(
    missing: int, asked: Mapping[str, int], outcomes: Sequence[Collected], *, has_engine: bool
) -> Iterator[str]:
    by_name = {outcome.method: outcome for outcome in outcomes}
    written = ("self_instruct", "document_qa")
    short = sum(asked[name] - (by_name[name].accepted if name in by_name else 0) for name in written)
    if short and not has_engine:
        yield f"No model was given, so {' and '.join(name for name in written if asked[name])} made nothing."
    made_up = by_name["templates"].accepted - asked["templates"]
    if made_up > 0:
        yield f"Templates made up {made_up} of the {short} examples that model-written methods fell short of."
    if missing:
        yield (
            f"{missing} examples are missing: templates ran out of new combinations of fact and wording, "
            f"or reached their limit of candidates. Give more documents, or lower construct.count."
        )


def _passed_over(extraction: Extraction) -> Iterator[str]:
    reasons = {
        "paragraph_too_long": "paragraphs longer than a passage may be",
        "entry_too_long": "entries longer than a passage may be",
        "section_without_fact": "sections without a fact to ask about",
        "repeats_another_document": "sections that repeat another document's",
    }
    counts = [f"{count} {reasons[reason]}" for reason, count in extraction.passed_over.items()]
    if counts:
        yield f"Of {len(extraction.materials)} sections, passed over: {', '.join(counts)}."
