"""Rows that hold a conversation -> Example: ShareGPT (`from` / `value`) and OpenAI messages (`role` / `content`).

Tool calls become the assistant's words as JSON, what a tool returned becomes a message of role `tool`, the tools
themselves stay in the row's meta. A row with a true or false `label` (KTO) is a good or a bad answer; a bad one is
kept with weight 0, so that nothing trains on it by accident.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heedful.records import Example, Message, Role, canonical_json
from heedful.sources.rows import Row, known_fields, shown

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "系统": "system",
    "用户": "user",
    "助手": "assistant",
    "工具": "tool",
}
"""Names of speakers in data sets -> role."""

_TEXT_KEYS = ("text", "value", "content")


def shape(columns: Sequence[str]) -> str:
    """The shape's name for a file with these columns; empty when it is none of ours."""
    fields = known_fields(columns)
    name = "sharegpt" if "conversations" in fields else "messages" if "messages" in fields else ""
    return f"{name} with labels" if name and "label" in fields else name


def read(row: Row) -> list[Example]:
    """The row's one record."""
    messages = turns(row)
    tools = row.take("tools", None)
    label = row.take("label", None)
    if label is None:
        return [row.example(messages, more={"tools": tools})]
    if not isinstance(label, bool):
        raise row.error(
            "label", f"is {shown(label)}, expected true or false", "label a good answer true, a bad one false"
        )
    more = {"tools": tools, "label": "desirable" if label else "undesirable"}
    return [row.example(messages, weight=1.0 if label else 0.0, more=more)]


def turns(row: Row) -> list[Message]:
    """The row's messages, its `system` column first."""
    name = "conversations" if row.has("conversations") else "messages"
    return [*row.system(), *as_messages(row, row.structured(name, list), name)]


def as_messages(row: Row, items: Sequence[Any], name: str) -> list[Message]:
    """Messages from a list of turns found in the field `name`."""
    return [as_message(row, item, f"{name}[{index}]") for index, item in enumerate(items)]


def as_message(row: Row, item: Any, name: str) -> Message:
    """One message from an object with a speaker and what was said."""
    if not isinstance(item, Mapping):
        raise row.error(name, f"is {shown(item)}, expected an object", 'write {"role": "user", "content": "..."}')
    speaker = item.get("role", item.get("from"))
    role = ROLES.get(speaker.strip().lower()) if isinstance(speaker, str) else None
    if role is None:
        raise row.error(f"{name}.role", f"is {shown(speaker)}, not a known speaker", f"write one of {', '.join(ROLES)}")
    content = next((item[key] for key in ("content", "value", "text") if item.get(key) is not None), None)
    calls = item.get("tool_calls") or item.get("function_call")
    if calls:
        said = [_content(row, content, name)] if content else []
        return Message(role, "\n".join([*said, row.as_text(canonical_json(calls), f"{name}.tool_calls")]))
    return Message(role, _content(row, content, f"{name}.content"))


def _content(row: Row, content: Any, name: str) -> str:
    """Text, or the texts of a list of parts (`{"type": "text", "text": ...}`)."""
    if not isinstance(content, list):
        return row.as_text(content, name)
    texts = []
    for part in content:
        text = part if isinstance(part, str) else None
        if isinstance(part, Mapping) and part.get("type", "text") == "text":
            text = next((part[key] for key in _TEXT_KEYS if isinstance(part.get(key), str)), None)
        if text is None:
            raise row.error(
                name, f"holds a part that is not text: {shown(part)}", "only text can be trained on: skip the row"
            )
        texts.append(row.as_text(text, name))
    return "".join(texts)
