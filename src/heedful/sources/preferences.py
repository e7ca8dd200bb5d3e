"""Rows of a chosen and a rejected answer -> Preference.

The prompt stands in `messages` or `conversations`, in `prompt` or `instruction` (text, or messages), or it is what
both answers begin with, when they are whole conversations: lists of messages, or transcripts of "Human:" and
"Assistant:" turns (HH-RLHF).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from heedful.records import Message, Preference
from heedful.sources.conversations import as_message, as_messages, turns
from heedful.sources.rows import Row, known_fields, message_input, without_placeholder
from heedful.sources.triples import history

_TRANSCRIPT = re.compile(r"^\s*Human: ")
_TURN = re.compile(r"\n\n(Human|Assistant):[ ]?")


def shape(columns: Sequence[str]) -> str:
    """The shape's name for a file with these columns; empty when it is none of ours."""
    fields = known_fields(columns)
    return "preferences" if {"chosen", "rejected"} <= fields.keys() else ""


def read(row: Row) -> list[Preference]:
    """The row's one record."""
    chosen, rejected = (_answer(row, row.take(name), name) for name in ("chosen", "rejected"))
    if len(chosen) > 1 or len(rejected) > 1:
        return [_of_conversations(row, chosen, rejected)]
    return [row.preference(_prompt(row), chosen[-1].content, rejected[-1].content)]


def _answer(row: Row, value: Any, name: str) -> list[Message]:
    """One assistant message, or a whole conversation that ends with one."""
    if isinstance(value, list):
        messages = as_messages(row, value, name)
    elif isinstance(value, Mapping):
        messages = [as_message(row, value, name)]
    else:
        text = row.as_text(value, name)
        messages = _transcript(text) if _TRANSCRIPT.match(text) else [Message("assistant", text)]
    if not messages or messages[-1].role != "assistant":
        raise row.error(name, "does not end with an assistant message", "complete it or skip the row")
    return messages


def _transcript(text: str) -> list[Message]:
    pieces = _TURN.split("\n\n" + text.lstrip())
    turns = zip(pieces[1::2], pieces[2::2], strict=True)
    return [Message("user" if speaker == "Human" else "assistant", said.strip()) for speaker, said in turns]


def _of_conversations(row: Row, chosen: list[Message], rejected: list[Message]) -> Preference:
    if chosen[:-1] != rejected[:-1]:
        raise row.error(
            "rejected",
            "does not begin with the same messages as 'chosen'",
            "only the last answers may differ: skip the row",
        )
    # A prompt beside them is told twice: the conversations are the fuller account, and it stays in the meta.
    return row.preference([*row.system(), *chosen[:-1]], chosen[-1].content, rejected[-1].content)


def _prompt(row: Row) -> list[Message]:
    if row.has("conversations") or row.has("messages"):
        return turns(row)
    prompt = row.take("instruction")
    if isinstance(prompt, list):
        return [*row.system(), *as_messages(row, prompt, "prompt")]
    text = message_input(row.as_text(prompt, "instruction"), without_placeholder(row.text("input", "")))
    return [*row.system(), *history(row), Message("user", text)]
