"""Requirements on which words occur: keywords that must, and forbidden ones that must not.

A keyword is found whatever its case, and across line breaks. As a whole word by default: "cat" is not in "category",
nor "art" in "party", but 太阳 is in 太阳能, because Chinese puts no space between words. `match = "substring"` finds it
inside longer words too. IFEval (arXiv:2311.07911), to compare, looks for keywords as substrings and for forbidden
words as whole words.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, model_validator

from heedful import text as texts
from heedful.requirements.requirement import Language, Parameters, Phrases, Verdict, pick
from heedful.requirements.wording import quote, quote_all, times

Match = Literal["word", "substring"]

_ALL: dict[Language, tuple[str, ...]] = {
    "en": ("Mention {quoted}{often}.", "Include {quoted} in your answer{often}.", "Your answer must contain {quoted}{often}."),
    "zh": ("请提到{quoted}{often}。", "请在回答中写到{quoted}{often}。", "回答中必须出现{quoted}{often}。"),
}  # fmt: skip
_ANY: dict[Language, tuple[str, ...]] = {
    "en": (
        "Mention at least one of these{often}: {quoted}.",
        "Include one or more of the following in your answer{often}: {quoted}.",
        "Your answer must contain at least one of these{often}: {quoted}.",
    ),
    "zh": ("请提到以下至少一个{often}：{quoted}。", "请在回答中写到以下一个或多个{often}：{quoted}。", "回答中必须出现以下至少一个{often}：{quoted}。"),
}  # fmt: skip
_FORBIDDEN: dict[Language, tuple[str, ...]] = {
    "en": ("Do not use {quoted}.", "Avoid {quoted} in your answer.", "Your answer must not contain {quoted}."),
    "zh": ("不要使用{quoted}。", "请避免在回答中写到{quoted}。", "回答中不得出现{quoted}。"),
}


def fold(text: str) -> str:
    """`text` as it is searched: normalised, without case, typographic apostrophes plain, each run of white space one space."""
    return " ".join(texts.normalize(text).casefold().replace("’", "'").split())


def occurrences(folded: str, keyword: str, match: Match) -> int:
    """How often `keyword` occurs in text already folded; occurrences do not overlap."""
    needle = fold(keyword)
    found, start = 0, 0
    while (at := folded.find(needle, start)) >= 0:
        end = at + len(needle)
        if match == "substring" or not (within_word(folded, at) or within_word(folded, end)):
            found, start = found + 1, end
        else:
            start = at + 1
    return found


def within_word(text: str, at: int) -> bool:
    """Whether the place before `text[at]` is inside a word, or inside a number such as 3.14."""
    if not 0 < at < len(text):
        return False
    return (
        _one_word(text[at - 1 : at + 1])
        or _one_number(text[at - 1 : at + 2])
        or _one_number(text[max(at - 2, 0) : at + 1])
    )


@lru_cache(maxsize=4096)
def _one_word(characters: str) -> bool:
    """By the words that everything else counts. Parts of well-known and don't are words of their own here."""
    return texts.words(characters) == [characters]


def _one_number(characters: str) -> bool:
    return len(characters) == 3 and characters[0].isdecimal() and characters[2].isdecimal() and characters[1] in ".,:"


def _refuse_twins(phrases: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for phrase in phrases:
        if (key := fold(phrase)) in seen:
            raise ValueError(f"{seen[key]!r} and {phrase!r} are the same to the check; remove one")
        seen[key] = phrase


class Keywords(Parameters):
    """Words or phrases that the answer mentions: all of a list, or any of it."""

    kind = "keywords"

    all: Phrases | None = None
    """Each of these must occur."""
    any: Phrases | None = None
    """One of these must occur."""
    times: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    """How often at least each keyword (all), or one of them (any), must occur."""
    match: Match = "word"
    """`word`: as a whole word; `substring`: also inside a longer one."""

    @model_validator(mode="after")
    def _one_list(self) -> Keywords:
        if (self.all is None) == (self.any is None):
            raise ValueError('give one of all or any, for example all = ["solar"]; for both write two requirements')
        _refuse_twins(self.phrases)
        return self

    @property
    def phrases(self) -> tuple[str, ...]:
        """The keywords, whichever list holds them."""
        return self.all or self.any or ()

    def say(self, language: Language, wording: int = 0) -> str:
        if self.all is not None or len(self.phrases) == 1:
            each = " each" if len(self.phrases) > 1 else ""
            often_zh = f"，{'各' if each else ''}至少{self.times}次"
            often = f" at least {times(self.times)}{each}" if language == "en" else often_zh
            template, quoted = _ALL, quote_all(self.phrases, language)
        else:
            often = f" at least {times(self.times)}" if language == "en" else f"（至少{self.times}次）"
            template, quoted = _ANY, quote_all(self.phrases, language, "")
        return pick(template, language, wording).format(quoted=quoted, often=often if self.times > 1 else "")

    def check(self, text: str) -> Verdict:
        folded = fold(text)
        counts = {phrase: occurrences(folded, phrase, self.match) for phrase in self.phrases}
        shares = [min(number / self.times, 1.0) for number in counts.values()]
        if self.any is not None:
            best = max(shares)
            return Verdict(best == 1.0, self._reason_any(counts, best == 1.0), best)
        missing = {phrase: number for phrase, number in counts.items() if number < self.times}
        return Verdict(not missing, self._reason_all(missing), sum(shares) / len(shares) if missing else 1.0)

    def _reason_all(self, missing: dict[str, int]) -> str:
        if not missing:
            return f"mentions {quote_all(self.phrases, 'en')}"
        if self.times == 1:
            return f"does not mention {quote_all(list(missing), 'en', 'or')}"
        found = ", ".join(f"{quote(phrase, 'en')} {_number_of_times(number)}" for phrase, number in missing.items())
        return f"mentions {found}; at least {times(self.times)} expected"

    def _reason_any(self, counts: dict[str, int], satisfied: bool) -> str:
        often = f" at least {times(self.times)}" if self.times > 1 else ""
        if satisfied:
            return f"mentions {quote_all([p for p, number in counts.items() if number >= self.times], 'en')}{often}"
        return f"mentions none of {quote_all(self.phrases, 'en', '')}{often}"


def _number_of_times(number: int) -> str:
    return times(number) if number else "never"


class Forbidden(Parameters):
    """Words or phrases that the answer avoids."""

    kind = "forbidden"

    words: Phrases
    """None of these may occur."""
    match: Match = "word"
    """`word`: as a whole word; `substring`: not even inside a longer one."""

    @model_validator(mode="after")
    def _no_twins(self) -> Forbidden:
        _refuse_twins(self.words)
        return self

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_FORBIDDEN, language, wording).format(quoted=quote_all(self.words, language, "or"))

    def check(self, text: str) -> Verdict:
        folded = fold(text)
        found = {word: number for word in self.words if (number := occurrences(folded, word, self.match))}
        if not found:
            return Verdict(True, f"does not contain {quote_all(self.words, 'en', 'or')}", 1.0)
        listed = ", ".join(f"{quote(word, 'en')} {times(number)}" for word, number in found.items())
        return Verdict(False, f"contains {listed}, which is forbidden", 1 / (1 + sum(found.values())))
