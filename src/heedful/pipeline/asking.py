"""How prompts are to be answered, as `heedful generate` is told it; and one instruction, answered that way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from heedful.errors import InputError, UserError
from heedful.generate.engine import Engine, Request, Sampling
from heedful.generate.several import Agreement, likeliest, sampled, vote
from heedful.pipeline.answering import Answer, checked, prompt_of
from heedful.pipeline.engines import ENFORCING, Need, is_endpoint
from heedful.pipeline.requiring import Wanted, wanted
from heedful.project.settings import nearest
from heedful.records import Generation, Message, RequirementSpec, Usage


@dataclass(frozen=True, slots=True)
class Asked:
    """What is the same for all prompts of one command; raises InputError for what cannot be meant together."""

    sampling: Sampling = field(default_factory=Sampling)
    requirements: tuple[RequirementSpec, ...] = ()
    """Of every answer; said in the prompt, and enforced where they say so."""
    check_only: bool = False
    """No requirement is enforced, wherever it comes from."""
    auto_require: bool = False
    """What an instruction itself states is required too."""
    top_logprobs: int | None = None
    """How many alternatives are told beside each token's log-probability; None tells no log-probabilities."""
    best_of: int | None = None
    """So many answers are sampled, and the likeliest is kept."""
    majority: int | None = None
    """So many answers are sampled, and one that says what most of them say is kept, with the votes."""
    ties_by_likelihood: bool = True
    """Whether, with `majority`, log-probabilities are asked for, to settle ties."""

    def __post_init__(self) -> None:
        if self.best_of is not None and self.majority is not None:
            raise InputError("best_of and majority (--best-of, --majority) exclude each other; leave one of them out")
        if self.num_samples is not None:
            name = "majority" if self.best_of is None else "best_of"
            if self.sampling.n != 1:
                raise InputError(f"{name} keeps one answer to each prompt; leave n (--n) at 1")
            try:
                sampled(Request(name, sampling=self.sampling), self.num_samples, logprobs=False)
            except InputError as error:
                raise InputError(str(error).removeprefix("request ").replace(f"{name!r}", name, 1)) from None

    @property
    def num_samples(self) -> int | None:
        """How many answers are sampled to keep one of them; None where all are kept."""
        return self.majority if self.best_of is None else self.best_of

    @property
    def needs(self) -> frozenset[Need]:
        """What an engine must be able to do."""
        enforces = not self.check_only and (self.auto_require or any(spec.enforce for spec in self.requirements))
        logprobs: frozenset[Need] = frozenset({"logprobs"} if self._wants_logprobs else ())
        return logprobs | (ENFORCING if enforces else frozenset())

    def wanted(self, instruction: str, own: tuple[RequirementSpec, ...] = ()) -> Wanted:
        """All requirements of an instruction; `own` are those that its row gives."""
        given = (*own, *self.requirements)
        return wanted(instruction, given, auto_require=self.auto_require, check_only=self.check_only)

    def of(self, model: str) -> Asked:
        """The same, asked of `model`: not every endpoint tells log-probabilities, and ties can be settled without."""
        return replace(self, ties_by_likelihood=not is_endpoint(model))

    def request(
        self, id: str, messages: tuple[Message, ...], requirements: tuple[RequirementSpec, ...] = ()
    ) -> Request:
        """The request for one prompt, whose requirements are said in it already."""
        request = Request(
            id,
            messages,
            sampling=self.sampling,
            requirements=requirements,
            logprobs=self._wants_logprobs,
            top_logprobs=self.top_logprobs or 0,
        )
        return request if self.num_samples is None else sampled(request, self.num_samples, logprobs=False)

    def kept(self, generations: Sequence[Generation]) -> Kept:
        """Of all answers to one prompt, those that are shown."""
        if self.num_samples is None:
            return Kept(tuple(generations))
        agreement = vote(generations) if self.majority is not None else None
        chosen = likeliest(generations) if agreement is None else agreement.generation
        # As it was sampled: it must not pass for as long as all of them together.
        (own,) = (generation for generation in generations if generation.index == chosen.index)
        return Kept((self._told(own),), chosen.usage, agreement)

    @property
    def _wants_logprobs(self) -> bool:
        settles_ties = self.majority is not None and self.ties_by_likelihood
        return self.top_logprobs is not None or self.best_of is not None or settles_ties

    def _told(self, generation: Generation) -> Generation:
        """Without the log-probabilities that only the choice needed; it is the prompt's one answer."""
        return replace(generation, index=0, logprobs=generation.logprobs if self.top_logprobs is not None else None)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is shown of all that was sampled for one prompt."""

    generations: tuple[Generation, ...]
    usage: Usage | None = None
    """Where one of several was chosen: what all of them took."""
    agreement: Agreement | None = None
    """With `majority`."""

    def answers(self, requirements: tuple[RequirementSpec, ...]) -> list[Answer]:
        """With a verdict on each requirement."""
        return [checked(generation, requirements) for generation in self.generations]

    def answers_as_dicts(self, requirements: tuple[RequirementSpec, ...]) -> list[dict[str, Any]]:
        """For JSON; tokens are counted for all that was sampled."""
        told = [answer_as_dict(answer) for answer in self.answers(requirements)]
        if self.usage is not None:
            counts = {"prompt_tokens": self.usage.prompt_tokens, "completion_tokens": self.usage.completion_tokens}
            told = [{**answer, **counts} for answer in told]
        return told

    def majority_as_dict(self) -> dict[str, Any]:
        """For JSON: `{"majority": {...}}`, or nothing where no votes were counted."""
        if self.agreement is None:
            return {}
        votes = dict(self.agreement.votes)
        return {"majority": {"answer": self.agreement.answer, "share": self.agreement.share, "votes": votes}}


def answers_to(engine: Engine, instruction: str, input: str, asked: Asked, wanted: Wanted) -> Kept:
    """The answers to one instruction; what is `wanted` of them and not in it yet is said behind it."""
    prompt = prompt_of(instruction, input, wanted.said, seed=asked.sampling.seed)
    request = asked.request("prompt", (Message("user", prompt),), wanted.all)
    try:
        handle = engine.submit(request)
    except UserError as error:
        raise without_id(error, request.id) from None
    return asked.kept(handle.result())


def without_id(error: UserError, id: str) -> UserError:
    """The same error for somebody who made no request and knows no id."""
    return type(error)(str(error).removeprefix(f"request {id!r}: "))


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
