"""What several benches need: the development data, the machine in words, and how fast torch multiplies on it."""

from __future__ import annotations

import gzip
import json
import os
import platform
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

# Ours and a peer are compared on the processor; the bench for GPUs names its device itself.
os.environ.setdefault("HEEDFUL_DEVICE", "cpu")

DATA = Path(os.environ.get("HEEDFUL_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def shared(path: str = "") -> Path:
    """A file of the development data, or their folder; ends the bench where that is not there."""
    found = DATA / path
    if not found.exists():
        sys.exit(f"no {found}: set HEEDFUL_SHARED_DATA to the folder with the development data")
    return found


def lines(path: str) -> Iterator[dict[str, Any]]:
    """The objects of a compressed file of the development data, one a line."""
    with gzip.open(shared(path), "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def alpaca_rows() -> list[dict[str, str]]:
    """All rows of Alpaca in an order that mixes them, always the same."""
    rows: list[dict[str, str]] = json.loads(gzip.decompress(shared("alpaca/alpaca_data.json.gz").read_bytes()))
    random.Random(0).shuffle(rows)
    return rows


def alpaca_prompt(row: dict[str, str]) -> str:
    """What a row asks, its input below."""
    return row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")


def machine() -> str:
    """What a bench ran on."""
    load = f"load {os.getloadavg()[0]:.1f}"
    return f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {load}"


def gemm_peak(dtype: torch.dtype, num_rows: int) -> float:
    """Operations a second of torch's product of matrices of SmolLM2-135M's shape; the best of several."""
    left, right = torch.rand(num_rows, 576).to(dtype), torch.rand(576, 1536).to(dtype)
    best = 0.0
    for _ in range(20):
        started = time.perf_counter()
        left @ right
        best = max(best, 2 * left.numel() * right.shape[1] / (time.perf_counter() - started))
    say(f"torch multiplies matrices at {best / 1e9:.0f} GFLOP/s in {dtype}")
    return best


def say(line: str) -> None:
    print(line, flush=True)
