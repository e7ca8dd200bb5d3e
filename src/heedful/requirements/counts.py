"""Requirements that count: words, characters, sentences, bullet points. All counting is done by `heedful.text`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from heedful import text as texts
from heedful.requirements.requirement import Language, Parameters, Verdict, pick
from heedful.requirements.wording import plural

Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]

_WORDINGS: dict[str, dict[Language, tuple[str, ...]]] = {
    "minimum": {
        "en": ("Use at least {low_units}.", "Write no fewer than {low_units}.", "Your answer must have at least {low_units}."),
        "zh": ("至少写{low_units}。", "请写不少于{low_units}。", "回答不得少于{low_units}。"),
    },
    "maximum": {
        "en": ("Use at most {high_units}.", "Write no more than {high_units}.", "Your answer must not exceed {high_units}."),
        "zh": ("最多写{high_units}。", "请控制在{high_units}以内。", "回答不得超过{high_units}。"),
    },
    "between": {
        "en": (
            "Use between {low} and {high_units}.",
            "Write at least {low} and at most {high_units}.",
            "Your answer must have {low} to {high_units}.",
        ),
        "zh": ("写{low}到{high_units}。", "请写不少于{low}、不超过{high_units}。", "回答应有{low}至{high_units}。"),
    },
    "exactly": {
        "en": ("Use exactly {high_units}.", "Write {high_units}, no more and no fewer.", "Your answer must have exactly {high_units}."),
        "zh": ("正好写{high_units}。", "请不多不少写{high_units}。", "回答必须恰好有{high_units}。"),
    },
    "none": {
        "en": ("Use no {units}.", "Write without any {units}.", "Your answer must not have any {units}."),
        "zh": ("不要写{units}。", "请不要使用{units}。", "回答中不得有{units}。"),
    },
}  # fmt: skip


class Counted(Parameters):
    """Bounds on how many units an answer has; both bounds are allowed values."""

    minimum: Count | None = None
    """At least this many."""
    maximum: Count | None = None
    """At most this many."""
    exactly: Count | None = None
    """Just this many; stands alone."""

    unit: ClassVar[tuple[str, str]]
    """English singular and plural."""
    measure: ClassVar[tuple[str, str]]
    """Chinese measure word with its noun (`条列表项`), and the noun alone."""

    @staticmethod
    @abstractmethod
    def count(text: str) -> int:
        """How many units `text` has."""

    @model_validator(mode="after")
    def _bounds_make_sense(self) -> Counted:
        if self.exactly is not None and (self.minimum is not None or self.maximum is not None):
            raise ValueError("exactly stands alone; remove it, or remove minimum and maximum")
        if self.exactly is None and self.maximum is None and not self.minimum:
            raise ValueError("it asks for nothing; give minimum (1 or more), maximum or exactly")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is larger than maximum {self.maximum}; exchange or change them")
        return self

    @property
    def low(self) -> int:
        """The smallest allowed number; 0 when there is none."""
        return self.exactly if self.exactly is not None else self.minimum or 0

    @property
    def high(self) -> int | None:
        """The largest allowed number; None when there is none."""
        return self.exactly if self.exactly is not None else self.maximum

    @property
    def _shape(self) -> str:
        if self.high is None:
            return "minimum"
        if self.high == 0:
            return "none"
        if self.low == self.high:
            return "exactly"
        return "between" if self.low else "maximum"

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_WORDINGS[self._shape], language, wording).format(
            low=self.low,
            low_units=self._units(self.low, language),
            high_units=self._units(self.high or 0, language),
            units=self.unit[1] if language == "en" else self.measure[1],
        )

    def _units(self, number: int, language: Language) -> str:
        return plural(number, *self.unit) if language == "en" else f"{number}{self.measure[0]}"

    def check(self, text: str) -> Verdict:
        number = self.count(text)
        expected = {
            "minimum": f"at least {self.low}",
            "maximum": f"at most {self.high}",
            "between": f"{self.low} to {self.high}",
            "exactly": f"exactly {self.high}",
            "none": "none",
        }[self._shape]
        return Verdict(
            satisfied=self._nearness(number) == 1.0,
            reason=f"{plural(number, *self.unit)}, {expected} expected",
            fraction=self._nearness(number),
        )

    def _nearness(self, number: int) -> float:
        if number < self.low:
            return number / self.low
        if self.high is not None and number > self.high:
            return (self.high + 1) / (number + 1)
        return 1.0


class Words(Counted):
    """How many words; in Chinese every character of the script counts as one."""

    kind = "words"
    unit = ("word", "words")
    measure = ("个字", "字")

    @staticmethod
    def count(text: str) -> int:
        return texts.num_words(text)


class Characters(Counted):
    """How many characters, white space left out, as `heedful.text` counts them."""

    kind = "characters"
    unit = ("character (not counting spaces)", "characters (not counting spaces)")
    measure = ("个字符（不计空格）", "字符")

    @staticmethod
    def count(text: str) -> int:
        return texts.num_characters(text)


class Sentences(Counted):
    """How many sentences."""

    kind = "sentences"
    unit = ("sentence", "sentences")
    measure = ("句话", "句子")

    @staticmethod
    def count(text: str) -> int:
        return len(texts.sentences(text))


class Bullets(Counted):
    """How many items of bulleted lists."""

    kind = "bullets"
    unit = ("bullet point", "bullet points")
    measure = ("条列表项", "列表项")

    @staticmethod
    def count(text: str) -> int:
        return len(texts.bullets(text))
