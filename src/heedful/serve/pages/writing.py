"""An answer on its way: a task of its own, so that what was written is stored whatever becomes of the page that asked."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from heedful.errors import HeedfulError
from heedful.feedback.store import StoredMessage
from heedful.generate.engine import Request, Sampling
from heedful.records import FinishReason, Message
from heedful.serve.pages.bodies import Ask
from heedful.serve.state import ServedModel, State

_INTERVAL = 0.1
"""Seconds between two looks at a growing text: the page is told at most ten times a second."""
_LOG = logging.getLogger(__name__)


class Writing:
    """Begins at once. `text` grows; in the end `stored` is the answer, or None when nothing was written."""

    def __init__(self, state: State, question: StoredMessage, ask: Ask) -> None:
        """Raises UnknownModelError; what the engine refuses shows up in `problem`."""
        self.id = uuid4().hex
        self.conversation = question.conversation
        self.text = ""
        self._system = ""
        self.stored: StoredMessage | None = None
        self.problem: str | None = None
        """What went wrong, in words for people; empty when it is not for their eyes."""
        self._reason: FinishReason = "cancelled"
        self._ending = False
        self._state, self._question = state, question
        self._model: ServedModel = state.model(ask.model)
        self._sampling = Sampling(temperature=ask.temperature, max_tokens=ask.max_tokens, seed=secrets.randbits(31))
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """End the answer as it is; one that is being stored already is left alone."""
        if not self._ending:
            self._task.cancel()

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call `callback` once the answer is stored, or came to nothing."""
        self._task.add_done_callback(lambda _: callback())

    async def texts(self) -> AsyncIterator[str]:
        """The text so far, whenever it grew, until it is stored."""
        shown = ""
        while not self._task.done():
            await asyncio.wait({self._task}, timeout=_INTERVAL)
            if self.text != shown:
                shown = self.text
                yield shown

    async def _run(self) -> None:
        try:
            await self._write()
        except asyncio.CancelledError:
            # Only the last event says another reason than "cancelled": an answer that was complete by then stays so.
            pass
        except Exception as error:
            self._fail(error)
        self._ending = True
        # An answer that ended by itself is kept even when it is empty: that, too, is what the model said.
        if self.text or self._reason in ("stop", "length"):
            try:
                # A thread ends its work even when the server ends meanwhile.
                self.stored = await asyncio.to_thread(self._store)
            except Exception as error:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._reason = "error"
        # People know nothing of the request's number.
        self.problem = str(error).removeprefix(f"request {self.id!r}: ") if isinstance(error, HeedfulError) else ""
        if not self.problem:
            _LOG.error("an answer for the page failed", exc_info=error)

    async def _write(self) -> None:
        request = await asyncio.to_thread(self._request)
        async with aclosing(self._state.events(self._model, request)) as events:
            async for event in events:
                # A model may write NUL, which no database keeps; readers get the sign for "no character" either way.
                self.text += event.text.replace("\0", "\ufffd")
                if event.generation is not None:
                    self._reason = event.generation.finish_reason

    def _request(self) -> Request:
        store = self._state.store
        self._system = store.conversation(self.conversation).system
        head = (Message("system", self._system),) if self._system else ()
        turns = tuple(Message(turn.role, turn.content) for turn in store.path(self._question.id))
        return Request(id=self.id, messages=(*head, *turns), sampling=self._sampling)

    def _store(self) -> StoredMessage:
        return self._state.store.add_message(
            self.conversation,
            "assistant",
            self.text,
            parent=self._question.id,
            model=self._model.id,
            finish_reason=self._reason,
            sampling=self._how(),
            system=self._system,
        )

    def _how(self) -> dict[str, Any]:
        sampling = self._sampling
        return {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens, "seed": sampling.seed}
