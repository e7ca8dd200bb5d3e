"""An engine that answers from a table, and rows to ask it about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from heedful.generate.engine import Event, Request, ScoreRequest, ScoreResult
from heedful.records import Example, Generation, RequirementSpec, Usage, canonical_json, conversation


@dataclass
class Answered:
    """A handle whose answer is there already."""

    generation: Generation

    def __iter__(self) -> Iterator[Event]:
        yield Event(0, self.generation.text, self.generation)

    def result(self) -> tuple[Generation, ...]:
        return (self.generation,)

    def cancel(self) -> None:
        pass


@dataclass
class TableEngine:
    """Answers and (log-likelihood, tokens) by row id; remembers what it was asked."""

    answers: Mapping[str, str]
    likelihoods: Mapping[str, tuple[float, int]]
    identity: str = "table"
    preferred_batch: int = 3
    finish_reasons: Mapping[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def submit(self, request: Request) -> Answered:
        self.requests.append(request)
        reason: Any = self.finish_reasons.get(request.id, "stop")
        text = self.answers[request.id]
        return Answered(Generation(request.id, text, finish_reason=reason, usage=Usage(5, len(text.split()))))

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        for item in items:
            logprob, num_tokens = self.likelihoods[item.id]
            yield ScoreResult(item.id, logprob, num_tokens, len(item.continuation.encode()))

    def close(self) -> None:
        pass


MakeExample = Callable[..., Example]
MakeEngine = Callable[..., TableEngine]


@pytest.fixture
def make_example() -> MakeExample:
    def make(name: str, reference: str = "one two three four", *, method: str = "templates", language: str = "en",
             requirements: tuple[RequirementSpec, ...] = (), **groups: str) -> Example:  # fmt: skip
        return Example(
            id=name, messages=conversation(f"Question {name}?", reference), method=method, source="test",
            language=language, requirements=requirements, meta=canonical_json({"groups": groups}),
        )  # fmt: skip

    return make


@pytest.fixture
def make_engine() -> MakeEngine:
    """`make_engine(rows, answer, nats)`: `answer` a text or a function of the row, `nats` per token of 4 tokens."""

    def make(rows: list[Example], answer: Any, nats: Any = 2.0, **more: Any) -> TableEngine:
        texts = {row.id: answer(row) if callable(answer) else answer for row in rows}
        scores = {row.id: (-4.0 * (nats(row) if callable(nats) else nats), 4) for row in rows}
        return TableEngine(texts, scores, **more)

    return make
