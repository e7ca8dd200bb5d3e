"""For engines whose answers come one by one and do not depend on what else is asked: remote ones.

Each answer is stored as it arrives, before the engine sends anything else over its connection, so what a server can count as
taken is never asked again, whenever the process is killed. What is in flight at that moment can be paid for twice.

A request is asked by one process at a time (by one thread, by one run): whoever claims it first asks, the others wait for the
answer to appear in the file, and one of them takes over when the first lets go of it, dies, or is silent for 30 seconds.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event as Flag
from threading import RLock, Thread
from time import monotonic
from typing import Any, Protocol, TypeGuard

from heedful.errors import EngineError, StorageError
from heedful.generate.cached.keys import request_key
from heedful.generate.cached.store import CLAIM_SECONDS, Store
from heedful.generate.cached.tally import Tally
from heedful.generate.cached.values import from_value, to_value
from heedful.generate.engine import Engine, Handle, Request
from heedful.records import Generation

Outcome = tuple[Generation, ...] | Exception

# Seconds between looks at what others compute for us, and between looks after our own.
_POLL, _ROUND = 0.1, 0.5
# Seconds that answers in flight are waited for at the end.
_GRACE = 10.0


class AnswersSingly(Engine, Protocol):
    """An engine whose answers arrive one by one, in a thread of its own, whether or not somebody waits for them."""

    def submit_whole(self, request: Request, keep: Callable[[Outcome], Outcome]) -> Handle:
        """Like `submit`; `keep` is called with the outcome, cancelled ones included, and returns what everybody hears."""

    def wind_down(self, seconds: float) -> None:
        """Send nothing more, wait up to `seconds` for what was sent, and close."""


def answers_singly(engine: Engine) -> TypeGuard[AnswersSingly]:
    """Whether it has the method; an isinstance check would compute the engine's identity."""
    return callable(getattr(engine, "submit_whole", None))


@dataclass(slots=True, eq=False)
class Asked:
    """A request that is being answered, here or in another process; equal requests share it."""

    key: str
    request: Request
    drop: Callable[[Asked], None]
    inner: Handle | None = None
    """None as long as somebody else asks."""
    promised: Future[tuple[Generation, ...]] | None = None
    """The outcome of what somebody else asked, or asked first."""

    def result(self) -> tuple[Generation, ...]:
        if self.promised is not None:
            return self.promised.result()
        assert self.inner is not None
        return self.inner.result()

    def cancel(self) -> None:
        """For all who asked the same here; another process goes on."""
        if self.inner is not None:
            self.inner.cancel()
        else:
            self.drop(self)

    def tell(self, outcome: Outcome) -> None:
        """To those who wait for somebody else."""
        if self.promised is None:
            return
        if isinstance(outcome, Exception):
            self.promised.set_exception(outcome)
        else:
            self.promised.set_result(outcome)


