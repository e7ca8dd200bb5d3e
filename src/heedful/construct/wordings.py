"""The wordings of the template tasks, read from `wordings.toml`, and how one is filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from heedful.construct.data import table
from heedful.construct.fact import Slot
from heedful.requirements import LANGUAGES, Language

_NAME = re.compile(r"\{([a-z]+)\}")
_JOINER: dict[Language, str] = {"en": ", ", "zh": "、"}


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to ask for a kind of fact; a root that a split keeps on one side."""

    id: str
    """"summary/en-3"."""
    kind: str
    language: Language
    text: str
    answers: Mapping[str, str] = field(default_factory=dict)
    """How answers and options are said in its language, where they are not said as they are."""

    @property
    def asks_requirement(self) -> bool:
        """Whether it has a place where a requirement is said."""
        return "{requirement}" in self.text

    @property
    def names(self) -> frozenset[str]:
        """What it needs filled in."""
        return frozenset(_NAME.findall(self.text))

    def translated(self, word: str) -> str:
        """An answer or option in the wording's language."""
        return self.answers.get(word, word)

    def fill(self, values: Mapping[str, Slot]) -> str:
        """The whole user turn. Values are put in as they are: braces inside them mean nothing."""

        def value(match: re.Match[str]) -> str:
            if match.group(1) not in values:
                return match.group(0)
            slot = values[match.group(1)]
            return (
                slot if isinstance(slot, str) else _JOINER[self.language].join(self.translated(item) for item in slot)
            )

        text = self.text if values.get("requirement") else re.sub(r" ?\{requirement\}", "", self.text)
        return _NAME.sub(value, text).strip()


@cache
def all_wordings() -> tuple[Wording, ...]:
    """Every wording, in the order of the file."""
    return tuple(
        Wording(f"{kind}/{language}-{place}", kind, language, text, lists.get("answers", {}).get(language, {}))
        for kind, lists in table("wordings").items()
        for language in LANGUAGES
        for place, text in enumerate(lists.get(language, ()), start=1)
    )
