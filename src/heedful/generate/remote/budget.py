"""What was spent, and hard caps on it.

A request is sent only if even its worst case stays inside every cap, everything else that is under way at its own worst case
included; when its answer is there, what the server reports takes the place of the worst case. So the caps hold to the request,
however many are in flight. The worst case rests on four things that only the server knows:

- a token stands for at least one byte of the prompt's text, before or after Unicode's NFKC: byte-level and byte-fallback
  tokenizers, which is what models have today. NFKC, because some tokenizers apply it and it can make text longer;
- the chat template adds at most 16 tokens a message and 256 a request (a default system prompt is among them). A server that
  reports more is believed from then on: the excess is added to all later worst cases;
- the server stops at `max_tokens`, for each of the `n` answers;
- it charges what it reports, and nothing for an error status. An attempt that may have been computed without anybody seeing
  the answer (cut off, too late, cancelled) stays charged at its worst case.

Requests are counted when they are sent, those that the server refuses and that are sent again included: the server never sees
more than the cap. Money is counted in decimals, so a cap of 0.30 is 0.30.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from threading import Lock

from heedful.errors import EngineError, SettingsError, UserError
from heedful.generate.engine import Request
from heedful.records import Usage

_TOKENS_PER_MESSAGE = 16
_TOKENS_PER_REQUEST = 256
_MILLION = 1_000_000


class CapReachedError(EngineError, UserError):
    """A request whose worst case does not fit into what a cap leaves; the user set the cap, so the user can raise it."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens, in whatever currency the cap is in."""

    prompt: float
    completion: float

    def __post_init__(self) -> None:
        for name, value in (("prompt", self.prompt), ("completion", self.completion)):
            if not (math.isfinite(value) and value >= 0):
                raise SettingsError(f"the price of {name} tokens is {value}, expected 0 or more for a million tokens")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Exact: of the prices as they are written."""
        prompt, completion = Decimal(str(self.prompt)), Decimal(str(self.completion))
        return (prompt_tokens * prompt + completion_tokens * completion) / _MILLION


@dataclass(frozen=True, slots=True)
class Caps:
    """What may be spent by one engine, from its making to its end; None is no cap. Answers from a cache cost nothing."""

    requests: int | None = None
    """Requests sent, repeated ones included."""
    tokens: int | None = None
    """Prompt and completion tokens."""
    cost: float | None = None

    def __post_init__(self) -> None:
        for name in ("requests", "tokens", "cost"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise SettingsError(f"the cap on {name} is {value}, expected 0 or more")


@dataclass(frozen=True, slots=True)
class Spent:
    """What the server was asked and what it charges, as far as it tells."""

    requests: int = 0
    """Sent, repeated ones included."""
    answers: int = 0
    """Requests that were answered completely."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """As the server reports them; the worst case of answers for which it reports nothing."""
    uncertain_requests: int = 0
    """Attempts that may have been charged although no complete answer came."""
    uncertain_tokens: int = 0
    """Their worst case."""
    cost: Decimal | None = None
    """Of the tokens above, without the uncertain ones; None without prices."""
    uncertain_cost: Decimal | None = None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Bound:
    """The most tokens that a request can take."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def worst_case(request: Request) -> Bound:
    """See above for what it rests on."""
    text = sum(_longest(message.content) for message in request.messages)
    prompt = text + _TOKENS_PER_MESSAGE * len(request.messages) + _TOKENS_PER_REQUEST
    return Bound(prompt, request.sampling.max_tokens * request.sampling.n)


def _longest(text: str) -> int:
    if text.isascii():
        return len(text)
    texts = (text, unicodedata.normalize("NFKC", text))
    return max(len(one.encode("utf-8", "surrogatepass")) for one in texts)


