"""Request -> the body of a chat completion; its answer, whole or in pieces -> Generations.

Names beyond OpenAI's own (`top_k`, `min_p`, `min_tokens`, `repetition_penalty`, `return_tokens_as_token_ids`) are those of
vLLM, which SGLang and others share. They are sent only when asked for: a server that does not know one says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from operator import attrgetter
from typing import Any

from heedful.errors import EngineError
from heedful.generate.engine import Request, Sampling
from heedful.generate.remote.sse import EventParser
from heedful.records import FinishReason, Generation, RequirementSpec, Usage

HONOURED = frozenset(field.name for field in fields(Sampling)) - {"num_beams", "length_penalty"} | {
    "logprobs",
    "top_logprobs",
    "requirements",
}
"""Fields of Sampling and Request that can be said in a chat completion; of requirements, those that `enforced` returns."""

_ALWAYS = ("temperature", "top_p", "max_tokens", "n", "seed")
_OPTIONAL = ("top_k", "min_p", "min_tokens", "repetition_penalty", "presence_penalty", "frequency_penalty")
_always, _optional = attrgetter(*_ALWAYS), attrgetter(*_OPTIONAL)
_DEFAULTS = _optional(Sampling())

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
}


class BrokenAnswerError(Exception):
    """What came is not a complete chat completion; another attempt may bring one."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A complete answer."""

    generations: tuple[Generation, ...]
    usage: Usage | None
    """What the server says it read and wrote, all `n` answers together; None when it does not tell."""


def enforced(requirements: Sequence[RequirementSpec]) -> tuple[RequirementSpec, ...]:
    """What a chat completion can ask the server to enforce: one JSON schema that something can fit."""
    fitting = (spec for spec in requirements if spec.enforce and spec.kind == "json_schema")
    return tuple(islice((spec for spec in fitting if spec.parameters.get("schema", False) is not False), 1))


def request_body(request: Request, model: str, *, stream: bool) -> bytes:
    """What is posted."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
    }
    body |= zip(_ALWAYS, _always(sampling), strict=True)
    if (optional := _optional(sampling)) != _DEFAULTS:
        triples = zip(_OPTIONAL, optional, _DEFAULTS, strict=True)
        body |= {name: value for name, value, default in triples if value != default}
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias}
    if request.logprobs:
        body["logprobs"] = True
    if request.top_logprobs:
        # A Generation holds ids, and OpenAI's own answer holds only texts.
        body |= {"top_logprobs": request.top_logprobs, "return_tokens_as_token_ids": True}
    for spec in enforced(request.requirements):
        body["response_format"] = _response_format(spec.parameters["schema"])
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body).encode("ascii")


def _response_format(schema: Any) -> dict[str, Any]:
    """Vendors that know `strict` guarantee the schema only with it, and take it only for schemas that leave nothing open."""
    if schema in (True, {}):
        return {"type": "json_object"}
    strict = {"strict": True} if _leaves_nothing_open(schema) else {}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **strict}}


def _leaves_nothing_open(schema: Any) -> bool:
    """Whether every object in it names all of its keys, and allows no others."""
    if isinstance(schema, list):
        return all(map(_leaves_nothing_open, schema))
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != set(names):
            return False
    return all(map(_leaves_nothing_open, schema.values()))


def read_whole(request: Request, data: bytes) -> Reading:
    """An answer that came in one piece; raises BrokenAnswerError."""
    answer = _Answer(request)
    body = _parsed(data)
    try:
        for choice in body["choices"]:
            answer.add(choice, choice["message"], whole=True)
        # They are there, so they are over, whatever the server calls the reason.
        answer.close()
        answer.usage = _usage(body.get("usage"))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BrokenAnswerError(f"no chat completion ({type(error).__name__}: {error}): {_beginning(data)}") from None
    return answer.complete()


class StreamReader:
    """An answer that comes as events. `feed` returns the new texts; `end` the whole, or raises BrokenAnswerError."""

    def __init__(self, request: Request) -> None:
        self._events, self._answer = EventParser(), _Answer(request)
        self.done = False
        """The server said that nothing follows."""

    def feed(self, piece: bytes) -> list[tuple[int, str]]:
        """(index, text) of each piece of an answer."""
        return self._read(self._events.feed(piece))

    def end(self) -> Reading:
        """After the last byte. Complete is what ended with [DONE], or with a reason for each answer."""
        self._read(self._events.end())
        if self.done:
            self._answer.close()
        return self._answer.complete()

    def so_far(self) -> tuple[Generation, ...]:
        """What there is of an answer that nobody waits for any more."""
        return self._answer.cancelled()

    def _read(self, events: Iterable[bytes]) -> list[tuple[int, str]]:
        shown = []
        for event in events:
            if self.done or event.strip() == b"[DONE]":
                self.done = True
                break
            chunk = _parsed(event)
            if chunk.get("error"):
                raise BrokenAnswerError(f"the server broke off: {json.dumps(chunk['error'])}")
            try:
                self._answer.usage = _usage(chunk.get("usage")) or self._answer.usage
                for choice in chunk.get("choices") or ():
                    text = self._answer.add(choice, choice.get("delta") or {})
                    if text:
                        shown.append((choice.get("index", 0), text))
            except (KeyError, TypeError, AttributeError, IndexError) as error:
                raise BrokenAnswerError(f"no part of a chat completion ({type(error).__name__}: {error})") from None
        return shown


def cancelled(request: Request, texts: Mapping[int, str] | None = None) -> tuple[Generation, ...]:
    """All answers to `request`, as far as they got."""
    return tuple(
        Generation(request_id=request.id, text=(texts or {}).get(index, ""), finish_reason="cancelled", index=index)
        for index in range(request.sampling.n)
    )


@dataclass(slots=True)
class _Choice:
    """One of the `n` answers."""

    texts: list[str] = field(default_factory=list)
    tokens: list[Mapping[str, Any]] = field(default_factory=list)
    reason: FinishReason | None = None


class _Answer:
    """The `n` answers to a request, added up from whatever they come in."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._choices: dict[int, _Choice] = {}
        self.usage: Usage | None = None

    def add(self, value: Mapping[str, Any], message: Mapping[str, Any], *, whole: bool = False) -> str:
        """Take one choice of the server's, with its `message` or `delta`; returns the text that it brought."""
        index, text = value.get("index", 0), message.get("content") or ""
        if not isinstance(text, str) or index not in range(self._request.sampling.n):
            raise BrokenAnswerError(f"choice {index!r} is not one of {self._request.sampling.n} texts")
        if whole and index in self._choices:
            raise BrokenAnswerError(f"choice {index!r} came twice")
        choice = self._choices.setdefault(index, _Choice())
        choice.texts.append(text)
        if self._request.logprobs:
            choice.tokens.extend((value.get("logprobs") or {}).get("content") or ())
        if reason := value.get("finish_reason"):
            choice.reason = _FINISH_REASONS.get(reason, "error")
        return text

    def close(self) -> None:
        """Nothing follows."""
        for choice in self._choices.values():
            choice.reason = choice.reason or "stop"

    def complete(self) -> Reading:
        """All `n` answers, ended; raises BrokenAnswerError, or EngineError for a server that does not know `n`."""
        choices, request = self._choices, self._request
        wanted = request.sampling.n
        if not choices or any(choice.reason is None for choice in choices.values()):
            raise BrokenAnswerError("the answer was cut off")
        if len(choices) < wanted:
            raise EngineError(
                f"the endpoint gave {len(choices)} answers to request {request.id!r} instead of {wanted}; it does "
                "not seem to know `n`: ask once for each answer, with n=1 and a seed of its own"
            )
        return Reading(tuple([self._generation(index, choices[index]) for index in range(wanted)]), self.usage)

    def cancelled(self) -> tuple[Generation, ...]:
        return cancelled(self._request, {index: "".join(choice.texts) for index, choice in self._choices.items()})

    def _generation(self, index: int, choice: _Choice) -> Generation:
        request = self._request
        ids, logprobs, alternatives = _told_of_tokens(request, choice) if request.logprobs else _NOTHING
        return Generation(
            request_id=request.id,
            text="".join(choice.texts),
            token_ids=ids,
            logprobs=logprobs,
            top_logprobs=alternatives,
            finish_reason=choice.reason or "stop",
            # Servers count all n answers together; the sum is told once.
            usage=(self.usage or Usage()) if index == 0 else Usage(),
            index=index,
        )


