"""What an answer depends on -> the key under which it is kept.

The fields that requests had when the first answers were kept are always part of a key. Fields that came later are part of it only
where they differ from their default, which means "off" for each of them: so a new way to choose tokens leaves the answers that
were paid for before it existed where they are, and an answer that uses it has a key of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from heedful.generate.engine import Request, Sampling, ScoreRequest
from heedful.records import digest

# Raised when keys or values change their meaning, which orphans everything that users have paid for.
SCHEMA_VERSION = 1

_FIRST_OF_REQUEST = ("prompt_ids", "adapter", "control", "logprobs")
_FIRST_OF_SAMPLING = ("temperature", "top_p", "top_k", "seed", "max_tokens", "stop", "n")
# Taken apart below.
_NESTED = {"id", "messages", "sampling", "requirements"}


def _later(default: Request | Sampling, first: Iterable[str]) -> dict[str, Any]:
    """The fields that came later, with their defaults."""
    known = _NESTED | set(first)
    return {field.name: getattr(default, field.name) for field in fields(default) if field.name not in known}


_LATER_OF_REQUEST = _later(Request(""), _FIRST_OF_REQUEST)
_LATER_OF_SAMPLING = _later(Sampling(), _FIRST_OF_SAMPLING)


def request_key(identity: str, request: Request) -> str:
    """The same for requests that the engine called `identity` answers alike; a request's id says nothing about that."""
    sampling = _content(request.sampling, _FIRST_OF_SAMPLING, _LATER_OF_SAMPLING)
    if "logit_bias" in sampling:
        # Whoever adds to the logits in another order adds the same.
        sampling["logit_bias"] = sorted(sampling["logit_bias"])
    content = _content(request, _FIRST_OF_REQUEST, _LATER_OF_REQUEST) | {
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "requirements": [asdict(spec) for spec in request.requirements],
        "control": dict(request.control),
        "sampling": sampling,
    }
    return digest(["answer", SCHEMA_VERSION, identity, content])


def score_key(identity: str, item: ScoreRequest) -> str:
    """The same for everything but the id."""
    messages = [[message.role, message.content] for message in item.messages]
    return digest(["score", SCHEMA_VERSION, identity, messages, item.continuation])


def _content(value: Request | Sampling, first: Iterable[str], later: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: getattr(value, name) for name in first}
    for name, default in later.items():
        own = getattr(value, name)
        if own != default:
            found[name] = own
    return found
