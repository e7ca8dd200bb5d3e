"""How prompts are to be answered, as `heedful generate` is told it; and one instruction, answered that way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from heedful.errors import InputError
from heedful.generate.engine import Engine, Request, Sampling
from heedful.pipeline.answering import Answer, prompt_of
from heedful.pipeline.engines import Need
from heedful.project.settings import nearest
from heedful.records import Generation, Message, RequirementSpec
from heedful.requirements import check_all


@dataclass(frozen=True, slots=True)
class Asked:
    """What is the same for all prompts of one command."""

    sampling: Sampling = field(default_factory=Sampling)
    requirements: tuple[RequirementSpec, ...] = ()
    top_logprobs: int | None = None
    """How many alternatives are told beside each token's log-probability; None tells no log-probabilities."""

    @property
    def needs(self) -> frozenset[Need]:
        """What an engine must be able to do."""
        return frozenset({"logprobs"} if self.top_logprobs is not None else ())

    def request(self, id: str, messages: tuple[Message, ...]) -> Request:
        """The request for one prompt."""
        return Request(
            id,
            messages,
            sampling=self.sampling,
            logprobs=self.top_logprobs is not None,
            top_logprobs=self.top_logprobs or 0,
        )


def answers_to(engine: Engine, instruction: str, input: str, asked: Asked) -> list[Answer]:
    """All `n` answers to one instruction; requirements are said in it, and each answer is checked."""
    prompt = prompt_of(instruction, input, asked.requirements, seed=asked.sampling.seed)
    generations = engine.submit(asked.request("prompt", (Message("user", prompt),))).result()
    return [checked(generation, asked.requirements) for generation in generations]


def checked(generation: Generation, requirements: tuple[RequirementSpec, ...]) -> Answer:
    """A generation with a verdict on each requirement."""
    return Answer(generation, tuple(check_all(requirements, generation.text)))


def answer_as_dict(answer: Answer) -> dict[str, Any]:
    """For JSON; log-probabilities only where they were asked for."""
    generation = answer.generation
    if generation.logprobs is None:
        return answer.as_dict()
    told: dict[str, Any] = {
        "token_ids": list(generation.token_ids),
        "logprobs": [_number(value) for value in generation.logprobs],
    }
    if generation.top_logprobs:
        told["top_logprobs"] = [[[token, _number(value)] for token, value in top] for top in generation.top_logprobs]
    return {**answer.as_dict(), **told}


def sampling_from(given: Mapping[str, Any], more: Iterable[str] = ()) -> Sampling:
    """Fields by name, and texts `name=value` for others; raises InputError naming the nearest field."""
    values = dict(given)
    types = {field.name: str(field.type) for field in fields(Sampling)}
    for name in values:
        _check_name(name, types)
    for text in more:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        _check_name(name, types)
        if name in given:
            raise InputError(f"--sampling {text}: {name} has an option of its own, --{name.replace('_', '-')}")
        if not equals or not value.strip():
            raise InputError(f"--sampling {text}: expected name=value, for example min_tokens=5")
        values[name] = _parsed(name, types[name], value.strip())
    return Sampling(**values)


def _check_name(name: str, types: Mapping[str, str]) -> None:
    if name not in types:
        raise InputError(f"there is no sampling option {name!r}; {nearest(name, list(types))}")


def _parsed(name: str, kind: str, text: str) -> Any:
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return _finite(text)
        pairs = (pair.split(":") for pair in text.split(","))
        return tuple((int(token), _finite(bias)) for token, bias in pairs)
    except ValueError:
        expected = {"int": "a whole number", "float": "a number"}.get(kind, "tokens with biases, such as 42:-100,7:2.5")
        raise InputError(f"--sampling {name}={text}: expected {expected}") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _number(value: float) -> float | None:
    """JSON has no minus infinity, the logarithm of what cannot be."""
    return value if math.isfinite(value) else None
