"""Generation on a GPU: our engine's continuous batching against transformers' `generate` in static batches. Greedy, natural ends.

    make bench-generate_cuda

256 Alpaca prompts, up to 128 new tokens, SmolLM2-135M-Instruct in bf16 on the first CUDA device. On a GPU our engine runs the model through transformers'
own code, so what is compared is batching: requests that join and leave between steps against sorted batches of 32, 64 and 128 that wait for their
longest answer. In 32 bits the answers must be transformers'. Rounds are interleaved. The last line is JSON.

HEEDFUL_BENCH_DEVICE   another device of torch's, to try this script without a GPU (cpu)
HEEDFUL_BENCH_PROMPTS  fewer prompts for a quick look; claims need all 256
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import version

import torch

from generate import MAX_TOKENS, MODEL, ROUNDS, alpaca, answers, say, timed, warm
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, load
from heedful.records import Message
from heedful.render import renderer_for

DEVICE = os.environ.get("HEEDFUL_BENCH_DEVICE", "cuda")
NUM_PROMPTS = int(os.environ.get("HEEDFUL_BENCH_PROMPTS", "256"))
BATCHES = (32, 64, 128)


def main() -> None:
    if DEVICE == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "no CUDA device here: run this where torch sees a GPU, or set HEEDFUL_BENCH_DEVICE=cpu to try the script"
        )
    prompts = alpaca(NUM_PROMPTS)
    fast, exact = (load(MODEL, dtype=dtype, device=DEVICE) for dtype in ("bfloat16", "float32"))
    ids = [renderer_for(fast).prompt_ids([Message("user", prompt)]) for prompt in prompts]
    os.environ["HEEDFUL_KERNELS"] = "0"  # The kernels are for processors only.
    with LocalEngine(fast, max_memory=8 << 30) as engine:
        warm(engine)
        static(fast, ids[:8], 8)
        sides = {"ours": lambda: answers(engine, ids)}
        sides |= {f"transformers, {size}": lambda size=size: static(fast, ids, size) for size in BATCHES}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, side in sides.items():
                rates[name].append(timed(side)[1])
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in medians.items():
        say(f"{name}: {rate:.0f} tokens/s")
    few = ids[:32]
    with LocalEngine(exact, max_memory=8 << 30) as engine:
        alone = [static(exact, [one], 1)[0] for one in few]
        equal = sum(ours == theirs for ours, theirs in zip(answers(engine, few), alone, strict=True))
    say(f"32 bits: {equal} of {len(few)} answers equal transformers' alone")
    best = max(rate for name, rate in medians.items() if name != "ours")
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE
    result = {
        "bench": "generate_cuda",
        "ratios": {"batch_vs_transformers": round(medians["ours"] / best, 2)},
        "checks": {"fp32_equal": equal == len(few)},
        "machine": f"{platform.machine()}, {device}",
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    print(json.dumps(result))


@torch.inference_mode()
def static(loaded: LoadedModel, ids: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """transformers' answers in sorted batches, each cut at its end of turn."""
    ends, pad = set(renderer_for(loaded).end_of_turn_ids), loaded.tokenizer.pad_token_id or 0
    order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
    found: dict[int, list[int]] = {}
    for start in range(0, len(order), size):
        places = order[start : start + size]
        width = max(len(ids[place]) for place in places)
        padded = [[pad] * (width - len(ids[place])) + list(ids[place]) for place in places]
        mask = [[0] * (width - len(ids[place])) + [1] * len(ids[place]) for place in places]
        output = loaded.model.generate(
            input_ids=torch.tensor(padded, device=loaded.model.device),
            attention_mask=torch.tensor(mask, device=loaded.model.device),
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
            pad_token_id=pad,
        )
        for place, row in zip(places, output[:, width:].tolist(), strict=True):
            end = next((number for number, token in enumerate(row) if token in ends), len(row) - 1)
            found[place] = row[: end + 1]
    return [found[place] for place in range(len(ids))]


if __name__ == "__main__":
    main()
