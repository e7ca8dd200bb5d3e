"""Rows for curation tests: only what a test is about needs to be said."""

from __future__ import annotations

from itertools import count
from typing import Any, Protocol

import pytest

from heedful.records import Example, Message, canonical_json, conversation, origin_id


class MakeRow(Protocol):
    """Makes an Example; ids differ, whatever the content."""

    def __call__(self, instruction: str = ..., output: str = ..., **fields: Any) -> Example: ...


@pytest.fixture
def make_row() -> MakeRow:
    numbers = count()

    def make(instruction: str = "Name a colour.", output: str = "Blue is one.", **fields: Any) -> Example:
        messages: tuple[Message, ...] = conversation(instruction, output, input=fields.pop("input", ""))
        meta = canonical_json({"groups": fields.pop("groups", {})})
        defaults = {"id": origin_id("test", str(next(numbers))), "messages": messages, "meta": meta}
        return Example(**{"method": "import", "source": "test", "language": "en", **defaults, **fields})

    return make
