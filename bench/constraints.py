"""Enforced requirements on a vocabulary of 49 thousand tokens: what a step costs, beside llguidance, xgrammar and outlines-core.

    make bench-constraints

Each case is walked token by token along one answer (constraint_cases.py). At every step is timed: *lazily*, asking about the token that
comes; the *mask* of the whole vocabulary with the tokens that are enough to finish behind each token (in JSON, where there is none for a
place, asking about one token after that was found out); and the masks of the
others, who do not tell the latter, where they can express the case: JSON and regular expressions all of them, keywords llguidance
alone, as an intersection of patterns. The first walk is of a composition that was just made, and told apart (`first`: its 99th
percentile and its slowest step); then sides take turns.
Others run to the end or say why not; what takes longer than a minute is ended.

Then a batch: 32 requests with six keywords and a range of words each, written by LocalEngine in int8, against the same prompts without
requirements: `batch_slowdown` is the time per token of the one over that of the other, less 1. The last line is JSON; ratios say how many
times faster ours is.

HEEDFUL_SHARED_DATA         the folder with the development data; default ../shared/data (for schemas of JSONSchemaBench)
HEEDFUL_CONSTRAINTS_PYTHON  a Python that has xgrammar and outlines-core; default: bench/.venvs/constraints, made here
"""

from __future__ import annotations

import json
import os
import platform
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
import torch

from common import DATA
from constraint_batch import batch
from constraint_cases import Case, cases
from heedful.constraints import Composition, TokenTable, compose
from heedful.constraints.composition import NEVER
from heedful.constraints.masks import masks_of
from heedful.constraints.masks.texts import token_texts
from heedful.models import folder_of, load
from heedful.models.vocabulary import Vocabulary
from peers.environments import python_of

HERE = Path(__file__).resolve().parent
MODEL = "smollm2-135m-instruct-q4_1"
ROUNDS = 3
PATIENCE = 60
"""Seconds."""

Walk = Callable[[], list[float]]
"""Along the answer of a case; seconds of each step."""


@dataclass
class Timed:
    """One side of one case."""

    walk: Walk
    first: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    error: str = ""

    def take(self, *, is_first: bool) -> None:
        if not self.error:
            try:
                seconds = self.walk()
            except (RuntimeError, TimeoutError) as error:
                self.error = str(error).splitlines()[0][:160]
            else:
                (self.first if is_first else self.steps).extend(seconds)

    def at(self, share: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.steps, share)) * 1e3


def main() -> None:
    loaded = load(MODEL)
    backend = loaded.tokenizer.backend_tokenizer
    vocabulary, end = Vocabulary(backend), loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")
    data = [vocabulary.token(index).data or b"" for index in range(backend.get_vocab_size())]
    table = TokenTable(data, [end])
    guidance, peer = Guidance(backend.to_str(), end), opened_peer(end)
    found: dict[str, dict[str, Timed]] = {}
    sound = True
    started = time.perf_counter()
    token_texts(table).batch(b"")
    say(f"tables of the vocabulary: {(time.perf_counter() - started) * 1e3:.0f} ms, once")
    torch.set_num_threads(1)
    for case in cases(table, DATA):
        started = time.perf_counter()
        composition = compose(case.specs, table, max_tokens=case.max_tokens)
        composed = time.perf_counter() - started
        tokens = along(composition, table, case)
        # Anew: for the first walk nothing is remembered of the answer.
        composition = compose(case.specs, table, max_tokens=case.max_tokens)
        sides = {"lazily": Timed(lambda c=composition, t=tokens: lazily(c, t))}
        has_masks = masks_of(composition._planner, table) is not None
        if has_masks:
            sides["mask"] = Timed(lambda c=composition, t=tokens: masks(c, t))
        if case.theirs is not None:
            sides["llguidance"] = Timed(guidance.walk(*case.theirs, tokens))
            if peer is not None and case.theirs[0] != "lark":
                sides |= {name: Timed(peer.walk(name, *case.theirs, tokens)) for name in peer.names}
        for number in range(ROUNDS + 1):
            for side in sides.values():
                side.take(is_first=number == 0)
        sound &= not has_masks or is_sound(composition, tokens)
        found[case.name] = sides
        say(f"{case.name}: {len(tokens)} tokens, composed in {composed * 1e3:.1f} ms")
        tell(sides)
    torch.set_num_threads(os.cpu_count() or 1)
    slowdown, batch_checks = batch(loaded, say)
    print(json.dumps(summary(found, slowdown, {"masks_are_sound": sound, **batch_checks})))


