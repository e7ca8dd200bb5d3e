"""What every requirement is: a spec that can be said to a model and checked on an answer.

Each kind is one frozen settings model: its fields are the parameters a user writes, its methods say and check. A new
kind is a class like those in `counts.py` and a line in `registry.REQUIREMENTS`.
"""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, PrivateAttr

from heedful import text as texts
from heedful.errors import RequirementError
from heedful.project.settings import Settings
from heedful.records import RequirementSpec

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

NUM_WORDINGS = 3
"""Every kind says itself in this many ways in each language; any whole number picks one of them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer keeps a requirement, what was found and expected in words, and how nearly it was kept."""

    satisfied: bool
    reason: str
    fraction: float
    """From 0 to 1; 1 exactly when satisfied. A reward that grows as the answer comes nearer."""


class Requirement(Protocol):
    """A verifiable property of an answer."""

    @property
    def spec(self) -> RequirementSpec:
        """The plain data it was made from."""

    def say(self, language: Language, wording: int = 0) -> str:
        """One or two whole sentences that ask a model for it."""

    def check(self, text: str) -> Verdict:
        """Whether `text`, the whole answer, keeps it. Never raises because of `text`, and always ends soon.

        Kinds look at the text `as_read`, but for `json_schema`, `regex` and `grammar`: what programs read has to be right to the byte.
        """


class Parameters(Settings):
    """Base of the kinds: parameters are fields, and `spec` gives back what was given."""

    kind: ClassVar[str]

    _enforce: bool = PrivateAttr(True)

    @classmethod
    def from_spec(cls, spec: RequirementSpec) -> Self:
        """The requirement with the parameters of `spec`; raises pydantic's ValidationError."""
        made = cls.model_validate(dict(spec.parameters))
        # No parameter of the kind, but a wish of whoever asked, which `spec` gives back.
        made._enforce = spec.enforce
        return made

    @property
    def spec(self) -> RequirementSpec:
        given = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return RequirementSpec(self.kind, given, self._enforce)

    @abstractmethod
    def say(self, language: Language, wording: int = 0) -> str: ...

    @abstractmethod
    def check(self, text: str) -> Verdict: ...


def as_read(text: str) -> str:
    """The answer as a reader sees it, which is what kinds count and search in: normalised, so that nothing invisible fills it.

    Lines end where lines of JSON do: U+0085, U+2028 and U+2029, which may stand in a JSON string, are spaces here.
    """
    if text.isascii():
        if text.isprintable():
            return text.rstrip()
    else:
        text = text.replace("\x85", " ").replace("\u2028", " ").replace("\u2029", " ")
    return texts.normalize(text)


def pick(wordings: Mapping[Language, tuple[str, ...]], language: Language, wording: int) -> str:
    """One of `wordings` in `language`; raises RequirementError for a language that no requirement can be said in."""
    if language not in wordings:
        raise unsaid_language(language)
    choices = wordings[language]
    return choices[wording % len(choices)]


def unsaid_language(language: str) -> RequirementError:
    """The error for a language that nobody wrote sentences for."""
    return RequirementError(f"requirements are said in {' or '.join(LANGUAGES)}, got language {language!r}")


KindType = TypeVar("KindType")


def of_type(requirements: Iterable[Requirement], kind: type[KindType]) -> list[KindType]:
    """Those that are of `kind`, which may be a family such as `Counted`."""
    return [requirement for requirement in requirements if isinstance(requirement, kind)]


# -- fields that several kinds have -----------------------------------------------------------------------------


MAX_PHRASE_LENGTH = 1000
"""Characters; a phrase is for a sentence."""
MAX_PHRASES = 500


def _one_line(value: str) -> str:
    if len(value) > MAX_PHRASE_LENGTH:
        raise ValueError(
            f"it is {len(value)} characters long, at most {MAX_PHRASE_LENGTH} are taken; give a shorter phrase"
        )
    if not value.strip():
        raise ValueError("it is empty; give at least one visible character")
    if value != value.strip():
        raise ValueError("it begins or ends with white space; remove that")
    # A phrase is quoted in a sentence, where these cannot be seen.
    if {"\n", "\t"} & set(value) or texts.normalize(value) != unicodedata.normalize("NFC", value):
        raise ValueError("it holds a line break, tab or invisible character; give a plain phrase on one line")
    if unicodedata.category(value[0]).startswith("M"):
        # It would sit on the quotation mark before it.
        raise ValueError("it begins with a combining mark; give a phrase that begins with a whole character")
    return value


Phrase = Annotated[str, AfterValidator(_one_line)]
"""Text that fits between quotation marks in a sentence."""

Phrases = Annotated[tuple[Phrase, ...], Field(min_length=1, max_length=MAX_PHRASES)]
"""At least one phrase; a list, never one bare string."""
