"""Ordinary instructions state no requirements, and none is invented; IFEval's are found. Both on data that is not ours."""

from __future__ import annotations

import gzip
import importlib.util
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heedful.requirements.reading import read_requirements

SEED = 20240
SIZES = {"alpaca": 150, "self_instruct": 50, "belle": 60, "oasst_zh": 40}
STATED = {
    ("alpaca", 563): "two sentences",
    ("alpaca", 1526): "50 words",
    ("alpaca", 22087): "a sentence",
    ("alpaca", 24413): "500 characters",
    ("alpaca", 24854): "uses the word licentious",
    ("alpaca", 37358): "using three given words",
    ("alpaca", 41503): "under 300 words",
    ("belle", 105): "one of two answers",
    ("belle", 144): "a sentence that ends with a word",
    ("belle", 157): "one of two answers",
    ("oasst_zh", 269): "one character",
}
"""Rows of the sample that do state a requirement, read or not: file, row, what it is. All 300 were read by a person."""


def _with_input(instruction: str, text: str) -> str:
    return f"{instruction}\n\n{text}" if text else instruction


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _zipped(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    return rows


READERS: dict[str, Callable[[Path], list[str]]] = {
    "alpaca": lambda data: [_with_input(r["instruction"], r["input"]) for r in _zipped(data / "alpaca" / "alpaca_data.json.gz")],
    "self_instruct": lambda data: [
        _with_input(r["instruction"], r["instances"][0]["input"]) for r in _lines(data / "self_instruct" / "user_oriented_instructions.jsonl")
    ],
    "belle": lambda data: [_with_input(r["instruction"], r["instances"][0]["input"]) for r in _lines(data / "belle" / "zh_seed_tasks.json")],
    "oasst_zh": lambda data: [r["instruction"] for r in _zipped(data / "oasst_zh" / "oaast_sft_zh.json.gz")],
}  # fmt: skip


def sample(data: Path) -> list[tuple[str, int, str]]:
    """File, row and text of 300 instructions; of equal ones the first row stands for all."""
    chosen = []
    for name, size in SIZES.items():
        texts = READERS[name](data)
        rows = sorted({text: row for row, text in reversed(list(enumerate(texts)))}.values())
        chosen += [(name, row, texts[row]) for row in sorted(random.Random(f"{SEED}/{name}").sample(rows, size))]
    return chosen


def test_nothing_is_invented(shared_data: Path) -> None:
    chosen = sample(shared_data)
    assert len(chosen) == 300
    assert STATED.keys() <= {(name, row) for name, row, _ in chosen}
    ordinary = [(name, row, text) for name, row, text in chosen if (name, row) not in STATED]
    invented = [(name, row, found.spec) for name, row, text in ordinary for found in read_requirements(text)]
    assert len({(name, row) for name, row, _ in invented}) <= len(ordinary) // 100, invented


def test_an_ordinary_instruction_takes_less_than_a_millisecond(shared_data: Path) -> None:
    texts = [text for _, _, text in sample(shared_data)]
    read_requirements(texts[0])

    def seconds() -> float:
        start = time.thread_time()
        for text in texts:
            read_requirements(text)
        return time.thread_time() - start

    # Half of it is used; the smallest of three rounds, as another program may take the core for a while.
    assert min(seconds() for _ in range(3)) / len(texts) < 0.001


def test_most_prompts_of_ifeval_are_read_exactly(shared_data: Path) -> None:
    file = Path(__file__).parents[3] / "bench" / "reading.py"
    specification = importlib.util.spec_from_file_location("bench_reading", file)
    assert specification is not None
    assert specification.loader is not None
    bench = importlib.util.module_from_spec(specification)
    sys.modules["bench_reading"] = bench  # its dataclasses look themselves up there
    specification.loader.exec_module(bench)
    compared = [bench.compare(row) for row in _lines(shared_data / "ifeval" / "input_data.jsonl")]
    assert sum(one.exact for one in compared) / len(compared) >= 0.85
    right = sum(one.got.get(key) == bounds for one in compared for key, bounds in one.wanted.items())
    assert right / sum(len(one.got) for one in compared) >= 0.95
