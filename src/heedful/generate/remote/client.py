"""Client: sends requests to one endpoint until each is answered, or it is clear that it will not be.

Asked again is what can succeed: a busy server (429, 503), one that failed (other statuses from 500 on, 408, 425), that could
not be reached, did not answer in time, or whose answer was cut off or is none. Asked once is what cannot: all other statuses.

A request is given up after `max_attempts`. Being told that the server is busy counts only when it has answered nobody since the
attempt before: a server that serves others serves this one in its turn. Before the first answer of all, three attempts are
enough for an endpoint that is not there or does not speak the protocol: that is a wrong address, not a bad moment.

An answer that is streamed is not begun anew once somebody has read a piece of it: the text would change under the reader, and
be paid for twice without anybody knowing. The reader gets an error then, after the pieces. Otherwise a broken stream is
repeated like any broken answer, and counted (`Spent.uncertain_requests`).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from heedful.errors import EngineError
from heedful.generate.remote.budget import Budget
from heedful.generate.remote.connections import Connections, Exchange, UnreachableError
from heedful.generate.remote.forecast import Forecaster
from heedful.generate.remote.gate import Gate, Pass
from heedful.generate.remote.handle import Outcome
from heedful.generate.remote.http1 import BrokenResponseError
from heedful.generate.remote.job import Job
from heedful.generate.remote.pace import Pace
from heedful.generate.remote.secret import Secret
from heedful.generate.remote.trouble import LONGEST_RETRY_AFTER, Trouble, of_exception, of_response
from heedful.generate.remote.wire import BrokenAnswerError, Reading, StreamReader, cancelled, read_whole, request_body
from heedful.project.randomness import stream
from heedful.records import Usage

# Seconds before the first retry; each further one waits twice as long, up to the limit, all of them shortened by up to half.
_LONGEST_WAIT = 60.0
_ATTEMPTS_AT_NOTHING = 3
# A whole answer is silent until it is written; slower than five tokens a second counts as not answering.
_SECONDS_PER_TOKEN = 0.2
# Seconds for the body of an error, and for the last bytes after [DONE], with which the connection can be used again.
_EXPLAIN, _DRAIN = 10.0, 1.0

_TROUBLE = (UnreachableError, BrokenResponseError, BrokenAnswerError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to insist."""

    timeout: float
    """Seconds of silence that are taken for a broken connection."""
    max_attempts: int
    first_wait: float
    """Seconds."""
    seed: int = 0