_Told = tuple[tuple[int, ...], tuple[float, ...] | None, tuple[tuple[tuple[int, float], ...], ...] | None]
_NOTHING: _Told = ((), None, None)


def _told_of_tokens(request: Request, choice: _Choice) -> _Told:
    """(ids, log-probabilities, alternatives) of an answer's tokens, as far as they were asked for and told."""
    if any(choice.texts) and not choice.tokens:
        raise EngineError(
            f"request {request.id!r}: the endpoint told no log-probabilities; leave `logprobs` out, or use a server that offers them"
        )
    try:
        ids = [_token_id(token) for token in choice.tokens]
        return (
            tuple(id for id in ids if id is not None) if None not in ids else (),
            tuple(float(token["logprob"]) for token in choice.tokens),
            _alternatives(request, choice.tokens) if request.top_logprobs else None,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BrokenAnswerError(f"no log-probabilities ({type(error).__name__}: {error})") from None


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BrokenAnswerError(f"no JSON ({error}): {_beginning(data)}") from None
    if not isinstance(value, dict):
        raise BrokenAnswerError(f"no JSON object: {_beginning(data)}")
    return value


def _beginning(data: bytes) -> str:
    """Enough to see what it is."""
    return data[:200].decode("utf-8", "replace")


def _usage(value: Any) -> Usage | None:
    """None when a server does not tell; a count that is none would make every sum wrong."""
    if not isinstance(value, dict):
        return None
    read, written = value.get("prompt_tokens"), value.get("completion_tokens", 0)
    if not (isinstance(read, int) and isinstance(written, int) and read >= 0 and written >= 0):
        return None
    return Usage(read, written)


def _token_id(token: Mapping[str, Any]) -> int | None:
    """vLLM writes "token_id:7" when asked for ids, llama.cpp has a field `id`, OpenAI tells texts only."""
    if isinstance(token.get("id"), int):
        return int(token["id"])
    prefix, _, number = str(token.get("token", "")).partition("token_id:")
    return int(number) if not prefix and number.isdigit() else None


def _alternatives(request: Request, tokens: Sequence[Mapping[str, Any]]) -> tuple[tuple[tuple[int, float], ...], ...]:
    rows = []
    for token in tokens:
        row = []
        for other in token["top_logprobs"]:
            if (number := _token_id(other)) is None:
                raise EngineError(
                    f"request {request.id!r}: the endpoint tells the likeliest tokens as texts, not as ids, so top_logprobs "
                    "cannot be honoured; leave it out, or use a server that knows return_tokens_as_token_ids (vLLM)"
                )
            row.append((number, float(other["logprob"])))
        rows.append(tuple(row))
    return tuple(rows)
