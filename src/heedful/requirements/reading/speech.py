"""Whether a place in a sentence speaks about the answer, rather than about the topic or a text that is given.

English: the sentence asks ("Write ...", "can you", "make sure", "your answer must"), and nothing between that and the
place moves the talk elsewhere. When in doubt the answer is no: a missed requirement costs less than an invented one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from heedful.requirements.reading.cutting import Sentence
from heedful.requirements.reading.lexicon import alternatives

NOUNS = rf"(?:{alternatives('answer_nouns')})"
"""A pattern for one word that a user may call the answer by."""
ANSWER = rf"(?:(?:your|the|this|my|an?|its?|entire|whole|full|overall|complete|final|very|each|every)\s+){{0,3}}(?:[a-z'-]+\s+){{0,2}}?{NOUNS}"
"""A pattern for the answer as a noun phrase: "your entire response", "the rap song"."""
WHOLE = rf"(?:(?:your|the|this|my|entire|whole|full|complete|final)\s+){{1,4}}(?:[a-z]+\s+)?{NOUNS}(?:\s+\([^()]{{0,60}}\))?"
"""The same where the answer as a whole must be meant: not "each paragraph", not "a sentence"."""
MODAL = r"(?:should|must|shall|needs? to|ha(?:s|ve) to|ought to|can(?:not|'t|’t| not)|may not|shouldn't|mustn't|will|is to|are to)"

_POLITE = r"(?:(?:please|kindly|also|then|first|next|finally|lastly|additionally|furthermore|moreover|and|but|just|now|so|hi|hello|request|note|important|in particular|basically|in addition|\d+[.)]|[-*•])[,:]?\s+){0,8}"
_INTRODUCTION = r"(?:at the (?:very )?end(?: of (?:your|the) \w+)?,?\s+|(?:in|for|to|with|as|at|on|after|before|using|when)\b[^,.;:]{1,60},\s+)?"
_IMPERATIVE = re.compile(
    rf"\W*{_POLITE}{_INTRODUCTION}{_POLITE}(?:[a-z]+ly,? )?(?:{alternatives('verbs')})\b"
    r"|.{0,200}?(?:, (?:and |but )?|\band )(?:wrap|put|use|include|write|make sure|highlight|avoid|refrain|italicize)\b"
)
_ASKING = re.compile(
    r"\b(?:please|kindly|make sure|making sure|ensure|be sure|remember|don.?t forget|do not forget|(?:can|could|would|will) you"
    r"|i (?:need|want|would like|don.?t want|do not want|was hoping)|i.d like|let.s|you (?:should|must|need|can|have|are|may|cannot|can't|do not use|don.?t use))\b"
)
_DUTY = re.compile(rf"\b{MODAL}\b|\bmake sure\b|\bensure\b")
_OUGHT = re.compile(
    rf"\b(?:your|the|this|there|it|that|they|these|each|every|all|not|paragraphs?|words?|letters?|responses?|sentences?|commas?|quotes)\b[^?]{{0,120}}?\b{MODAL}\b"
)
_OF_ANSWER = re.compile(rf"\b{MODAL}\b[^.?]{{0,80}}\byour (?:entire |whole )?(?:response|answer|reply|output)\b")
_CONDITION = re.compile(
    r"\W*(?:if|when|unless|suppose|whenever|once|after|before)\b(?!\s+(?:you )?(?:answer|your response))"
)
_ELSEWHERE = re.compile(
    r"\b(?:was|were|had|wrote|contained|did|who|whose|where)\b[^,;]{0,40}$|\b(?:each|every|per)\b(?! (?:\w+ )?separated)[^,;]{0,40}$"
)
_PART = re.compile(
    rf"\b(?:{alternatives('parts')})\s+(?:(?:of|with|that|which|using|in)\b|{MODAL}|contain)[^,;]{{0,30}}$"
)
_MACHINE = re.compile(rf"\b(?:{alternatives('machines')})s?\b")


@lru_cache(maxsize=64)
def asks(sentence: Sentence) -> bool:
    """Whether the sentence asks for something, in English."""
    text = sentence.text
    if _CONDITION.match(text):
        return False
    if _IMPERATIVE.match(text) or _ASKING.search(text):
        return True
    return not text.endswith("?") and (_OUGHT.search(text) is not None or _OF_ANSWER.search(text) is not None)


def about_machine(sentence: Sentence, at: int) -> bool:
    """Whether what begins at `at` is said of a program or a query that is asked for."""
    before = sentence.text[max(0, at - 160) : at]
    return _MACHINE.search(before) is not None and _DUTY.search(before) is None


def about_answer(sentence: Sentence, at: int) -> bool:
    """Whether what begins at `at` of the sentence is asked of the answer as a whole."""
    before = sentence.text[max(0, at - 160) : at]
    if _ELSEWHERE.search(before) or _PART.search(before):
        return False
    if about_machine(sentence, at):
        return False
    # A sentence may be nothing but the requirement: "At most 50 words, please."
    return at <= 3 or asks(sentence)
