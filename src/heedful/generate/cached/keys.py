"""What an answer depends on -> the key under which it is kept.

The fields that requests had when the first answers were kept are always part of a key. Fields that came later are part of it only
where they differ from their default, which means "off" for each of them: so a new way to choose tokens leaves the answers that
were paid for before it existed where they are, and an answer that uses it has a key of its own.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from operator import attrgetter
from typing import Any

from heedful.generate.engine import Request, Sampling, ScoreRequest
from heedful.records import digest

# Raised when keys or values change their meaning, which orphans everything that users have paid for.
SCHEMA_VERSION = 1

_FIRST_OF_REQUEST = ("prompt_ids", "adapter", "control", "logprobs")
_FIRST_OF_SAMPLING = ("temperature", "top_p", "top_k", "seed", "max_tokens", "stop", "n")
# Taken apart below.
_NESTED = {"id", "messages", "sampling", "requirements"}


class _Fields:
    """The fields of a request or a sampling that are part of a key. Read all at once: keys are made by the million."""

    def __init__(self, default: Request | Sampling, first: tuple[str, ...]) -> None:
        later = tuple(field.name for field in fields(default) if field.name not in {*first, *_NESTED})
        self._names, self._later_names = first, later
        self._values, self._later_values = attrgetter(*first), attrgetter(*later)
        self._defaults = self._of_later(default)

    def of(self, value: Request | Sampling) -> dict[str, Any]:
        found = dict(zip(self._names, self._values(value), strict=True))
        later = self._of_later(value)
        if later != self._defaults:
            triples = zip(self._later_names, later, self._defaults, strict=True)
            found |= {name: own for name, own, default in triples if own != default}
        return found

    def _of_later(self, value: Request | Sampling) -> tuple[Any, ...]:
        values = self._later_values(value)
        # Of one name an attrgetter returns the value alone.
        return values if len(self._later_names) > 1 else (values,)


_OF_REQUEST = _Fields(Request(""), _FIRST_OF_REQUEST)
_OF_SAMPLING = _Fields(Sampling(), _FIRST_OF_SAMPLING)


def request_key(identity: str, request: Request) -> str:
    """The same for requests that the engine called `identity` answers alike; a request's id says nothing about that."""
    sampling = _OF_SAMPLING.of(request.sampling)
    if "logit_bias" in sampling:
        # Whoever adds to the logits in another order adds the same.
        sampling["logit_bias"] = sorted(sampling["logit_bias"])
    content = _OF_REQUEST.of(request) | {
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "requirements": [asdict(spec) for spec in request.requirements],
        "control": dict(request.control),
        "sampling": sampling,
    }
    return digest(["answer", SCHEMA_VERSION, identity, content])


def score_key(identity: str, item: ScoreRequest) -> str:
    """The same for everything but the id."""
    messages = [[message.role, message.content] for message in item.messages]
    content: list[Any] = ["score", SCHEMA_VERSION, identity, messages, item.continuation]
    # Ids came later than the first scores that were kept.
    if item.prompt_ids or item.continuation_ids:
        content += [item.prompt_ids, item.continuation_ids]
    return digest(content)
