"""The protocol of everything that generates text or scores it, and the one helper that callers need.

with local.LocalEngine(model) as engine:
    for generation in generate(engine, requests):
        ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from heedful.records import Generation, Message, RequirementSpec


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. Temperature 0 is greedy.

    In this order: logit bias, penalties, `min_tokens`, a mask of the engine's; then temperature, `top_k`, `top_p`,
    `min_p`. Log-probabilities that are reported are the model's own, before all of these.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    """The fewest likeliest tokens that hold this much probability, of what `top_k` left."""
    top_k: int = 0
    """0 means no limit."""
    seed: int = 0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    """The text ends before the first of these."""
    n: int = 1
    """How many answers to the one prompt."""
    min_p: float = 0.0
    """Tokens less likely than this share of the likeliest one are left out. arXiv:2407.01082."""
    min_tokens: int = 0
    """The end of turn cannot be chosen before this many tokens; stop strings still can end the answer."""
    repetition_penalty: float = 1.0
    """Logits of tokens in prompt or answer are divided by this when positive, else multiplied. arXiv:1909.05858."""
    presence_penalty: float = 0.0
    """Taken from the logit of every token that the answer holds already."""
    frequency_penalty: float = 0.0
    """The same for each time that the answer holds it."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Token ids, each with what is added to its logit."""
    num_beams: int = 1
    """More than 1: beam search, which is greedy otherwise; answers are the `n` best beams."""
    length_penalty: float = 1.0
    """Of beam search: a finished beam's score is its log-likelihood divided by its length to this power."""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and how to answer it; either `messages` or `prompt_ids` is given."""

    id: str
    messages: tuple[Message, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    sampling: Sampling = Sampling()
    requirements: tuple[RequirementSpec, ...] = ()
    adapter: str | None = None
    """The name of an adapter that the engine was given; None uses the model as it was loaded."""
    control: Mapping[str, Any] = field(default_factory=dict)
    logprobs: bool = False
    top_logprobs: int = 0
    """With `logprobs`: how many of the likeliest tokens are reported beside each chosen one."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """What is told of one chosen token."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens at its place with their log-probabilities, likeliest first, as many as were asked for."""


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of an answer as it comes; the last one of an answer carries its `generation`."""

    index: int
    """Which of the request's `n` answers."""
    text: str
    generation: Generation | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    """With the request's `logprobs`: of the tokens since the event before, some of whose text may come later. Engines that do
    not know them yet, and every last event, leave it empty: `generation` tells of all tokens."""


class Handle(Protocol):
    """A request under way."""

    def __iter__(self) -> Iterator[Event]:
        """Events as they come, of all `n` answers."""

    def result(self) -> tuple[Generation, ...]:
        """Wait for all `n` answers, ordered by index."""

    def cancel(self) -> None:
        """Stop generating; answers end as they are, with finish reason "cancelled"."""


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A prompt and a given continuation whose likelihood is wanted; either `messages` or ids are given.

    After `messages` the continuation is scored as the assistant's whole answer: its tokens and the end of turn. Of ids
    exactly `continuation_ids` are scored, after exactly `prompt_ids`: for text without a template, or with another one.
    """

    id: str
    messages: tuple[Message, ...] = ()
    continuation: str = ""
    prompt_ids: tuple[int, ...] = ()
    continuation_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """Log-likelihood (natural logarithm) of a continuation given its prompt."""

    id: str
    logprob: float
    """Sum over the continuation's tokens; after messages, end of turn included."""
    num_tokens: int
    num_bytes: int
    """UTF-8 length of the continuation (of ids: of the text that they stand for), for comparisons between tokenizers."""


class Engine(Protocol):
    """Generates and scores. Engines are made by their own constructors and closed by `close`."""

    @property
    def identity(self) -> str:
        """Says which weights and which arithmetic answer: equal identities may share cached answers."""

    @property
    def preferred_batch(self) -> int:
        """How many requests are worth submitting together."""

    @property
    def num_in_flight(self) -> int:
        """Answers that are asked for and not finished."""

    def submit(self, request: Request) -> Handle:
        """Queue a request; raises a UserError at once when it cannot be answered as asked."""

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Scores in the order of `items`."""

    def close(self) -> None:
        """Release what the engine holds; requests under way are cancelled."""


def generate(engine: Engine, requests: Iterable[Request]) -> Iterator[Generation]:
    """Answers in request order (the `n` answers of one request by index).

    Twice the preferred batch is asked for ahead, so that a place that becomes free is taken at once.
    """
    handles: deque[Handle] = deque()
    for request in requests:
        handles.append(engine.submit(request))
        if len(handles) >= 2 * engine.preferred_batch:
            yield from handles.popleft().result()
    while handles:
        yield from handles.popleft().result()
