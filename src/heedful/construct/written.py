"""What a model wrote -> a reason to reject it, for the faults that both model-written methods have to fear."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from heedful.construct.data import word_list
from heedful.records import Generation
from heedful.text import detect_language, num_words, repetition, similarity, tokenize

_REFUSAL = re.compile(
    r"\bas an? (?:ai|language model)\b|\bi(?:'m| am) (?:sorry|unable)\b|\bi can(?:'t|not)\b|作为(?:一个)?(?:人工智能|AI|语言模型)|(?:抱歉|对不起)",
    re.IGNORECASE,
)
_COPY = 0.8
"""ROUGE-L F above which a text is a copy."""
_FUNCTION_TOKENS = word_list("function_tokens")
_MAXIMUM_REPETITION = 0.3
"""Of 3-grams that occurred before; a sentence said twice has 0.5."""


def fault(answer: Generation, language: str) -> str:
    """Why an answer of the model cannot be used at all; empty when it can."""
    text = answer.text.strip()
    if not text:
        return "empty"
    if answer.finish_reason != "stop":
        return "truncated"
    if _REFUSAL.search(text):
        return "refusal"
    if repetition(tokenize(text), 3) > _MAXIMUM_REPETITION:
        return "repetitive"
    return "wrong_language" if is_foreign(text, language) else ""


def is_copy(text: str, originals: Iterable[str]) -> bool:
    """Whether a text says nearly the same as one that stood in the prompt."""
    tokens = tokenize(text)
    return any(similarity(tokens, tokenize(original)) > _COPY for original in originals)


def is_foreign(text: str, language: str) -> bool:
    """Whether a text long enough to tell is in another language."""
    return num_words(text) >= 4 and detect_language(text) not in (language, "und")


def starts_with_punctuation(text: str) -> bool:
    """Whether the first character is a mark or symbol; opening quotation marks and brackets are fine."""
    category = unicodedata.category(text[0])
    return category[0] in "PS" and category not in ("Ps", "Pi") and text[0] not in "\"'`"


def content(text: str) -> set[str]:
    """The tokens that carry meaning."""
    return set(tokenize(text)) - _FUNCTION_TOKENS
