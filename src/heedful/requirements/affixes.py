"""Requirements on how an answer begins and ends.

The text is compared letter for letter and case for case, after Unicode normalisation; white space around the answer
does not count. A word must end where the text does: "Yesterday" does not begin with "Yes". A `loose` comparison leaves
out case, and double quotation marks around the answer.
"""

from __future__ import annotations

from abc import abstractmethod

from pydantic import StrictBool, model_validator
from rapidfuzz.distance import Postfix, Prefix

from heedful.requirements.matching import within_word
from heedful.requirements.requirement import Language, Parameters, Phrase, Verdict, as_read, pick
from heedful.requirements.wording import quote, shorten

_BEGIN: dict[Language, tuple[str, ...]] = {
    "en": (
        "Begin with {quoted}.",
        "Start your answer with {quoted}.",
        "The first words of your answer must be {quoted}.",
    ),
    "zh": ("请以{quoted}开头。", "回答要从{quoted}开始。", "回答的开头必须是{quoted}。"),
}
_END: dict[Language, tuple[str, ...]] = {
    "en": (
        "End with {quoted}.",
        "Finish your answer with {quoted}.",
        "The last words of your answer must be {quoted}.",
    ),
    "zh": ("请以{quoted}结尾。", "回答要用{quoted}收尾。", "回答的结尾必须是{quoted}。"),
}
_LOOSE_NOTE: dict[Language, str] = {
    "en": " (case and quotation marks around the answer do not matter)",
    "zh": "（大小写和回答外的引号不计）",
}
_QUOTATION_MARKS = '"“”'


def bare_text(text: str) -> str:
    """`text` as a loose comparison sees it."""
    return as_read(text).strip().strip(_QUOTATION_MARKS).strip().casefold()


class Affix(Parameters):
    """A literal text at one end of the answer."""

    text: Phrase
    """What stands there, literally."""
    loose: StrictBool = False
    """Whether case, and double quotation marks around the whole answer, are left out of account, as in IFEval."""

    @model_validator(mode="after")
    def _something_is_left(self) -> Affix:
        if not self.comparable(self.text):
            raise ValueError(f"text = {self.text!r}: it has quotation marks only, which loose leaves out; remove loose")
        return self

    def comparable(self, text: str) -> str:
        """`text` as it is compared."""
        return bare_text(text) if self.loose else as_read(text).strip()

    @property
    def literal(self) -> str:
        """What every answer holds, letter for letter."""
        return self.text.strip(_QUOTATION_MARKS).strip() if self.loose else self.text

    def check(self, text: str) -> Verdict:
        """When it fails, the fraction is the share of the expected characters that is there."""
        expected, answer = self.comparable(self.text), self.comparable(text)
        if self._stands(answer, expected):
            return Verdict(True, f"{self._verb} {quote(self.text, 'en')}", 1.0)
        shared = min(self._num_shared(answer, expected), len(expected) - 1)
        found = self._found(answer, len(expected) + 20) if answer else "nothing"
        return Verdict(False, f"{self._verb} {found}, {quote(self.text, 'en')} expected", shared / len(expected))

    @property
    def _verb(self) -> str:
        return self.kind.replace("_", " ")

    def _said(self, language: Language) -> str:
        return quote(self.text, language) + (_LOOSE_NOTE.get(language, "") if self.loose else "")

    @staticmethod
    @abstractmethod
    def _stands(answer: str, expected: str) -> bool: ...

    @staticmethod
    @abstractmethod
    def _num_shared(answer: str, expected: str) -> int: ...

    @staticmethod
    @abstractmethod
    def _found(answer: str, length: int) -> str: ...


class StartsWith(Affix):
    """The first characters of the answer."""

    kind = "starts_with"

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_BEGIN, language, wording).format(quoted=self._said(language))

    @staticmethod
    def _stands(answer: str, expected: str) -> bool:
        return answer.startswith(expected) and not within_word(answer, len(expected))

    @staticmethod
    def _num_shared(answer: str, expected: str) -> int:
        return Prefix.similarity(answer, expected)

    @staticmethod
    def _found(answer: str, length: int) -> str:
        return quote(shorten(answer, length), "en")


class EndsWith(Affix):
    """The last characters of the answer."""

    kind = "ends_with"

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_END, language, wording).format(quoted=self._said(language))

    @staticmethod
    def _stands(answer: str, expected: str) -> bool:
        return answer.endswith(expected) and not within_word(answer, len(answer) - len(expected))

    @staticmethod
    def _num_shared(answer: str, expected: str) -> int:
        return Postfix.similarity(answer, expected)

    @staticmethod
    def _found(answer: str, length: int) -> str:
        return quote(shorten(answer[::-1], length)[::-1], "en")
