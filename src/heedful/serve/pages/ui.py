"""The page's own addresses under /ui: JSON, and an event stream for answers. Not an API for others: that is /v1."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from heedful.errors import InputError
from heedful.feedback.store import Store
from heedful.serve.pages.bodies import Ask, ConversationChange, Judgement, NewConversation, NewMessage
from heedful.serve.pages.markdown import to_html
from heedful.serve.pages.shown import shown_conversation, shown_feedback, shown_message
from heedful.serve.pages.writing import Writing
from heedful.serve.state import State

_TITLE_LENGTH = 60
"""Characters of a first message that become its conversation's title."""


def ui_router(state: State) -> APIRouter:
    """Everything under /ui. Who may come here is checked by the guard, errors get their shape from the application."""
    router = APIRouter(prefix="/ui", include_in_schema=False)
    writings: dict[str, Writing] = {}
    _add_conversations(router, state.store, writings)
    _add_messages(router, state.store)
    _add_answers(router, state, writings)
    return router


def _add_conversations(router: APIRouter, store: Store, writings: dict[str, Writing]) -> None:
    @router.get("/conversations")
    def conversations() -> list[dict[str, Any]]:
        return [shown_conversation(conversation) for conversation in store.conversations()]

    @router.post("/conversations")
    def begin(body: NewConversation) -> dict[str, Any]:
        return shown_conversation(store.new_conversation(system=body.system))

    @router.get("/conversations/{id}")
    def conversation(id: str) -> dict[str, Any]:
        found = shown_conversation(store.conversation(id))
        # Asked before the messages are read: an answer stored in between is then shown, not lost.
        writing = any(writing.conversation == id for writing in list(writings.values()))
        feedback = store.feedback_of(id)
        messages = [shown_message(message, feedback.get(message.id)) for message in store.messages(id)]
        return {"conversation": found, "messages": messages, "writing": writing}

    @router.patch("/conversations/{id}")
    def change(id: str, body: ConversationChange) -> dict[str, Any]:
        return shown_conversation(store.change_conversation(id, title=body.title, system=body.system))

    @router.delete("/conversations/{id}", status_code=204)
    def delete(id: str) -> None:
        store.delete_conversation(id)


def _add_messages(router: APIRouter, store: Store) -> None:
    @router.post("/conversations/{id}/messages")
    def say(id: str, body: NewMessage) -> dict[str, Any]:
        message = store.add_message(id, "user", body.content, parent=body.parent)
        if not store.conversation(id).title:
            store.change_conversation(id, title=_title(body.content))
        return shown_message(message)

    @router.put("/messages/{id}/feedback")
    def judge(id: str, body: Judgement) -> dict[str, Any]:
        # The form comes prefilled with the answer: sent back unchanged, it corrects nothing.
        unchanged = body.correction.strip() == store.message(id).content.strip()
        correction = "" if unchanged else body.correction
        return shown_feedback(store.rate(id, rating=body.rating, reason=body.reason, correction=correction))


def _add_answers(router: APIRouter, state: State, writings: dict[str, Writing]) -> None:
    @router.post("/messages/{id}/answers")
    async def answer(id: str, body: Ask) -> StreamingResponse:
        question = await run_in_threadpool(state.store.message, id)
        if question.role != "user":
            raise InputError(f"message {id!r} was not written by a person; only those are answered")
        writing = Writing(state, question, body)
        writings[writing.id] = writing
        writing.when_done(lambda: writings.pop(writing.id, None))
        return StreamingResponse(_events(writing), media_type="text/event-stream")

    @router.delete("/answers/{id}", status_code=204)
    async def stop(id: str) -> None:
        # An answer that ended meanwhile needs no stopping.
        if writing := writings.get(id):
            writing.stop()


async def _events(writing: Writing) -> AsyncIterator[bytes]:
    """`start` with the address to stop at, `text` as it grows, then `done` or `error`. Leaving stops the answer."""
    try:
        yield _event("start", answer=writing.id)
        told = ""
        async for text in writing.texts():
            yield _event("text", delta=text.removeprefix(told), html=await run_in_threadpool(to_html, text))
            told = text
        message = shown_message(writing.stored) if writing.stored else None
        if writing.problem is None:
            yield _event("done", message=message)
        else:
            yield _event("error", error=writing.problem, message=message)
    finally:
        writing.stop()


def _title(first_message: str) -> str:
    words = " ".join(first_message.split())
    return words if len(words) <= _TITLE_LENGTH else f"{words[: _TITLE_LENGTH - 1].rstrip()}…"


def _event(name: str, **data: Any) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(data, ensure_ascii=False))
