"""What is told of tokens, in the words of both kinds of completion; in a stream, of each token once, with its piece of text."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heedful.generate.engine import TokenLogprob
from heedful.models.vocabulary import Token, Vocabulary
from heedful.records import Generation
from heedful.serve.openai.schemas import ChatLogprobs, ChosenToken, TextLogprobs, TopToken

_IMPOSSIBLE = -9999.0
"""What OpenAI writes for minus infinity, which JSON does not have."""


@dataclass(frozen=True, slots=True)
class Told:
    """One token of an answer."""

    id: int
    token: Token
    logprob: float
    top: tuple[tuple[int, Token, float], ...]
    """Ids, tokens and log-probabilities of the likeliest ones."""
    offset: int
    """Characters of the answer before it; part of a character stands where the character does."""


class AnswerTokens:
    """The tokens of one answer, as they come."""

    def __init__(self, vocabulary: Vocabulary, may_stop: bool) -> None:
        """`may_stop`: a stop text may end the answer, and the model's last tokens are then not part of it."""
        self._vocabulary, self._may_stop = vocabulary, may_stop
        self._decoder = _decoder()
        self._num_told = 0
        self._length = 0

    def next(self, logprobs: Iterable[TokenLogprob]) -> list[Told]:
        """The tokens that an event brings."""
        return [self._told(one) for one in logprobs]

    def rest(self, generation: Generation) -> list[Told]:
        """At the end, the tokens that no event brought."""
        fresh = self.next(_of(generation)[self._num_told :])
        if not (self._may_stop and generation.finish_reason == "stop"):
            return fresh
        return [told for told in fresh if not told.token.data or told.offset < len(generation.text)]

    def _told(self, one: TokenLogprob) -> Told:
        is_first = self._num_told == 0
        token = self._vocabulary.token(one.token_id, is_first=is_first)
        top = tuple(
            (index, self._vocabulary.token(index, is_first=is_first), _finite(logprob)) for index, logprob in one.top
        )
        told = Told(one.token_id, token, _finite(one.logprob), top, self._length + self._num_broken(token.data))
        self._num_told += 1
        self._length += len(token.text if token.data is None else self._decoder.decode(token.data))
        return told

    def _num_broken(self, data: bytes | None) -> int:
        """Characters that were begun before `data` and that it does not go on with."""
        if not data:
            return 0
        probe = _decoder()
        probe.setstate(self._decoder.getstate())
        num_characters = len(probe.decode(data[:1]))
        is_complete = not probe.getstate()[0]
        return num_characters - is_complete


def in_chat(tokens: Sequence[Told], *, as_ids: bool = False) -> ChatLogprobs | None:
    """The words of chat completions; None for no tokens. `as_ids` writes `token_id:7` for a token's text."""

    def name(index: int, token: Token) -> str:
        return f"token_id:{index}" if as_ids else token.text

    content = [
        ChosenToken(
            token=name(told.id, told.token),
            logprob=told.logprob,
            bytes=_bytes(told.token),
            top_logprobs=[
                TopToken(token=name(index, token), logprob=logprob, bytes=_bytes(token))
                for index, token, logprob in told.top
            ],
        )
        for told in tokens
    ]
    return ChatLogprobs(content=content) if content else None


def in_text(tokens: Sequence[Told], *, with_top: bool) -> TextLogprobs | None:
    """The words of plain completions; None for no tokens."""
    if not tokens:
        return None
    return TextLogprobs(
        tokens=[told.token.text for told in tokens],
        token_logprobs=[told.logprob for told in tokens],
        top_logprobs=[_by_text(told) for told in tokens] if with_top else None,
        text_offset=[told.offset for told in tokens],
    )


def _by_text(told: Told) -> dict[str, float]:
    """Of tokens with one text the likelier counts; the chosen one is among them, however unlikely it was."""
    found: dict[str, float] = {}
    for _, token, logprob in told.top:
        found.setdefault(token.text, logprob)
    found.setdefault(told.token.text, told.logprob)
    return found


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


def _of(generation: Generation) -> list[TokenLogprob]:
    logprobs = generation.logprobs or ()
    top = generation.top_logprobs or ((),) * len(logprobs)
    return [TokenLogprob(*one) for one in zip(generation.token_ids, logprobs, top, strict=True)]


def _bytes(token: Token) -> list[int] | None:
    return None if token.data is None else list(token.data)


def _finite(logprob: float) -> float:
    return max(logprob, _IMPOSSIBLE)