class Singly:
    """What is asked here, and what is waited for."""

    def __init__(self, engine: AnswersSingly, store: Store, tally: Tally) -> None:
        self._engine, self._store, self._tally = engine, store, tally
        self._asked: dict[str, Asked] = {}
        self._lock = RLock()
        self._stopped = Flag()
        self._keeper: Thread | None = None
        self._unsaved = False
        self._renewed = monotonic()

    def submit(self, request: Request) -> Asked | tuple[Generation, ...]:
        """What is there, or a request under way."""
        key = request_key(self._engine.identity, request)
        with self._lock:
            if self._stopped.is_set():
                raise EngineError("this engine is closed; make a new one")
            if key in self._asked:
                return self._asked[key]
            found = self._store.get(key)
            if found is not None:
                self._tally.found(1)
                return from_value(found)
            asked = Asked(key, request, self._drop)
            if self._store.claim(key):
                self._ask(asked)
            else:
                asked.promised = Future()
            self._asked[key] = asked
            self._start_keeper()
            return asked

    def close(self) -> None:
        """What the server has already is waited for, a little, and kept: after an error, most of what is in flight is paid for.

        Everything else is cancelled, and others may claim what we had claimed. Whoever interrupts the program does not want to wait.
        """
        self._stopped.set()
        if self._keeper is not None:
            self._keeper.join()
        error = sys.exception()
        if error is None or isinstance(error, Exception):
            self._engine.wind_down(_GRACE)
        else:
            self._engine.close()
        with self._lock:
            waiting = list(self._asked.values())
        for asked in waiting:
            self._drop(asked)
        # Claims that stay behind end by themselves.
        with suppress(StorageError):
            self._store.let_go()

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, asked: Asked) -> None:
        try:
            asked.inner = self._engine.submit_whole(asked.request, partial(self._keep, asked))
        except Exception:
            self._store.let_go(asked.key)
            raise

    def _keep(self, asked: Asked, outcome: Outcome) -> Outcome:
        """In the engine's thread: everything else waits for the store, so that nothing is asked that is not stored."""
        try:
            kept = self._store_outcome(asked.key, outcome)
        except Exception as error:  # The disk is full: whoever waits hears of it.
            kept = error
        with self._lock:
            self._asked.pop(asked.key, None)
        asked.tell(kept)
        return kept

    def _store_outcome(self, key: str, outcome: Outcome) -> Outcome:
        # An answer that ended for a reason of the server's own ("content_filter") is an answer, and is paid for.
        if isinstance(outcome, Exception) or any(one.finish_reason == "cancelled" for one in outcome):
            # At the end all claims are let go of in one.
            if not self._stopped.is_set():
                self._store.let_go(key)
            return outcome
        value = to_value(outcome)
        kept = self._store.keep(key, value)
        self._unsaved = True
        self._tally.stored(1)
        return outcome if kept is value else from_value(kept)

    # -- waiting for others ------------------------------------------------------------------------------------------

    def _drop(self, asked: Asked) -> None:
        """Wait no longer for somebody else's answer."""
        with self._lock:
            if self._asked.get(asked.key) is not asked or asked.inner is not None:
                return
            del self._asked[asked.key]
        num_answers = range(asked.request.sampling.n)
        asked.tell(
            tuple(Generation(asked.request.id, "", finish_reason="cancelled", index=index) for index in num_answers)
        )

    def _look_around(self) -> None:
        """Take what others have answered, and take over what nobody answers any more."""
        with self._lock:
            waiting = {key: asked for key, asked in self._asked.items() if asked.inner is None}
        if not waiting:
            return
        found = self._store.get_many(waiting)
        for key, value in found.items():
            self._deliver(waiting[key], value)
        for key in self._store.free([key for key in waiting if key not in found]):
            self._take_over(waiting[key])

    def _deliver(self, asked: Asked, value: Any) -> None:
        with self._lock:
            if self._asked.get(asked.key) is not asked or asked.inner is not None:
                return
            del self._asked[asked.key]
        self._tally.found(1)
        asked.tell(from_value(value))

    def _take_over(self, asked: Asked) -> None:
        with self._lock:
            if self._asked.get(asked.key) is not asked or self._stopped.is_set() or not self._store.claim(asked.key):
                return
            try:
                self._ask(asked)
            except Exception as error:
                del self._asked[asked.key]
                asked.tell(error)

    # -- the keeper ----------------------------------------------------------------------------------------------------

    def _start_keeper(self) -> None:
        if self._keeper is None:
            arguments = (weakref.ref(self), self._stopped)
            self._keeper = Thread(target=_keep_house, args=arguments, name="heedful-cache", daemon=True)
            self._keeper.start()

    def look_after(self) -> float:
        """One round of the keeper; returns the seconds until the next."""
        try:
            self._look_around()
        except StorageError as error:
            self._fail_waiting(error)
        # What cannot be saved or renewed shows when the next answer is stored.
        with suppress(StorageError):
            if self._unsaved:
                self._unsaved = False
                self._store.checkpoint()
            if monotonic() - self._renewed > CLAIM_SECONDS / 3:
                self._renewed = monotonic()
                self._store.renew()
        with self._lock:
            is_waiting = any(asked.inner is None for asked in self._asked.values())
        return _POLL if is_waiting else _ROUND

    def _fail_waiting(self, error: StorageError) -> None:
        with self._lock:
            failed = [asked for asked in self._asked.values() if asked.inner is None]
            for asked in failed:
                del self._asked[asked.key]
        for asked in failed:
            asked.tell(error)


def _keep_house(singly: weakref.ref[Singly], stopped: Flag) -> None:
    """Until somebody closes the engine, or nobody holds it any more."""
    seconds = _POLL
    while not stopped.wait(seconds):
        living = singly()
        if living is None:
            return
        seconds = living.look_after()
        del living
