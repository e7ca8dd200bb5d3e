"""A run as people watch it: one JSON line a step, TensorBoard's event files, a note for the terminal, and spikes named.

What depends on the clock (seconds, tokens per second, memory) lives here and nowhere else: the history, which is part of
what a run makes, must be the same to the last bit whether the run was interrupted or not.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from heedful.errors import SettingsError
from heedful.project import Watcher, write_text

METRICS_FILE = "metrics.jsonl"

_WINDOW, _LEAST = 50, 10
"""Losses that a new one is compared with: at most, and at least."""
_DEVIATIONS, _SHARE = 8.0, 0.02
"""A spike lies this many deviations above the median; a deviation is at least this share of the median, since losses
that hardly move at all would make spikes of nothing."""


def spike_threshold(losses: Sequence[float]) -> float:
    """The loss above which a step is a spike, by the steps before it; infinite until there are enough of them.

    Median and median absolute deviation of the last steps: a spike before does not hide the next one, as it would in a
    mean and a standard deviation.
    """
    recent = losses[-_WINDOW:]
    if len(recent) < _LEAST:
        return math.inf
    middle = statistics.median(recent)
    deviation = statistics.median(abs(loss - middle) for loss in recent)
    return middle + _DEVIATIONS * max(deviation, _SHARE * abs(middle))


def describe_spike(step: int, loss: float, losses: Sequence[float], rows: Sequence[tuple[str, float]]) -> str:
    """`rows` are (id, own loss by trained token) of the step; those with the largest come first in the message."""
    usual = statistics.median(losses[-_WINDOW:])
    worst = sorted(rows, key=lambda row: -row[1])[:3]
    named = ", ".join(f"{name} ({own:.2f})" for name, own in worst)
    return f"the loss jumped to {loss:.2f} at step {step} (usual: {usual:.2f}); the rows with the largest loss: {named}"


class StepLog:
    """Writes what happens to `folder`/metrics.jsonl, and to event files there; without a folder only notes are made."""

    def __init__(self, folder: Path | None = None, *, tensorboard: bool = False) -> None:
        self._path = None if folder is None else folder / METRICS_FILE
        self._events_in = folder if tensorboard else None
        if self._events_in is not None:
            _writer_class()  # says at once, and not after the first step, what is missing
        self._events: Any = None
        self._seconds = 0.0
        self._tokens = 0

    def begin(self, step: int, tokens: int) -> None:
        """The run goes on after `step`, with `tokens` read so far: lines of later steps are of steps that come again."""
        self._tokens = tokens
        if self._path is not None:
            kept = [line for line in _lines(self._path) if _step_of(line) <= step]
            write_text(self._path, "".join(f"{line}\n" for line in kept))
        if self._events_in is not None:
            self._events = _writer_class()(str(self._events_in), purge_step=step + 1 if step else None)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """The seconds of one step."""
        started = time.perf_counter()
        yield
        self._seconds = time.perf_counter() - started

    def write(self, entry: Mapping[str, Any]) -> str:
        """One step's line; returns the note that stands beside the progress."""
        speed = (entry["tokens"] - self._tokens) / max(self._seconds, 1e-9)
        self._tokens = entry["tokens"]
        times = {"seconds": self._seconds, "tokens_per_second": speed, "memory_bytes": memory_bytes()}
        values = {**entry, **times}
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        if self._events is not None:
            for name, value in values.items():
                if name != "step":
                    self._events.add_scalar(name, value, entry["step"])
            self._events.flush()
        return _note(entry, speed)

    def close(self) -> None:
        """The last event file is complete."""
        if self._events is not None:
            self._events.close()
            self._events = None


class Spikes:
    """Says which rows made the loss jump. What it knows comes from the history, so a resumed run says the same."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def are_there(self, loss: float, history: Sequence[Mapping[str, Any]]) -> bool:
        return loss > spike_threshold([entry["loss"] for entry in history[-_WINDOW:]])

    def say(
        self, step: int, loss: float, history: Sequence[Mapping[str, Any]], rows: Sequence[tuple[str, float]]
    ) -> None:
        self._watcher.say(describe_spike(step, loss, [entry["loss"] for entry in history[-_WINDOW:]], rows))


def memory_bytes() -> int:
    """What this process holds now on a processor, or held at most on a GPU."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines that a `StepLog` wrote."""
    return [json.loads(line) for line in _lines(folder / METRICS_FILE)]


def _lines(path: Path) -> list[str]:
    """Whole lines; what a killed process left half written is none."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()


def _step_of(line: str) -> int:
    return int(json.loads(line)["step"])


def _note(entry: Mapping[str, Any], speed: float) -> str:
    parts = [f"loss {entry['loss']:.2f}"]
    if "validation_loss" in entry:
        parts.append(f"validation {entry['validation_loss']:.2f}")
    return ", ".join([*parts, f"{speed:.0f} tokens/s"])


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise SettingsError(
            "tune.tensorboard is on, but tensorboardX is not installed: `pip install 'heedful[tensorboard]'`, or switch it off"
        ) from None
    return SummaryWriter
