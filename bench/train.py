"""Instruction tuning on two cores: our loop against TRL in the best of its settings, and equal to 32 bits.

    make bench-train

256 Alpaca rows, SmolLM2-135M-Instruct, at most 512 tokens a row, 32 rows an optimiser step, the same token ids and masks for both.
Tokens are those of the rows: padding and packing add none, and a beginning that rows share counts for each of them. TRL (in a process
and an environment of its own) is tried in six settings for full weights and for adapters; the best of each then runs in turns with ours,
all rows in each round, the first step of each left out. `share_of_gemm_peak`: products of matrices that were computed (shared
beginnings once), over what torch multiplies in this number format. Beside it: our losses in bf16 and in 32 bits over 50 steps, and eight answers to one prompt with
the prompt read once or eight times. The last line is JSON.

HEEDFUL_SHARED_DATA   the folder with the development data; default ../shared/data
HEEDFUL_TRL_PYTHON    a Python that has TRL; default: bench/.venvs/trl, made here
HEEDFUL_BENCH_ROWS    fewer rows for a quick look; claims need 256
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from common import alpaca_rows, gemm_peak, machine, say
from heedful.models import add_lora, folder_of, load
from heedful.project import Silent
from heedful.records import Example, conversation, origin_id
from heedful.render import renderer_for
from heedful.train import TuneSettings
from heedful.train.computing.numbers import dtype_of
from heedful.train.computing.ways import computed_fast
from heedful.train.loop import SupervisedLoop
from heedful.train.objectives.instruction import packed, packed_loss, rows
from heedful.train.rows.batches import TokenRow
from heedful.train.rows.packing import pack
from peers.environments import python_of
from peers.jobs import Ask, peer

MODEL = "smollm2-135m-instruct-q4_1"
NUM_ROWS = int(os.environ.get("HEEDFUL_BENCH_ROWS", "256"))
LIMIT, ROWS_PER_STEP, MICRO_BATCH_TOKENS, NUM_ROUNDS = 512, 32, 4096, 2
LEARNING_RATE = {"full": 2e-5, "lora": 2e-4}
TRL_SETTINGS = ("default", "bf16", "bf16 weights", "bf16 + packing", "bf16 + compile", "bf16 + padding-free")
NUM_COMPARED, CLOSE = 50, 0.01
"""Steps in bf16 and in 32 bits, and how far apart their losses may be."""
SAME = 1e-5
"""How far apart one loss may be where both sides compute in 32 bits."""


class Clock(Silent):
    """When each step ended."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def milestone(self, name: str) -> None:
        if name == "train.stepped":
            self.times.append(time.perf_counter())


Rate = tuple[float, list[float]]
"""Tokens a second, and the loss of each step."""


def main() -> None:
    some = chosen(NUM_ROWS)
    num_tokens = sum(row.num_tokens for row in some)
    say(f"{len(some)} rows, {num_tokens:,} tokens, {sum(row.num_trained for row in some):,} of them trained")
    ratios: dict[str, float] = {}
    threads = torch.get_num_threads()
    with peer("TRL", python_of("trl"), "trl_side.py", folder_of(MODEL), threads) as (ask, versions):
        is_trls_loss = first_losses_equal(ask, some[:ROWS_PER_STEP])
        for kind in ("full", "lora"):
            setting = best_of_trl(ask, some, kind)
            rates = rounds(ask, some, kind, setting)
            ratios[f"{kind}_vs_trl_best"] = median(rates["ours"]) / median(rates[setting])
            if kind == "full":
                peak = gemm_peak(dtype_of("auto", torch.device("cpu")), 2048)
                ratios["share_of_gemm_peak"] = median(rates["ours"]) * operations_a_token(some) / peak
    sharing, gradients_equal = prefix_sharing()
    result = {
        "bench": "train",
        "ratios": {name: round(value, 2) for name, value in (ratios | {"prefix_sharing": sharing}).items()},
        "checks": {
            "loss_equal": losses_equal(some),
            "first_loss_is_trls": is_trls_loss,
            "shared_gradients_equal": gradients_equal,
        },
        "rows": len(some),
        "precision": str(dtype_of("auto", torch.device("cpu"))),
        "machine": machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")} | {"peer": versions},
    }
    print(json.dumps(result))