class Budget:
    """Admits, and keeps the accounts. Safe in several threads."""

    def __init__(self, caps: Caps | None = None, prices: Prices | None = None) -> None:
        self._caps, self._prices = caps or Caps(), prices
        self._is_capped = self._caps != Caps()
        if self._caps.cost is not None and prices is None:
            raise SettingsError("a cap on cost needs prices: give what a million prompt and completion tokens cost")
        self._lock = Lock()
        self._requests = self._answers = self._uncertain_requests = 0
        self._paid, self._uncertain, self._reserved = _Tokens(), _Tokens(), _Tokens()
        # By how much prompts have been longer than their bound so far.
        self._excess = 0

    @property
    def spent(self) -> Spent:
        with self._lock:
            return Spent(
                requests=self._requests,
                answers=self._answers,
                prompt_tokens=self._paid.prompt,
                completion_tokens=self._paid.completion,
                uncertain_requests=self._uncertain_requests,
                uncertain_tokens=self._uncertain.total,
                cost=self._cost(self._paid),
                uncertain_cost=self._cost(self._uncertain),
            )

    def reserve(self, request: Request) -> Bound | str:
        """Set the worst case of `request` aside; or say which cap is in the way."""
        bound = worst_case(request)
        with self._lock:
            if self._excess:
                bound = Bound(bound.prompt_tokens + self._excess, bound.completion_tokens)
            if self._is_capped and (problem := self._problem(bound)):
                return problem
            self._requests += 1
            self._reserved.add(bound.prompt_tokens, bound.completion_tokens)
            return bound

    def answered(self, bound: Bound, usage: Usage | None) -> None:
        """The answer is there; `usage` is what the server reports."""
        prompt, completion = bound.prompt_tokens, bound.completion_tokens
        with self._lock:
            self._release(bound)
            self._answers += 1
            if usage is not None:
                self._excess += max(0, usage.prompt_tokens - prompt)
                prompt, completion = usage.prompt_tokens, usage.completion_tokens
            self._paid.add(prompt, completion)

    def lost(self, bound: Bound) -> None:
        """The server may have answered, but nobody has the answer."""
        with self._lock:
            self._release(bound)
            self._uncertain_requests += 1
            self._uncertain.add(bound.prompt_tokens, bound.completion_tokens)

    def refused(self, bound: Bound) -> None:
        """The server said that it does not answer."""
        with self._lock:
            self._release(bound)

    def unsent(self, bound: Bound) -> None:
        """The server never heard of it."""
        with self._lock:
            self._release(bound)
            self._requests -= 1

    def _release(self, bound: Bound) -> None:
        self._reserved.add(-bound.prompt_tokens, -bound.completion_tokens)

    def _cost(self, tokens: _Tokens) -> Decimal | None:
        return None if self._prices is None else self._prices.cost(tokens.prompt, tokens.completion)

    def _problem(self, bound: Bound) -> str:
        """Which cap the bound would exceed, what is spent of it, and what was asked; empty when it fits."""
        caps = self._caps
        if caps.requests is not None and self._requests + 1 > caps.requests:
            return f"the cap of {caps.requests:,} requests is reached"
        held = (self._paid, self._uncertain, self._reserved)
        tokens = sum(part.total for part in held)
        if caps.tokens is not None and tokens + bound.tokens > caps.tokens:
            return (
                f"the cap of {caps.tokens:,} tokens leaves {caps.tokens - tokens:,} ({tokens:,} are spent), and this one can take "
                f"{bound.tokens:,} ({bound.prompt_tokens:,} for the prompt, {bound.completion_tokens:,} for the answer)"
            )
        if caps.cost is not None and self._prices is not None:
            cap = Decimal(str(caps.cost))
            cost = self._prices.cost(sum(part.prompt for part in held), sum(part.completion for part in held))
            worst = self._prices.cost(bound.prompt_tokens, bound.completion_tokens)
            if cost + worst > cap:
                return (
                    f"the cap of {cap} on the cost leaves {cap - cost} ({cost} is spent), and this one can cost {worst}"
                )
        return ""


@dataclass(slots=True)
class _Tokens:
    """Two counts that are added up together."""

    prompt: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def add(self, prompt: int, completion: int) -> None:
        self.prompt += prompt
        self.completion += completion