def summary(found: dict[str, dict[str, Timed]], slowdown: float, checks: dict[str, bool]) -> dict[str, Any]:
    def against(side: str, kind: str) -> float:
        both = [
            sides for name, sides in found.items() if name.startswith(kind) and {side, "llguidance"} <= sides.keys()
        ]
        return geometric_mean([one["llguidance"].at(50) / one[side].at(50) for one in both if one["llguidance"].steps])

    def slowest(side: str, kind: str, share: float) -> float:
        return max(sides[side].at(share) for name, sides in found.items() if name.startswith(kind) and side in sides)

    ratios = {
        "regex_mask_vs_llguidance": against("mask", "regex"),
        "mask_vs_llguidance": against("mask", "6 keywords"),
        "json_mask_vs_llguidance": against("mask", "json"),
        "json_lazily_vs_llguidance": against("lazily", "json"),
        "batch_slowdown": slowdown,
    }
    checks |= {
        "keywords_1_ms": slowest("mask", "6 keywords", 50) <= 1,
        "characters_3_ms": slowest("mask", "20 keywords", 50) <= 3,
        "regex_0.15_ms": slowest("mask", "regex", 99) <= 0.15,
        "json_lazily_0.15_ms": slowest("lazily", "json", 99) <= 0.15,
        "json_mask_0.15_ms": slowest("mask", "json", 99) <= 0.15,
        "batch_slowdown_0.2": slowdown <= 0.2,
    }
    times = {
        name: {side: one.error or [round(one.at(50), 3), round(one.at(99), 3)] for side, one in sides.items()}
        for name, sides in found.items()
    }
    return {
        "bench": "constraints",
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "checks": checks,
        "milliseconds_p50_p99": times,
        "versions": {name: version(name) for name in ("llguidance", "torch", "numpy")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }


# -- ours ------------------------------------------------------------------------------------------------------------------


def along(composition: Composition, table: TokenTable, case: Case) -> list[int]:
    """The tokens of the case's answer."""
    tokens, state = list(table.spell(case.text.encode()) or ()), composition.start()
    for token in tokens:
        after = composition.after(state, token)
        assert after is not None, f"{case.name}: {table.data[token]!r} may not follow {state.before!r}"
        state = after
    assert composition.permits(state, table.end_ids[0]), f"{case.name}: the answer may not end"
    return tokens


def lazily(composition: Composition, tokens: Sequence[int]) -> list[float]:
    state, seconds = composition.start(), []
    for token in tokens:
        started = time.perf_counter()
        composition.permits(state, token)
        state = composition.advance(state, token)
        seconds.append(time.perf_counter() - started)
    return seconds


def masks(composition: Composition, tokens: Sequence[int]) -> list[float]:
    state, seconds = composition.start(), []
    for token in tokens:
        started = time.perf_counter()
        costs = composition.costs(state)
        seconds.append(time.perf_counter() - started)
        if costs is None:
            composition.permits(state, token)
            seconds[-1] = time.perf_counter() - started
        state = composition.advance(state, token)
    return seconds


def is_sound(composition: Composition, tokens: Sequence[int]) -> bool:
    """Whether tokens that masks allow may come, and the answer's own are among them."""
    state, rng = composition.start(), np.random.default_rng(0)
    for token in tokens:
        costs = composition.costs(state)
        allowed = np.flatnonzero(costs < NEVER) if costs is not None else np.array([token])
        drawn = rng.choice(allowed, min(len(allowed), 30), replace=False).tolist()
        if token not in allowed or not all(composition.permits(state, one) for one in drawn):
            return False
        state = composition.advance(state, token)
    return True


# -- others ----------------------------------------------------------------------------------------------------------------


class Guidance:
    """llguidance, in this process."""

    def __init__(self, tokenizer: str, end: int) -> None:
        import llguidance
        import llguidance.numpy as bitmasks

        self._llguidance, self._masks = llguidance, bitmasks
        self._tokenizer = llguidance.LLTokenizer(tokenizer, eos_token=end)
        self._mask = bitmasks.allocate_token_bitmask(1, self._tokenizer.vocab_size)

    def walk(self, kind: str, what: Any, tokens: Sequence[int]) -> Walk:
        matchers = self._llguidance.LLMatcher
        said = json.dumps({**what, "x-guidance": {"lenient": True}}) if kind == "json" else what
        make = {"json": matchers.grammar_from_json_schema, "regex": matchers.grammar_from_regex,
                "lark": matchers.grammar_from_lark}[kind]  # fmt: skip
        grammar = make(said)

        def walked() -> list[float]:
            matcher, seconds = matchers(self._tokenizer, grammar), []
            for token in tokens:
                started = time.perf_counter()
                self._masks.fill_next_token_bitmask(matcher, self._mask)
                seconds.append(time.perf_counter() - started)
                if not matcher.consume_token(token):
                    raise RuntimeError(matcher.get_error() or "it refuses the answer")
            return seconds

        return walked


class Peer:
    """xgrammar and outlines-core, in a process of their own."""

    def __init__(self, python: Path, end: int) -> None:
        self._command = [str(python), str(HERE / "peers" / "constraint_side.py"),
                         str(folder_of(MODEL) / "tokenizer.json"), str(end)]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.names: list[str] = []
        self._open()

    def walk(self, engine: str, kind: str, what: Any, tokens: Sequence[int]) -> Walk:
        def walked() -> list[float]:
            answer = self._ask({"engine": engine, "kind": kind, "what": what, "tokens": list(tokens)})
            if "error" in answer:
                raise RuntimeError(answer["error"])
            steps: list[float] = answer["steps"]
            return [steps[0] + answer["compile"], *steps[1:]] if answer["compile"] > 1e-3 else steps

        return walked

    def _open(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        versions = self._answer()
        self.names = list(versions)
        say("beside " + ", ".join(f"{name} {number}" for name, number in versions.items()))

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], PATIENCE)[0]:
            process.kill()
            process.wait()
            self._open()
            raise TimeoutError(f"no mask after {PATIENCE} s")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("its process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def opened_peer(end: int) -> Peer | None:
    try:
        return Peer(python_of("constraints"), end)
    except (subprocess.CalledProcessError, RuntimeError) as error:
        say(f"without xgrammar and outlines-core, which did not install or start: {error}")
        return None


# -- told ------------------------------------------------------------------------------------------------------------------


def tell(sides: dict[str, Timed]) -> None:
    for side, one in sides.items():
        said = one.error or (
            f"p50 {one.at(50):8.3f} ms   p99 {one.at(99):8.3f} ms   "
            f"first {np.percentile(one.first, 99) * 1e3:8.3f} and {max(one.first) * 1e3:8.3f} ms"
        )
        say(f"    {side:<14} {said}")


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
