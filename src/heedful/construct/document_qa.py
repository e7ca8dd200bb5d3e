"""A passage -> a question and its answer, grounded: the answer is a sentence of the passage, chosen before the question.

The model only writes the question. Then it answers its own question from the passage: a question whose answer is not
the sentence that was chosen is rejected. So a weak writer yields fewer rows, not worse answers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from heedful.construct.collect import Candidate, Proposal, Refusal
from heedful.construct.data import prompts, word_list
from heedful.construct.fact import Fact, Finding
from heedful.construct.passages import Material
from heedful.construct.plan import Pair, plan
from heedful.construct.roots import Roots
from heedful.construct.settings import ConstructSettings
from heedful.construct.wordings import Wording
from heedful.construct.written import content, fault, is_copy
from heedful.generate.engine import Engine, Request, Sampling, generate
from heedful.project import stream
from heedful.records import Example, Generation, Message, canonical_json, conversation, derived_id
from heedful.text import num_words, tokenize

_ANSWER_WORDS = range(5, 36)
_QUESTION_WORDS = range(3, 31)
_GROUNDED = 0.9
"""Share of the answer's content tokens that the passage must hold."""
_ON_PASSAGE = 0.5
"""Share of the question's content tokens that the passage must hold."""
_ROUND_TRIP = 0.5
"""Token F1 that the model's own answer must reach with the chosen sentence."""
_SECOND_QUESTION = re.compile(r"\?.*\?|？.*？|\band (?:what|how|which|who|when|where|why)\b", re.IGNORECASE)
_VERBS, _POINTING = word_list("verbs"), word_list("pointing")
_MAXIMUM_TOKENS = {"question": 32, "answer": 48}
_ABOUT_THE_TEXT = re.compile(
    r"\b(?:passage|text above|this text|the text|above|sentence|paragraph|author)\b|文中|上文|本文|段落|这段|这句话|原文|作者",
    re.IGNORECASE,
)


class DocumentQa:
    """The method `document_qa`. Two requests a draw at most: the question, then the model's own answer to it."""

    name = "document_qa"

    def __init__(
        self,
        materials: Iterable[Material],
        wordings: Sequence[Wording],
        roots: Roots,
        engine: Engine,
        settings: ConstructSettings,
        seed: int,
    ) -> None:
        self._engine, self._settings = engine, settings
        facts = [fact for place, material in enumerate(materials) if (fact := _chosen_sentence(material, place, seed))]
        self._plan = plan(facts, wordings, roots, seed)
        self._next_draw = 0

    def round_size(self, missing: int) -> int:
        """A whole batch of the engine: a weak writer is refused often."""
        return self._engine.preferred_batch

    def propose(self, draws: range, accepted: Sequence[Example]) -> list[Proposal]:
        """Questions for all draws in one batch, the model's answers to the sound ones in another."""
        pairs = list(islice(self._plan, draws.start - self._next_draw, draws.stop - self._next_draw))
        self._next_draw = draws.stop
        written = list(
            generate(self._engine, [self._ask_question(draw, pair) for draw, pair in zip(draws, pairs, strict=False)])
        )
        faults = [question_fault(question, fact) for question, (fact, _) in zip(written, pairs, strict=True)]
        sound = [place for place, reason in enumerate(faults) if not reason]
        requests = [self._ask_answer(draws[place], pairs[place][0], written[place].text.strip()) for place in sound]
        answers = dict(zip(sound, generate(self._engine, requests), strict=True))
        return [
            self._proposal(draws[place], pair, written[place].text.strip(), answers[place])
            if place in answers
            else Refusal(faults[place], f"{pair[0].finding.answer}\n\n{written[place].text}")
            for place, pair in enumerate(pairs)
        ]

    def _ask_question(self, draw: int, pair: Pair) -> Request:
        fact, wording = pair
        texts = prompts(self.name, wording.language)
        turns = [Message("system", texts["system"])]
        for shown in texts["demonstrations"]:
            turns += [Message("user", shown["sentence"]), Message("assistant", shown["question"])]
        return self._request(draw, "question", [*turns, Message("user", fact.finding.answer)])

    def _ask_answer(self, draw: int, fact: Fact, question: str) -> Request:
        """One demonstration shows what "copied" means; its text is all sentences of the other demonstrations."""
        texts = prompts(self.name, fact.material.language)
        shown = texts["demonstrations"]
        example_text = texts["joiner"].join(item["sentence"] for item in shown)
        turns = [
            Message("system", texts["answer"]),
            Message("user", _given(texts["given"], example_text, shown[1]["question"])),
            Message("assistant", shown[1]["sentence"]),
            Message("user", _given(texts["given"], fact.finding.passage, question)),
        ]
        return self._request(draw, "answer", turns)

    def _request(self, draw: int, step: str, messages: Sequence[Message]) -> Request:
        """Greedy: the sentences differ already, and a weak writer's likeliest question is its best."""
        sampling = Sampling(max_tokens=_MAXIMUM_TOKENS[step], stop=("\n",))
        return Request(f"{self.name} {draw} {step}", tuple(messages), sampling=sampling)

    def _proposal(self, draw: int, pair: Pair, question: str, answer: Generation) -> Proposal:
        fact, wording = pair
        finding, document = fact.finding, fact.material.document
        if reason := answer_fault(answer.text, finding):
            return Refusal(reason, f"{finding.answer}\n\n{question}\n\n{answer.text}")
        user = wording.fill({"question": question, "passage": finding.passage})
        example = Example(
            id=derived_id(self.name, [document.id], f"{draw} {wording.id} {fact.material.section.title}"),
            messages=conversation(user, finding.answer),
            method=self.name,
            source=document.source,
            task=self.name,
            language=wording.language,
            license=document.license,
            parents=(document.id,),
            meta=canonical_json(
                {
                    "groups": {"document": document.id, "template": wording.id},
                    "section": fact.material.section.title,
                    "written_by": self._settings.model,
                }
            ),
        )
        return Candidate(example, question)


