"""Every wording fits its kind of fact, and every answer keeps the requirement that its wording says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

from heedful.construct.blocks import deal
from heedful.construct.fact import Fact
from heedful.construct.facts import EXTRACTORS, extract
from heedful.construct.plan import suits
from heedful.construct.roots import Roots
from heedful.construct.templates import Templates
from heedful.construct.wordings import Wording, all_wordings
from heedful.project import stream
from heedful.records import Document, Section
from heedful.requirements import satisfied

PROSE = "Many guests arrive late. A queue is a line of things that wait. It holds 12 entries at most, and it is emptied at noon."
PROSE_ZH = "许多客人来得很晚。队列是一种先进先出的结构。它最多有12项，中午清空。"
LIST = "Bring with you:\n\n- a torch\n- warm socks\n- water"


@pytest.fixture(scope="module")
def samples() -> dict[tuple[str, str], list[Fact]]:
    """Facts of every kind, by kind and language of the text, from documents written for it."""
    from heedful.sources import python_docs

    documents = [
        Document("en", "Queue", (Section("Queue", PROSE), Section("Packing", LIST), Section("Dogs", "Dogs travel free of charge.")), "q.md", "en"),
        Document("zh", "队列", (Section("队列", PROSE_ZH), Section("行李", "请带上：\n\n- 手电\n- 袜子"), Section("狗", "小狗免费乘车。")), "q.md", "zh"),
        *python_docs(["queue", "json"]),
    ]  # fmt: skip
    found = defaultdict(list)
    for fact in extract(documents, 700, seed=1).facts:
        found[fact.kind, fact.material.language].append(fact)
    return found


def test_kinds_of_facts_and_wordings_are_the_same() -> None:
    kinds = {wording.kind for wording in all_wordings()}
    assert kinds == {*EXTRACTORS, "document_qa"}


def test_every_kind_has_eight_wordings_and_both_languages() -> None:
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for wording in all_wordings():
        by_kind[wording.kind][wording.language] += 1
    for kind, languages in by_kind.items():
        assert languages.total() >= 8, kind
        assert min(languages["en"], languages["zh"]) >= 3, kind


def test_wordings_differ_and_show_the_passage_or_its_options() -> None:
    texts = [" ".join(wording.text.split()) for wording in all_wordings()]
    assert len(set(texts)) == len(texts)
    assert len({wording.id for wording in all_wordings()}) == len(texts)
    assert all("passage" in wording.names for wording in all_wordings())


@pytest.mark.parametrize(
    "wording", [w for w in all_wordings() if w.kind != "document_qa"], ids=lambda wording: wording.id
)
def test_a_wording_says_all_that_its_answer_needs(samples: dict[tuple[str, str], list[Fact]], wording: Wording) -> None:
    facts = [fact for language in ("en", "zh") for fact in samples[wording.kind, language] if suits(wording, fact)]
    assert facts, f"no sample of a {wording.kind} for {wording.language}"
    for fact in facts[:12]:
        roots = Roots({fact.material.document.id: 0}, {wording.id: 0}, {}, 1)
        (proposal,) = Templates([fact], [wording], roots, seed=3).propose(range(1), [])
        example = proposal.example  # type: ignore[union-attr]
        prompt = example.messages[0].content
        assert fact.finding.passage in prompt
        assert wording.names <= {"passage", "requirement", *fact.finding.slots}
        assert "{requirement}" not in prompt
        assert bool(example.requirements) == wording.asks_requirement
        assert satisfied(example.requirements, example.answer)
        assert prompt == prompt.strip()
        if wording.kind in ("has_parameter", "kind_choice", "name_choice", "heading_choice"):
            options = fact.finding.slots.get("options", ("Yes", "No"))
            assert all(wording.translated(option) in prompt for option in options), prompt


def test_braces_in_a_passage_mean_nothing() -> None:
    wording = Wording("x/en-1", "x", "en", "Read {passage} about {term}.")
    assert (
        wording.fill({"passage": "{term} {0} {passage}", "term": "{requirement}"})
        == "Read {term} {0} {passage} about {requirement}."
    )


def test_a_requirement_that_is_not_there_leaves_no_gap() -> None:
    wording = Wording("x/en-1", "x", "en", "Do it. {requirement} Now.\n\n{passage}\n\n{requirement}")
    assert wording.fill({"passage": "Text", "requirement": ""}) == "Do it. Now.\n\nText"


def test_answers_and_options_are_said_in_the_wordings_language(make_function: Callable[..., Section]) -> None:
    section = make_function("queue.put", "Put an item into the queue.", [("item", None), ("block", "True")])
    document = Document("id", "queue", (section,), "source", "en")
    facts = [fact for fact in extract([document], 700, 1).facts if fact.kind == "kind_choice"]
    wordings = [wording for wording in all_wordings() if wording.id == "kind_choice/zh-1"]
    roots = Roots({"id": 0}, {"kind_choice/zh-1": 0}, {}, 1)
    (proposal,) = Templates(facts, wordings, roots, seed=1).propose(range(1), [])
    example = proposal.example  # type: ignore[union-attr]
    assert example.answer == "函数"
    assert set(example.requirements[0].parameters["options"]) == {"函数", "类", "模块"}
    assert example.language == "zh"


def test_no_block_is_without_wordings() -> None:
    kinds = defaultdict(list)
    for wording in all_wordings():
        kinds[wording.kind].append(wording.id)
    sizes = Counter(deal(kinds.values(), 10, stream(1, "blocks of wordings")).values())
    assert len(sizes) == 10
    assert max(sizes.values()) - min(sizes.values()) <= 1
