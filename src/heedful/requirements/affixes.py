"""Requirements on how an answer begins and ends.

The text is compared letter for letter and case for case, after Unicode normalisation; white space around the answer
does not count. A word must end where the text does: "Yesterday" does not begin with "Yes".
"""

from __future__ import annotations

from abc import abstractmethod

from rapidfuzz.distance import Postfix, Prefix

from heedful import text as texts
from heedful.requirements.keywords import within_word
from heedful.requirements.requirement import Language, Parameters, Phrase, Verdict, pick
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


class Affix(Parameters):
    """A literal text at one end of the answer."""

    text: Phrase
    """What stands there, literally."""

    def check(self, text: str) -> Verdict:
        """When it fails, the fraction is the share of the expected characters that is there."""
        expected, answer = texts.normalize(self.text), texts.normalize(text).strip()
        if self._stands(answer, expected):
            return Verdict(True, f"{self._verb} {quote(self.text, 'en')}", 1.0)
        shared = min(self._num_shared(answer, expected), len(expected) - 1)
        found = self._found(answer, len(expected) + 20) if answer else "nothing"
        return Verdict(False, f"{self._verb} {found}, {quote(self.text, 'en')} expected", shared / len(expected))

    @property
    def _verb(self) -> str:
        return self.kind.replace("_", " ")

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
        return pick(_BEGIN, language, wording).format(quoted=quote(self.text, language))

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
        return pick(_END, language, wording).format(quoted=quote(self.text, language))

    @staticmethod
    def _stands(answer: str, expected: str) -> bool:
        return answer.endswith(expected) and not within_word(answer, len(answer) - len(expected))

    @staticmethod
    def _num_shared(answer: str, expected: str) -> int:
        return Postfix.similarity(answer, expected)

    @staticmethod
    def _found(answer: str, length: int) -> str:
        return quote(shorten(answer[::-1], length)[::-1], "en")
