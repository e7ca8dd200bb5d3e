"""Requirements on paragraphs: how many there are, and the word that one of them begins with."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from heedful.requirements.counts import Count, Counted
from heedful.requirements.matching import fold, within_word
from heedful.requirements.requirement import Language, Parameters, Phrase, Verdict, as_read, pick
from heedful.requirements.wording import plural, quote, shorten

_STARS_NOTE: dict[Language, str] = {"en": " (separated by ***)", "zh": "（用***分隔）"}
_HAS_WORD = re.compile(r"[^\W_]")
_QUOTATION_MARKS = "\"'“”‘’「『«"

_START: dict[Language, tuple[str, ...]] = {
    "en": (
        "Write {paragraphs} with a blank line between them, and begin paragraph {paragraph} with the word {quoted}.",
        "Your answer must have exactly {paragraphs}, separated by blank lines; the first word of paragraph {paragraph} must be {quoted}.",
        "Divide your answer by blank lines into {paragraphs}, of which paragraph {paragraph} starts with {quoted}.",
    ),
    "zh": (
        "请写{paragraphs}段，段间空一行，第{paragraph}段以{quoted}开头。",
        "回答必须正好有{paragraphs}段，用空行分隔，其中第{paragraph}段的第一个词是{quoted}。",
        "请用空行把回答分成{paragraphs}段，第{paragraph}段要从{quoted}写起。",
    ),
}


def paragraphs_of(text: str) -> list[str]:
    """The blocks of lines between blank lines; one without a letter or digit, such as a line of dashes, is no paragraph."""
    blocks: list[list[str]] = [[]]
    for line in as_read(text).split("\n"):
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [block for lines in blocks if _HAS_WORD.search(block := "\n".join(lines))]


class Paragraphs(Counted):
    """How many paragraphs."""

    kind = "paragraphs"
    unit = ("paragraph", "paragraphs")
    measure = ("个段落", "段落")

    separator: Literal["blank_line", "stars"] = "blank_line"
    """`blank_line`: blank lines stand between them; `stars`: the divider ***, as in IFEval."""

    def count(self, text: str) -> int:
        if self.separator == "blank_line":
            return len(paragraphs_of(text))
        return sum(1 for piece in as_read(text).split("***") if piece.strip())

    @property
    def note(self) -> dict[Language, str]:
        return _STARS_NOTE if self.separator == "stars" else {}

    def check(self, text: str) -> Verdict:
        """Two dividers with nothing between them are an error, as in IFEval."""
        verdict, pieces = self.verdict(self.count(text)), as_read(text).split("***")
        if self.separator == "stars" and verdict.satisfied and not all(map(str.strip, pieces[1:-1])):
            return Verdict(False, "nothing stands between two dividers ***", 0.9)
        return verdict


class ParagraphStart(Parameters):
    """The answer has a number of paragraphs, and one of them begins with a word."""

    kind = "paragraph_start"

    paragraphs: Annotated[Count, Field(ge=1, le=1000)]
    """How many paragraphs there are, separated by blank lines."""
    paragraph: Annotated[Count, Field(ge=1, le=1000)]
    """Which of them it is about, from 1."""
    word: Phrase
    """Its first word; case, and quotation marks before it, do not count."""

    @model_validator(mode="after")
    def _paragraph_exists(self) -> ParagraphStart:
        if self.paragraph > self.paragraphs:
            raise ValueError(
                f"paragraph {self.paragraph} is not among {self.paragraphs} paragraphs; change one of them"
            )
        if not self._bare(self.word):
            raise ValueError(f"word = {self.word!r}: it is a quotation mark only; give a word")
        return self

    def say(self, language: Language, wording: int = 0) -> str:
        number = plural(self.paragraphs, "paragraph", "paragraphs") if language == "en" else str(self.paragraphs)
        return pick(_START, language, wording).format(
            paragraphs=number, paragraph=self.paragraph, quoted=quote(self.word, language)
        )

    def check(self, text: str) -> Verdict:
        """Half the reward for the number of paragraphs, half for the word."""
        found = paragraphs_of(text)
        counted = min(len(found), self.paragraphs) / max(len(found), self.paragraphs)
        there = found[self.paragraph - 1] if self.paragraph <= len(found) else ""
        begins = self._begins(there)
        begin = quote(shorten(there, 20), "en") if there else "nothing"
        reason = (
            f"{plural(len(found), 'paragraph', 'paragraphs')}, exactly {self.paragraphs} expected; "
            f"paragraph {self.paragraph} begins with {begin}, {quote(self.word, 'en')} expected"
        )
        return Verdict(begins and counted == 1.0, reason, (counted + begins) / 2)

    def _begins(self, paragraph: str) -> bool:
        opening, word = self._bare(paragraph[:5000]), self._bare(self.word)
        return opening.startswith(word) and not within_word(opening, len(word))

    @staticmethod
    def _bare(text: str) -> str:
        return fold(text).lstrip(_QUOTATION_MARKS)
