"""What people say about answers -> rows of JSON Lines, from which `heedful import` makes Examples and Preferences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful._lazy import public_names

if TYPE_CHECKING:
    from heedful.feedback.rows import write_feedback
    from heedful.feedback.store import Conversation, NotFoundError, Store, StoredMessage

__all__ = ["Conversation", "NotFoundError", "Store", "StoredMessage", "write_feedback"]

__getattr__ = public_names(
    __name__,
    {
        "Conversation": "store",
        "NotFoundError": "store",
        "Store": "store",
        "StoredMessage": "store",
        "write_feedback": "rows",
    },
)
