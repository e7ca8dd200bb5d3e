"""Structured facts x wordings -> examples, without any model: the answer is what the text itself says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from heedful.construct.collect import Candidate, Proposal, Refusal
from heedful.construct.fact import Fact
from heedful.construct.plan import plan
from heedful.construct.roots import Roots
from heedful.construct.wordings import Wording
from heedful.project import stream
from heedful.records import Example, RequirementSpec, canonical_json, conversation, derived_id
from heedful.requirements import say_all


class Templates:
    """The method `templates`; draw number n is the n-th pair of its plan."""

    name = "templates"

    def __init__(self, facts: Sequence[Fact], wordings: Sequence[Wording], roots: Roots, seed: int) -> None:
        self._seed = seed
        self._plan = plan(facts, wordings, roots, seed)
        self._next_draw = 0

    def round_size(self, missing: int) -> int:
        """Just what is missing: candidates cost nothing, so none need be made in advance. A round is one journal line."""
        return min(missing, 25)

    def propose(self, draws: range, accepted: Sequence[Example]) -> list[Proposal]:
        """The pairs at `draws`; draws are asked for in ascending order, some may be left out."""
        pairs = list(islice(self._plan, draws.start - self._next_draw, draws.stop - self._next_draw))
        self._next_draw = draws.stop
        return [self._proposal(draw, fact, wording) for draw, (fact, wording) in zip(draws, pairs, strict=False)]

    def _proposal(self, draw: int, fact: Fact, wording: Wording) -> Proposal:
        generator = stream(self._seed, "template", draw)
        requirements: tuple[RequirementSpec, ...] = ()
        said = ""
        if wording.asks_requirement and (offers := _offers(fact, wording)):
            spec = generator.choice(offers)
            requirements, said = (spec,), say_all([spec], wording.language, rng=generator)
        user = wording.fill({**fact.finding.slots, "passage": fact.finding.passage, "requirement": said})
        answer = wording.translated(fact.finding.answer)
        if answer in ("", user):
            return Refusal("empty_or_repeated_answer", user)
        return Candidate(_example(draw, fact, wording, user, answer, requirements))


def _example(
    draw: int, fact: Fact, wording: Wording, user: str, answer: str, requirements: tuple[RequirementSpec, ...]
) -> Example:
    document, section = fact.material.document, fact.material.section
    return Example(
        id=derived_id("templates", [document.id], f"{draw} {wording.id} {section.title}"),
        messages=conversation(user, answer),
        method="templates",
        source=document.source,
        task=f"templates/{fact.kind}",
        language=wording.language,
        license=document.license,
        parents=(document.id,),
        requirements=requirements,
        meta=canonical_json({"groups": {"document": document.id, "template": wording.id}, "section": section.title}),
    )


def _offers(fact: Fact, wording: Wording) -> list[RequirementSpec]:
    """The fact's requirements in the words of the wording's language.

    A limit on words is not said in Chinese about an English answer: 字 counts characters to a Chinese reader.
    """
    offers = [_translated(spec, wording) for spec in fact.finding.offers]
    foreign = wording.language == "zh" and fact.material.language != "zh"
    return [spec for spec in offers if not (foreign and spec.kind == "words")]


def _translated(spec: RequirementSpec, wording: Wording) -> RequirementSpec:
    if spec.kind != "choice":
        return spec
    return RequirementSpec("choice", {"options": [wording.translated(option) for option in spec.parameters["options"]]})
