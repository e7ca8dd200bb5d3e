"""What all engines share: closing at the end of a `with` block, and refusing at once what they cannot do."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from heedful.errors import InputError, ModelError
from heedful.generate.engine import Request


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
    """Raise the UserError for a request that no engine here can answer as asked."""
    sampling = request.sampling
    problems = [
        (bool(request.messages) == bool(request.prompt_ids), "give either messages or prompt_ids"),
        (sampling.temperature < 0, f"temperature is {sampling.temperature}, expected 0 (greedy) or more"),
        (not 0 < sampling.top_p <= 1, f"top_p is {sampling.top_p}, expected more than 0 and at most 1"),
        (sampling.top_k < 0, f"top_k is {sampling.top_k}, expected 0 (no limit) or more"),
        (sampling.max_tokens < 1, f"max_tokens is {sampling.max_tokens}, expected at least 1"),
        (sampling.n < 1, f"n is {sampling.n}, expected at least 1"),
        ("" in sampling.stop, "a stop string is empty; leave it out"),
        (bool(request.requirements), "requirements cannot be enforced while decoding; say them in the prompt instead"),
        (bool(request.control), "control attributes are not supported by this engine; leave `control` empty"),
    ]
    for is_wrong, message in problems:
        if is_wrong:
            raise InputError(f"request {request.id!r}: {message}")
    if request.adapter is not None:
        raise ModelError(
            f"request {request.id!r}: engines hold one model; load the adapter {request.adapter!r} with models.load "
            "and make an engine of it"
        )
