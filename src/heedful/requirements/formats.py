"""Requirements on marks in the text: placeholders, highlights, numbered sections, a title, a postscript, quotation marks.

They find what IFEval's verifiers (arXiv:2311.07911) find, so that their verdicts can be compared.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Annotated, Any

import regex
from pydantic import Field

from heedful import text as texts
from heedful.requirements.requirement import Language, Parameters, Phrase, Verdict, as_read, pick
from heedful.requirements.wording import plural, quote, shorten

_PLACEHOLDERS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Include at least {units} in square brackets, such as [name].",
        "Your answer must contain at least {units} in square brackets, for example [name].",
        "Leave at least {units} in square brackets, like [name], to be filled in.",
    ),
    "zh": ("请至少写{number}个方括号占位符，例如[姓名]。", "回答中必须有至少{number}个用方括号标出的占位符，如[姓名]。", "请留出不少于{number}个待填的方括号占位符，比如[姓名]。"),
}  # fmt: skip
_HIGHLIGHTS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Highlight at least {units} in Markdown, like *this*.",
        "Your answer must highlight at least {units} with asterisks, for example *this*.",
        "Put at least {units} between asterisks, like *this*.",
    ),
    "zh": ("请用 Markdown 至少突出{number}处，例如*重点*。", "回答中必须有至少{number}处用星号突出的内容，如*重点*。", "请把不少于{number}处内容放在星号之间，比如*重点*。"),
}  # fmt: skip
_SECTIONS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Divide your answer into at least {units}, each headed {quoted} and its number.",
        "Your answer must have at least {units}, each marked with {quoted} and a number.",
        "Write no fewer than {units} and begin each with {quoted} and its number.",
    ),
    "zh": ("请把回答分为至少{number}个部分，每部分以{quoted}加编号为标题。", "回答必须有至少{number}个部分，各用{quoted}加编号标出。", "请写不少于{number}个部分，每部分开头写上{quoted}和编号。"),
}  # fmt: skip
_TITLE: dict[Language, tuple[str, ...]] = {
    "en": (
        "Give your answer a title in double angle brackets, like <<title>>.",
        "Your answer must contain a title wrapped in double angle brackets, such as <<title>>.",
        "Write a title between << and >>.",
    ),
    "zh": ("请给回答加上标题，放在双尖括号中，如<<标题>>。", "回答必须包含用双尖括号括起的标题，例如<<标题>>。", "请在 << 和 >> 之间写一个标题。"),
}  # fmt: skip
_POSTSCRIPT: dict[Language, tuple[str, ...]] = {
    "en": (
        "Add a postscript that begins with {quoted}.",
        "At the end of your answer, write a postscript starting with {quoted}.",
        "Your answer must have a postscript marked {quoted}.",
    ),
    "zh": (
        "请加上以{quoted}开头的附言。",
        "请在回答末尾写一段以{quoted}起头的附言。",
        "回答必须有用{quoted}标出的附言。",
    ),
}
_QUOTED: dict[Language, tuple[str, ...]] = {
    "en": (
        "Put your whole answer between double quotation marks.",
        "Wrap your entire answer in double quotation marks.",
        "Your answer must begin and end with double quotation marks.",
    ),
    "zh": ("请把整个回答放在双引号中。", "整个回答要用双引号括起来。", "回答的开头和结尾必须是双引号。"),
}
QUOTATION_PAIRS = {'"': '"', "“": "”"}
"""Opening and closing double quotation marks, as English and Chinese type them."""

_HIGHLIGHT = regex.compile(r"\*([^\n*]*)\*")
_STRONG = regex.compile(r"\*\*([^\n*]*)\*\*")


class AtLeast(Parameters):
    """A smallest number of marks of one form."""

    minimum: Annotated[int, Field(strict=True, ge=1, le=1000)]
    """At least this many."""

    @abstractmethod
    def count(self, text: str) -> int:
        """How many there are in `text`."""

    @abstractmethod
    def units(self, number: int) -> str:
        """`3 placeholders`."""

    def check(self, text: str) -> Verdict:
        number = self.count(text)
        reason = f"{self.units(number)}, at least {self.minimum} expected"
        return Verdict(number >= self.minimum, reason, min(number / self.minimum, 1.0))


class Placeholders(AtLeast):
    """Gaps to be filled in later, in square brackets: [name]."""

    kind = "placeholders"

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_PLACEHOLDERS, language, wording).format(units=self.units(self.minimum), number=self.minimum)

    def units(self, number: int) -> str:
        return plural(number, "placeholder", "placeholders")

    def count(self, text: str) -> int:
        """Each from an opening bracket to the next closing one on the same line."""
        return sum(map(_num_bracketed, as_read(text).split("\n")))


def _num_bracketed(line: str) -> int:
    number, at = 0, line.find("[")
    while at >= 0 and (end := line.find("]", at)) >= 0:
        number, at = number + 1, line.find("[", end)
    return number


class Highlights(AtLeast):
    """Passages between asterisks: *this* or **this**, within one line."""

    kind = "highlights"

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_HIGHLIGHTS, language, wording).format(units=self.units(self.minimum), number=self.minimum)

    def units(self, number: int) -> str:
        return plural(number, "passage", "passages")

    def count(self, text: str) -> int:
        """Asterisks with nothing but spaces between them highlight nothing."""
        text = as_read(text)
        return sum(bool(inside.strip()) for mark in (_HIGHLIGHT, _STRONG) for inside in mark.findall(text))


class Sections(AtLeast):
    """Parts of the answer, each marked with a word and a number on one line: SECTION 1."""

    kind = "sections"

    splitter: Phrase
    """The word before the number, for example SECTION; its case counts."""

    @cached_property
    def _mark(self) -> Any:
        # A number on the next line begins a list.
        return regex.compile(rf"{regex.escape(texts.normalize(self.splitter))}[^\S\n]?\d+")

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_SECTIONS, language, wording).format(
            units=self.units(self.minimum), number=self.minimum, quoted=quote(self.splitter, language)
        )

    def units(self, number: int) -> str:
        return plural(number, "section", "sections")

    def count(self, text: str) -> int:
        return len(self._mark.findall(as_read(text)))


class Title(Parameters):
    """Somewhere a title in double angle brackets, on one line: <<title>>."""

    kind = "title"

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_TITLE, language, wording)

    def check(self, text: str) -> Verdict:
        """Half the reward for brackets with nothing between them, a quarter for one kind of bracket."""
        text = as_read(text)
        for line in text.split("\n"):
            start, end = line.find("<<"), line.rfind(">>")
            if 0 <= start < end and (title := line[start:end].lstrip("<").rstrip(">").strip()):
                return Verdict(True, f"the title is {quote(shorten(title), 'en')}", 1.0)
        there = ("<<" in text) + (">>" in text)
        return Verdict(False, "no title between << and >> on one line", there / 4)


class Postscript(Parameters):
    """A postscript, begun by its marker; case, and a space after a full stop in the marker, do not count."""

    kind = "postscript"

    marker: Phrase
    """What it begins with: P.S. or P.P.S, for example."""

    @cached_property
    def _mark(self) -> Any:
        # "P.S." is also found as "P. S.".
        parts = texts.normalize(self.marker).casefold().split(".")
        return regex.compile(r"\.\s?".join(regex.escape(part.strip()) for part in parts).removesuffix(r"\s?"))

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_POSTSCRIPT, language, wording).format(quoted=quote(self.marker, language))

    def check(self, text: str) -> Verdict:
        """Half the reward for the marker's letters without its full stops."""
        folded, marker = as_read(text).casefold(), quote(self.marker, "en")
        if self._mark.search(folded):
            return Verdict(True, f"has a postscript {marker}", 1.0)
        letters = self.marker.casefold().replace(".", "").replace(" ", "")
        nearly = bool(letters) and letters in texts.words(folded)
        return Verdict(False, f"no postscript {marker}", 0.5 if nearly else 0.0)


class Quoted(Parameters):
    """The whole answer stands between double quotation marks, straight or curly."""

    kind = "quoted"

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_QUOTED, language, wording)

    def check(self, text: str) -> Verdict:
        """Half the reward for one of the two marks."""
        answer = as_read(text).strip()
        if len(answer) > 1 and QUOTATION_PAIRS.get(answer[0]) == answer[-1]:
            return Verdict(True, "stands between double quotation marks", 1.0)
        opened = answer[:1] in QUOTATION_PAIRS
        closed = answer[-1:] in QUOTATION_PAIRS.values() and len(answer) > 1
        missing = (
            "at the end"
            if opened and not closed
            else "at the beginning"
            if closed and not opened
            else "around the answer"
        )
        return Verdict(False, f"no matching double quotation marks {missing}", 0.5 if opened or closed else 0.0)
