"""20,000 steps of the local engine under random load: resident memory stays flat, nothing stalls, answers stay what they are.

    make bench-soak

A small Llama made from nothing, with LoRA, prefix and prompt adapters, in a room for keys and values that is always full. Up to 64 requests
at a time come with random lengths, seeds, adapters, beams, penalties and stop strings; some are cancelled, scores are asked for in
between. Every hundredth answer that was not cancelled is compared with the one that a fresh engine gives it alone. The last line is JSON.

HEEDFUL_BENCH_STEPS   fewer steps for a quick look; the claim needs all 20,000
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import statistics
import tempfile
import time
from collections import deque
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

from heedful.generate.engine import Request, Sampling, ScoreRequest
from heedful.generate.local import LocalEngine
from heedful.generate.local.paged import PagedRunner
from heedful.models import add_lora, load
from heedful.models.scratch import tiny_llama
from heedful.records import Generation, Message

NUM_STEPS = int(os.environ.get("HEEDFUL_BENCH_STEPS", "20000"))
MOST_IN_FLIGHT = 64
# Libraries, caches and the allocator fill up first.
WARM_STEPS = NUM_STEPS // 10
SAMPLE_EVERY = 50
COMPARE_EVERY = 100
MAX_LENGTH = 400


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = tiny_llama(Path(folder) / "base", seed=1)
        adapters = made_adapters(base, Path(folder))
        load_ = Load(base, adapters)
        load_.run()
        result = load_.result()
    print(json.dumps(result))


def made_adapters(base: Path, folder: Path) -> dict[str, Path]:
    torch.manual_seed(3)
    virtual = {
        "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=9),
        "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=20),
    }
    for name, config in virtual.items():
        get_peft_model(load(base).model, config).save_pretrained(folder / name)
    for number in range(3):
        tuned = add_lora(load(base), rank=4 * (number + 1), alpha=16, dropout=0.0, seed=number).model
        for name, value in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.1)
        tuned.save_pretrained(folder / f"lora{number}")
    return {name: folder / name for name in (*virtual, "lora0", "lora1", "lora2")}


class Load:
    """Random work for an engine."""

    def __init__(self, base: Path, adapters: dict[str, Path]) -> None:
        self.random = random.Random(7)
        # Memory for about eight answers, and for two adapters of five.
        settings: dict[str, Any] = {
            "max_length": MAX_LENGTH,
            "max_memory": 8 * MAX_LENGTH * 512,
            "max_adapter_memory": 120_000,
        }
        self.engine = LocalEngine(load(base), adapters=adapters, **settings)
        self.alone = LocalEngine(
            load(base), adapters=adapters, max_length=MAX_LENGTH, max_batch=8, share_beginnings=False
        )
        self.names = [None, *adapters]
        self.seconds: list[float] = []
        self.memory: list[int] = []
        self.num_answers = self.num_cancelled = self.num_compared = self.num_different = self.num_scores = 0
        self.most_kept, self.room = 0, 0

    def run(self) -> None:
        runner = self.engine._runner
        assert isinstance(runner, PagedRunner)
        self.room = runner._sequences.pool.num_blocks * 16
        step = runner.step

        def timed(queue: deque[Any]) -> None:
            started = time.perf_counter()
            step(queue)
            self.seconds.append(time.perf_counter() - started)
            self.most_kept = max(self.most_kept, runner.num_tokens_kept)
            if len(self.seconds) >= WARM_STEPS and len(self.seconds) % SAMPLE_EVERY == 0:
                self.memory.append(resident())
            if len(self.seconds) % (NUM_STEPS // 20) == 0:
                print(f"{len(self.seconds):,} steps, {self.num_answers:,} answers, {resident() >> 20} MiB", flush=True)

        runner.step = timed  # type: ignore[method-assign]
        under_way: deque[tuple[Request, Any]] = deque()
        while len(self.seconds) < NUM_STEPS:
            while len(under_way) < self.random.randrange(1, MOST_IN_FLIGHT):
                request = self.request()
                under_way.append((request, self.engine.submit(request)))
            self.turn(*under_way.popleft())
        for request, handle in under_way:
            self.turn(request, handle)
        self.engine.close()

    def turn(self, request: Request, handle: Any) -> None:
        """Wait for an answer, or cancel it after some of its pieces."""
        if self.random.random() < 0.2:
            for _ in zip(range(self.random.randrange(5)), handle, strict=False):
                pass
            handle.cancel()
            self.num_cancelled += 1
        answers = handle.result()
        self.num_answers += 1
        if all(one.finish_reason != "cancelled" for one in answers) and self.num_answers % COMPARE_EVERY == 0:
            self.compare(request, answers)
        if self.random.random() < 0.02:
            items = [ScoreRequest(str(n), (Message("user", "word " * n),), "an answer") for n in range(1, 9)]
            self.num_scores += len(list(self.engine.score(items)))

    def compare(self, request: Request, answers: tuple[Generation, ...]) -> None:
        self.num_compared += 1
        self.num_different += self.alone.submit(request).result() != answers

    def request(self) -> Request:
        choose = self.random.choice
        text = choose(["the cat ", "你好，", "List three things. ", "x"]) * self.random.randrange(1, 20)
        beams = choose([1, 1, 1, 1, 1, 1, 3])
        sampling = Sampling(
            max_tokens=self.random.randrange(1, 60),
            temperature=0.0 if beams > 1 else choose([0.0, 0.8, 1.5]),
            top_p=choose([1.0, 0.9]),
            seed=self.random.randrange(1000),
            n=choose([1, 1, 1, 2]),
            stop=choose([(), ("e",), ("th", "\ufffd")]),
            repetition_penalty=choose([1.0, 1.3]),
            num_beams=beams,
        )
        return Request(
            str(self.random.random()), (Message("user", text),), sampling=sampling, adapter=choose(self.names)
        )

    def result(self) -> dict[str, Any]:
        growth = max(self.memory) / self.memory[0] - 1
        thirds = len(self.memory) // 3
        drift = statistics.median(self.memory[-thirds:]) / statistics.median(self.memory[:thirds]) - 1
        print(
            f"{len(self.seconds):,} steps, {self.num_answers:,} answers, {self.num_cancelled:,} cancelled, {self.num_scores:,} scores; "
            f"step {statistics.median(self.seconds) * 1000:.1f} ms, longest {max(self.seconds[WARM_STEPS:]) * 1000:.0f} ms"
        )
        print(
            f"memory: {self.memory[0] >> 20} MiB after warm-up, at most {max(self.memory) >> 20}; peak {peak() >> 20} MiB"
        )
        return {
            "bench": "soak",
            "ratios": {"memory_growth": round(growth, 4), "memory_drift": round(drift, 4)},
            "figures": {
                "steps": len(self.seconds),
                "answers": self.num_answers,
                "compared": self.num_compared,
                "most_room_used": round(self.most_kept / self.room, 3),
                "longest_step_seconds": round(max(self.seconds[WARM_STEPS:]), 3),
            },
            "checks": {
                "all_steps": len(self.seconds) >= 20_000,
                "memory_flat": abs(growth) <= 0.05,
                "no_stall": max(self.seconds[WARM_STEPS:]) < 2,
                "bound_kept": self.most_kept <= self.room,
                "answers_equal": self.num_different == 0 and self.num_compared > 0,
            },
            "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
            "versions": {"python": platform.python_version(), "torch": version("torch"), "numba": version("numba")},
        }


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