class Client:
    """Only for use in one event loop, except where noted."""

    def __init__(
        self,
        url: str,
        model: str,
        secret: Secret,
        pace: Pace,
        budget: Budget,
        forecaster: Forecaster,
        patience: Patience,
    ) -> None:
        self._url, self._model, self._secret = url, model, secret
        self._forecaster, self._patience = forecaster, patience
        self._gate = Gate(pace, budget, self._begin, self._finish)
        self._connections = Connections(f"{url}/chat/completions", secret.headers())
        self._unfinished: set[Job] = set()
        # Some still read the last bytes of an answer that is told already.
        self._tasks: set[asyncio.Task[Trouble | None]] = set()
        self._is_ending = False
        self._num_answered = 0
        self.num_finished = 0
        """Requests with an outcome, whatever it is; any thread may read it."""

    def take(self, job: Job) -> None:
        """See to it that the job's handle gets its outcome."""
        self._unfinished.add(job)
        if self._is_ending:
            self._end(job)
        else:
            self._gate.push(job)

    def cancel(self, job: Job) -> None:
        """End it with what it has; the server's connection is closed."""
        if job.task is not None:
            job.task.cancel()
        else:
            self._end(job)

    async def wind_down(self, seconds: float) -> None:
        """Send nothing more, and wait for what has been sent, but not longer than `seconds`."""
        self._is_ending = True
        for job in list(self._unfinished):
            if job.task is None:
                self._end(job)
        if tasks := [job.task for job in self._unfinished if job.task is not None]:
            await asyncio.wait(tasks, timeout=seconds)

    async def close(self) -> None:
        """Cancel everything, and close the connections."""
        await self.wind_down(0)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # What ended in this very round is finished in the next.
        await asyncio.sleep(0)
        await self._connections.close()

    # -- the end of a job --------------------------------------------------------------------------------------------

    def _end(self, job: Job) -> None:
        """Without an outcome it was cancelled; what there is of the answer stays."""
        if not job.is_over:
            self._finish(job, job.reader.so_far() if job.reader is not None else cancelled(job.request))

    def _finish(self, job: Job, outcome: Outcome) -> None:
        if job.timer is not None:
            job.timer.cancel()
        if isinstance(outcome, Exception) or outcome[0].finish_reason == "cancelled":
            self._forecaster.skip(job.place)
        if job.keep is not None:
            try:
                outcome = job.keep(outcome)
            except Exception as error:
                # What keeps the answers failed (the disk is full): a worse problem than the one at hand.
                outcome = error
        self._unfinished.discard(job)
        self.num_finished += 1
        job.handle.finish(outcome)

    # -- one attempt -------------------------------------------------------------------------------------------------

    def _begin(self, job: Job, passed: Pass) -> None:
        job.task = asyncio.get_running_loop().create_task(self._attempt(job, passed))
        self._tasks.add(job.task)
        job.task.add_done_callback(partial(self._attempted, job, passed))

    def _attempted(self, job: Job, passed: Pass, task: asyncio.Task[Trouble | None]) -> None:
        job.task = None
        self._tasks.discard(task)
        if task.cancelled():
            # Perhaps before its first line ran.
            self._gate.given_up(passed)
            self._end(job)
        elif (error := task.exception()) is not None:
            # Answered with what this request cannot use, or a mistake of ours: whoever waits has to hear of it.
            self._gate.given_up(passed)
            self._finish(job, error if isinstance(error, Exception) else RuntimeError(str(error)))
        elif (trouble := task.result()) is not None:
            self._go_on(job, trouble)

    async def _attempt(self, job: Job, passed: Pass) -> Trouble | None:
        """None: it is answered."""
        job.attempts += 1
        job.content = job.content or request_body(job.request, self._model, stream=job.stream)
        try:
            trouble = await self._send(job, passed)
        except _TROUBLE as error:
            if job.is_over:
                # The connection broke after the answer; the next request gets another one.
                return None
            trouble = of_exception(error)
        if trouble is not None:
            self._gate.failed(passed, trouble)
        return trouble

    async def _send(self, job: Job, passed: Pass) -> Trouble | None:
        started = time.monotonic()
        async with self._connections.post(job.content, self._seconds(job), whole=not job.stream) as exchange:
            head = exchange.head
            if head.status != 200:
                return of_response(head.status, head.headers, await _explanation(exchange))
            if "text/event-stream" in head.headers.get("content-type", ""):
                self._answered(job, await self._follow(job, exchange), passed, started)
                await _drain(exchange)
            else:
                self._answered(job, read_whole(job.request, await _read(exchange)), passed, started)
        return None

    def _seconds(self, job: Job) -> float:
        """For a whole answer, until its end. One that comes in pieces may take any time, as long as pieces come."""
        sampling = job.request.sampling
        writing = 0.0 if job.stream else _SECONDS_PER_TOKEN * sampling.max_tokens * sampling.n
        return self._patience.timeout + writing

    async def _follow(self, job: Job, exchange: Exchange) -> Reading:
        job.reader = reader = StreamReader(job.request)
        while not reader.done and (piece := await exchange.piece()):
            for index, text in reader.feed(piece):
                job.handle.show(index, text)
        return reader.end()

    def _answered(self, job: Job, reading: Reading, passed: Pass, started: float) -> None:
        self._num_answered += 1
        # Kept first, then told, then the next one is sent: what is asked after an answer finds it kept.
        self._forecaster.took(job.place, reading.usage or _told(reading), time.monotonic() - started)
        self._finish(job, reading.generations)
        self._gate.answered(passed, reading.usage)

    # -- after a failed one ------------------------------------------------------------------------------------------

    def _go_on(self, job: Job, trouble: Trouble) -> None:
        """Another attempt, or the error."""
        try:
            seconds = self._wait(job, trouble)
        except EngineError as error:
            self._finish(job, error)
            return
        if self._is_ending:
            self._end(job)
        else:
            job.timer = asyncio.get_running_loop().call_later(seconds, self._again, job)

    def _again(self, job: Job) -> None:
        job.timer = None
        self._gate.push(job)

    def _wait(self, job: Job, trouble: Trouble) -> float:
        """Seconds until the next attempt; raises EngineError when there is none."""
        if read := job.handle.take_back():
            raise EngineError(
                f"{self._url} broke off its answer to request {job.request.id!r} after {read} pieces that were read already "
                f"({self._words(trouble)}); ask again for another one: that is paid for again"
            )
        job.reader = None
        if trouble.kind == "refused":
            raise EngineError(
                f"{self._url} refused request {job.request.id!r} ({self._words(trouble)}); {self._advice(trouble.status)}"
            )
        asked = trouble.retry_after or 0.0
        if asked > LONGEST_RETRY_AFTER:
            raise EngineError(
                f"{self._url} asks to come back in {asked:,.0f} seconds ({self._words(trouble)}); run again then: answers that are "
                "in the cache are kept"
            )
        self._count(job, trouble)
        own = min(self._patience.first_wait * 2.0 ** max(0, job.objections - 1), _LONGEST_WAIT)
        generator = stream(self._patience.seed, "remote wait", job.request.id, job.attempts)
        return max(asked, own * generator.uniform(0.5, 1.0))

    def _count(self, job: Job, trouble: Trouble) -> None:
        """Note the failed attempt; raises EngineError when it was one too many."""
        excused = trouble.kind == "busy" and self._num_answered > job.answers_seen
        job.answers_seen = self._num_answered
        job.objections += not excused
        nothing = self._num_answered == 0 and trouble.kind in ("unreachable", "broken")
        limit = min(_ATTEMPTS_AT_NOTHING, self._patience.max_attempts) if nothing else self._patience.max_attempts
        if job.objections < limit:
            return
        if trouble.kind == "broken":
            raise EngineError(
                f"{self._url} answered request {job.request.id!r} {job.attempts} times with something that is not a complete chat "
                f"completion (last: {self._words(trouble)}); check the base URL, and whether the server is sound"
            )
        raise EngineError(
            f"{self._url} gave no answer to request {job.request.id!r} in {job.attempts} attempts (last: {self._words(trouble)}); "
            "check that the server runs, or lower max_in_flight; answers that are in the cache are kept"
        )

    def _words(self, trouble: Trouble) -> str:
        return self._secret.hidden(trouble.words)[:300]

    def _advice(self, status: int) -> str:
        if status in (401, 403):
            return self._secret.advice()
        if status == 429:
            return "the account is empty: fill it, and run again; answers that are in the cache are kept"
        return f"check the base URL, the model name {self._model!r} and the request"


async def _read(exchange: Exchange) -> bytes:
    """The whole body."""
    parts = []
    while piece := await exchange.piece():
        parts.append(piece)
    return b"".join(parts)


async def _explanation(exchange: Exchange) -> bytes:
    """What the server says to its status, as far as it comes; the status counts without it."""
    with suppress(*_TROUBLE):
        async with asyncio.timeout(_EXPLAIN):
            return await _read(exchange)
    return b""


async def _drain(exchange: Exchange) -> None:
    """Read what follows an answer that is complete. Whatever happens here, it is complete."""
    with suppress(*_TROUBLE):
        async with asyncio.timeout(_DRAIN):
            while await exchange.piece():
                pass


def _told(reading: Reading) -> Usage:
    """Where the server tells nothing, the answers' own sum: nothing."""
    return Usage(
        sum(one.usage.prompt_tokens for one in reading.generations),
        sum(one.usage.completion_tokens for one in reading.generations),
    )
