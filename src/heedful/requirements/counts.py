"""Requirements that count: words, characters, sentences, bullet points, tokens. `heedful.text` counts, where nothing else is said."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from heedful import text as texts
from heedful.requirements.requirement import Language, Parameters, Verdict, as_read, pick
from heedful.requirements.wording import plural

Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]

Shape = Literal["minimum", "maximum", "between", "exactly", "none"]

_RUN = re.compile(r"\w+")
_RUNS_NOTE: dict[Language, str] = {
    "en": " (each run of letters or digits is one)",
    "zh": "（连续的字母或数字算一个）",
}
_MARKDOWN_NOTE: dict[Language, str] = {"en": " (lines that begin with * or -)", "zh": "（以*或-开头的行）"}

_WORDINGS: dict[Shape, dict[Language, tuple[str, ...]]] = {
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

    @abstractmethod
    def count(self, text: str) -> int:
        """How many units `text` has."""

    @property
    def note(self) -> dict[Language, str]:
        """What follows the unit where it says how it is counted; empty when it is counted as usual."""
        return {}

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
    def shape(self) -> Shape:
        """Which of the five ways to bound a number it is."""
        if self.high is None:
            return "minimum"
        if self.high == 0:
            return "none"
        if self.low == self.high:
            return "exactly"
        return "between" if self.low else "maximum"

    def say(self, language: Language, wording: int = 0) -> str:
        nouns = self.unit[1] if language == "en" else self.measure[1]
        return pick(_WORDINGS[self.shape], language, wording).format(
            low=self.low,
            low_units=self.units(self.low, language),
            high_units=self.units(self.high or 0, language),
            units=nouns + self.note.get(language, ""),
        )

    def units(self, number: int, language: Language) -> str:
        """`3 words`, with how they are counted."""
        counted = plural(number, *self.unit) if language == "en" else f"{number}{self.measure[0]}"
        return counted + self.note.get(language, "")

    def check(self, text: str) -> Verdict:
        return self.verdict(self.count(text))

    def verdict(self, number: int) -> Verdict:
        """The verdict on an answer that has `number` of them."""
        nearness = self._nearness(number)
        return Verdict(nearness == 1.0, f"{self.units(number, 'en')}, {self.expected} expected", nearness)

    @property
    def expected(self) -> str:
        """The bounds in words, for a reason."""
        return {
            "minimum": f"at least {self.low}",
            "maximum": f"at most {self.high}",
            "between": f"{self.low} to {self.high}",
            "exactly": f"exactly {self.high}",
            "none": "none",
        }[self.shape]

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

    definition: Literal["words", "runs"] = "words"
    """`words`: as `heedful.text` counts them; `runs`: runs of letters, digits and underscores, as IFEval counts."""

    def words(self, text: str) -> list[str]:
        """What is counted."""
        return _RUN.findall(as_read(text)) if self.definition == "runs" else texts.words(as_read(text))

    def count(self, text: str) -> int:
        return len(self.words(text))

    @property
    def note(self) -> dict[Language, str]:
        return _RUNS_NOTE if self.definition == "runs" else {}


class Characters(Counted):
    """How many characters, white space left out, as `heedful.text` counts them."""

    kind = "characters"
    unit = ("character (not counting spaces)", "characters (not counting spaces)")
    measure = ("个字符（不计空格）", "字符")

    def count(self, text: str) -> int:
        return texts.num_characters(as_read(text))


class Sentences(Counted):
    """How many sentences, as `heedful.text` ends them."""

    kind = "sentences"
    unit = ("sentence", "sentences")
    measure = ("句话", "句子")

    def count(self, text: str) -> int:
        return texts.num_sentences(as_read(text))


class Bullets(Counted):
    """How many items of bulleted lists."""

    kind = "bullets"
    unit = ("bullet point", "bullet points")
    measure = ("条列表项", "列表项")

    definition: Literal["any", "markdown"] = "any"
    """`any`: as `heedful.text` finds them; `markdown`: lines that begin with - or one *, as IFEval counts."""

    def count(self, text: str) -> int:
        text = as_read(text)
        return _num_markdown_bullets(text) if self.definition == "markdown" else len(texts.bullets(text))

    @property
    def note(self) -> dict[Language, str]:
        return _MARKDOWN_NOTE if self.definition == "markdown" else {}


def _num_markdown_bullets(text: str) -> int:
    """A line of dashes counts, emphasis at the beginning of a line (**so**) does not."""
    lines = [line.lstrip() for line in text.split("\n")]
    return sum(line.startswith("-") or (line.startswith("*") and line[1:2] not in ("", "*")) for line in lines)


class Tokens(Counted):
    """How many tokens, as the model's own tokenizer counts them.

    A text alone does not tell: the same text has other tokens for another model, and even one model can write it in several
    ways. So `check` refuses only what is certain, and an engine that knows the number asks `verdict`.
    """

    kind = "tokens"
    unit = ("token", "tokens")
    measure = ("个词元", "词元")

    def count(self, text: str) -> int:
        """The least number that is certain: none for an empty text, and one for any other."""
        return 1 if text else 0

    def check(self, text: str) -> Verdict:
        if not text or self.high == 0:
            return self.verdict(self.count(text))
        reason = f"{self.expected} {self.unit[1]} expected; tokens are counted while the model writes, a text alone does not tell"
        return Verdict(True, reason, 1.0)
