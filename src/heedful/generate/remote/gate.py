"""Who is sent next: requests pass in the order in which they were asked, as many as the pace allows, if the budget bears them.

A request that does not fit into a cap waits as long as others are under way, since those may take less than was set aside for
them; it fails when nothing is under way and it still does not fit. So whether a request is sent depends on what the earlier
ones took, and not on how quickly they were answered.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass

from heedful.generate.engine import Request
from heedful.generate.remote.budget import Bound, Budget, CapReachedError
from heedful.generate.remote.job import Job
from heedful.generate.remote.pace import Pace
from heedful.generate.remote.trouble import LONGEST_RETRY_AFTER, Trouble
from heedful.records import Usage


@dataclass(slots=True)
class Pass:
    """The right to send one request once; to be handed back to `answered`, `failed` or `given_up`. The first of them counts."""

    ticket: int
    bound: Bound
    is_used: bool = False

    def use(self) -> bool:
        """True for the first who asks."""
        first, self.is_used = not self.is_used, True
        return first


class Gate:
    """Only for use in one event loop."""

    def __init__(
        self,
        pace: Pace,
        budget: Budget,
        send: Callable[[Job, Pass], object],
        refuse: Callable[[Job, CapReachedError], object],
    ) -> None:
        """`send` is called when a job may be sent, `refuse` when it never may."""
        self._pace, self._budget, self._send, self._refuse = pace, budget, send, refuse
        self._queue: list[tuple[int, int, Job]] = []
        self._num_queued = 0
        self._alarm: asyncio.TimerHandle | None = None

    def push(self, job: Job) -> None:
        """Wait until `job` may be sent, before all that were asked after it."""
        self._num_queued += 1
        heapq.heappush(self._queue, (job.place, self._num_queued, job))
        self._let_in()

    def answered(self, passed: Pass, usage: Usage | None) -> None:
        """The complete answer is there."""
        if passed.use():
            self._budget.answered(passed.bound, usage)
            self._pace.answered(passed.ticket)
            self._let_in()

    def failed(self, passed: Pass, trouble: Trouble) -> None:
        """The attempt brought no answer."""
        if not passed.use():
            return
        if trouble.kind == "unreachable":
            self._budget.unsent(passed.bound)
        elif trouble.may_be_paid:
            self._budget.lost(passed.bound)
        else:
            self._budget.refused(passed.bound)
        if trouble.slows_down:
            # For what is not waited for, the others do not wait either: each of them is told, and given up.
            asked = trouble.retry_after or 0.0
            self._pace.objected(passed.ticket, asked if asked <= LONGEST_RETRY_AFTER else None)
        else:
            self._pace.ended(passed.ticket)
        self._let_in()

    def given_up(self, passed: Pass) -> None:
        """Nobody waits for the answer any more, or nobody can use it."""
        if passed.use():
            self._budget.lost(passed.bound)
            self._pace.ended(passed.ticket)
            self._let_in()

    def _let_in(self) -> None:
        while self._queue:
            job = self._queue[0][2]
            if job.is_over:
                heapq.heappop(self._queue)
                continue
            if self._pace.in_flight >= self._pace.limit:
                return
            if pause := self._pace.pause:
                self._wake_in(pause)
                return
            bound = self._budget.reserve(job.request)
            if isinstance(bound, str) and self._pace.in_flight:
                return
            heapq.heappop(self._queue)
            if isinstance(bound, str):
                self._refuse(job, _cap_reached(job.request, bound))
            else:
                self._send(job, Pass(self._pace.begin(), bound))

    def _wake_in(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._let_in)


def _cap_reached(request: Request, problem: str) -> CapReachedError:
    return CapReachedError(
        f"request {request.id!r} was not sent: {problem}; answers that are in the cache are kept: raise the cap to go on, or "
        "lower max_tokens"
    )
