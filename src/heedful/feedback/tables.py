"""The tables of the feedback store, as they are now. `migrations/` brings older databases to this state.

`number` orders rows as they were created; `id` is what the world outside sees. Names begin with `heedful_`, so that
the tables can live in a database that serves other programs too. Texts are of any length in both databases.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

VERSION_TABLE = "heedful_version"
"""Where alembic keeps the revision of the schema."""

WHO_LENGTH = 200
"""`who` is part of a unique index, whose entries PostgreSQL limits to about 2,700 bytes: 200 characters are 800."""

_ID = String(32)
_TIME = String(27)


class Base(DeclarativeBase):
    """Every constraint has a name, so that migrations can speak of it in either database."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_primary",
            "fk": "%(table_name)s_%(column_0_name)s_reference",
            "uq": "%(table_name)s_%(column_0_N_name)s_unique",
            "ix": "%(table_name)s_%(column_0_N_name)s_index",
        }
    )


class ConversationRow(Base):
    """A conversation; a hidden one was deleted by its user."""

    __tablename__ = "heedful_conversation"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(_ID, unique=True)
    title: Mapped[str] = mapped_column(Text)
    system: Mapped[str] = mapped_column(Text)
    who: Mapped[str] = mapped_column(String(WHO_LENGTH))
    hidden: Mapped[bool]
    created: Mapped[str] = mapped_column(_TIME)
    changed: Mapped[str] = mapped_column(_TIME, index=True)


class MessageRow(Base):
    """One message; those with the same parent are versions of each other."""

    __tablename__ = "heedful_message"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(_ID, unique=True)
    conversation: Mapped[str] = mapped_column(_ID, ForeignKey(ConversationRow.id), index=True)
    parent: Mapped[str | None] = mapped_column(_ID, ForeignKey("heedful_message.id"))
    role: Mapped[str] = mapped_column(String(16))
    content: Mapped[str] = mapped_column(Text)
    system: Mapped[str] = mapped_column(Text)
    """The system prompt that was in force: that of the conversation may be changed later."""
    model: Mapped[str] = mapped_column(Text)
    finish_reason: Mapped[str] = mapped_column(Text)
    sampling: Mapped[str] = mapped_column(Text)
    """JSON."""
    created: Mapped[str] = mapped_column(_TIME)


class FeedbackRow(Base):
    """What one person last said about one message."""

    __tablename__ = "heedful_feedback"
    __table_args__ = (UniqueConstraint("message", "who"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(_ID, unique=True)
    message: Mapped[str] = mapped_column(_ID, ForeignKey(MessageRow.id))
    who: Mapped[str] = mapped_column(String(WHO_LENGTH))
    rating: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    correction: Mapped[str] = mapped_column(Text)
    given: Mapped[str] = mapped_column(_TIME)
