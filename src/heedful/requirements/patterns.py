"""Regular expressions from users and schemas: compiled within limits, searched within a time limit; and `regex`.

What is promised: neither compiling nor matching hangs, whatever the pattern and the text. A search that runs out of
time counts as not matched and says so, which makes a verdict near the limit depend on the machine; patterns that need
more than a second for one answer are the only ones it can happen to.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, Literal

import regex
from pydantic import field_validator

from heedful.requirements.requirement import Language, Parameters, Verdict, pick
from heedful.requirements.wording import shorten

MAX_PATTERN_LENGTH = 10_000
MAX_EXPANDED_SIZE = 100_000
"""`(a{1000}){1000}` compiles to a million states in 1.2 seconds, and one more level would fill the memory."""
SECONDS = 1.0
"""Processor time, as the `regex` package measures it, for matching one pattern against one answer."""

_FULL: dict[Language, tuple[str, ...]] = {
    "en": (
        "Your whole answer must match the regular expression `{pattern}`.",
        "Write an answer that matches the regular expression `{pattern}` from beginning to end.",
        "Answer in the form given by the regular expression `{pattern}`, and write nothing else.",
    ),
    "zh": (
        "整个回答必须匹配正则表达式 `{pattern}`。",
        "请写出从头到尾都匹配正则表达式 `{pattern}` 的回答。",
        "请按正则表达式 `{pattern}` 规定的形式作答，不要写别的。",
    ),
}
_SEARCH: dict[Language, tuple[str, ...]] = {
    "en": (
        "Your answer must contain a match of the regular expression `{pattern}`.",
        "Include text that matches the regular expression `{pattern}`.",
        "Somewhere in your answer, write something that matches the regular expression `{pattern}`.",
    ),
    "zh": (
        "回答中必须有匹配正则表达式 `{pattern}` 的内容。",
        "请写到匹配正则表达式 `{pattern}` 的内容。",
        "请在回答的某处写出匹配正则表达式 `{pattern}` 的内容。",
    ),
}

_PIECES = regex.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!>|]|<[=!]|P?<\w+>))?|\)|\{(?P<least>\d+)(?:,\d*)?\}|.", regex.DOTALL)  # fmt: skip


def _expanded_size(pattern: str) -> int:
    """How many single-character steps `pattern` has once each `{n}` is written out; an estimate from above its groups."""
    sizes, last = [0], 0
    for piece in _PIECES.finditer(pattern):
        if piece.group().startswith("("):
            sizes.append(0)
        elif piece.group() == ")" and len(sizes) > 1:
            last = sizes.pop() + 1
            sizes[-1] += last
        elif least := piece.group("least"):
            # Six digits are above every limit, and keep hostile counts from growing without end.
            last *= max(int(least[:6]), 1)
            sizes[-1] += last
        else:
            last = 1
            sizes[-1] += 1
    return sum(sizes)


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> Any:
    """A compiled pattern; raises ValueError, in words, for one that is not valid or too large."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise ValueError(f"the pattern is {len(pattern)} characters long, at most {MAX_PATTERN_LENGTH} are taken")
    if _expanded_size(pattern) > MAX_EXPANDED_SIZE:
        raise ValueError("its repeated repetitions make the pattern too large; use smaller counts")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise ValueError(f"not a valid regular expression: {error}") from None


class Regex(Parameters):
    """The answer matches a regular expression of Python's `regex` package; white space around the answer is left out."""

    kind = "regex"

    pattern: str
    """The regular expression."""
    match: Literal["full", "search"]
    """`full`: from the first character to the last; `search`: somewhere."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        if not pattern:
            raise ValueError("it is empty")
        compile_pattern(pattern)
        return pattern

    @cached_property
    def _compiled(self) -> Any:
        return compile_pattern(self.pattern)

    def say(self, language: Language, wording: int = 0) -> str:
        return pick(_FULL if self.match == "full" else _SEARCH, language, wording).format(pattern=self.pattern)

    def check(self, text: str) -> Verdict:
        matcher = self._compiled.fullmatch if self.match == "full" else self._compiled.search
        try:
            found = matcher(text.strip(), timeout=SECONDS)
        except TimeoutError:
            reason = f"matching {self.pattern} took longer than {SECONDS:g} s on this answer; counted as not matched"
            return Verdict(False, reason, 0.0)
        verb = "match" if self.match == "full" else "contain a match of"
        if found is None:
            return Verdict(False, f'"{shorten(text)}" does not {verb} {self.pattern}', 0.0)
        return Verdict(True, f"{'matches' if self.match == 'full' else 'contains a match of'} {self.pattern}", 1.0)
