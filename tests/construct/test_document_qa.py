"""Questions about a sentence of a passage: grounded by construction, checked by the round trip."""

from __future__ import annotations

import pytest

from heedful.construct.collect import Candidate, Proposal, Refusal
from heedful.construct.document_qa import DocumentQa, answer_fault, overlap
from heedful.construct.fact import Finding
from heedful.construct.facts import extract
from heedful.construct.roots import Roots
from heedful.construct.settings import ConstructSettings
from heedful.construct.wordings import all_wordings
from heedful.generate.engine import Request
from heedful.generate.fake import FakeEngine
from heedful.records import Document, Section

SENTENCES = {
    "en": ("The ferry to the island leaves from the north pier.", "Dogs of every size travel free of charge."),
    "zh": ("去岛上的渡轮从北边的码头出发。", "各种大小的狗都可以免费乘坐渡轮。"),
}


def propose(
    question: str | None = None, answer: str | None = None, language: str = "en", draws: int = 1
) -> list[Proposal]:
    """Proposals from one passage of two sentences; by default a good question and the chosen sentence."""
    first, second = SENTENCES[language]
    chosen: list[int] = []

    def write(request: Request) -> str:
        if request.id.endswith("question"):
            chosen.append(SENTENCES[language].index(request.messages[-1].content))
            return GOOD[language][chosen[-1]] if question is None else question
        return SENTENCES[language][chosen[-1]] if answer is None else answer

    text = f"{first} {second}" if language == "en" else first + second
    document = Document("doc", "Ferry", (Section("Ferry", text),), "ferry.md", language, "CC0-1.0")
    wordings = [wording for wording in all_wordings() if wording.kind == "document_qa"]
    roots = Roots({"doc": 0}, {wording.id: 0 for wording in wordings}, {}, 1)
    materials = extract([document], 700, 1).materials
    return DocumentQa(materials, wordings, roots, FakeEngine(write), ConstructSettings(), seed=1).propose(
        range(draws), []
    )


GOOD = {
    "en": ("From which pier do boats to the island go?", "Which dogs travel free?"),
    "zh": ("去岛上要在哪个码头上船？", "带狗乘坐渡轮要付钱吗？"),
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_answer_is_the_chosen_sentence(language: str) -> None:
    (proposal,) = propose(language=language)
    assert isinstance(proposal, Candidate)
    example = proposal.example
    assert example.answer in SENTENCES[language]
    assert all(sentence in example.prompt[-1].content for sentence in SENTENCES[language])
    assert proposal.novel_text in GOOD[language]
    assert proposal.novel_text in example.prompt[-1].content
    assert example.language == language
    assert example.parents == ("doc",)
    assert example.groups["document"] == "doc"
    assert example.groups["template"].startswith(f"document_qa/{language}-")


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("", "question_empty"),
        ("The boats go from the pier", "not_a_question"),
        ("Boats when?", "question_length"),
        ("What does the passage say about the island?", "about_the_text"),
        ("Where does the ferry leave and what do dogs pay?", "two_questions"),
        ("How many planets are known today?", "off_passage"),
        ("When can a ticket not be returned?", "copies_demonstration"),
        ("The ferry to the island leaves from the north pier, and dogs of every size travel free of charge?", "gives_answer_away"),
        ("从哪个码头可以坐船去岛上？", "question_wrong_language"),
        ("Is it so and is it so and is it so and is it so and is it so?", "question_repetitive"),
    ],
)  # fmt: skip
def test_questions_that_are_rejected(question: str, reason: str) -> None:
    (proposal,) = propose(question)
    assert isinstance(proposal, Refusal)
    assert proposal.reason == reason


def test_a_question_whose_answer_is_another_one_is_rejected() -> None:
    (proposal,) = propose(answer="The weather is fine today.")
    assert isinstance(proposal, Refusal)
    assert proposal.reason == "round_trip_failed"


def test_an_answer_that_is_not_in_the_passage_is_not_grounded() -> None:
    passage = " ".join(SENTENCES["en"])
    assert (
        answer_fault("Cats pay two coins for the bus.", Finding(passage, "Cats pay two coins for the bus."))
        == "not_grounded"
    )
    assert answer_fault("Yes.", Finding(passage, "Dogs travel.")) == "answer_length"
    assert answer_fault(SENTENCES["en"][1], Finding(passage, SENTENCES["en"][1])) == ""


def test_each_sentence_and_wording_once_and_then_nothing_is_left() -> None:
    proposals = propose(draws=50)
    wordings = [w for w in all_wordings() if w.kind == "document_qa" and w.language == "en"]
    assert len(proposals) == len(wordings)


def test_overlap_counts_repeats() -> None:
    # 2 of 3 and 2 of 5 tokens: 2 * 2 / 8.
    assert overlap("a b b", "a b c d e") == 0.5
    assert overlap("", "") == 0.0


def test_sentences_that_do_not_stand_alone_are_not_asked_about() -> None:
    text = "Return the list of all open gates. This depends on the wind and the tide. See the harbour rules for more details."
    document = Document("doc", "Ferry", (Section("Ferry", text),), "ferry.md", "en")
    wordings = [wording for wording in all_wordings() if wording.kind == "document_qa"]
    roots = Roots({"doc": 0}, {wording.id: 0 for wording in wordings}, {}, 1)
    materials = extract([document], 700, 1).materials
    method = DocumentQa(materials, wordings, roots, FakeEngine("Which gates?"), ConstructSettings(), seed=1)
    assert method.propose(range(3), []) == []