def _given(frame: str, passage: str, question: str) -> str:
    return frame.replace("{question}", question).replace("{passage}", passage)


def _chosen_sentence(material: Material, place: int, seed: int) -> Fact | None:
    """A sentence of the section that a question could be about, with its passage."""
    choices = [
        (passage, sentence)
        for passage in material.passages
        if len(passage.sentences) >= 2
        for sentence in passage.sentences
        if num_words(sentence) in _ANSWER_WORDS and sentence in passage.text and _states(sentence)
    ]
    if not choices:
        return None
    passage, sentence = stream(seed, "document_qa", material.document.id, place).choice(choices)
    return Fact("document_qa", Finding(passage.text, sentence), material)


def _states(sentence: str) -> bool:
    """Whether a sentence says something that one can ask for, and says it on its own: "Return the sum." is an order,
    and "This is slow." depends on the sentence before.
    """
    return (
        len(content(sentence)) >= 3
        and tokenize(sentence)[0] not in _VERBS | _POINTING
        and sentence[0] not in "这那它该此"
    )


# -- checks ----------------------------------------------------------------------------------------------------


def question_fault(question: Generation, fact: Fact) -> str:
    """Why a question cannot be used; empty when it can."""
    text = question.text.strip()
    if reason := fault(question, fact.material.language):
        return f"question_{reason}"
    if not text.endswith(("?", "？")):
        return "not_a_question"
    if num_words(text) not in _QUESTION_WORDS:
        return "question_length"
    if _ABOUT_THE_TEXT.search(text):
        return "about_the_text"
    if _SECOND_QUESTION.search(text):
        return "two_questions"
    shown = prompts("document_qa", fact.material.language)["demonstrations"]
    if is_copy(text, [item["question"] for item in shown]):
        return "copies_demonstration"
    asked, wanted = content(text), content(fact.finding.answer)
    if len(asked & content(fact.finding.passage)) < max(1, _ON_PASSAGE * len(asked)):
        return "off_passage"
    return "gives_answer_away" if len(wanted - asked) < max(2, len(wanted) // 5) else ""


def answer_fault(answer: str, finding: Finding) -> str:
    """Why a question's answer does not hold: it is not in the passage, or the model answers something else."""
    wanted = content(finding.answer)
    if num_words(finding.answer) not in _ANSWER_WORDS:
        return "answer_length"
    if len(wanted & content(finding.passage)) < _GROUNDED * len(wanted):
        return "not_grounded"
    return "round_trip_failed" if overlap(answer, finding.answer) < _ROUND_TRIP else ""


def overlap(one: str, other: str) -> float:
    """Token F1 of two texts, repeats counted."""
    left, right = Counter(tokenize(one)), Counter(tokenize(other))
    total = sum(left.values()) + sum(right.values())
    return 2 * sum((left & right).values()) / total if total else 0.0
