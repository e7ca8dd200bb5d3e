"""What all engines share: closing at the end of a `with` block, and refusing at once what they cannot do."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import fields
from types import TracebackType
from typing import Self

from heedful.errors import InputError, RequirementError
from heedful.generate.engine import Request, Sampling, ScoreRequest
from heedful.records import RequirementSpec


class ClosesItself:
    """`with LocalEngine(model) as engine:` closes the engine at the end."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_request(request: Request) -> None:
    """Raise the UserError for a request that no engine could answer as asked."""
    sampling = request.sampling
    problems = [
        (bool(request.messages) == bool(request.prompt_ids), "give either messages or prompt_ids"),
        (sampling.temperature < 0, f"temperature is {sampling.temperature}, expected 0 (greedy) or more"),
        (not 0 < sampling.top_p <= 1, f"top_p is {sampling.top_p}, expected more than 0 and at most 1"),
        (sampling.top_k < 0, f"top_k is {sampling.top_k}, expected 0 (no limit) or more"),
        (not 0 <= sampling.min_p <= 1, f"min_p is {sampling.min_p}, expected 0 (no limit) to 1"),
        (sampling.max_tokens < 1, f"max_tokens is {sampling.max_tokens}, expected at least 1"),
        (
            not 0 <= sampling.min_tokens <= sampling.max_tokens,
            f"min_tokens is {sampling.min_tokens}, expected 0 to max_tokens ({sampling.max_tokens})",
        ),
        (sampling.n < 1, f"n is {sampling.n}, expected at least 1"),
        ("" in sampling.stop, "a stop string is empty; leave it out"),
        (
            sampling.repetition_penalty <= 0,
            f"repetition_penalty is {sampling.repetition_penalty}, expected more than 0",
        ),
        (sampling.num_beams < 1, f"num_beams is {sampling.num_beams}, expected at least 1"),
        (
            sampling.num_beams > 1 and sampling.n > sampling.num_beams,
            f"n is {sampling.n}, but {sampling.num_beams} beams give no more answers than that",
        ),
        (
            sampling.num_beams > 1 and sampling.temperature > 0,
            "beam search is greedy: set temperature to 0, or num_beams to 1",
        ),
        (request.top_logprobs < 0, f"top_logprobs is {request.top_logprobs}, expected 0 or more"),
        (request.top_logprobs > 0 and not request.logprobs, "top_logprobs needs logprobs"),
        (bool(request.control), "control attributes are not supported by this engine; leave `control` empty"),
    ]
    for is_wrong, message in problems:
        if is_wrong:
            raise InputError(f"request {request.id!r}: {message}")


def check_score_request(item: ScoreRequest) -> None:
    """Raise InputError for a score request that no engine could compute as asked."""
    if bool(item.messages) == bool(item.prompt_ids):
        raise InputError(f"score request {item.id!r}: give either messages or prompt_ids")
    if bool(item.prompt_ids) != bool(item.continuation_ids) or (item.prompt_ids and item.continuation):
        raise InputError(
            f"score request {item.id!r}: prompt_ids go with continuation_ids, at least one of each; messages with continuation"
        )


def refuse_score_ids(item: ScoreRequest, engine: str) -> None:
    """Raise InputError when `item` gives ids, for an engine that only scores answers to messages."""
    if item.prompt_ids or item.continuation_ids:
        raise InputError(
            f"score request {item.id!r}: {engine} cannot score prompt_ids and continuation_ids; give messages and "
            "continuation, or use a local engine"
        )


def refuse_unsupported(request: Request, able: Container[str], engine: str) -> None:
    """Raise InputError when `request` sets something that `engine` (its name in the message) cannot honour.

    `able` holds the names of the fields of Sampling, and of Request, that it does honour. Nothing is ignored silently.
    """
    default = Sampling()
    asked = [
        field.name
        for field in fields(Sampling)
        if getattr(request.sampling, field.name) != getattr(default, field.name)
    ]
    asked += [name for name in ("prompt_ids", "adapter", "logprobs", "top_logprobs") if getattr(request, name)]
    if "requirements" not in able:
        refuse_requirements(request, request.requirements, engine)
    if refused := [name for name in asked if name not in able]:
        raise InputError(f"request {request.id!r}: {engine} cannot honour {', '.join(refused)}; leave that out")


def refuse_requirements(request: Request, specs: Iterable[RequirementSpec], engine: str) -> None:
    """Raise RequirementError when any of `specs` is to be enforced, for an engine that cannot."""
    if kinds := list(dict.fromkeys(spec.kind for spec in specs if spec.enforce)):
        raise RequirementError(
            f"request {request.id!r}: {engine} cannot enforce the requirement {' or '.join(map(repr, kinds))} while it writes; say it "
            'in the prompt, and set "enforce": false to have it only checked'
        )
