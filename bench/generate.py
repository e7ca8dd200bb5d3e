"""Generation on two cores: our engine against transformers' `generate` and llama.cpp. Same prompts, greedy, natural ends.

    make bench-generate

256 Alpaca prompts, up to 128 new tokens, SmolLM2-135M-Instruct. transformers runs sorted by length in its best static batch (16, 32
or 64) and its best number format on this machine (bf16 where the processor knows it, else 32 bits), chosen by short trials that are
printed. Tokens are counted alike: generated ones with the end of turn, nothing behind it. The last line is JSON.

HEEDFUL_SHARED_DATA     the folder with Alpaca and text; default ../shared/data
HEEDFUL_LLAMACPP_PYTHON a Python that has llama-cpp-python; default: bench/.venvs/llamacpp, made here (compiles llama.cpp)
HEEDFUL_BENCH_PROMPTS   fewer prompts for a quick look; claims need all 256
"""

from __future__ import annotations

import gzip
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from common import DATA, alpaca_prompt, alpaca_rows
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, load
from heedful.models.names import locate
from heedful.records import Message
from heedful.render import renderer_for
from peers.environments import python_of

HERE = Path(__file__).resolve().parent
MODEL = "smollm2-135m-instruct-q4_1"
NUM_PROMPTS = int(os.environ.get("HEEDFUL_BENCH_PROMPTS", "256"))
MAX_TOKENS = 128
NUM_ALONE = 12
ROUNDS = 3
TEXT_BYTES = 200_000


def main() -> None:
    prompts, peer = alpaca(NUM_PROMPTS), python_of("llamacpp")
    loaded = load(MODEL)
    ids = [renderer_for(loaded).prompt_ids([Message("user", prompt)]) for prompt in prompts]
    ratios: dict[str, float] = {}
    checks: dict[str, bool] = {}

    theirs = Transformers(loaded, ids)
    fastest = theirs.fastest()
    theirs_answers, theirs_rate = timed(lambda: theirs.batches(*fastest))
    say(f"transformers, {fastest[0]}, batches of {fastest[1]}: {theirs_rate:.1f} tokens/s")
    rates = {}
    for precision in ("int8", "bfloat16", "float32"):
        with LocalEngine(loaded, precision=precision) as engine:
            warm(engine)
            ours_answers, rates[precision] = timed(lambda: answers(engine, ids))
            say(f"ours, {precision}: {rates[precision]:.1f} tokens/s")
            if precision == "float32":
                checks["fp32_equal"] = theirs.all_equal(
                    ours_answers, theirs_answers if fastest[0] == "float32" else None
                )
    ratios |= {f"batch_vs_transformers_{name}": rate / theirs_rate for name, rate in rates.items()}
    ratios["batch_vs_transformers"] = max(rates.values()) / theirs_rate

    with LocalEngine(loaded, precision="int8") as engine:
        warm(engine)
        alone = {"ours int8": lambda: one_by_one(engine, ids[:NUM_ALONE])}
        alone["transformers"] = lambda: theirs.batches(fastest[0], 1, NUM_ALONE)
        alone["llama.cpp Q4_1"] = lambda: llama_cpp(peer, ids[:NUM_ALONE])
        speeds = interleaved(alone)
    ratios["single_vs_transformers"] = speeds["ours int8"] / speeds["transformers"]
    ratios["single_vs_llamacpp"] = speeds["ours int8"] / speeds["llama.cpp Q4_1"]
    ratios["shared_prefix"], checks["shared_prefix_equal"] = shared_prefix(loaded)
    checks["perplexity_ok"] = perplexities(loaded)
    print(json.dumps({"bench": "generate", "ratios": rounded(ratios), "checks": checks, **about()}))


# -- ours ------------------------------------------------------------------------------------------------------------


def warm(engine: LocalEngine) -> None:
    engine.submit(Request("warm", prompt_ids=(1, 2, 3), sampling=Sampling(max_tokens=2))).result()


