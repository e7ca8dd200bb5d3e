"""What reading gives, and the shape of the rules that find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from heedful.records import RequirementSpec
from heedful.requirements.reading.cutting import Passage, Sentence


@dataclass(frozen=True, slots=True)
class Found:
    """A requirement that an instruction states, and where: `instruction[start:end]` says it."""

    spec: RequirementSpec
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Reads one family of requirements from a sentence."""

    triggers: tuple[str, ...]
    """The sentence holds one of these, or the rule is not asked: most sentences are done after a few searches."""
    read: Callable[[Passage, Sentence], Iterator[Found]]

    def concerns(self, sentence: Sentence) -> bool:
        return any(trigger in sentence.text for trigger in self.triggers)


def found(kind: str, sentence: Sentence, start: int, end: int, /, **parameters: Any) -> Found:
    """A requirement said at `start` to `end` of the sentence."""
    return Found(RequirementSpec(kind, parameters), sentence.start + start, sentence.start + end)
