"""Several requirements of one answer: say them, check them, and one number for how well an answer keeps them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from heedful.records import RequirementSpec
from heedful.requirements.registry import parse
from heedful.requirements.requirement import NUM_WORDINGS, Language, Requirement, Verdict


def check_all(specs: Iterable[RequirementSpec], text: str) -> list[Verdict]:
    """One verdict for each spec, in their order."""
    return [parse(spec).check(text) for spec in specs]


def satisfied(specs: Iterable[RequirementSpec], text: str) -> bool:
    """Whether `text` keeps every one; true when there are none."""
    return all(verdict.satisfied for verdict in check_all(specs, text))


def reward(specs: Iterable[RequirementSpec], text: str, *, strict: bool) -> float:
    """From 0 to 1, and 1 exactly when `text` keeps every one.

    `strict` gives 0 for all others; without it, it is the mean of how nearly each is kept.
    """
    return reward_of(check_all(specs, text), strict=strict)


def reward_of(verdicts: Sequence[Verdict], *, strict: bool) -> float:
    """`reward`, for who has the verdicts."""
    if all(verdict.satisfied for verdict in verdicts):
        return 1.0
    return 0.0 if strict else sum(verdict.fraction for verdict in verdicts) / len(verdicts)


def say_all(specs: Iterable[RequirementSpec], language: Language, *, rng: random.Random | None = None) -> str:
    """Sentences that ask for every one, in their order, to follow an instruction; each worded as `rng` draws."""
    return say_together([parse(spec) for spec in specs], language, rng)


def say_together(requirements: Iterable[Requirement], language: Language, rng: random.Random | None = None) -> str:
    """`say_all`, for who has the requirements."""
    sentences = [requirement.say(language, rng.randrange(NUM_WORDINGS) if rng else 0) for requirement in requirements]
    return (" " if language == "en" else "").join(sentences)
