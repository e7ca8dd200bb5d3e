"""RemoteEngine: requests run in a few threads, and are retried when the server is busy or silent.

The key comes from an environment variable, is sent in one header, and appears in no message and no identity.
Answers arrive whole: each is one event. A cancelled request that the server has already begun is paid for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event as Flag
from typing import Any

import httpx

from heedful.errors import EngineError, InputError, SettingsError
from heedful.generate._base import ClosesItself, check_request
from heedful.generate.engine import Event, Request, ScoreRequest, ScoreResult
from heedful.records import FinishReason, Generation, Usage

_RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
# Seconds before the first retry; each further one waits twice as long, up to the limit.
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


class RemoteEngine(ClosesItself):
    """Chat completions of `model` at `base_url` ("http://localhost:8000/v1")."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        max_in_flight: int = 8,
        timeout: float = 60,
        max_attempts: int = 6,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """`timeout` in seconds for each attempt. `sleep` waits between attempts; tests hand one that does not."""
        if not base_url.startswith(("http://", "https://")):
            raise SettingsError(f"base URL {base_url!r} must begin with http:// or https://")
        self._url, self._model, self._key_name = base_url.rstrip("/"), model, api_key_env
        self._key = os.environ.get(api_key_env, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise SettingsError(f"the key in ${api_key_env} holds characters that no key has; set it again")
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = httpx.Client(headers=headers, timeout=timeout)
        self._threads = ThreadPoolExecutor(max_in_flight, thread_name_prefix="heedful-remote")
        self._max_in_flight, self._max_attempts = max_in_flight, max_attempts
        self._closing = Flag()
        self._unfinished: set[Future[tuple[Generation, ...]]] = set()
        self._sleep = sleep or self._closing.wait

    @property
    def identity(self) -> str:
        return f"remote:{self._url}|{self._model}"

    @property
    def preferred_batch(self) -> int:
        return 4 * self._max_in_flight

    @property
    def num_in_flight(self) -> int:
        """Requests, whatever their `n`: the server makes all answers of one together."""
        return len(self._unfinished)

    def submit(self, request: Request) -> RemoteHandle:
        """Send a request as soon as a thread is free; the server makes all `n` answers."""
        check_request(request)
        if request.prompt_ids:
            raise InputError(f"request {request.id!r}: a chat endpoint takes messages, not prompt_ids")
        if self._closing.is_set():
            raise EngineError("this engine is closed; make a new one")
        cancelled = Flag()
        future = self._threads.submit(self._answer, request, cancelled)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return RemoteHandle(request, future, cancelled)

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Not offered: chat completions do not tell the likelihood of a given answer."""
        raise EngineError(
            f"{self._url} cannot score given answers: chat completions do not offer it; "
            "score with a local model, or leave perplexity out"
        )

    def close(self) -> None:
        """Requests not yet sent are cancelled; those under way are waited for, without further attempts."""
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    # -- in a thread of the pool -----------------------------------------------------------------------------------

    def _answer(self, request: Request, cancelled: Flag) -> tuple[Generation, ...]:
        problem = ""
        for attempt in range(self._max_attempts):
            if cancelled.is_set() or self._closing.is_set():
                return _cancelled(request)
            wait = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)
            try:
                response = self._client.post(f"{self._url}/chat/completions", json=_body(request, self._model))
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {self._safe(str(error))}"
            else:
                if response.is_success:
                    return self._read(request, response)
                problem = f"status {response.status_code}: {self._safe(response.text)}"
                if response.status_code not in _RETRY_STATUS:
                    raise EngineError(
                        f"{self._url} refused request {request.id!r} ({problem}); {self._advice(response)}"
                    )
                wait = _retry_after(response) or wait
            if attempt + 1 < self._max_attempts:
                self._sleep(wait)
        raise EngineError(
            f"{self._url} gave no answer to request {request.id!r} in {self._max_attempts} attempts (last: {problem}); "
            "check that the server runs, or lower max_in_flight; answers in the cache are kept"
        )

    def _read(self, request: Request, response: httpx.Response) -> tuple[Generation, ...]:
        try:
            body = response.json()
            usage = body.get("usage") or {}
            choices = sorted(body["choices"], key=lambda choice: choice["index"])
            if [choice["index"] for choice in choices] != list(range(request.sampling.n)):
                raise ValueError(f"{len(choices)} answers instead of {request.sampling.n}")
            tokens = Usage(int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0)))
            return tuple(_generation(request, choice, tokens) for choice in choices)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(
                f"{self._url} answered request {request.id!r} with something that is not a chat completion "
                f"({error}): {self._safe(response.text)}; check the base URL"
            ) from None

    def _advice(self, response: httpx.Response) -> str:
        if response.status_code in (401, 403):
            state = "set, but not accepted" if self._key else "not set"
            return f"the key is read from ${self._key_name}, which is {state}"
        return f"check the base URL, the model name {self._model!r} and the request"

    def _safe(self, text: str) -> str:
        """The server's words, short, and without the key if it repeats it."""
        return (text.replace(self._key, "[key]") if self._key else text).strip()[:300]


class RemoteHandle:
    """A request in a thread of its own."""

    def __init__(self, request: Request, future: Future[tuple[Generation, ...]], cancelled: Flag) -> None:
        self._request, self._future, self._cancelled = request, future, cancelled

    def __iter__(self) -> Iterator[Event]:
        for generation in self.result():
            yield Event(generation.index, generation.text, generation)

    def result(self) -> tuple[Generation, ...]:
        """Wait; raises EngineError when all attempts failed."""
        return _cancelled(self._request) if self._future.cancelled() else self._future.result()

    def cancel(self) -> None:
        """Not sent yet: it never is. Already sent: the attempt under way is the last, and its answer counts."""
        self._cancelled.set()
        self._future.cancel()


def _body(request: Request, model: str) -> dict[str, Any]:
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "n": sampling.n,
        "seed": sampling.seed,
    }
    # Not every server knows these; they are sent only when asked for.
    optional = {"stop": list(sampling.stop), "top_k": sampling.top_k, "logprobs": request.logprobs}
    return body | {key: value for key, value in optional.items() if value}


def _generation(request: Request, choice: dict[str, Any], usage: Usage) -> Generation:
    logprobs = [token["logprob"] for token in choice["logprobs"]["content"]] if request.logprobs else None
    return Generation(
        request_id=request.id,
        text=choice["message"]["content"] or "",
        logprobs=None if logprobs is None else tuple(logprobs),
        finish_reason=_FINISH_REASONS.get(choice.get("finish_reason") or "stop", "error"),
        # Servers count all n answers together; the sum is told once.
        usage=usage if choice["index"] == 0 else Usage(),
        index=choice["index"],
    )


def _cancelled(request: Request) -> tuple[Generation, ...]:
    return tuple(
        Generation(request_id=request.id, text="", finish_reason="cancelled", index=index)
        for index in range(request.sampling.n)
    )


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the server asks for; 0 when it does not, or gives a date."""
    try:
        return min(max(float(response.headers.get("Retry-After", "")), 0.0), 10 * _LONGEST_WAIT)
    except ValueError:
        return 0.0