def answers(engine: LocalEngine, ids: Sequence[Sequence[int]]) -> list[list[int]]:
    sampling = Sampling(max_tokens=MAX_TOKENS)
    requests = [Request(str(number), prompt_ids=tuple(one), sampling=sampling) for number, one in enumerate(ids)]
    return [list(generation.token_ids) for generation in generate(engine, requests)]


def one_by_one(engine: LocalEngine, ids: Sequence[Sequence[int]]) -> list[list[int]]:
    return [answers(engine, [one])[0] for one in ids]


def shared_prefix(loaded: LoadedModel) -> tuple[float, bool]:
    """64 questions about one passage of 1,000 tokens, with reuse and without; one answer token each, so that reading counts."""
    renderer, passage = renderer_for(loaded), text(8_000)
    tokens = loaded.tokenizer(passage, add_special_tokens=False)["input_ids"][:1000]
    passage = loaded.tokenizer.decode(tokens)
    ids = [renderer.prompt_ids([Message("user", f"{passage}\n\nQuestion {number}: what is said about {word}?")])
           for number, word in enumerate(dict.fromkeys(passage.split())) if number < 64]  # fmt: skip
    seconds, found = {}, {}
    for shares in (True, False):
        with LocalEngine(loaded, precision="int8", share_beginnings=shares) as engine:
            warm(engine)
            start = time.perf_counter()
            requests = [
                Request(str(n), prompt_ids=tuple(one), sampling=Sampling(max_tokens=16)) for n, one in enumerate(ids)
            ]
            found[shares] = [generation.text for generation in generate(engine, requests)]
            seconds[shares] = time.perf_counter() - start
    say(f"64 questions, one passage: {seconds[True]:.1f} s with reuse, {seconds[False]:.1f} s without")
    return seconds[False] / seconds[True], found[True] == found[False]


def perplexities(loaded: LoadedModel) -> bool:
    """bf16 within 0.2 %, int8 within 1 % of 32 bits, on 200 kB of text in windows of 512 tokens."""
    tokens = loaded.tokenizer(text(TEXT_BYTES), add_special_tokens=False)["input_ids"]
    windows = [(tokens[start : start + 512], 511) for start in range(0, len(tokens) - 511, 512)]
    found = {}
    for precision in ("float32", "bfloat16", "int8"):
        with LocalEngine(loaded, precision=precision) as engine:
            found[precision] = math.exp(-sum(engine._runner.score(windows)) / (511 * len(windows)))
    say("perplexity: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
    plain = found["float32"]
    return abs(found["bfloat16"] / plain - 1) <= 0.002 and abs(found["int8"] / plain - 1) <= 0.01


# -- transformers ----------------------------------------------------------------------------------------------------


class Transformers:
    """Its own `generate` on prompts sorted by length, padded on the left."""

    def __init__(self, loaded: LoadedModel, ids: Sequence[Sequence[int]]) -> None:
        self._ids, self._ends = ids, set(renderer_for(loaded).end_of_turn_ids)
        self._models = {"float32": loaded.model}
        self._pad = loaded.tokenizer.pad_token_id or 0

    def fastest(self) -> tuple[str, int]:
        """Number format by four steps of 16 rows, then batch by 64 prompts and 32 tokens."""
        speeds = {name: self._speed(name, 16, 16, max_tokens=4) for name in ("float32", "bfloat16")}
        say("transformers, 16 rows, 4 tokens: " + ", ".join(f"{name} {speed:.1f}" for name, speed in speeds.items()))
        name = max(speeds, key=lambda name: speeds[name])
        trials = {batch: self._speed(name, batch, 64, max_tokens=32) for batch in (16, 32, 64)}
        say(
            "transformers, 64 prompts: " + ", ".join(f"batches of {size} {speed:.1f}" for size, speed in trials.items())
        )
        return name, max(trials, key=lambda size: trials[size])

    def batches(self, name: str, size: int, num: int | None = None, max_tokens: int = MAX_TOKENS) -> list[list[int]]:
        ids = self._ids[:num]
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        found: dict[int, list[int]] = {}
        for start in range(0, len(order), size):
            places = order[start : start + size]
            found |= zip(places, self._batch(name, [ids[place] for place in places], max_tokens), strict=True)
        return [found[place] for place in range(len(ids))]

    def all_equal(self, ours: list[list[int]], theirs: list[list[int]] | None) -> bool:
        """Token for token. Padding moves their sums, too: where they differ, their answer to the prompt alone decides."""
        theirs = theirs or self.batches("float32", 32)
        different = [place for place, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]]
        wrong = [
            place for place in different if ours[place] != self._batch("float32", [self._ids[place]], MAX_TOKENS)[0]
        ]
        say(f"32 bits: {len(ours) - len(different)} of {len(ours)} answers equal transformers' in batches, "
            f"{len(ours) - len(wrong)} equal its answer in a batch or alone")  # fmt: skip
        return not wrong

    def _speed(self, name: str, size: int, num: int, max_tokens: int = MAX_TOKENS) -> float:
        return timed(lambda: self.batches(name, size, num, max_tokens))[1]

    def _batch(self, name: str, ids: Sequence[Sequence[int]], max_tokens: int) -> Iterator[list[int]] | list[list[int]]:
        if name not in self._models:
            self._models[name] = load(MODEL, dtype=name).model
        width = max(map(len, ids))
        padded = torch.tensor([[self._pad] * (width - len(one)) + list(one) for one in ids])
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in ids])
        with torch.inference_mode():
            output = self._models[name].generate(
                input_ids=padded,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                do_sample=False,
                pad_token_id=self._pad,
            )
        return [self._cut(row) for row in output[:, width:].tolist()]

    def _cut(self, row: list[int]) -> list[int]:
        end = next((place for place, token in enumerate(row) if token in self._ends), len(row) - 1)
        return row[: end + 1]


