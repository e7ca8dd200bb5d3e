"""Prefix and prompt tuning against LoRA on one task: how much of LoRA's gain, with how many trained numbers.

    make bench-prefix_tuning

SmolLM2-135M-Instruct learns to name one of six emotions in a sentence (task 875 of Super-NaturalInstructions), from the same rows in the
same order, once with each adapter; the learning rates are the best of a few by validation loss. Reported: loss per trained token of held-out
rows; greedy answers that are exactly right and their ROUGE-L, by the engine that serves adapters (all in one batch); and the trained
numbers beside the model's. `prefix_of_lora` is the prefix's share of LoRA's gain in held-out loss. The last line is JSON.

HEEDFUL_SHARED_DATA   the folder with the development data; default ../shared/data
HEEDFUL_BENCH_RATES   only these adapters at these learning rates, like "lora=5e-4 prefix=0.01"; claims need the defaults
HEEDFUL_BENCH_EPOCHS  other than 6
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from common import lines, machine, say
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.metrics import rouge_l
from heedful.models import LoadedModel, load
from heedful.project import Silent
from heedful.records import Example, Message, Split, origin_id
from heedful.render import renderer_for
from heedful.train import TuneSettings, tune
from heedful.train.computing.numbers import dtype_of
from heedful.train.computing.ways import computed_fast
from heedful.train.objectives.instruction import packed, rows
from heedful.train.settings import USUAL_RATES

MODEL = "smollm2-135m-instruct-q4_1"
TASK = "task875_emotion_classification"
NUM_VALIDATION, NUM_TEST = 20, 60
RATES = {name: USUAL_RATES[name] for name in ("lora", "prefix", "prompt")}
if "HEEDFUL_BENCH_RATES" in os.environ:
    asked = (one.partition("=") for one in os.environ["HEEDFUL_BENCH_RATES"].split())
    RATES = {name: float(rate) for name, _, rate in asked}
COMMON: dict[str, Any] = {
    "model": MODEL,
    "epochs": int(os.environ.get("HEEDFUL_BENCH_EPOCHS", "6")),
    "batch_size": 8,
    "virtual_tokens": 32,
    "checkpoint_every": 10**6,
}
CLAIM_GAIN, CLAIM_SIZE = 0.5, 0.01


@dataclass(frozen=True, slots=True)
class Result:
    """What one way of tuning reached."""

    loss: float
    """Nats per trained token of the test rows."""
    exact: float
    """Percentage of greedy answers that are the reference."""
    rouge: float
    num_trained: int
    seconds: float


def main() -> None:
    examples = chosen()
    test = [row for row in examples if row.split == "test"]
    base = load(MODEL)
    num_model = sum(value.numel() for value in base.model.parameters())
    with tempfile.TemporaryDirectory() as place:
        folders, seconds = {}, {}
        for name, rate in RATES.items():
            began = time.perf_counter()
            folders[name] = tuned(examples, Path(place) / name, name, rate)
            seconds[name] = time.perf_counter() - began
            say(f"{name:<8} learning rate {rate:g}: {seconds[name]:.0f} s")
        scores = answered(base, folders, test)
        results = {"untuned": Result(loss(base, test), *scores["untuned"], 0, 0.0)}
        for name, folder in folders.items():
            results[name] = Result(loss(load(folder), test), *scores[name], num_saved(folder), seconds[name])
    for name, one in results.items():
        share = one.num_trained / num_model
        say(
            f"{name:<8} loss {one.loss:.3f}   right {one.exact:5.1f} %   ROUGE-L {one.rouge:5.1f}   "
            f"{one.num_trained:9,} trained ({share:.2%})   {one.seconds:4.0f} s"
        )
    if {"lora", "prefix", "prompt"} <= results.keys():
        print(json.dumps(summary(results, num_model)))


def summary(results: dict[str, Result], num_model: int) -> dict[str, Any]:
    gains = {name: results["untuned"].loss - one.loss for name, one in results.items()}
    names = ("prefix", "prompt")
    return {
        "bench": "prefix_tuning",
        "ratios": {f"{name}_of_lora": round(gains[name] / gains["lora"], 3) for name in names},
        "checks": {
            "prefix_half_of_lora": gains["prefix"] >= CLAIM_GAIN * gains["lora"] > 0,
            "prefix_under_one_percent": results["prefix"].num_trained < CLAIM_SIZE * num_model,
        },
        "loss": {name: round(one.loss, 4) for name, one in results.items()},
        "exact": {name: round(one.exact, 1) for name, one in results.items()},
        "rouge_l": {name: round(one.rouge, 2) for name, one in results.items()},
        "parameters": {name: one.num_trained for name, one in results.items()} | {"model": num_model},
        "learning_rates": RATES,
        "epochs": COMMON["epochs"],
        "precision": str(dtype_of("auto", torch.device("cpu"))),
        "machine": machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }


def tuned(examples: Sequence[Example], place: Path, adapter: Any, rate: float) -> Path:
    """A folder with the adapter that was best on validation rows."""
    settings = TuneSettings(**COMMON, adapter=adapter, learning_rate=rate)
    result = tune(examples, settings, out=place / "out", checkpoints=place / "checkpoints", seed=0, watcher=Silent())
    losses = [round(entry["validation_loss"], 3) for entry in result.history if "validation_loss" in entry]
    say(f"{adapter:<8} validation {losses}, best at step {result.best_step} of {result.num_steps}")
    return result.model_folder


def loss(loaded: LoadedModel, examples: Iterable[Example]) -> float:
    """Nats per trained token, computed as `tune` computes validation losses."""
    some = rows(examples, renderer_for(loaded), max_length=1024)
    total = weight = 0.0
    with torch.no_grad(), computed_fast(loaded.model, dtype_of("auto", torch.device("cpu")), packed=True):
        for start in range(0, len(some), 16):
            batch = packed.build(some[start : start + 16])
            total += float(packed.loss(loaded.model, batch)[0])
            weight += batch.weight
    return total / weight


def answered(base: LoadedModel, folders: dict[str, Path], test: Sequence[Example]) -> dict[str, tuple[float, float]]:
    """Percentage of exactly right greedy answers and their ROUGE-L, of the base ("untuned") and of each adapter."""
    names = ["untuned", *folders]
    sampling = Sampling(temperature=0.0, max_tokens=32)
    requests = [
        Request(
            f"{name}/{place}", messages=row.messages[:-1], sampling=sampling, adapter=name if name in folders else None
        )
        for name in names
        for place, row in enumerate(test)
    ]
    with LocalEngine(base, adapters=folders) as engine:
        texts = [answer.text for answer in generate(engine, requests)]
    scores = {}
    for number, name in enumerate(names):
        own = texts[number * len(test) : (number + 1) * len(test)]
        say(f"{name:<8} answers {own[:6]}")
        wanted = [str(row.answer) for row in test]
        exact = 100 * sum(text.strip() == answer for text, answer in zip(own, wanted, strict=True)) / len(test)
        scores[name] = (exact, 100 * rouge_l(own, wanted).value)
    return scores


def num_saved(folder: Path) -> int:
    return sum(value.numel() for value in load_file(folder / "adapter_model.safetensors").values())


def chosen() -> list[Example]:
    """The task's rows: its definition, a sentence, and the emotion in it."""
    task = next(task for task in lines("super_natural_instructions/tasks.jsonl.gz") if task["task"] == TASK)
    some = task["instances"]
    random.Random(0).shuffle(some)
    return [
        Example(
            origin_id(TASK, row["id"]),
            (Message("user", f"{task['definition'][0]}\n\n{row['input']}"), Message("assistant", row["output"][0])),
            method="import",
            source=TASK,
            split=split_of(place),
        )
        for place, row in enumerate(some)
    ]


def split_of(place: int) -> Split:
    if place < NUM_VALIDATION:
        return "validation"
    return "test" if place < NUM_VALIDATION + NUM_TEST else "train"


if __name__ == "__main__":
    main()
