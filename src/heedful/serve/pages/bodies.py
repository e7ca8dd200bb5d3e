"""What the page may send. The store checks what can be stored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Line = Annotated[str, Field(max_length=200)]
Prompt = Annotated[str, Field(max_length=100_000)]


class Body(BaseModel):
    """Frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NewConversation(Body):
    """Begin a conversation."""

    system: Prompt = ""


class ConversationChange(Body):
    """What is None stays."""

    title: Line | None = None
    system: Prompt | None = None


class NewMessage(Body):
    """What a person says; `parent` is the answer before it, None at the beginning."""

    content: Prompt
    parent: str | None = None


class Ask(Body):
    """How to answer."""

    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] = 512


class Judgement(Body):
    """What a person says about an answer."""

    rating: Literal[-1, 0, 1] = 0
    reason: Prompt = ""
    correction: Prompt = ""
