"""The requirement that an answer is one of a few: what classification needs.

White space around the answer, one full stop at its end and its case do not count; anything else does.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from heedful.requirements.matching import fold, occurrences
from heedful.requirements.requirement import MAX_PHRASES, Language, Parameters, Phrase, Verdict, as_read, pick
from heedful.requirements.wording import quote, quote_all, shorten

_WORDINGS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Answer with one of these, and nothing else: {bare}.",
        "Reply with {joined} only.",
        "Your whole answer must be {joined}.",
    ),
    "zh": ("只回答以下之一，不要写别的：{bare}。", "请只用{joined}作答。", "整个回答必须是{joined}。"),
}


def _bare(text: str) -> str:
    folded = fold(text)
    return folded[:-1].rstrip() if folded[-1:] in {".", "。"} and len(folded) > 1 else folded


class Choice(Parameters):
    """The whole answer is one of the options."""

    kind = "choice"

    options: Annotated[tuple[Phrase, ...], Field(min_length=2, max_length=MAX_PHRASES)]
    """What may be answered."""

    @model_validator(mode="after")
    def _no_twins(self) -> Choice:
        seen: dict[str, str] = {}
        for option in self.options:
            if (key := _bare(option)) in seen:
                raise ValueError(f"{seen[key]!r} and {option!r} are the same to the check; remove one")
            seen[key] = option
        return self

    def say(self, language: Language, wording: int = 0) -> str:
        bare, joined = quote_all(self.options, language, ""), quote_all(self.options, language, "or")
        return pick(_WORDINGS, language, wording).format(bare=bare, joined=joined)

    def check(self, text: str) -> Verdict:
        """Half the reward for an answer that mentions just one of the options among other words."""
        text = as_read(text)
        answer, expected = _bare(text), f"one of {quote_all(self.options, 'en', '')} expected"
        for option in self.options:
            if answer == _bare(option):
                return Verdict(True, f"the answer is {quote(option, 'en')}", 1.0)
        mentioned = [option for option in self.options if occurrences(fold(text), option, "word")]
        found = quote(shorten(text), "en") if answer else "nothing"
        return Verdict(False, f"the answer is {found}, {expected}", 0.5 if len(mentioned) == 1 else 0.0)
