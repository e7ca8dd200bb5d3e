"""IFEval with requirements enforced: 541 prompts, SmolLM2-135M-Instruct, scored by the reference verifiers.

    make bench-ifeval

Three times the same greedy answers to the same prompts: free; with what the data set's annotations require, enforced; with
what our parser reads in the prompt's own text (`--auto-require`), enforced. Requirements that cannot be enforced together are left out
one by one and counted. A prompt is kept (strict) when every one of its instructions is; the reference verifiers (if-verifiable, in an
environment of its own) judge the text as it is. Intervals are Wilson's, 95 %. The last line is JSON.

HEEDFUL_SHARED_DATA    the folder with the development data; default ../shared/data
HEEDFUL_BENCH_PROMPTS  fewer prompts for a quick look; claims need all 541
HEEDFUL_BENCH_SAMPLES  a file to write samples to, in Markdown
"""

from __future__ import annotations

import json
import math
import os
import platform
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from common import DATA
from heedful.constraints import enforceable
from heedful.errors import RequirementError
from heedful.generate.engine import Request, Sampling
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.records import Generation, Message, RequirementSpec
from heedful.requirements import check_all
from heedful.requirements.ifeval import from_ifeval
from heedful.requirements.reading import read_requirements
from peers.environments import python_of

HERE = Path(__file__).resolve().parent
MODEL = "smollm2-135m-instruct-q4_1"
MAX_TOKENS, MOST_TOKENS = 512, 1600
USUAL_TOKENS = {"words": 1.5, "sentences": 25.0}
"""Of one unit in the model's free answers: what is asked for at length needs room, or it is filled up at the end."""
LANGUAGE = "language:response_language"
NEEDED = re.compile(r"takes (\d+) tokens")
Prompt = dict[str, Any]


def main() -> None:
    prompts = [json.loads(line) for line in (DATA / "ifeval" / "input_data.jsonl").read_text("utf-8").splitlines()]
    prompts = prompts[: int(os.environ.get("HEEDFUL_BENCH_PROMPTS", len(prompts)))]
    annotated = [_annotated(prompt) for prompt in prompts]
    read = [tuple(found.spec for found in read_requirements(prompt["prompt"])) for prompt in prompts]
    results: dict[str, dict[str, Any]] = {}
    with LocalEngine(load(MODEL), precision="int8") as engine:
        for name, specs in (("free", None), ("annotated", annotated), ("read", read)):
            start = time.perf_counter()
            answers, num_left_out = _answers(engine, prompts, specs)
            results[name] = _scored(prompts, answers) | {"answers": answers, "left_out": num_left_out}
            _tell(name, results[name], time.perf_counter() - start)
            if specs is not None:
                _tell_own(answers, specs)
    _table(results)
    if path := os.environ.get("HEEDFUL_BENCH_SAMPLES"):
        Path(path).write_text(_samples(prompts, results), encoding="utf-8")
    figures = {
        f"{name}_{what}": round(result[what], 4)
        for name, result in results.items()
        for what in ("prompt_strict", "instruction_strict", "instruction_strict_but_language")
    }
    checks = {
        "instructions_95_percent": results["annotated"]["instruction_strict_but_language"] >= 0.95,
        "prompts_85_percent": results["annotated"]["prompt_strict"] >= 0.85,
        "read_70_percent": results["read"]["prompt_strict"] >= 0.70,
        # Where nothing was read an answer is free, and may be cut off.
        "all_finished": all(
            answer.finish_reason == "stop"
            for name in ("annotated", "read")
            for answer in results[name]["answers"]
            if answer.constraint_report is not None
        ),
    }
    about = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("torch", "numba")},
    }
    print(json.dumps({"bench": "ifeval", "ratios": figures, "checks": checks, **about}))


def _annotated(prompt: Prompt) -> tuple[RequirementSpec, ...]:
    pairs = zip(prompt["instruction_id_list"], prompt["kwargs"], strict=True)
    return tuple(dict.fromkeys(spec for name, kwargs in pairs for spec in from_ifeval(name, kwargs)))


def _answers(
    engine: LocalEngine, prompts: Sequence[Prompt], specs: Sequence[Sequence[RequirementSpec]] | None
) -> tuple[list[Generation], int]:
    """Greedy answers, and how many requirements were left out because they could not be enforced with the others."""
    handles, num_left_out = [], 0
    for number, prompt in enumerate(prompts):
        wanted = [spec for spec in (specs[number] if specs else ()) if enforceable(spec)]
        num_left_out += len(specs[number]) - len(wanted) if specs else 0
        max_tokens = min(MOST_TOKENS, max([MAX_TOKENS, *map(_usual_tokens, wanted)]))
        while True:
            request = Request(
                str(prompt["key"]),
                (Message("user", prompt["prompt"]),),
                sampling=Sampling(max_tokens=max_tokens),
                requirements=tuple(wanted),
            )
            try:
                handles.append(engine.submit(request))
                break
            except RequirementError as error:
                needed = NEEDED.search(str(error))
                if needed and max_tokens < MOST_TOKENS:
                    # A quarter more than the shortest plan, so that the text has room.
                    max_tokens = min(MOST_TOKENS, max(max_tokens, int(int(needed[1]) * 1.25)) + 64)
                else:
                    wanted.pop()
                    num_left_out += 1
    return [handle.result()[0] for handle in handles], num_left_out


