"""The requirement that an answer follows a grammar, written in llguidance's dialect of Lark.

The grammar describes the whole answer, byte for byte; white space around the answer is only left out where the grammar
does not have it. Checking ends soon: the parser limits the work for each byte, and there is a time limit for all.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import Annotated, Any

import llguidance
from pydantic import AfterValidator

from heedful.requirements.requirement import Language, Parameters, Verdict, pick
from heedful.requirements.wording import quote, shorten

MAX_GRAMMAR_LENGTH = 20_000
SECONDS = 1.0
"""Processor time for reading one answer; ambiguous grammars take time that grows with the cube of its length."""
_BYTES_AT_ONCE = 4
"""Between two looks at the clock."""

_WORDINGS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Your whole answer must follow this Lark grammar:\n{grammar}",
        "Answer only with text that this Lark grammar accepts:\n{grammar}",
        "Write nothing but text in the form given by this Lark grammar:\n{grammar}",
    ),
    "zh": (
        "整个回答必须符合这个 Lark 语法：\n{grammar}",
        "请只写这个 Lark 语法所接受的文本：\n{grammar}",
        "请按这个 Lark 语法规定的形式作答，不要写别的：\n{grammar}",
    ),
}


class _Bytes:
    """What llguidance needs to know of a tokenizer whose tokens are bytes."""

    eos_token_id = 256
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(256)), b"<end>")
    special_token_ids = (256,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    wrapped = llguidance.TokenizerWrapper(_Bytes())
    return llguidance.LLTokenizer(wrapped, n_vocab=257, eos_token=256, slices=[])


def matcher_of(grammar: str) -> Any:
    """What reads bytes by the grammar from the beginning: llguidance's matcher, whose tokens are bytes and 256 for the end."""
    limits = llguidance.LLParserLimits(verbose_errors=False)
    lark = llguidance.LLMatcher.grammar_from_lark(grammar)
    return llguidance.LLMatcher(_tokenizer(), lark, log_level=0, limits=limits)


def _usable(grammar: str) -> str:
    if len(grammar) > MAX_GRAMMAR_LENGTH:
        raise ValueError(f"the grammar is {len(grammar)} characters long, at most {MAX_GRAMMAR_LENGTH} are taken")
    if not grammar.strip():
        raise ValueError('it is empty; give a grammar, for example start: "yes" | "no"')
    try:
        grammar.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which is no text") from None
    matcher = matcher_of(grammar)
    if not matcher.is_error():
        # Some limits are only met when the first byte is read.
        matcher.try_consume_tokens(list(b"a"))
    if matcher.is_error():
        raise ValueError(f"not a grammar that can be used: {shorten(matcher.get_error(), 200)}")
    return grammar


class Grammar(Parameters):
    """The whole answer follows a context-free grammar."""

    kind = "grammar"

    grammar: Annotated[str, AfterValidator(_usable)]
    """A Lark grammar, whose rule `start` is the answer."""

    def say(self, language: Language, wording: int = 0) -> str:
        # Longer than any run of backticks within, as Markdown asks.
        fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", self.grammar)), 0)
        return pick(_WORDINGS, language, wording).format(grammar=f"{fence}lark\n{self.grammar}\n{fence}")

    def check(self, text: str) -> Verdict:
        """When it fails, the fraction is the share of the answer that the grammar can follow, at most 0.9."""
        verdict = self._read(text)
        bare = text.strip()
        return verdict if verdict.satisfied or bare == text else self._read(bare)

    def _read(self, text: str) -> Verdict:
        matcher, given = matcher_of(self.grammar), text.encode("utf-8", "surrogatepass")
        start, at = time.thread_time(), 0
        while at < len(given):
            read = matcher.try_consume_tokens(list(given[at : at + _BYTES_AT_ONCE]))
            at += read
            if matcher.is_error() or time.thread_time() - start > SECONDS:
                reason = f"reading the answer by the grammar takes more than {SECONDS:g} s or too much memory"
                return Verdict(False, f"{reason}; counted as not accepted", 0.0)
            if read < min(_BYTES_AT_ONCE, len(given) - at + read):
                break
        if at == len(given) and matcher.is_accepting():
            return Verdict(True, "follows the grammar", 1.0)
        share = min(at / len(given), 0.9) if given else 0.0
        if at == len(given):
            return Verdict(
                False, f"{quote(shorten(text), 'en') if text else 'nothing'} is not complete by the grammar", share
            )
        left = given[at:].decode("utf-8", "replace")
        return Verdict(
            False, f"the grammar does not allow {quote(shorten(left[:100], 40), 'en')} at byte {at + 1}", share
        )
