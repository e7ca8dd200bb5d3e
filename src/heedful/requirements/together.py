"""Several requirements of one answer: say them, check them, and see whether they can be kept together."""

from __future__ import annotations

import random
from collections.abc import Iterable

from heedful.records import RequirementSpec
from heedful.requirements.registry import parse
from heedful.requirements.requirement import NUM_WORDINGS, Language, Verdict


def check_all(specs: Iterable[RequirementSpec], text: str) -> list[Verdict]:
    """One verdict for each spec, in their order."""
    return [parse(spec).check(text) for spec in specs]


def satisfied(specs: Iterable[RequirementSpec], text: str) -> bool:
    """Whether `text` keeps every one; true when there are none."""
    return all(verdict.satisfied for verdict in check_all(specs, text))


def say_all(specs: Iterable[RequirementSpec], language: Language, *, rng: random.Random | None = None) -> str:
    """Sentences that ask for every one, in their order, to follow an instruction; each worded as `rng` draws."""
    sentences = [parse(spec).say(language, rng.randrange(NUM_WORDINGS) if rng else 0) for spec in specs]
    return (" " if language == "en" else "").join(sentences)
