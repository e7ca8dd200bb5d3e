"""Answers <-> the JSON values that are kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

from heedful.records import Generation, Usage

_FIELDS = tuple(field.name for field in fields(Generation))
_VALUES = attrgetter(*_FIELDS)


def to_value(answer: Iterable[Generation]) -> list[dict[str, Any]]:
    """All fields, by name."""
    return [
        dict(zip(_FIELDS, _VALUES(one), strict=True))
        | {"usage": {"prompt_tokens": one.usage.prompt_tokens, "completion_tokens": one.usage.completion_tokens}}
        for one in answer
    ]


def from_value(value: Iterable[Mapping[str, Any]]) -> tuple[Generation, ...]:
    """The inverse, after a trip through JSON; fields that a Generation did not have yet are as they are by default."""
    return tuple(_generation(one) for one in value)


def _generation(value: Mapping[str, Any]) -> Generation:
    logprobs, alternatives = value["logprobs"], value.get("top_logprobs")
    if alternatives is not None:
        alternatives = tuple(tuple((token, logprob) for token, logprob in row) for row in alternatives)
    return Generation(
        **{
            **value,
            "token_ids": tuple(value["token_ids"]),
            "logprobs": None if logprobs is None else tuple(logprobs),
            "top_logprobs": alternatives,
            "usage": Usage(**value["usage"]),
        }
    )
