"""Two engines, the same prompts: greedy answers, and the likelihood of the reference answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heedful.errors import EngineError
from heedful.generate.engine import Engine, Request, Sampling, ScoreRequest, ScoreResult, generate
from heedful.project import Watcher, steps
from heedful.records import Example, Generation

SYSTEMS = ("base", "tuned")


@dataclass(frozen=True, slots=True)
class Answers:
    """What one system said to every test row, in the rows' order, and how likely it found the references."""

    system: str
    identity: str
    generations: tuple[Generation, ...]
    scores: tuple[ScoreResult, ...]


def ask(engine: Engine, examples: Sequence[Example], *, system: str, max_tokens: int, watcher: Watcher) -> Answers:
    """Answers and likelihoods of one engine.

    A row's requirements are not passed on: the question is whether the model keeps them, not whether decoding can.
    """
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    requests = [Request(id=example.id, messages=example.prompt, sampling=sampling) for example in examples]
    references = [ScoreRequest(example.id, example.prompt, example.answer) for example in examples]
    generations: list[Generation] = []
    with steps(watcher, f"evaluate {system} answers", len(examples), "answers") as progress:
        for generation in generate(engine, requests):
            generations.append(generation)
            progress.advance()
    scores: list[ScoreResult] = []
    with steps(watcher, f"evaluate {system} likelihoods", len(examples), "references") as progress:
        for score in engine.score(references):
            scores.append(score)
            progress.advance()
    expected = [example.id for example in examples]
    if [g.request_id for g in generations] != expected or [score.id for score in scores] != expected:
        raise EngineError(
            f"the {system} engine ({engine.identity}) gave {len(generations)} answers and {len(scores)} scores to "
            f"{len(expected)} rows, or gave them out of order; an engine answers every request once, in request order"
        )
    return Answers(system, engine.identity, tuple(generations), tuple(scores))
