"""How long a run will take and how much memory, from a few micro-batches that are computed and forgotten.

Time: seconds of a micro-batch are taken as a + b n, n its tokens, through the longest and a typical one of the first epoch, and
summed over all; evaluations read validation rows at about a third of that, since nothing is computed backwards. AdamW's part
is timed on numbers of its own. Memory: the peak while the longest micro-batch is computed, plus what is not there yet then:
two moments of 4 bytes for each trained weight, gradients in 32 bits beside rounded weights, a copy of the best weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from heedful.errors import SettingsError
from heedful.project import Watcher
from heedful.project.watching import duration

LEAST_PASSES = 50
"""Shorter runs are not tried out first: it would take longer than 5 % of the run, whose own estimate comes as soon."""
_LOW, _HIGH = 0.8, 1.25
"""How far the true time may lie from what a few seconds of it say: other work, heat, uneven rows."""
_FORWARD = 1 / 3
"""Forward pass over forward and backward pass, of the same tokens."""
_SAMPLE = 1 << 22


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of a whole run. Bytes are those of the process, or on a GPU those that torch holds there."""

    num_steps: int
    seconds: float
    low: float
    high: float
    bytes_needed: int
    bytes_there: int

    def __str__(self) -> str:
        gigabytes = f"{self.bytes_needed / 1e9:.1f} of {self.bytes_there / 1e9:.1f} GB"
        return (
            f"{self.num_steps} steps will take about {duration(self.seconds)} (between {duration(self.low)} and "
            f"{duration(self.high)}, without answers to prompts), and {gigabytes} of memory"
        )

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {name: getattr(self, name) for name in self.__slots__}

    def said(self, watcher: Watcher) -> None:
        """Say it; raises SettingsError when the memory cannot be enough."""
        watcher.say(str(self))
        check_memory(self.bytes_needed, self.bytes_there)


def predict(loop: Any) -> Prediction:
    """From a dry run of `loop` (`train.loop.SupervisedLoop`), which is then as it was."""
    weights: dict[str, torch.Tensor] = loop.weights
    num_trained = sum(weight.numel() for weight in weights.values())
    device = next(iter(weights.values())).device
    later = 8 * num_trained + (4 * num_trained if loop.is_rounded else 0)
    later += 4 * num_trained if loop.num_validation_tokens else 0
    there = bytes_there(device)
    # What is known without trying is refused without trying: an operating system that runs out of memory kills.
    check_memory(_held(device) + later, there)
    groups = [group for step in loop.epoch() for group in step]
    sizes = [sum(row.num_tokens for row in group) for group in groups]
    longest, typical = _longest_and_typical(sizes)
    first, peak = _timed_with_peak(lambda: loop.try_out(groups[longest]), device)
    second = min(_timed_with_peak(lambda: loop.try_out(groups[typical]), device)[0] for _ in range(2))
    epochs = loop.schedule.num_steps / loop.schedule.steps_per_epoch
    passes = epochs * sum(seconds_of(sizes, (sizes[longest], first), (sizes[typical], second)))
    number = sum(loop.schedule.evaluates(step) for step in range(1, loop.schedule.num_steps + 1))
    evaluations = number * loop.num_validation_tokens * second / sizes[typical] * _FORWARD
    seconds = passes + evaluations + loop.schedule.num_steps * _optimizer_seconds(num_trained, device)
    return Prediction(loop.schedule.num_steps, seconds, seconds * _LOW, seconds * _HIGH, peak + later, there)


def num_passes(loop: Any) -> int:
    """Micro-batches of the whole run, as the first epoch has them."""
    epochs: int = loop.schedule.num_steps // loop.schedule.steps_per_epoch
    return epochs * sum(len(step) for step in loop.epoch())


def seconds_of(sizes: Sequence[int], long: tuple[int, float], typical: tuple[int, float]) -> list[float]:
    """Of micro-batches of these sizes, from (size, seconds) of two that were measured."""
    (most, slow), (usual, fast) = long, typical
    slope = (slow - fast) / (most - usual) if most > 1.2 * usual else fast / usual
    start = fast - slope * usual
    if slope <= 0 or start < 0:
        # Two measurements so close or so noisy that a line through them says nothing: proportional to the longer one.
        slope, start = slow / most, 0.0
    return [start + slope * size for size in sizes]


def check_memory(needed: int, there: int) -> None:
    """Raises SettingsError when the machine has less than is needed."""
    if needed > there:
        raise SettingsError(
            f"training needs about {needed / 1e9:.1f} GB of memory, and {there / 1e9:.1f} GB are there: lower "
            'tune.micro_batch_tokens or tune.max_length, train an adapter (tune.adapter = "lora") instead of all weights, '
            "or switch this check off (tune.predict = false)"
        )


def bytes_there(device: torch.device) -> int:
    """What this process may hold in all: what it holds now and what is free, within the container's limit."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device))
    machine = psutil.virtual_memory().available + _held(device)
    limit = _container_limit(Path("/sys/fs/cgroup"))
    return int(machine if limit is None else min(machine, limit))


def _container_limit(folder: Path) -> int | None:
    """Bytes that the container may hold; None without a limit."""
    try:
        text = (folder / "memory.max").read_text().strip()
    except OSError:
        return None
    return None if text == "max" else int(text)


def _held(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def _longest_and_typical(sizes: Sequence[int]) -> tuple[int, int]:
    order = sorted(range(len(sizes)), key=lambda index: sizes[index])
    return order[-1], order[len(order) // 2]


def _timed_with_peak(work: Callable[[], None], device: torch.device) -> tuple[float, int]:
    """Seconds, and the most memory held meanwhile."""
    _forget_peak(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started, _peak(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        # Elsewhere than on Linux the peak is that since the process began: never too little.
        return


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        status = Path("/proc/self/status").read_text()
        return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return _held(device)


def _optimizer_seconds(num_trained: int, device: torch.device) -> float:
    """Of one step of AdamW, timed on a few million numbers."""
    number = min(num_trained, _SAMPLE)
    weight = torch.nn.Parameter(torch.zeros(number, device=device))
    adamw = torch.optim.AdamW([weight], fused=True)
    seconds = 0.0
    for _ in range(2):
        weight.grad = torch.zeros_like(weight)
        seconds, _ = _timed_with_peak(lambda: adamw.step() and None, device)
    return seconds * num_trained / number