def rounds(ask: Ask, some: Sequence[TokenRow], kind: str, setting: str) -> dict[str, list[float]]:
    """Tokens a second of both sides, by turns."""
    rates: dict[str, list[float]] = {"ours": [], setting: []}
    for _ in range(NUM_ROUNDS):
        rates["ours"].append(ours(some, kind, num_steps=len(some) // ROWS_PER_STEP)[0])
        rates[setting].append(theirs(ask, some, kind, setting, len(some) // ROWS_PER_STEP)[0])
    for name, values in rates.items():
        say(f"{kind:<5} {name:<20} " + ", ".join(f"{value:.0f}" for value in values) + " tokens/s")
    return rates


# -- ours ------------------------------------------------------------------------------------------------------------------


def ours(
    some: Sequence[TokenRow], kind: str, *, num_steps: int, precision: Any = "auto", rows_per_step: int = ROWS_PER_STEP
) -> Rate:
    """Train as `tune` does; the first step is left out of the rate."""
    loaded = load(MODEL)
    if kind == "lora":
        loaded = add_lora(loaded, rank=16, alpha=32, dropout=0.0, seed=1)
    else:
        loaded.model.requires_grad_(True)
    epochs = -(-num_steps * rows_per_step // len(some))
    settings = TuneSettings(
        learning_rate=LEARNING_RATE[kind],
        warmup_share=0.0,
        epochs=epochs,
        batch_size=rows_per_step,
        micro_batch_tokens=MICRO_BATCH_TOKENS,
        checkpoint_every=10**6,
    )
    clock = Clock()
    dtype = dtype_of(precision, torch.device("cpu"))
    with computed_fast(loaded.model, dtype, packed=True), tempfile.TemporaryDirectory() as folder:
        loop = SupervisedLoop(loaded.model, packed, some, [], settings, seed=0)
        clock.times = [time.perf_counter()]
        history = loop.run(Path(folder), identity="bench", watcher=clock).history
    tokens = [entry["tokens"] for entry in history]
    rate = (tokens[-1] - tokens[0]) / (clock.times[-1] - clock.times[1])
    return rate, [entry["loss"] for entry in history]


def losses_equal(some: Sequence[TokenRow]) -> bool:
    """The same steps in the fast format and in 32 bits."""
    curves = [
        ours(some, "full", num_steps=NUM_COMPARED, precision=precision, rows_per_step=8)[1][:NUM_COMPARED]
        for precision in ("auto", "float32")
    ]
    off = [abs(fast / exact - 1) for fast, exact in zip(*curves, strict=True)]
    say(
        f"losses of {len(off)} steps: at most {max(off):.2%} from those of 32 bits, {sum(off) / len(off):.3%} on average"
    )
    return bool(max(off) <= CLOSE)


def first_losses_equal(ask: Ask, some: Sequence[TokenRow]) -> bool:
    """Before anything is learned, both sides have the same mean over the same tokens, in 32 bits."""
    mine = ours(some, "full", num_steps=2, precision="float32")[1][0]
    its = theirs(ask, some, "full", "32 bits", 2)[1][0]
    say(f"loss of {len(some)} rows before training: {mine:.6f}, TRL {its:.6f}")
    return abs(mine / its - 1) <= SAME


def operations_a_token(some: Sequence[TokenRow]) -> float:
    """Forward, and twice that backward: every token that is read through the layers, every trained one through the head."""
    model = load(MODEL).model
    layers = sum(value.numel() for name, value in model.named_parameters() if name.endswith("proj.weight"))
    head = int(model.get_output_embeddings().weight.numel())
    settings = TuneSettings(batch_size=ROWS_PER_STEP, micro_batch_tokens=MICRO_BATCH_TOKENS)
    loop = SupervisedLoop(model.requires_grad_(True), packed, some, [], settings, seed=0)
    num_read = sum(pack(group).num_read for groups in loop.epoch() for group in groups)
    num_tokens, num_trained = sum(row.num_tokens for row in some), sum(row.num_trained for row in some)
    say(f"{num_read:,} of {num_tokens:,} tokens are read: beginnings that rows of a micro-batch share once")
    return 6 * (layers * num_read + head * num_trained) / num_tokens


def prefix_sharing() -> tuple[float, bool]:
    """How much faster eight answers of 60 tokens to one prompt of 300 are when it is read once; whether gradients are equal."""
    draw = random.Random(0)
    prompt = [draw.randrange(1000, 40000) for _ in range(300)]
    mask = (False,) * 300 + (True,) * 60
    some = [
        TokenRow(str(n), "bench", (*prompt, *(draw.randrange(1000, 40000) for _ in range(60))), mask) for n in range(8)
    ]
    model = load(MODEL).model.requires_grad_(True).train()

    def learn(shares: bool) -> None:
        """One step's gradients, in the model."""
        model.zero_grad()
        batch = pack(some, shares=shares)
        torch.autograd.backward(packed_loss(model, batch)[0] / batch.weight)

    def gradients(shares: bool) -> dict[str, torch.Tensor]:
        learn(shares)
        return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}

    with computed_fast(model, torch.float32, packed=True):
        shared, alone = gradients(True), gradients(False)
    off = max(float((shared[name] - alone[name]).norm() / alone[name].norm()) for name in alone)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with computed_fast(model, dtype_of("auto", torch.device("cpu")), packed=True):
        for shares in (True, False) * 6:
            started = time.perf_counter()
            learn(shares)
            seconds[shares].append(time.perf_counter() - started)
    ratio = median(seconds[False][1:]) / median(seconds[True][1:])
    say(f"eight answers to one prompt: {8 / median(seconds[True][1:]):.1f} rows/s, without sharing "
        f"{8 / median(seconds[False][1:]):.1f}; gradients differ by {off:.1g} of their size (32 bits)")  # fmt: skip
    return ratio, off <= 1e-4


# -- TRL -------------------------------------------------------------------------------------------------------------------


def theirs(
    ask: Ask, some: Sequence[TokenRow], kind: str, setting: str, num_steps: int, rows_per_step: int = ROWS_PER_STEP
) -> Rate:
    """Rate 0 where the setting does not run, which is said."""
    found = ask(
        {
            "setting": setting,
            "lora": kind == "lora",
            "rows": [[list(row.input_ids), list(row.loss_mask)] for row in some],
            "rows_per_step": rows_per_step,
            "steps": num_steps,
            "learning_rate": LEARNING_RATE[kind],
            "limit": LIMIT,
        }
    )
    if "error" in found:
        say(f"      TRL, {setting}: {found['error']}")
        return 0.0, []
    return (found["tokens"][-1] - found["tokens"][0]) / sum(found["seconds"][1:]), found["losses"]


def best_of_trl(ask: Ask, some: Sequence[TokenRow], kind: str) -> str:
    """Two small steps in each setting, of which the second counts."""
    rates = {setting: theirs(ask, some[:64], kind, setting, 2, ROWS_PER_STEP // 2)[0] for setting in TRL_SETTINGS}
    say(f"{kind}: TRL " + ", ".join(f"{setting} {rate:.0f} tokens/s" for setting, rate in rates.items() if rate))
    return max(rates, key=lambda setting: rates[setting])


# -- rows ------------------------------------------------------------------------------------------------------------------


def chosen(num: int) -> list[TokenRow]:
    """Alpaca rows that fit, rendered as `tune` renders them."""
    examples = []
    for place, row in enumerate(alpaca_rows()[: num + num // 4]):
        messages = conversation(row["instruction"], row["output"], input=row["input"])
        examples.append(Example(origin_id("alpaca", str(place)), messages, "import", "alpaca", split="train"))
    found = rows(examples, renderer_for(load(MODEL)), max_length=10**6)
    return [row for row in found if row.num_tokens <= LIMIT and row.num_trained][:num]


if __name__ == "__main__":
    main()
