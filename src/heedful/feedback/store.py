"""Conversations, their messages, and what people said about the answers: kept in SQLite or PostgreSQL.

A conversation is a tree: answers with the same parent are versions of one answer. What a method acknowledged by
returning is there after a power cut. Texts are kept exactly; what a database could not keep (a NUL character, half of
a surrogate pair) is refused here, for both databases alike.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from heedful.errors import InputError
from heedful.feedback.opening import Database
from heedful.feedback.tables import WHO_LENGTH, ConversationRow, FeedbackRow, MessageRow
from heedful.records import ROLES, Feedback, Role, canonical_json

MAXIMUM_CHARACTERS = 10_000_000
"""Of one text: some twenty books. It keeps a runaway client from filling the disk with one request."""

_ID = re.compile(r"[0-9a-f]{32}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class NotFoundError(InputError):
    """No conversation or message with this id."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a list of conversations shows."""

    id: str
    title: str
    system: str
    """The system prompt for answers to come."""
    created: str
    """ISO 8601, UTC, like all times here."""
    changed: str
    """When a message was added, or title or system prompt were changed."""
    who: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of a conversation's tree."""

    id: str
    conversation: str
    parent: str | None
    role: Role
    content: str
    model: str = ""
    finish_reason: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    system: str = ""
    """The system prompt that was in force when it was written."""