def _usual_tokens(spec: RequirementSpec) -> int:
    return int(USUAL_TOKENS.get(spec.kind, 0.0) * spec.parameters.get("minimum", 0))


def _scored(prompts: Sequence[Prompt], answers: Sequence[Generation]) -> dict[str, Any]:
    """What the reference verifiers say."""
    jobs = [
        {"id": name, "kwargs": kwargs, "text": answer.text}
        for prompt, answer in zip(prompts, answers, strict=True)
        for name, kwargs in zip(prompt["instruction_id_list"], prompt["kwargs"], strict=True)
    ]
    done = subprocess.run(
        [str(python_of("ifeval")), str(HERE / "peers" / "ifeval_side.py")],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=True,
    )
    verdicts: list[bool] = json.loads(done.stdout)["verdicts"]
    kept, at = [], 0
    for prompt in prompts:
        size = len(prompt["instruction_id_list"])
        kept.append(verdicts[at : at + size])
        at += size
    names = [job["id"] for job in jobs]
    others = [verdict for name, verdict in zip(names, verdicts, strict=True) if name != LANGUAGE]
    by_kind = {
        name: (sum(v for n, v in zip(names, verdicts, strict=True) if n == name), count)
        for name, count in sorted(Counter(names).items())
    }
    return {
        "prompt_strict": sum(map(all, kept)) / len(kept),
        "instruction_strict": sum(verdicts) / len(verdicts),
        "instruction_strict_but_language": sum(others) / len(others),
        "kept": kept,
        "by_kind": by_kind,
    }


def _tell(name: str, result: dict[str, Any], seconds: float) -> None:
    answers: list[Generation] = result["answers"]
    reports = [answer.constraint_report for answer in answers if answer.constraint_report]
    size = len(answers)
    low, high = _wilson(result["prompt_strict"], size)
    print(
        f"{name}: prompts {result['prompt_strict']:.1%} [{low:.1%}, {high:.1%}], instructions {result['instruction_strict']:.1%}, "
        f"without language {result['instruction_strict_but_language']:.1%}; {seconds:.0f} s, "
        f"{sum(len(answer.token_ids) for answer in answers):,} tokens, "
        f"{sum(answer.finish_reason != 'stop' for answer in answers)} not finished, {result['left_out']} requirements left out",
        flush=True,
    )
    if reports:
        tokens = sum(report["tokens"] for report in reports)
        means = {
            key: sum(report[key] * report["tokens"] for report in reports) / tokens
            for key in ("removed_probability", "logprob_per_token", "free_logprob_per_token")
        }
        forced = sum(report["forced_tokens"] for report in reports) / tokens
        print(f"    {forced:.1%} of tokens forced, " + ", ".join(f"{key} {value:.3f}" for key, value in means.items()))


def _tell_own(answers: Sequence[Generation], specs: Sequence[Sequence[RequirementSpec]]) -> None:
    verdicts = [v.satisfied for answer, few in zip(answers, specs, strict=True) for v in check_all(few, answer.text)]
    print(f"    by our own check {sum(verdicts)} of {len(verdicts)} requirements are kept", flush=True)


def _table(results: dict[str, dict[str, Any]]) -> None:
    print(f"{'instruction':<45}" + "".join(f"{name:>16}" for name in results))
    for kind in results["free"]["by_kind"]:
        cells = ["{}/{}".format(*result["by_kind"][kind]) for result in results.values()]
        print(f"{kind:<45}" + "".join(f"{cell:>16}" for cell in cells))


def _samples(prompts: Sequence[Prompt], results: dict[str, dict[str, Any]]) -> str:
    lines = ["| prompt | free | enforced |", "|---|---|---|"]
    for place in random.Random(0).sample(range(len(prompts)), min(24, len(prompts))):
        cells = [prompts[place]["prompt"], *(results[name]["answers"][place].text for name in ("free", "annotated"))]
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|")[:400] for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _wilson(share: float, size: int) -> tuple[float, float]:
    z = 1.96
    middle = (share + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    return middle - half, middle + half


if __name__ == "__main__":
    if not (DATA / "ifeval" / "input_data.jsonl").is_file():
        sys.exit(f"no {DATA / 'ifeval'}: set HEEDFUL_SHARED_DATA to the folder with the development data")
    torch.manual_seed(0)
    main()
