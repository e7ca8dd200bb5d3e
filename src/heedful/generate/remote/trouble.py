"""What can go wrong with one attempt, and what follows from it: ask again or not, wait how long, slow down, count as paid."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

from heedful.generate.remote.connections import UnreachableError

Kind = Literal["busy", "failed", "late", "unreachable", "broken", "refused"]

# By status; other statuses from 500 on are "failed", other statuses are "refused".
_KINDS: dict[int, Kind] = {
    408: "failed",
    425: "failed",
    429: "busy",
    503: "busy",
    504: "late",
    524: "late",
    529: "busy",
}
# Seconds; a server that asks for more is not waited for.
LONGEST_RETRY_AFTER = 600.0
# Vendors answer 429 also when the account is empty, which no waiting fills.
_EMPTY_ACCOUNT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failed attempt."""

    kind: Kind
    """busy: not now (429, 503); failed: the server's own fault (500, 502); late: no answer in time; unreachable: nothing
    was sent; broken: cut off, or no chat completion; refused: asking again gives the same."""
    words: str
    """For the message; the server's words are in it, so the key has to be taken out."""
    status: int = 0
    retry_after: float | None = None
    """Seconds that the server asks to wait."""

    @property
    def may_be_paid(self) -> bool:
        """Whether the server may have computed an answer and charge for it; it charges for no error that it reports."""
        return self.kind in ("late", "broken")

    @property
    def slows_down(self) -> bool:
        return self.kind in ("busy", "late")


def of_response(status: int, headers: Mapping[str, str], body: bytes) -> Trouble:
    """For a status that is not 200."""
    text = " ".join(body.decode("utf-8", "replace").split())
    kind = _KINDS.get(status, "failed" if status >= 500 else "refused")
    if kind == "busy" and _error_code(body) in _EMPTY_ACCOUNT:
        kind = "refused"
    words = f"status {status}: {text}" if text else f"status {status}"
    if status in range(300, 400):
        words = f"status {status}, a redirection to {headers.get('location', 'nowhere')}"
    return Trouble(kind, words, status, retry_after(headers))


def of_exception(error: Exception) -> Trouble:
    """For an attempt without a status, or whose answer could not be read."""
    if isinstance(error, UnreachableError):
        return Trouble("unreachable", str(error))
    if isinstance(error, TimeoutError):
        return Trouble("late", "no answer in time")
    return Trouble("broken", str(error) or type(error).__name__)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that `Retry-After` asks for, given as such or as a date; None without one that can be read.

    A date is compared with the server's own clock where it tells it: ours may be minutes off.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    except ValueError:
        pass
    moment = _seconds(value)
    if moment is None:
        return None
    clock = _seconds(headers.get("date", ""))
    if clock is None:
        clock = time.time() if now is None else now
    return max(moment - clock, 0.0)


def _seconds(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _error_code(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return str(error.get("code") or error.get("type"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