class Store:
    """One per process, for all its threads. `url` is `sqlite:////absolute/path` or `postgresql://...`."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    def close(self) -> None:
        """Give the connections back; nothing waits to be written."""
        self._database.close()

    # -- conversations ----------------------------------------------------------------------------------------

    def new_conversation(self, *, title: str = "", system: str = "", who: str = "") -> Conversation:
        """An empty conversation."""
        _check_texts(title=title, system=system)
        now = _now()
        row = ConversationRow(
            id=uuid.uuid4().hex, title=title, system=system, who=_name(who), hidden=False, created=now, changed=now
        )
        with self._session(writes=True) as session:
            session.add(row)
            session.flush()
            return _conversation(row)

    def conversations(self, *, limit: int = 100) -> list[Conversation]:
        """Those that were not deleted; the one that changed last comes first."""
        newest = (ConversationRow.changed.desc(), ConversationRow.number.desc())
        query = select(ConversationRow).where(~ConversationRow.hidden).order_by(*newest).limit(limit)
        with self._session(writes=False) as session:
            return [_conversation(row) for row in session.scalars(query)]

    def conversation(self, id: str) -> Conversation:
        """Raises NotFoundError for one that never was or was deleted, as every method here does."""
        with self._session(writes=False) as session:
            return _conversation(_open_conversation(session, id))

    def change_conversation(self, id: str, *, title: str | None = None, system: str | None = None) -> Conversation:
        """Change what is given. A new system prompt holds for answers to come; earlier ones keep theirs."""
        changes = {name: value for name, value in (("title", title), ("system", system)) if value is not None}
        _check_texts(**changes)
        with self._session(writes=True) as session:
            row = _open_conversation(session, id, lock=True)
            for name, value in changes.items():
                setattr(row, name, value)
            row.changed = _now()
            return _conversation(row)

    def delete_conversation(self, id: str) -> None:
        """Hide it for good. What was said about its answers stays for the export."""
        with self._session(writes=True) as session:
            _open_conversation(session, id, lock=True).hidden = True

    # -- messages ---------------------------------------------------------------------------------------------

    def messages(self, conversation: str) -> list[StoredMessage]:
        """All of them, versions too, in order of creation."""
        with self._session(writes=False) as session:
            _open_conversation(session, conversation)
            return [_message(row) for row in _messages_of(session, conversation)]

    def message(self, id: str) -> StoredMessage:
        """Raises NotFoundError when it is unknown or its conversation was deleted."""
        with self._session(writes=False) as session:
            return _message(_open_message(session, id))

    def path(self, message: str) -> list[StoredMessage]:
        """From the conversation's first message to this one."""
        with self._session(writes=False) as session:
            row = _open_message(session, message)
            return _path({each.id: _message(each) for each in _messages_of(session, row.conversation)}, row.id)

    def add_message(
        self,
        conversation: str,
        role: Role,
        content: str,
        *,
        parent: str | None,
        model: str = "",
        finish_reason: str = "",
        sampling: Mapping[str, Any] = {},
        system: str | None = None,
    ) -> StoredMessage:
        """Add a message after `parent`. `system` is the system prompt that it was written under, by default the
        conversation's own: name it when the answer took a while, for it may have been changed meanwhile."""
        _check_texts(content=content, model=model, finish_reason=finish_reason, system=system or "")
        if role not in ROLES:
            raise InputError(f"a message's role is {role!r}; expected one of {', '.join(ROLES)}")
        if role == "user" and not content.strip():
            raise InputError("the message is empty; write something")
        with self._session(writes=True) as session:
            told = _open_conversation(session, conversation, lock=True)
            _check_parent(session, told.id, role, parent)
            row = MessageRow(
                id=uuid.uuid4().hex,
                conversation=told.id,
                parent=parent,
                role=role,
                content=content,
                system=told.system if system is None else system,
                model=model,
                finish_reason=finish_reason,
                sampling=_json(sampling),
                created=_now(),
            )
            session.add(row)
            told.changed = row.created
            session.flush()
            return _message(row)

    # -- feedback ---------------------------------------------------------------------------------------------

    def rate(self, message: str, *, rating: int = 0, reason: str = "", correction: str = "", who: str = "") -> Feedback:
        """Keep what `who` says about an answer, in place of what they said before. Saying nothing takes it back."""
        if isinstance(rating, bool) or rating not in (-1, 0, 1):
            raise InputError(f"the rating is {rating!r}; expected 1, -1, or 0 for none")
        _check_texts(reason=reason, correction=correction)
        who = _name(who)
        with self._session(writes=True) as session:
            # Locked, so that of two first ratings at once one becomes an update.
            answer = _open_message(session, message, lock=True)
            if answer.role != "assistant":
                raise InputError(f"message {message} is by the {answer.role}; only answers can be rated")
            given = select(FeedbackRow).where(FeedbackRow.message == message, FeedbackRow.who == who)
            row = session.scalar(given) or FeedbackRow(id=uuid.uuid4().hex, message=message, who=who)
            row.rating, row.reason, row.correction, row.given = rating, reason, correction, _now()
            session.add(row)
            session.flush()
            return _feedback(row, answer.conversation)

    def feedback_of(self, conversation: str) -> dict[str, Feedback]:
        """By message; where several people spoke about one, what was said last."""
        with self._session(writes=False) as session:
            _open_conversation(session, conversation)
            rows = sorted(_feedback_of(session, conversation), key=lambda row: (row.given, row.number))
            return {row.message: _feedback(row, conversation) for row in rows}

    def export_rows(self) -> Iterator[dict[str, Any]]:
        """Everything said, deleted conversations included, by conversation and then in order of first being said."""
        rated = select(MessageRow.conversation).join(FeedbackRow, FeedbackRow.message == MessageRow.id)
        told = select(ConversationRow.id).where(ConversationRow.id.in_(rated)).order_by(ConversationRow.number)
        with self._session(writes=False) as session:
            for conversation in session.scalars(told).all():
                # Feedback first: what is said meanwhile may be about a message that was not there yet.
                said = _feedback_of(session, conversation)
                messages = {row.id: _message(row) for row in _messages_of(session, conversation)}
                for row in said:
                    yield _export_row(_feedback(row, conversation), _path(messages, row.message))
                session.expunge_all()

    @contextmanager
    def _session(self, *, writes: bool) -> Iterator[Session]:
        """A transaction: committed, and thereby durable, when the block ends."""
        with (
            self._database.transaction(writes=writes) as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session
            session.flush()


# -- rows -> records ------------------------------------------------------------------------------------------


def _conversation(row: ConversationRow) -> Conversation:
    return Conversation(row.id, row.title, row.system, row.created, row.changed, row.who, row.hidden)


def _message(row: MessageRow) -> StoredMessage:
    return StoredMessage(
        id=row.id,
        conversation=row.conversation,
        parent=row.parent,
        role=cast(Role, row.role),
        content=row.content,
        model=row.model,
        finish_reason=row.finish_reason,
        sampling=json.loads(row.sampling),
        created=row.created,
        system=row.system,
    )


def _feedback(row: FeedbackRow, conversation: str) -> Feedback:
    return Feedback(
        id=row.id,
        conversation=conversation,
        message=row.message,
        rating=row.rating,
        reason=row.reason,
        correction=row.correction,
        who=row.who,
        when=row.given,
    )


def _export_row(said: Feedback, path: list[StoredMessage]) -> dict[str, Any]:
    answer = path[-1]
    system = [{"role": "system", "content": answer.system}] if answer.system else []
    return {
        "feedback": said.id,
        "conversation": said.conversation,
        "message": said.message,
        "prompt": [*system, *({"role": message.role, "content": message.content} for message in path[:-1])],
        "answer": answer.content,
        "model": answer.model,
        "rating": said.rating,
        "reason": said.reason,
        "correction": said.correction,
        "who": said.who,
        "when": said.when,
        "sampling": answer.sampling,
    }


def _path(messages: Mapping[str, StoredMessage], last: str) -> list[StoredMessage]:
    path = [messages[last]]
    while path[-1].parent is not None:
        path.append(messages[path[-1].parent])
    return path[::-1]


# -- finding --------------------------------------------------------------------------------------------------


def _open_conversation(session: Session, id: str, *, lock: bool = False) -> ConversationRow:
    query = select(ConversationRow).where(ConversationRow.id == id, ~ConversationRow.hidden)
    # Ids come from addresses that anyone may type: what is no id is not put to the database.
    row = session.scalar(query.with_for_update() if lock else query) if _ID.fullmatch(id) else None
    if row is None:
        raise NotFoundError(f"no conversation {id[:64]!r}; it may have been deleted")
    return row


def _open_message(session: Session, id: str, *, lock: bool = False) -> MessageRow:
    visible = select(ConversationRow.id).where(~ConversationRow.hidden)
    query = select(MessageRow).where(MessageRow.id == id, MessageRow.conversation.in_(visible))
    row = session.scalar(query.with_for_update() if lock else query) if _ID.fullmatch(id) else None
    if row is None:
        raise NotFoundError(f"no message {id[:64]!r}; its conversation may have been deleted")
    return row


def _messages_of(session: Session, conversation: str) -> Iterator[MessageRow]:
    query = select(MessageRow).where(MessageRow.conversation == conversation).order_by(MessageRow.number)
    return iter(session.scalars(query))


def _feedback_of(session: Session, conversation: str) -> list[FeedbackRow]:
    """What was said and not taken back."""
    query = select(FeedbackRow).join(MessageRow, FeedbackRow.message == MessageRow.id)
    query = query.where(MessageRow.conversation == conversation).order_by(FeedbackRow.number)
    rows = session.scalars(query)
    return [row for row in rows if row.rating or row.reason.strip() or row.correction.strip()]


# -- checks at the border -------------------------------------------------------------------------------------


def _check_texts(**texts: str) -> None:
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InputError(f"{name} is {type(text).__name__}, expected text")
        if len(text) > MAXIMUM_CHARACTERS:
            raise InputError(
                f"{name} has {len(text):,} characters; at most {MAXIMUM_CHARACTERS:,} are kept: shorten it"
            )
        if "\0" in text:
            raise InputError(f"{name} holds a NUL character at position {text.index(chr(0))}; remove it")
        if half := _SURROGATE.search(text):
            raise InputError(f"{name} holds half a character at position {half.start()}; write whole characters")


def _name(who: str) -> str:
    _check_texts(who=who)
    if len(who) > WHO_LENGTH:
        raise InputError(f"who has {len(who):,} characters; at most {WHO_LENGTH} are kept: shorten it")
    return who


def _json(sampling: Mapping[str, Any]) -> str:
    try:
        text = canonical_json(dict(sampling))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"sampling cannot be kept as JSON ({error}); give plain numbers and texts") from None
    _check_texts(sampling=text)
    return text


def _check_parent(session: Session, conversation: str, role: Role, parent: str | None) -> None:
    """An answer answers somebody: what people say about it is of use only with its prompt."""
    if parent is None:
        if role == "assistant":
            raise InputError("an answer needs the message that it answers; give it as parent")
        return
    row = _open_message(session, parent)
    if row.conversation != conversation:
        raise InputError(f"message {parent} belongs to another conversation; the parent must be of this one")
    if role == "assistant" and row.role not in ("user", "tool"):
        raise InputError(f"the parent {parent} is by the {row.role}; an answer follows a message of the user or a tool")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