# -- llama.cpp -------------------------------------------------------------------------------------------------------


def llama_cpp(python: Path, ids: Sequence[Sequence[int]]) -> list[list[int]]:
    """Its greedy answers; loading the model is not counted, because it reports its own seconds."""
    job = {"model": str(locate(MODEL).path), "threads": torch.get_num_threads(), "max_tokens": MAX_TOKENS}
    job |= {"chats": [], "texts": [], "prompts": [list(one) for one in ids], "logits": None}
    done = subprocess.run(
        [str(python), str(HERE / "peers" / "llama_side.py")],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    return Seconds(
        [answer["ids"] for answer in result["answers"]],
        sum(answer["read_seconds"] + answer["write_seconds"] for answer in result["answers"]),
    )


class Seconds(list[list[int]]):
    """Answers of a program that timed itself."""

    def __init__(self, answers: list[list[int]], seconds: float) -> None:
        super().__init__(answers)
        self.seconds = seconds


# -- both ------------------------------------------------------------------------------------------------------------


def timed(run: Callable[[], list[list[int]]]) -> tuple[list[list[int]], float]:
    """Answers, and tokens a second."""
    start = time.perf_counter()
    found = run()
    seconds = found.seconds if isinstance(found, Seconds) else time.perf_counter() - start
    return found, sum(map(len, found)) / seconds


def interleaved(runs: dict[str, Callable[[], list[list[int]]]]) -> dict[str, float]:
    """Medians of several rounds, by turns."""
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            speeds[name].append(timed(run)[1])
    for name, found in speeds.items():
        say(
            f"alone, {name}: {sorted(found)[len(found) // 2]:.1f} tokens/s ({', '.join(f'{one:.1f}' for one in found)})"
        )
    return {name: sorted(found)[len(found) // 2] for name, found in speeds.items()}


def alpaca(num: int) -> list[str]:
    return [alpaca_prompt(row) for row in alpaca_rows()[:num]]


def text(num_bytes: int) -> str:
    path = DATA / "corpus_wiki_c4_demo" / "c4_demo.jsonl.gz"
    documents = (json.loads(line)["text"] for line in gzip.decompress(path.read_bytes()).decode().splitlines())
    return "\n\n".join(documents).encode()[:num_bytes].decode(errors="ignore")


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}


def about() -> dict[str, Any]:
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("torch", "transformers", "numba")},
    }


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
