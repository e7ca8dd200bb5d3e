"""What one can ask about a section: the passage shown, what the question names, the answer, fitting requirements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from heedful.construct.passages import Material
from heedful.records import RequirementSpec

Slot = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What an extractor returns."""

    passage: str
    answer: str
    slots: Mapping[str, Slot] = field(default_factory=dict)
    """What wordings may name beside the passage; a tuple is a list of options."""
    offers: tuple[RequirementSpec, ...] = ()
    """Requirements that the answer meets; a wording that asks for one gets one of them."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A finding, its kind, and the section that it stands in."""

    kind: str
    finding: Finding
    material: Material
