"""A request on its way through the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from heedful.generate.engine import Request
from heedful.generate.remote.handle import Outcome, RemoteHandle
from heedful.generate.remote.trouble import Trouble
from heedful.generate.remote.wire import StreamReader


@dataclass(slots=True, eq=False)
class Job:
    """It is queued, at the server (`task`), waiting for its next attempt (`timer`), or over."""

    place: int
    """Its number among all that were asked."""
    request: Request
    stream: bool
    keep: Callable[[Outcome], Outcome] | None
    """Called with the outcome before anybody hears of it, and before the connection is used again; returns what is told."""
    handle: RemoteHandle
    content: bytes = b""
    """What is posted; made for the first attempt."""
    reader: StreamReader | None = None
    task: asyncio.Task[Trouble | None] | None = None
    timer: asyncio.TimerHandle | None = None
    attempts: int = 0
    objections: int = 0
    """Attempts that count."""
    answers_seen: int = 0
    """How many requests the endpoint had answered when this one was last told that it is busy."""

    @property
    def is_over(self) -> bool:
        return self.handle.is_done
