"""Requirements on how the answer is put together: several answers in one, and the request repeated before the answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from rapidfuzz.distance import Prefix

from heedful import text as texts
from heedful.requirements.requirement import Language, Parameters, Verdict, as_read, pick
from heedful.requirements.wording import plural, quote, shorten

DIVIDER = "******"
MAX_REPEATED = 20_000
"""Characters."""

_RESPONSES: dict[Language, tuple[str, ...]] = {
    "en": (
        "Give {number} different answers, separated by ******.",
        "Write {number} different answers with ****** between them.",
        "Your answer must consist of {number} different answers, divided by six asterisks: ******.",
    ),
    "zh": ("请给出{number}个不同的回答，用******隔开。", "请写{number}个不同的回答，中间用******分隔。", "必须由{number}个不同的回答组成，以六个星号******隔开。"),
}  # fmt: skip
_REPEATS: dict[Language, tuple[str, ...]] = {
    "en": (
        "First repeat {quoted} word for word, then answer.",
        "Begin your answer by repeating {quoted} without any change.",
        "Your answer must open with {quoted}, repeated word for word.",
    ),
    "zh": (
        "请先一字不差地重复{quoted}，然后再回答。",
        "请在回答开头原样重复{quoted}。",
        "回答必须先逐字重复{quoted}。",
    ),
}


class Responses(Parameters):
    """Several answers in one, all different, with six asterisks between them."""

    kind = "responses"

    number: Annotated[int, Field(strict=True, ge=2, le=20)] = 2
    """How many answers."""

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_RESPONSES, language, wording).format(number=self.number)

    def check(self, text: str) -> Verdict:
        """Dividers may also stand before the first answer and after the last, but never together."""
        pieces = [piece.strip() for piece in as_read(text).split(DIVIDER)]
        answers = [piece for piece in pieces if piece]
        different = len(set(answers))
        if not all(pieces[1:-1]):
            return Verdict(False, f"nothing stands between two dividers {DIVIDER}", 0.25)
        if len(answers) == different == self.number:
            return Verdict(True, f"{self.number} different answers", 1.0)
        share = min(different, self.number) / max(len(answers), self.number)
        found = plural(different, "different answer", "different answers")
        return Verdict(False, f"{found} between dividers {DIVIDER}, {self.number} expected", min(share, 0.9))


def _has_content(value: str) -> str:
    if len(value) > MAX_REPEATED:
        raise ValueError(f"it is {len(value)} characters long, at most {MAX_REPEATED} are taken; give a shorter text")
    if not texts.normalize(value).strip():
        raise ValueError("it is empty; give at least one visible character")
    if value != value.strip():
        raise ValueError("it begins or ends with white space; remove that")
    return value


class Repeats(Parameters):
    """The answer begins by repeating a text word for word; case, and white space around it, do not count."""

    kind = "repeats"

    text: Annotated[str, AfterValidator(_has_content)]
    """What is repeated, such as the request; it may have several lines."""

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_REPEATS, language, wording).format(quoted=quote(self.text, language))

    def check(self, text: str) -> Verdict:
        """When it fails, the fraction is the share of the text that the answer begins with."""
        expected, answer = comparable(self.text), comparable(text)
        if answer.startswith(expected):
            return Verdict(True, "begins by repeating the text", 1.0)
        shared = min(Prefix.similarity(answer, expected), len(expected) - 1)
        wanted = quote(shorten(expected[shared:], 30), "en")
        found = quote(shorten(answer[shared : shared + 60], 30), "en") if len(answer) > shared else "nothing"
        return Verdict(False, f"has {found} where {wanted} of the text to repeat is expected", shared / len(expected))


def comparable(text: str) -> str:
    """`text` as `Repeats` compares it."""
    return as_read(text).strip().casefold()
