"""RemoteEngine: chat completions of any OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, a vendor), many at a time.

Requests run in one event loop in a thread of its own; whoever asks needs no event loop. `client.py` says what is asked again and
what is not, `pace.py` how many are in flight, `budget.py` what may be spent.

An answer that somebody may read while it is written is streamed (`submit`). One that only has to be kept comes whole
(`submit_whole`, which the cache uses): the same tokens for less work on both sides, one event instead of one for each token.
A cancelled request is cut off at once; the server may charge for what it has computed by then.
"""

from __future__ import annotations

import re
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock

import httpx

from heedful.errors import EngineError, SettingsError
from heedful.generate._base import ClosesItself, check_request, refuse_requirements, refuse_unsupported
from heedful.generate.engine import Request, ScoreRequest, ScoreResult
from heedful.generate.remote.budget import Budget, Caps, Prices, Spent
from heedful.generate.remote.client import Client, Patience
from heedful.generate.remote.forecast import Forecast, Forecaster
from heedful.generate.remote.handle import Outcome, RemoteHandle
from heedful.generate.remote.job import Job
from heedful.generate.remote.loop import LoopThread
from heedful.generate.remote.pace import Pace
from heedful.generate.remote.secret import Secret
from heedful.generate.remote.wire import HONOURED, enforced


class RemoteEngine(ClosesItself):
    """Chat completions of `model` at `base_url` ("http://localhost:8000/v1")."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        max_in_flight: int = 32,
        timeout: float = 60.0,
        max_attempts: int = 10,
        prices: Prices | None = None,
        caps: Caps | None = None,
        first_wait: float = 1.0,
        seed: int = 0,
    ) -> None:
        """`max_in_flight` is the ceiling; how many are sent at a time follows what the server bears.

        `timeout`: seconds without a sign of life, to which a whole answer adds a fifth of a second for each token it may have.
        `first_wait`: seconds before the second attempt. `seed`: of the chance in the waiting times.
        """
        _check_url(base_url)
        if max_in_flight < 1 or max_attempts < 1 or timeout <= 0:
            raise SettingsError(
                f"max_in_flight {max_in_flight}, max_attempts {max_attempts} and timeout {timeout} must be at least 1, 1 and "
                "more than 0"
            )
        self._url, self._model = base_url.rstrip("/"), model
        self._max_in_flight = max_in_flight
        self._budget, self._pace = Budget(caps, prices), Pace(max_in_flight, first_pause=first_wait / 2)
        self._forecaster = Forecaster(prices)
        patience = Patience(timeout, max_attempts, first_wait, seed)
        self._client = Client(
            self._url, model, Secret(api_key_env), self._pace, self._budget, self._forecaster, patience
        )
        self._loop = LoopThread(self._client.close)
        # An engine that nobody closed is closed when nobody holds it any more, at the latest when the interpreter ends.
        self._closer = weakref.finalize(self, self._loop.close)
        # One lock for numbers and inbox, one for all handles.
        self._lock, self._handle_lock = Lock(), Lock()
        self._num_asked = 0
        # What the loop has not been told of; it is woken once for all of them.
        self._inbox: deque[Job] = deque()
        self._is_called = False

    @property
    def identity(self) -> str:
        return f"remote:{self._url}|{self._model}"

    @property
    def is_independent(self) -> bool:
        """An answer does not depend on what else is asked, as far as anybody outside the server can tell."""
        return True

    @property
    def description(self) -> str:
        """For people."""
        return f"the endpoint {self._url} ({self._model}, up to {self._max_in_flight} requests at a time)"

    @property
    def preferred_batch(self) -> int:
        return 4 * self._max_in_flight

    @property
    def num_in_flight(self) -> int:
        """Requests, whatever their `n`: the server makes all answers of one together."""
        return self._num_asked - self._client.num_finished

    @property
    def concurrency(self) -> int:
        """How many requests may be at the server now."""
        return self._pace.limit

    @property
    def spent(self) -> Spent:
        """What this engine has asked and what the server charges for it."""
        return self._budget.spent

    def forecast(self, num_requests: int, *, confidence: float = 0.95) -> Forecast | None:
        """What `num_requests` requests in all cost and how long they take; None before the first ten are answered."""
        return self._forecaster.forecast(num_requests, self._pace.limit, confidence=confidence)

    def submit(self, request: Request) -> RemoteHandle:
        """Send a request as soon as the pace allows; the server makes all `n` answers."""
        return self._start(request, None, stream=True)

    def submit_whole(self, request: Request, keep: Callable[[Outcome], Outcome] | None = None) -> RemoteHandle:
        """The same without streaming. `keep` gets the outcome as soon as it is there, before anybody who waits for it.

        What it returns or raises is what they get. It runs in the engine's own thread, where everything else waits for it.
        """
        return self._start(request, keep, stream=False)

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Not offered: chat completions do not tell the likelihood of a given answer."""
        raise EngineError(
            f"{self._url} cannot score given answers: chat completions do not offer it; "
            "score with a local model, or leave perplexity out"
        )

    def wind_down(self, seconds: float) -> None:
        """Send nothing more, wait up to `seconds` for answers to what was sent, which may be charged, and close."""
        try:
            self._loop.wait_for(partial(self._client.wind_down, seconds))
        finally:
            self.close()

    def close(self) -> None:
        """Requests under way are cancelled and their connections closed, at once."""
        self._closer()

    def _start(self, request: Request, keep: Callable[[Outcome], Outcome] | None, *, stream: bool) -> RemoteHandle:
        check_request(request)
        refuse_unsupported(request, HONOURED, "a chat endpoint")
        own = enforced(request.requirements)
        refuse_requirements(request, [spec for spec in request.requirements if spec not in own], "a chat endpoint")
        handle = RemoteHandle(self._handle_lock)
        with self._lock:
            # Numbered and queued in one: requests are sent in the order of their numbers.
            job = Job(self._num_asked, request, stream, keep, handle)
            handle.begun(partial(self._cancel, job))
            if not self._is_called and not self._loop.call(self._take_in):
                raise EngineError("this engine is closed; make a new one")
            self._num_asked, self._is_called = self._num_asked + 1, True
            self._inbox.append(job)
        return handle

    def _take_in(self) -> None:
        """In the loop."""
        with self._lock:
            jobs, self._inbox, self._is_called = self._inbox, deque(), False
        for job in jobs:
            self._client.take(job)

    def _cancel(self, job: Job) -> None:
        self._loop.call(partial(self._client.cancel, job))


def _check_url(url: str) -> None:
    """An address without secrets: it is part of messages, of the engine's identity and of manifests."""
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"base URL {url!r} must begin with http:// or https://")
    # Said without the address: what is wrong with it may be a password.
    if "@" in re.split(r"[/?#]", url.split("://", 1)[1])[0]:
        raise SettingsError(
            "the base URL holds a user name or a password; leave it out: keys are read from the environment"
        )
    if "?" in url or "#" in url:
        raise SettingsError("the base URL ends before ? and #; give the part up to /v1, and the key in the environment")
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL as error:
        raise SettingsError(f"base URL {url!r} cannot be read ({error})") from None
    if not host:
        raise SettingsError(f"base URL {url!r} names no host, expected something like http://localhost:8000/v1")
