"""Requirements on which words occur: keywords that must, and forbidden ones that must not.

A keyword is found whatever its case, and across line breaks, as `matching` says: `word` finds it as a whole word,
`substring` inside longer words too, `exact` likewise but only in the same case. IFEval (arXiv:2311.07911), to compare,
looks for keywords as substrings and for forbidden words as whole words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field, StrictBool, model_validator

# Written so because callers know these names from here.
from heedful.requirements.matching import Match as Match
from heedful.requirements.matching import fold as fold
from heedful.requirements.matching import inflected_places, places, prepare
from heedful.requirements.matching import occurrences as occurrences
from heedful.requirements.matching import within_word as within_word
from heedful.requirements.requirement import Language, Parameters, Phrases, Verdict, pick
from heedful.requirements.wording import quote, quote_all, times

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
_NEVER: dict[Language, tuple[str, ...]] = {
    "en": ("Never mention {quoted}.", "Leave {quoted} out of your answer.", "Your answer must never mention {quoted}."),
    "zh": ("绝不要提到{quoted}。", "请在回答中完全不提{quoted}。", "回答中一次也不得提到{quoted}。"),
}
_FORBIDDEN: dict[Language, tuple[str, ...]] = {
    "en": ("Do not use {quoted}.", "Avoid {quoted} in your answer.", "Your answer must not contain {quoted}."),
    "zh": ("不要使用{quoted}。", "请避免在回答中写到{quoted}。", "回答中不得出现{quoted}。"),
}
_IN_ORDER: dict[Language, str] = {"en": ", in this order", "zh": "，按此顺序"}
_INFLECTED: dict[Language, str] = {"en": " (other forms of the words count too)", "zh": "（词形变化也算）"}
_WIDER: dict[Match, dict[Language, str]] = {
    "word": {"en": "", "zh": ""},
    "substring": {"en": " (also inside longer words)", "zh": "（在更长的词中也算）"},
    "exact": {"en": " (in just this case, also inside longer words)", "zh": "（大小写须一致，在更长的词中也算）"},
}
"""What a sentence adds about the match."""


def _refuse_twins(phrases: Iterable[str], match: Match) -> None:
    seen: dict[str, str] = {}
    for phrase in phrases:
        if (key := prepare(phrase, match)) in seen:
            raise ValueError(f"{seen[key]!r} and {phrase!r} are the same to the check; remove one")
        seen[key] = phrase


class Keywords(Parameters):
    """Words or phrases that the answer mentions: all of a list, or any of it."""

    kind = "keywords"

    all: Phrases | None = None
    """Each of these must occur."""
    any: Phrases | None = None
    """One of these must occur."""
    times: Annotated[int, Field(strict=True, ge=0, le=1000)] = 1
    """How often at least each keyword (all), or one of them (any), must occur."""
    maximum: Annotated[int, Field(strict=True, ge=0, le=1000)] | None = None
    """How often at most each keyword (all) may occur; with it, `times` may be 0."""
    match: Match = "word"
    """`word`: as a whole word; `substring`: also inside a longer one; `exact`: as a substring in the same case."""
    in_order: StrictBool = False
    """Whether the keywords (all) must occur in the order in which they are listed."""
    inflections: StrictBool = False
    """Whether English inflected forms of the words (plural, -s, -ed, -ing, -er, -est) count too."""

    @model_validator(mode="after")
    def _one_list(self) -> Keywords:
        if (self.all is None) == (self.any is None):
            raise ValueError('give one of all or any, for example all = ["solar"]; for both write two requirements')
        _refuse_twins(self.phrases, self.match)
        return self

    @model_validator(mode="after")
    def _counts_make_sense(self) -> Keywords:
        if self.maximum is None and self.times == 0:
            raise ValueError("times 0 asks for nothing; give times (1 or more), or maximum beside it")
        if self.maximum is not None and self.all is None:
            raise ValueError("maximum goes with all; name the keywords in all, or remove maximum")
        if self.maximum is not None and self.times > self.maximum:
            raise ValueError(
                f"times {self.times} is larger than maximum {self.maximum}; for only a maximum give times = 0"
            )
        if self.in_order and (len(self.all or ()) < 2 or self.times != 1 or self.maximum is not None):
            raise ValueError("in_order needs two keywords or more in all, and neither times nor maximum")
        if self.inflections and self.match != "word":
            raise ValueError('inflections are of whole words; remove match, or give match = "word"')
        return self

    @property
    def phrases(self) -> tuple[str, ...]:
        """The keywords, whichever list holds them."""
        return self.all or self.any or ()

    def places(self, prepared: str, phrase: str, start: int = 0) -> Iterator[tuple[int, int]]:
        """Begin and end of each occurrence of `phrase` in a text that `matching.prepare` made."""
        if self.inflections:
            return inflected_places(prepared, phrase, start)
        return places(prepared, phrase, self.match, start)

    # -- said -------------------------------------------------------------------------------------------------------

    def say(self, language: Language, wording: int = 0) -> str:
        note = (_INFLECTED if self.inflections else _WIDER[self.match]).get(language, "")
        if self.maximum == 0:
            quoted = quote_all(self.phrases, language, "or") + note
            return pick(_NEVER, language, wording).format(quoted=quoted)
        if self.all is not None or len(self.phrases) == 1:
            order = _IN_ORDER.get(language, "") if self.in_order else ""
            often = f"{order}{self._often_all(language)}{note}"
            return pick(_ALL, language, wording).format(quoted=quote_all(self.phrases, language), often=often)
        often = f" at least {times(self.times)}" if language == "en" else f"（至少{self.times}次）"
        return pick(_ANY, language, wording).format(
            quoted=quote_all(self.phrases, language, "") + note, often=often if self.times > 1 else ""
        )

    def _often_all(self, language: Language) -> str:
        several = len(self.phrases) > 1
        low, high = self.times, self.maximum
        if high is None:
            english, chinese = (f"at least {times(low)}", f"至少{low}次") if low > 1 else ("", "")
        elif low == 0:
            english, chinese = f"at most {times(high)}", f"最多{high}次"
        elif low == high:
            english, chinese = f"exactly {times(low)}", f"正好{low}次"
        else:
            english, chinese = f"{low} to {high} times", f"{low}到{high}次"
        if not english:
            return ""
        return f" {english}{' each' * several}" if language == "en" else f"，{'各' * several}{chinese}"

    # -- checked ----------------------------------------------------------------------------------------------------

    def check(self, text: str) -> Verdict:
        prepared = prepare(text, self.match)
        if self.in_order:
            return self._check_order(prepared)
        counts = {phrase: sum(1 for _ in self.places(prepared, phrase)) for phrase in self.phrases}
        shares = [self._share(number) for number in counts.values()]
        if self.any is not None:
            best = max(shares)
            return Verdict(best == 1.0, self._reason_any(counts, best == 1.0), best)
        wrong = {phrase: number for phrase, number in counts.items() if self._share(number) < 1.0}
        return Verdict(not wrong, self._reason_all(wrong), sum(shares) / len(shares) if wrong else 1.0)

    def _share(self, number: int) -> float:
        if number < self.times:
            return number / self.times
        return 1.0 if self.maximum is None or number <= self.maximum else (self.maximum + 1) / (number + 1)

    def _check_order(self, prepared: str) -> Verdict:
        """The first place that each keyword can have after the one before it; the fraction is the share so found."""
        at = 0
        for number, phrase in enumerate(self.phrases):
            found = next(self.places(prepared, phrase, at), None)
            if found is None:
                after = f" after {quote(self.phrases[number - 1], 'en')}" if number else ""
                return Verdict(False, f"does not mention {quote(phrase, 'en')}{after}", number / len(self.phrases))
            at = found[1]
        return Verdict(True, f"mentions {quote_all(self.phrases, 'en')} in this order", 1.0)

    def _reason_all(self, wrong: dict[str, int]) -> str:
        if not wrong:
            return (
                f"mentions {quote_all(self.phrases, 'en')}{self._often_all('en')}" if self.times else self._kept_below
            )
        if self.times == 1 and self.maximum is None:
            return f"does not mention {quote_all(list(wrong), 'en', 'or')}"
        found = ", ".join(f"{quote(phrase, 'en')} {_number_of_times(number)}" for phrase, number in wrong.items())
        return f"mentions {found}; {self._expected} expected"

    @property
    def _expected(self) -> str:
        if self.maximum == 0:
            return "never"
        return self._often_all("en").removesuffix(" each").strip() or "once"

    @property
    def _kept_below(self) -> str:
        return f"mentions {quote_all(self.phrases, 'en', 'or')} {f'at most {times(self.maximum)}' if self.maximum else 'never'}"

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
    """`word`: as a whole word; `substring`: not even inside a longer one; `exact`: likewise, but only in the same case."""

    @model_validator(mode="after")
    def _no_twins(self) -> Forbidden:
        _refuse_twins(self.words, self.match)
        return self

    def say(self, language: Language, wording: int = 0) -> str:
        note = _WIDER[self.match].get(language, "")
        return pick(_FORBIDDEN, language, wording).format(quoted=quote_all(self.words, language, "or") + note)

    def check(self, text: str) -> Verdict:
        prepared = prepare(text, self.match)
        found = {word: number for word in self.words if (number := occurrences(prepared, word, self.match))}
        if not found:
            return Verdict(True, f"does not contain {quote_all(self.words, 'en', 'or')}", 1.0)
        listed = ", ".join(f"{quote(word, 'en')} {times(number)}" for word, number in found.items())
        return Verdict(False, f"contains {listed}, which is forbidden", 1 / (1 + sum(found.values())))
