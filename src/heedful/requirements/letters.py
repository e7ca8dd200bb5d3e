"""Requirements on single characters: how often a letter occurs, words in capitals, the case of all letters, no commas."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator

from heedful import text as texts
from heedful.requirements.counts import Counted, Shape
from heedful.requirements.requirement import Language, Parameters, Verdict, as_read, pick
from heedful.requirements.wording import plural, quote, times

COMMAS = frozenset(",，、﹐﹑､،")
"""ASCII, Chinese (full and half width, and the one of enumerations), Arabic."""

_LETTER: dict[Shape, dict[Language, tuple[str, ...]]] = {
    "minimum": {
        "en": ("Use {letter} at least {low_times}.", "Let {letter} occur no fewer than {low_times}.", "Your answer must contain {letter} at least {low_times}."),
        "zh": ("{letter}至少用{low}次。", "请让{letter}出现不少于{low}次。", "回答中{letter}必须出现至少{low}次。"),
    },
    "maximum": {
        "en": ("Use {letter} at most {high_times}.", "Let {letter} occur no more than {high_times}.", "Your answer must contain {letter} at most {high_times}."),
        "zh": ("{letter}最多用{high}次。", "请让{letter}出现不超过{high}次。", "回答中{letter}不得出现超过{high}次。"),
    },
    "between": {
        "en": (
            "Use {letter} between {low} and {high_times}.",
            "Let {letter} occur at least {low} and at most {high_times}.",
            "Your answer must contain {letter} {low} to {high_times}.",
        ),
        "zh": ("{letter}用{low}到{high}次。", "请让{letter}出现不少于{low}次、不超过{high}次。", "回答中{letter}应出现{low}至{high}次。"),
    },
    "exactly": {
        "en": ("Use {letter} exactly {high_times}.", "Let {letter} occur {high_times}, no more and no fewer.", "Your answer must contain {letter} exactly {high_times}."),
        "zh": ("{letter}正好用{high}次。", "请让{letter}不多不少出现{high}次。", "回答中{letter}必须恰好出现{high}次。"),
    },
    "none": {
        "en": ("Do not use {letter}.", "Write without {letter}.", "Your answer must not contain {letter}."),
        "zh": ("不要使用{letter}。", "请完全避开{letter}。", "回答中不得出现{letter}。"),
    },
}  # fmt: skip
_CASE: dict[str, dict[Language, tuple[str, ...]]] = {
    "upper": {
        "en": ("Write your whole answer in capital letters.", "Use capital letters only.", "Your answer must be all in upper case."),
        "zh": ("整个回答都用大写字母。", "请只用大写字母书写。", "回答中的字母必须全部大写。"),
    },
    "lower": {
        "en": ("Write your whole answer in lower-case letters.", "Use lower-case letters only.", "Your answer must be all in lower case."),
        "zh": ("整个回答都用小写字母。", "请只用小写字母书写。", "回答中的字母必须全部小写。"),
    },
}  # fmt: skip
_NO_COMMAS: dict[Language, tuple[str, ...]] = {
    "en": ("Do not use any commas.", "Write without commas.", "Your answer must not contain a comma."),
    "zh": ("不要使用逗号或顿号。", "请不用逗号和顿号来写。", "回答中不得出现逗号或顿号。"),
}


def _one_character(value: str) -> str:
    composed = unicodedata.normalize("NFC", value)
    if len(composed) != 1:
        shown = repr(value) if len(value) <= 20 else f"a text of {len(value)} characters"
        raise ValueError(f'it is one letter, for example "e"; got {shown}')
    if unicodedata.category(composed)[0] in "CMZ":
        raise ValueError("it is a space, a combining mark or invisible; give a letter, digit or symbol")
    return composed


class Letters(Counted):
    """How often one character occurs, whatever its case."""

    kind = "letters"
    unit = ("time", "times")
    measure = ("次", "次")

    letter: Annotated[str, AfterValidator(_one_character)]
    """The character that is counted; "e" and "E" are the same."""

    def count(self, text: str) -> int:
        return as_read(text).lower().count(self.letter.lower())

    @property
    def note(self) -> dict[Language, str]:
        return {"en": f" {self._named('en')}", "zh": self._named("zh")}

    def say(self, language: Language, wording: int = 0) -> str:
        low, high = self.low, self.high or 0
        return pick(_LETTER[self.shape], language, wording).format(
            letter=self._named(language), low=low, high=high, low_times=times(low), high_times=times(high)
        )

    def verdict(self, number: int) -> Verdict:
        found = super().verdict(number)
        reason = f"{self._named('en')} occurs {plural(number, *self.unit)}, {self.expected} expected"
        return Verdict(found.satisfied, reason, found.fraction)

    def _named(self, language: Language) -> str:
        is_letter = self.letter.isalpha() and not texts.is_unspaced(self.letter)
        if language == "en":
            return f"the {'letter' if is_letter else 'character'} {quote(self.letter, 'en')}"
        return f"{'字母' if is_letter else '字符'}{quote(self.letter, language)}"


class Capitals(Counted):
    """How many words have capital letters only; digits and hyphens may be among them, and "I" is one."""

    kind = "capitals"
    unit = ("word in capital letters", "words in capital letters")
    measure = ("个全大写的词", "全大写的词")

    def count(self, text: str) -> int:
        return sum(word.isupper() for word in texts.words(as_read(text)))


class Case(Parameters):
    """All letters of the answer are capitals, or none is; at least one letter must have a case."""

    kind = "case"

    case: Literal["upper", "lower"]
    """`upper`: capital letters only; `lower`: lower-case letters only."""

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_CASE[self.case], language, wording)

    def check(self, text: str) -> Verdict:
        """When it fails, the fraction is the share of letters in the right case."""
        text = as_read(text)
        num_upper = sum(map(str.isupper, text))
        num_lower = sum(map(str.islower, text))
        # Such as ǅ, which is neither.
        num_title = sum(map(str.istitle, text)) - num_upper
        total = num_upper + num_lower + num_title
        right = num_upper if self.case == "upper" else num_lower
        if not total:
            return Verdict(False, f"no letter has a case, {self.case} case expected", 0.0)
        if right == total:
            return Verdict(True, f"all letters are in {self.case} case", 1.0)
        return Verdict(
            False, f"{plural(total - right, 'letter is', 'letters are')} not in {self.case} case", right / total
        )


class NoCommas(Parameters):
    """No comma anywhere, neither the ASCII one nor its Chinese and Arabic kin."""

    kind = "no_commas"

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_NO_COMMAS, language, wording)

    def check(self, text: str) -> Verdict:
        number = sum(map(as_read(text).count, COMMAS))
        return Verdict(not number, f"{plural(number, 'comma', 'commas')}, none expected", 1 / (1 + number))
