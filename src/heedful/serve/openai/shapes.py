"""The two kinds of completion: what each asks of the engine, and how each puts answers into words."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from heedful.errors import EngineError, InputError
from heedful.generate.engine import Request, Sampling
from heedful.records import Generation, Message
from heedful.serve.openai.schemas import (
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatDelta,
    ChatRequest,
    CompletionRequest,
    EndReason,
    SamplingRequest,
    TextChoice,
    TextCompletion,
    TokenUsage,
)
from heedful.serve.state import ServedModel, StoppingError

_AS_LONG_AS_IT_CAN = 2**31
"""Tokens; the engine lowers it to what the model can write."""
_NEARLY_ZERO = 1e-9
"""For top_p = 0, which OpenAI allows: only the likeliest token."""


class Shape(ABC):
    """One request, and the words for what comes of it."""

    def __init__(self, body: SamplingRequest, model: ServedModel, prefix: str) -> None:
        self.model, self.num_choices = model, body.n or 1
        self.id = f"{prefix}-{uuid4().hex}"
        self.shared: dict[str, Any] = {
            "id": self.id,
            "created": int(time.time()),
            "model": model.id,
            "system_fingerprint": f"fp_{model.engine.identity[:12]}",
        }
        """What all parts of the answer say about it."""

    @abstractmethod
    def request(self) -> Request:
        """What the engine is asked."""

    @abstractmethod
    def whole(self, generations: Sequence[Generation]) -> BaseModel:
        """All answers at once."""

    @abstractmethod
    def opening(self) -> list[BaseModel]:
        """Chunks before the first piece of text."""

    @abstractmethod
    def piece(self, index: int, text: str) -> BaseModel:
        """A chunk with a piece of text."""

    @abstractmethod
    def ending(self, index: int, reason: EndReason) -> BaseModel:
        """The last chunk of an answer."""

    @abstractmethod
    def usage(self, generations: Sequence[Generation]) -> BaseModel:
        """The last chunk of a stream that was asked to tell the usage."""


class Chat(Shape):
    """The next message of a conversation."""

    def __init__(self, body: ChatRequest, model: ServedModel) -> None:
        super().__init__(body, model, "chatcmpl")
        self._body = body

    def request(self) -> Request:
        limits = [self._body.max_tokens, self._body.max_completion_tokens]
        longest = min((limit for limit in limits if limit is not None), default=_AS_LONG_AS_IT_CAN)
        messages = tuple(
            Message("system" if message.role == "developer" else message.role, message.content)
            for message in self._body.messages
        )
        return Request(self.id, messages, sampling=sampling_of(self._body, longest))

    def whole(self, generations: Sequence[Generation]) -> ChatCompletion:
        choices = [
            ChatChoice(index=answer.index, message=ChatAnswer(content=answer.text), finish_reason=reason_of(answer))
            for answer in generations
        ]
        return ChatCompletion(**self.shared, choices=choices, usage=usage_of(generations))

    def opening(self) -> list[BaseModel]:
        return [self._chunk(index, ChatDelta(role="assistant", content="")) for index in range(self.num_choices)]

    def piece(self, index: int, text: str) -> ChatChunk:
        return self._chunk(index, ChatDelta(content=text))

    def ending(self, index: int, reason: EndReason) -> ChatChunk:
        return self._chunk(index, ChatDelta(), reason)

    def usage(self, generations: Sequence[Generation]) -> ChatChunk:
        return ChatChunk(**self.shared, choices=[], usage=usage_of(generations))

    def _chunk(self, index: int, delta: ChatDelta, reason: EndReason | None = None) -> ChatChunk:
        choice = ChatChunkChoice(index=index, delta=delta, finish_reason=reason)
        return ChatChunk(**self.shared, choices=[choice])


class Text(Shape):
    """A continuation of plain text."""

    def __init__(self, body: CompletionRequest, model: ServedModel) -> None:
        super().__init__(body, model, "cmpl")
        self._body = body

    def request(self) -> Request:
        if self.model.encode is None:
            raise InputError(f"the model {self.model.id!r} answers conversations only; use /v1/chat/completions")
        sampling = sampling_of(self._body, self._body.max_tokens or 16)
        return Request(self.id, prompt_ids=tuple(self.model.encode(self._body.prompt)), sampling=sampling)

    def whole(self, generations: Sequence[Generation]) -> TextCompletion:
        choices = [
            TextChoice(index=answer.index, text=answer.text, finish_reason=reason_of(answer)) for answer in generations
        ]
        return TextCompletion(**self.shared, choices=choices, usage=usage_of(generations))

    def opening(self) -> list[BaseModel]:
        return []

    def piece(self, index: int, text: str) -> TextCompletion:
        return self._chunk(TextChoice(index=index, text=text))

    def ending(self, index: int, reason: EndReason) -> TextCompletion:
        return self._chunk(TextChoice(index=index, text="", finish_reason=reason))

    def usage(self, generations: Sequence[Generation]) -> TextCompletion:
        return TextCompletion(**self.shared, choices=[], usage=usage_of(generations))

    def _chunk(self, choice: TextChoice) -> TextCompletion:
        return TextCompletion(**self.shared, choices=[choice])


def sampling_of(body: SamplingRequest, max_tokens: int) -> Sampling:
    """How tokens are chosen; what is absent or null gets OpenAI's default."""
    return Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p or _NEARLY_ZERO,
        top_k=body.top_k or 0,
        seed=secrets.randbits(63) if body.seed is None else body.seed,
        max_tokens=max_tokens,
        stop=tuple(body.stop),
        n=body.n or 1,
        min_p=body.min_p or 0.0,
        min_tokens=body.min_tokens or 0,
        frequency_penalty=body.frequency_penalty or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        repetition_penalty=1.0 if body.repetition_penalty is None else body.repetition_penalty,
        logit_bias=tuple((int(token), bias) for token, bias in body.logit_bias.items()),
    )


def usage_of(generations: Sequence[Generation]) -> TokenUsage:
    """The prompt was read once, however many answers there are."""
    read = generations[0].usage.prompt_tokens
    written = sum(answer.usage.completion_tokens for answer in generations)
    return TokenUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def reason_of(answer: Generation) -> EndReason:
    """Why the answer ended; raises when that is no way to end for an answer."""
    if answer.finish_reason == "cancelled":
        # Whoever goes away cancels too, but nobody reads that answer.
        raise StoppingError("the server is stopping; this answer was cut off")
    if answer.finish_reason == "error":
        raise EngineError("generation failed; the server's log says why")
    return answer.finish_reason
