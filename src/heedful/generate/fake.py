"""FakeEngine: answers that the caller decides, at once. For tests, dry runs, and every stage on a laptop.

Requirements are accepted, and change nothing: the answer is given, and whoever asks checks it. It says so by reporting nothing.

A token is a word with the white space before it. Likelihoods come from how often each byte occurs in the prompt.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock
from weakref import WeakSet

from heedful.errors import EngineError, InputError
from heedful.generate._base import (
    ClosesItself,
    check_request,
    check_score_request,
    refuse_score_ids,
    refuse_unsupported,
)
from heedful.generate.engine import Event, Request, ScoreRequest, ScoreResult
from heedful.records import FinishReason, Generation, Usage

Answer = str | Mapping[str, str] | Callable[[Request], str]

_TOKEN = re.compile(r"\s*\S+|\s+$")
# Its answer is given: what only changes how tokens are chosen changes nothing.
_HONOURED = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "seed", "max_tokens", "stop", "n", "prompt_ids", "requirements"}
)
# 256 bytes and the end of turn.
_NUM_SYMBOLS = 257


class FakeEngine(ClosesItself):
    """Answers with a fixed text, a text for each last message, or whatever a function of the request returns."""

    def __init__(self, answer: Answer = "ok", *, identity: str = "fake", preferred_batch: int = 16) -> None:
        self._answer, self._identity, self._preferred_batch = answer, identity, preferred_batch
        self._closed = False
        self.num_answered = 0
        """Requests submitted so far: tests read it to see what was asked again."""
        self.num_scored = 0
        self._handles: WeakSet[FakeHandle] = WeakSet()
        self._lock = Lock()

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def preferred_batch(self) -> int:
        return self._preferred_batch

    @property
    def num_in_flight(self) -> int:
        with self._lock:
            return sum(handle.num_unfinished for handle in self._handles)

    def submit(self, request: Request) -> FakeHandle:
        """Decide the answer now; it streams when the handle is iterated."""
        check_request(request)
        if self._closed:
            raise EngineError("this engine is closed; make a new one")
        refuse_unsupported(request, _HONOURED, "the fake engine")
        self.num_answered += 1
        handle = FakeHandle(request, _cut_at_stop(self._text(request), request.sampling.stop))
        with self._lock:
            self._handles.add(handle)
        return handle

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Add-one smoothed frequencies of the prompt's bytes."""
        for item in items:
            check_score_request(item)
            refuse_score_ids(item, "the fake engine")
            self.num_scored += 1
            counts = Counter("".join(message.content for message in item.messages).encode("utf-8"))
            total = counts.total() + _NUM_SYMBOLS
            data = item.continuation.encode("utf-8")
            # The end of turn never occurs in a prompt: its count is the smoothing's one.
            logprob = sum(math.log((counts[byte] + 1) / total) for byte in data) + math.log(1 / total)
            yield ScoreResult(item.id, logprob, num_tokens=len(data) + 1, num_bytes=len(data))

    def close(self) -> None:
        self._closed = True

    def _text(self, request: Request) -> str:
        if isinstance(self._answer, str):
            return self._answer
        if callable(self._answer):
            return self._answer(request)
        last = request.messages[-1].content if request.messages else ""
        if last not in self._answer:
            raise InputError(f"request {request.id!r}: the fake engine has no answer to {last[:80]!r}")
        return self._answer[last]


class FakeHandle:
    """All `n` answers are the same text."""

    def __init__(self, request: Request, text: str) -> None:
        self._request = request
        pieces = _TOKEN.findall(text)
        limit = request.sampling.max_tokens
        self._reason: FinishReason = "length" if len(pieces) > limit else "stop"
        self._pieces: list[str] = pieces[:limit]
        self._events = self._stream()
        self._done: list[Generation] = []
        self._cancelled = False

    @property
    def num_unfinished(self) -> int:
        """Answers that were not read to their end."""
        return 0 if self._cancelled else self._request.sampling.n - len(self._done)

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def result(self) -> tuple[Generation, ...]:
        for _ in self._events:
            pass
        return tuple(self._done)

    def cancel(self) -> None:
        self._cancelled = True

    def _stream(self) -> Iterator[Event]:
        for index in range(self._request.sampling.n):
            shown: list[str] = []
            for piece in self._pieces:
                if self._cancelled:
                    break
                shown.append(piece)
                yield Event(index, piece)
            reason: FinishReason = "cancelled" if len(shown) < len(self._pieces) else self._reason
            self._done.append(
                Generation(
                    request_id=self._request.id,
                    text="".join(shown),
                    finish_reason=reason,
                    usage=Usage(sum(len(_TOKEN.findall(m.content)) for m in self._request.messages), len(shown)),
                    index=index,
                )
            )
            yield Event(index, "", self._done[-1])


def _cut_at_stop(text: str, stop: Iterable[str]) -> str:
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text
