"""What the page is told about the records of the store."""

from __future__ import annotations

from typing import Any

from heedful.feedback.store import Conversation, StoredMessage
from heedful.records import Feedback
from heedful.serve.pages.markdown import to_html


def shown_conversation(conversation: Conversation) -> dict[str, Any]:
    """A line of the side bar."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "system": conversation.system,
        "created": conversation.created,
        "changed": conversation.changed,
    }


def shown_message(message: StoredMessage, feedback: Feedback | None = None) -> dict[str, Any]:
    """A message; what a model wrote comes with its HTML, what a person wrote is shown as it is."""
    return {
        "id": message.id,
        "parent": message.parent,
        "role": message.role,
        "content": message.content,
        "html": to_html(message.content) if message.role == "assistant" else "",
        "model": message.model,
        "finish_reason": message.finish_reason,
        "created": message.created,
        "feedback": shown_feedback(feedback) if feedback else None,
    }


def shown_feedback(feedback: Feedback) -> dict[str, Any]:
    """What was said about an answer."""
    return {"rating": feedback.rating, "reason": feedback.reason, "correction": feedback.correction}
