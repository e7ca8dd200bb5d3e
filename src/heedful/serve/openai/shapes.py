"""The two kinds of completion: what each asks of the engine, and how each puts answers into words."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from heedful.errors import EngineError, InputError, RequirementError
from heedful.generate.engine import Event, Request, Sampling
from heedful.generate.several import by_likelihood, sampled
from heedful.records import Generation, Message
from heedful.serve.openai.errors import ParameterError
from heedful.serve.openai.required import Required, required
from heedful.serve.openai.schemas import (
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatDelta,
    ChatLogprobs,
    ChatRequest,
    CompletionRequest,
    EndReason,
    SamplingRequest,
    TextChoice,
    TextCompletion,
    TextLogprobs,
    TokenUsage,
)
from heedful.serve.openai.token_logprobs import AnswerTokens, Told, in_chat, in_text
from heedful.serve.state import ServedModel, StoppingError

_AS_LONG_AS_IT_CAN = 2**31
"""Tokens; the engine lowers it to what the model can write."""
_NEARLY_ZERO = 1e-9
"""For top_p = 0, which OpenAI allows: only the likeliest token."""


class Shape(ABC):
    """One request, and the words for what comes of it."""

    def __init__(self, body: ChatRequest | CompletionRequest, model: ServedModel, prefix: str) -> None:
        self.model, self.num_choices = model, body.n or 1
        self.required = Required((), ())
        self._asked = body
        self._stops, self._tokens = bool(body.stop), dict[int, AnswerTokens]()
        self.id = f"{prefix}-{uuid4().hex}"
        self.shared: dict[str, Any] = {
            "id": self.id,
            "created": int(time.time()),
            "model": model.id,
            "system_fingerprint": f"fp_{model.engine.identity[:12]}",
        }
        """What all parts of the answer say about it."""

    def request(self) -> Request:
        """What the engine is asked; raises a UserError for what cannot be meant."""
        self.required = required(self._asked)
        return replace(self.plain_request(), requirements=self.required.all)

    @abstractmethod
    def plain_request(self) -> Request:
        """The request without its requirements."""

    def refused(self, error: RequirementError) -> ParameterError:
        """The engine's own error, with the parameter's name."""
        return ParameterError(str(error).removeprefix(f"request {self.id!r}: "), self.required.parameter)

    @abstractmethod
    def whole(self, generations: Sequence[Generation]) -> BaseModel:
        """All answers at once."""

    @abstractmethod
    def opening(self) -> list[BaseModel]:
        """Chunks before the first piece of text."""

    def pieces(self, event: Event) -> list[BaseModel]:
        """A chunk with what an event brings of an answer, if it brings anything."""
        tokens = self._tokens_of(event) if self.tells_tokens else []
        return [self.piece(event.index, event.text, tokens)] if event.text or tokens else []

    @property
    @abstractmethod
    def tells_tokens(self) -> bool:
        """Whether log-probabilities were asked for."""

    @abstractmethod
    def piece(self, index: int, text: str, tokens: Sequence[Told]) -> BaseModel:
        """A chunk with a piece of text and what is told of its tokens."""

    @abstractmethod
    def ending(self, answer: Generation) -> BaseModel:
        """The last chunk of an answer."""

    @abstractmethod
    def usage(self, generations: Sequence[Generation]) -> BaseModel:
        """The last chunk of a stream that was asked to tell the usage."""

    def _all_tokens(self, generation: Generation) -> list[Told]:
        """Of a whole answer; none where they were not asked for."""
        return self._tokens_of(Event(generation.index, "", generation)) if self.tells_tokens else []

    def _tokens_of(self, event: Event) -> list[Told]:
        assert self.model.vocabulary is not None
        tokens = self._tokens.setdefault(event.index, AnswerTokens(self.model.vocabulary, self._stops))
        told = tokens.next(event.logprobs)
        return told if event.generation is None else [*told, *tokens.rest(event.generation)]

    def _check_vocabulary(self) -> None:
        if self.tells_tokens and self.model.vocabulary is None:
            raise ParameterError(
                f"the tokens of the model {self.model.id!r} are not known to this server; leave logprobs out, or ask its own "
                "endpoint",
                "logprobs",
            )


class Chat(Shape):
    """The next message of a conversation."""

    def __init__(self, body: ChatRequest, model: ServedModel) -> None:
        super().__init__(body, model, "chatcmpl")
        self._body = body

    def plain_request(self) -> Request:
        limits = [self._body.max_tokens, self._body.max_completion_tokens]
        longest = min((limit for limit in limits if limit is not None), default=_AS_LONG_AS_IT_CAN)
        messages = tuple(
            Message("system" if message.role == "developer" else message.role, message.content)
            for message in self._body.messages
        )
        if self._body.top_logprobs and not self.tells_tokens:
            raise ParameterError("top_logprobs is told beside logprobs only; set logprobs to true", "top_logprobs")
        self._check_vocabulary()
        return Request(
            self.id,
            messages,
            sampling=sampling_of(self._body, longest),
            logprobs=self.tells_tokens,
            top_logprobs=self._body.top_logprobs or 0,
        )

    def whole(self, generations: Sequence[Generation]) -> ChatCompletion:
        choices = [
            ChatChoice(
                index=answer.index,
                message=ChatAnswer(content=answer.text),
                finish_reason=reason_of(answer),
                logprobs=self._words(self._all_tokens(answer)),
                requirements=self.required.outcomes(answer),
            )
            for answer in generations
        ]
        return ChatCompletion(**self.shared, choices=choices, usage=usage_of(generations))

    def opening(self) -> list[BaseModel]:
        return [self._chunk(index, ChatDelta(role="assistant", content="")) for index in range(self.num_choices)]

    @property
    def tells_tokens(self) -> bool:
        return bool(self._body.logprobs)

    def piece(self, index: int, text: str, tokens: Sequence[Told]) -> ChatChunk:
        return self._chunk(index, ChatDelta(content=text), tokens=tokens)

    def ending(self, answer: Generation) -> ChatChunk:
        outcomes = self.required.outcomes(answer)
        choice = ChatChunkChoice(
            index=answer.index, delta=ChatDelta(), finish_reason=reason_of(answer), requirements=outcomes
        )
        return ChatChunk(**self.shared, choices=[choice])

    def usage(self, generations: Sequence[Generation]) -> ChatChunk:
        return ChatChunk(**self.shared, choices=[], usage=usage_of(generations))

    def _chunk(self, index: int, delta: ChatDelta, tokens: Sequence[Told] = ()) -> ChatChunk:
        choice = ChatChunkChoice(index=index, delta=delta, logprobs=self._words(tokens))
        return ChatChunk(**self.shared, choices=[choice])

    def _words(self, tokens: Sequence[Told]) -> ChatLogprobs | None:
        return in_chat(tokens, as_ids=bool(self._body.return_tokens_as_token_ids))


class Text(Shape):
    """A continuation of plain text."""

    def __init__(self, body: CompletionRequest, model: ServedModel) -> None:
        super().__init__(body, model, "cmpl")
        self._body = body

    def plain_request(self) -> Request:
        if self.model.vocabulary is None:
            raise InputError(f"the model {self.model.id!r} answers conversations only; use /v1/chat/completions")
        request = Request(
            self.id,
            prompt_ids=tuple(self.model.vocabulary.encode(self._body.prompt)),
            sampling=sampling_of(self._body, self._body.max_tokens or 16),
            logprobs=self.tells_tokens,
            top_logprobs=self._body.logprobs or 0,
        )
        return self._several(request) if self._body.best_of is not None else request

    def _several(self, request: Request) -> Request:
        num_samples = self._body.best_of or 1
        if num_samples < self.num_choices:
            raise ParameterError(
                f"best_of is {num_samples}, expected at least n, which is {self.num_choices}", "best_of"
            )
        if num_samples == self.num_choices:
            return request
        if self._body.stream:
            raise ParameterError(
                "best_of chooses among whole continuations, which cannot be streamed; leave stream or best_of out",
                "best_of",
            )
        single = replace(request, sampling=replace(request.sampling, n=1))
        try:
            return sampled(single, num_samples, logprobs=True)
        except InputError as error:
            raise ParameterError(str(error).removeprefix(f"request {self.id!r}: "), "best_of") from None

    def whole(self, generations: Sequence[Generation]) -> TextCompletion:
        best = generations
        if len(generations) > self.num_choices:
            ranked = by_likelihood(generations)[: self.num_choices]
            best = [replace(answer, index=place) for place, answer in enumerate(ranked)]
        choices = [
            TextChoice(
                index=answer.index,
                text=answer.text,
                finish_reason=reason_of(answer),
                logprobs=self._words(self._all_tokens(answer)),
                requirements=self.required.outcomes(answer),
            )
            for answer in best
        ]
        return TextCompletion(**self.shared, choices=choices, usage=usage_of(generations))

    def opening(self) -> list[BaseModel]:
        return []

    @property
    def tells_tokens(self) -> bool:
        return self._body.logprobs is not None

    def piece(self, index: int, text: str, tokens: Sequence[Told]) -> TextCompletion:
        return self._chunk(TextChoice(index=index, text=text, logprobs=self._words(tokens)))

    def ending(self, answer: Generation) -> TextCompletion:
        outcomes = self.required.outcomes(answer)
        return self._chunk(
            TextChoice(index=answer.index, text="", finish_reason=reason_of(answer), requirements=outcomes)
        )

    def usage(self, generations: Sequence[Generation]) -> TextCompletion:
        return TextCompletion(**self.shared, choices=[], usage=usage_of(generations))

    def _chunk(self, choice: TextChoice) -> TextCompletion:
        return TextCompletion(**self.shared, choices=[choice])

    def _words(self, tokens: Sequence[Told]) -> TextLogprobs | None:
        return in_text(tokens, with_top=bool(self._body.logprobs))


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
